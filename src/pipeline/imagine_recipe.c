/* imagine_recipe.c - see imagine_recipe.h. */
#include "pipeline/imagine_recipe.h"

#include "base/buf.h"
#include "base/err.h"
#include "pipeline/imagine.h"
#include "pipeline/recipe.h"
#include "pipeline/sampler.h"

#include <string.h>

#define MAX_SIGMAS_TEXT (32 * SCHEDULE_MAX_STEPS)

static const char *const wraps[] = {
    [WRAP_NONE] = "none", [WRAP_X] = "x", [WRAP_Y] = "y", [WRAP_BOTH] = "both"};

const char *wrap_name(enum wrap wrap)
{
    return wraps[wrap];
}

int wrap_parse(const char *name, enum wrap *wrap)
{
    for (size_t i = 0; i < sizeof(wraps) / sizeof(*wraps); i++)
        if (strcmp(wraps[i], name) == 0) {
            *wrap = (enum wrap)i;
            return 0;
        }
    return ERR_ARG;
}

/* The noise levels, as --sigmas takes them. */
static void set_sigmas(const struct imagine_request *r, struct recipe *out)
{
    struct buf b;
    buf_init(&b, MAX_SIGMAS_TEXT);
    for (int i = 0; i < r->steps; i++)
        buf_printf(&b, "%.9g,", r->sigmas[i]);
    buf_append_char(&b, '0');
    recipe_set(&out->sigmas, buf_str(&b));
    buf_release(&b);
}

void imagine_recipe(const struct imagine_request *r, int i, struct recipe *out)
{
    struct imagine_seeds seeds = imagine_seeds(r, i);
    recipe_init(out);
    recipe_set(&out->prompt, r->prompt);
    recipe_set(&out->negative, r->negative);
    recipe_set(&out->sampler, sampler_name(r->sampler));
    recipe_set(&out->rng, noise_kind_name(r->noise));
    recipe_set(&out->precision, dtype_name(r->precision));
    recipe_set(&out->version, "lar " LAR_VERSION);
    out->width = r->width;
    out->height = r->height;
    out->steps = r->steps;
    out->guidance = r->guidance;
    out->guidance_rescale = r->guidance_rescale > 0 ? r->guidance_rescale : -1;
    out->eta = r->eta;
    out->clip_skip = r->clip_skip;
    out->has_seed = true;
    out->seed = seeds.seed;
    out->variation_strength = r->variation_strength > 0 ? r->variation_strength : -1;
    out->variation_seed = seeds.variation;
    recipe_set(&out->tileable, r->wrap ? wrap_name(r->wrap) : NULL);
    if (r->hires.scale > 0) {
        out->hires = r->hires.scale;
        out->hires_strength = r->hires.strength;
        out->hires_steps = r->hires.steps;
        recipe_set(&out->hires_upscaler, hires_name(r->hires.kind));
    }
    out->strength = r->image ? r->strength : -1;
    if (r->sigmas)
        set_sigmas(r, out);
    else
        recipe_set(&out->schedule, schedule_name(r->schedule));
}
