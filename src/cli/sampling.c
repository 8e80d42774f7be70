/* sampling.c - see sampling.h. */
#include "cli/sampling.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/options.h"
#include "pipeline/distilled.h"
#include "pipeline/imagine.h"
#include "pipeline/recipe.h"
#include "pipeline/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool given(const struct sampling_source *f, enum option id)
{
    return f->o->value[id].given;
}

/* The option's text, else the recipe's; NULL when neither says anything. */
static const char *said(const struct sampling_source *f, enum option id, const char *of_recipe)
{
    return given(f, id) ? f->o->value[id].text : of_recipe;
}

/* Puts the name of the option in front of its error, or of the recipe's picture. */
static int blame(const struct sampling_source *f, enum option id, struct err *e)
{
    if (given(f, id))
        err_prefix(e, "--%s", option_rows[id].name);
    else
        err_prefix(e, "%s", f->from_path);
    return e->code;
}

static int read_seeds(struct sampling *s, const struct sampling_source *f, struct err *e)
{
    if (given(f, OPTION_SEED)) {
        const char *text = f->o->value[OPTION_SEED].text;
        if (!seeds_parse(&s->seeds, text))
            return err_set(e, ERR_ARG, "--seed %s: wants seeds as 7, 1-9 or 5,8,13", text);
        if (s->seeds.n > 1 && given(f, OPTION_NUMBER))
            return err_set(e, ERR_ARG,
                           "--seed %s and -n %s: both say how many pictures; leave -n out, or give "
                           "one seed",
                           text, f->o->value[OPTION_NUMBER].text);
        return 0;
    }
    s->seeds = (struct seeds){mem_alloc(sizeof(uint64_t)), 1};
    s->seeds.v[0] = f->from->has_seed ? f->from->seed : seeds_random();
    return 0;
}

/* SEED:STRENGTH */
static int read_variation(struct sampling *s, const struct sampling_source *f, struct err *e)
{
    if (!given(f, OPTION_VARIATION)) {
        s->variation = f->from->variation_seed;
        s->variation_strength = fmax(f->from->variation_strength, 0);
        return 0;
    }
    const char *text = f->o->value[OPTION_VARIATION].text, *colon = strchr(text, ':');
    char *seed = mem_strndup(text, colon ? (size_t)(colon - text) : strlen(text)), *end = NULL;
    bool fits = colon && recipe_parse_seed(seed, &s->variation) && colon[1] >= '.' &&
                colon[1] <= '9';
    free(seed);
    if (fits)
        s->variation_strength = strtod(colon + 1, &end);
    if (!fits || *end || !(s->variation_strength >= 0 && s->variation_strength <= 1))
        return err_set(e, ERR_ARG,
                       "--variation %s: wants SEED:STRENGTH, the strength from 0 to 1, such as "
                       "7:0.2",
                       text);
    return 0;
}

static int read_sigmas(struct sampling *s, const struct sampling_source *f, struct err *e)
{
    const struct option_value *steps = &f->o->value[OPTION_STEPS];
    const char *text = said(f, OPTION_SIGMAS, f->from->sigmas);
    bool other = steps->given || given(f, OPTION_SCHEDULE);
    if (!text || (other && !given(f, OPTION_SIGMAS)))
        return 0; /* the recipe's sigmas give way to options */
    if (schedule_parse_sigmas(text, s->sigmas, &s->n_sigmas, e))
        return blame(f, OPTION_SIGMAS, e);
    if (given(f, OPTION_SCHEDULE))
        return err_set(e, ERR_ARG,
                       "--schedule: has no effect with --sigmas; leave one of them out");
    if (steps->given && (int)steps->whole != s->n_sigmas)
        return err_set(e, ERR_ARG, "--steps %s: the --sigmas are %d steps; leave --steps out",
                       steps->text, s->n_sigmas);
    return 0;
}

int sampling_read(struct sampling *s, const struct sampling_source *from, struct err *e)
{
    *s = (struct sampling){0};
    int rc = read_seeds(s, from, e);
    if (!rc)
        rc = read_variation(s, from, e);
    return rc ? rc : read_sigmas(s, from, e);
}

void sampling_release(struct sampling *s)
{
    seeds_release(&s->seeds);
}

int sampling_n_pictures(const struct sampling *s, const struct options *o)
{
    return o->value[OPTION_NUMBER].given ? (int)o->value[OPTION_NUMBER].whole : s->seeds.n;
}

/* The schedule where nobody named one, for a sampler that is not the model's own choice. Lar's
 * recipes name it; those of AUTOMATIC1111 mean the noise levels of k-diffusion. */
static enum schedule_kind usual_schedule(const struct sampling_source *f, enum sampler_kind sampler)
{
    bool distilled = sampler == SAMPLER_LCM || sampler == SAMPLER_TCD;
    if (f->from->sampler && !given(f, OPTION_SAMPLER))
        return distilled || sampler == SAMPLER_DDIM ? SCHEDULE_MODEL : SCHEDULE_NORMAL;
    bool karras = sampler == SAMPLER_DPMPP_2M || sampler == SAMPLER_DPMPP_2M_SDE;
    if (sampler == SAMPLER_DPMPP_3M_SDE)
        return SCHEDULE_EXPONENTIAL; /* as its authors and AUTOMATIC1111 use it */
    return karras ? SCHEDULE_KARRAS : SCHEDULE_MODEL;
}

static int choose_names(const struct sampling_source *f, const struct distilled *d,
                        struct imagine_request *r, struct err *e)
{
    enum sampler_kind standard = r->sampler;
    enum schedule_kind schedule = N_SCHEDULE; /* none said yet; a sampler's name may say it */
    const char *name = said(f, OPTION_SAMPLER, f->from->sampler);
    if (name && sampler_parse(name, &r->sampler, &schedule, e))
        return blame(f, OPTION_SAMPLER, e);
    name = said(f, OPTION_SCHEDULE, schedule == N_SCHEDULE ? f->from->schedule : NULL);
    if (name && schedule_parse(name, &schedule, e))
        return blame(f, OPTION_SCHEDULE, e);
    name = said(f, OPTION_RNG, f->from->rng);
    if (name && noise_kind_parse(name, &r->noise, e))
        return blame(f, OPTION_RNG, e);
    if (schedule != N_SCHEDULE)
        r->schedule = schedule;
    else if (r->sampler != standard && d->kind == DISTILLED_NOT)
        r->schedule = usual_schedule(f, r->sampler);
    return 0;
}

static double number(const struct sampling_source *f, enum option id, double of_recipe,
                     double standard)
{
    if (given(f, id))
        return f->o->value[id].number;
    return of_recipe >= 0 ? of_recipe : standard;
}

int sampling_request(const struct sampling *s, const struct sampling_source *from,
                     const struct distilled *d, struct imagine_request *r, struct err *e)
{
    const struct option_value *steps = &from->o->value[OPTION_STEPS];
    bool same_sampler = !given(from, OPTION_SAMPLER); /* else the recipe's eta is of another one */
    if (s->n_sigmas)
        r->steps = s->n_sigmas;
    else if (steps->given || from->from->steps)
        r->steps = steps->given ? (int)steps->whole : from->from->steps;
    r->sigmas = s->n_sigmas ? s->sigmas : NULL;
    r->guidance = number(from, OPTION_GUIDANCE, from->from->guidance, r->guidance);
    r->guidance_rescale = number(from, OPTION_GUIDANCE_RESCALE, from->from->guidance_rescale, 0);
    r->eta = number(from, OPTION_ETA, same_sampler ? from->from->eta : -1, -1);
    r->seed = s->seeds.v[0];
    r->seeds = s->seeds.n > 1 ? s->seeds.v : NULL;
    r->n_pictures = sampling_n_pictures(s, from->o);
    r->variation = s->variation;
    r->variation_strength = s->variation_strength;
    return choose_names(from, d, r, e);
}
