/* enlarging.c - see enlarging.h. */
#include "cli/enlarging.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/options.h"
#include "format/checkpoint.h"
#include "pipeline/find_file.h"
#include "pipeline/recipe.h"

#include <stdlib.h>

static const char *const endings[] = {".pth", ".safetensors", ".gguf", ".pt", ".bin", NULL};

/* SCALE[:STRENGTH] */
static int read_scale(struct imagine_hires *h, const char *text, struct err *e)
{
    char *scale = mem_strdup(text), *end = scale;
    options_cut_weight(scale, &h->strength);
    h->scale = *scale >= '0' && *scale <= '9' ? strtod(scale, &end) : 0;
    bool fine = h->scale >= 1 && h->scale <= HIRES_MAX_SCALE && !*end && h->strength > 0 &&
                h->strength <= 1;
    free(scale);
    if (h->scale == 1) /* NOLINT: as written */
        h->scale = 0;
    return fine
               ? 0
               : err_set(e, ERR_ARG,
                         "--hires %s: wants the scale, from 1 (off) to %d, perhaps with a strength "
                         "up to 1, such as 2 or 1.5:0.6",
                         text, HIRES_MAX_SCALE);
}

static int open_network(struct enlarging *x, const char *name, const char *model, struct err *e)
{
    const struct find_file f = {name, "upscaler", "upscalers", model, endings};
    char *path = NULL;
    int rc = find_file(&f, &path, e);
    if (!rc)
        rc = checkpoint_open(&x->file, path, e);
    if (!rc)
        rc = esrgan_open(&x->network, x->file, e);
    if (!rc) {
        x->hires.kind = HIRES_NETWORK;
        x->hires.network = &x->network;
        x->name = find_file_name(path, endings);
    }
    free(path);
    return rc;
}

int enlarging_read(struct enlarging *x, const struct enlarging_source *s, struct err *e)
{
    const struct option_value *v = s->o->value, *steps = &v[OPTION_HIRES_STEPS],
                              *by = &v[OPTION_HIRES_UPSCALER];
    const struct recipe *from = s->from;
    int rc = 0;
    *x = (struct enlarging){.hires.strength = HIRES_STRENGTH};
    if (from->hires > 1 && from->hires <= HIRES_MAX_SCALE)
        x->hires.scale = from->hires;
    if (from->hires_strength > 0)
        x->hires.strength = from->hires_strength;
    if (v[OPTION_HIRES].given)
        rc = read_scale(&x->hires, v[OPTION_HIRES].text, e);
    if (!rc && x->hires.scale == 0 && (steps->given || by->given)) /* NOLINT: unset */
        return err_set(e, ERR_ARG, "--hires-%s: has no effect without --hires; add it",
                       steps->given ? "steps" : "upscaler");
    if (rc || x->hires.scale == 0) /* NOLINT */
        return rc;
    x->hires.steps = steps->given ? (int)steps->whole : from->hires_steps;
    const char *name = by->given ? by->text : from->hires_upscaler;
    enum hires_kind kind = name ? hires_parse(name) : HIRES_LATENT;
    if (kind != N_HIRES)
        x->hires.kind = kind;
    else if (open_network(x, name, s->model, e) == 0)
        return 0;
    else if (by->given)
        err_prefix(e,
                   "--hires-upscaler (latent, latent-nearest, latent-bicubic, lanczos or a file)");
    else
        err_prefix(e, "%s was enlarged by %s; give that with --hires-upscaler", s->from_path, name);
    return kind != N_HIRES ? 0 : e->code;
}

void enlarging_release(struct enlarging *x)
{
    esrgan_close(&x->network);
    checkpoint_close(x->file);
    free(x->name);
    *x = (struct enlarging){0};
}

void enlarging_recipe(const struct enlarging *x, struct recipe *out)
{
    if (x->name) /* a network's, which a request does not know */
        recipe_set(&out->hires_upscaler, x->name);
}
