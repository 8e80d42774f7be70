/* settings.c - see settings.h. */
#include "cli/settings.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/input.h"
#include "cli/message.h"
#include "cli/model_hash.h"
#include "cli/model_path.h"
#include "cli/options.h"
#include "format/checkpoint.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine_recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROMPT (1u << 20)
#define LEAST_SIDE 64

static const char *text_of(const struct options *o, enum option id)
{
    return o->value[id].given ? o->value[id].text : NULL;
}

/* ---- before the model ---- */

static int read_prompt(struct settings *s, const struct options *o, struct err *e)
{
    struct buf b;
    int rc = 0;
    if (o->n_operands == 0 && s->from.prompt) {
        s->prompt = mem_strdup(s->from.prompt);
        return 0;
    }
    if (o->n_operands == 0 && !s->from_path)
        return err_set(e, ERR_ARG,
                       "there is no prompt; write for example: lar draw a lighthouse "
                       "at dusk");
    buf_init(&b, MAX_PROMPT);
    if (o->n_operands == 1 && strcmp(o->operands[0], "-") == 0)
        rc = input_read("-", &b, "the prompt", e);
    else
        for (int i = 0; i < o->n_operands; i++)
            buf_printf(&b, "%s%s", i ? " " : "", o->operands[i]);
    if (!rc && buf_failed(&b))
        rc = err_set(e, ERR_ARG, "the prompt is longer than 1 MiB; shorten it");
    input_trim(&b);
    s->prompt = mem_strdup(buf_str(&b));
    buf_release(&b);
    return rc;
}

static int read_recipe(struct settings *s, struct err *e)
{
    struct picture p = {0};
    struct picture_text text = {0};
    int rc = picture_read(s->from_path, &p, &text, e);
    if (!rc)
        rc = recipe_from_text(&s->from, &text, s->from_path, e);
    picture_release(&p);
    picture_text_release(&text);
    return rc;
}

static struct sampling_source source(const struct settings *s, const struct options *o)
{
    return (struct sampling_source){o, &s->from, s->from_path};
}

int settings_read(struct settings *s, const struct options *o, struct err *e)
{
    *s = (struct settings){.from_path = text_of(o, OPTION_FROM)};
    recipe_init(&s->from);
    int rc = s->from_path ? read_recipe(s, e) : 0;
    struct sampling_source from = source(s, o);
    if (!rc)
        rc = sampling_read(&s->sampling, &from, e);
    if (!rc)
        rc = read_prompt(s, o, e);
    if (!rc)
        rc = loras_read(&s->loras, o, &s->from, s->prompt, e);
    if (!rc)
        rc = source_read(&s->source, o, &s->from, s->from_path, e);
    return rc ? rc : guides_read(&s->guides, o, &s->from, s->from_path, e);
}

void settings_release(struct settings *s)
{
    recipe_release(&s->from);
    guides_release(&s->guides);
    enlarging_release(&s->enlarging);
    sampling_release(&s->sampling);
    source_release(&s->source);
    parts_release(&s->parts);
    loras_release(&s->loras);
    embedding_files_release(&s->embeddings);
    free(s->prompt);
    *s = (struct settings){0};
}

/* ---- the model ---- */

int settings_open_model(struct settings *s, const struct options *o, struct image_model **m,
                        struct err *e)
{
    const char *option = text_of(o, OPTION_MODEL), *wanted = option ? NULL : s->from.model;
    struct model_places places;
    char *path;
    bool by_name = wanted && !file_exists(wanted);
    *m = NULL;
    model_places_init(&places, wanted && !by_name ? wanted : option);
    int rc = model_places_find(&places, &path, e);
    if (rc && wanted)
        err_prefix(e, "%s was drawn with the model %s", s->from_path, wanted);
    if (!rc)
        rc = parts_find(&s->parts, o, &s->from, s->from_path, path, e);
    if (!rc) {
        struct image_files files = {.path = path};
        parts_files(&s->parts, &files);
        rc = image_model_open_files(m, &files, e);
    }
    if (!rc && by_name) {
        char *name = image_model_name(*m);
        if (strcmp(name, wanted) != 0) {
            image_model_close(*m);
            *m = NULL;
            rc = err_set(e, ERR_NOT_FOUND,
                         "%s was drawn with the model %s, and the default model is %s; choose with "
                         "-m MODEL",
                         s->from_path, wanted, name);
        }
        free(name);
    }
    free(path);
    model_places_release(&places);
    return rc;
}

/* ---- the request ---- */

/* The nearest side that the model can draw. */
static int round_side(double side, int factor)
{
    int least = (LEAST_SIDE + factor - 1) / factor * factor;
    int rounded = (int)floor(side / factor + 0.5) * factor;
    return rounded < least ? least : rounded;
}

/* The picture's shape at the model's size in pixels. */
static void size_of_image(struct imagine_request *r, const struct picture *image, int factor)
{
    double scale = sqrt((double)r->width * r->height / ((double)image->width * image->height));
    r->width = round_side(image->width * scale, factor);
    r->height = round_side(image->height * scale, factor);
}

static void choose_size(struct settings *s, const struct options *o, const struct image_model *m)
{
    const struct option_value *size = &o->value[OPTION_SIZE];
    struct imagine_request *r = &s->request;
    int factor = image_model_factor(m);
    if (!size->given && !(s->from.width && s->from.height)) {
        if (s->source.extends && !s->source.masked.area) {
            r->width = s->source.image.width;
            r->height = s->source.image.height;
        } else if (s->source.path && !s->source.masked.area)
            size_of_image(r, &s->source.image, factor);
        return;
    }
    int width = size->given ? size->width : s->from.width;
    int height = size->given ? size->height : s->from.height;
    r->width = round_side(width, factor);
    r->height = round_side(height, factor);
    if (r->width != width || r->height != height)
        message_note("the size %dx%d is rounded to %dx%d (multiples of %d, at least %d)", width,
                     height, r->width, r->height, factor, LEAST_SIDE);
}

static void choose_numbers(struct settings *s, const struct options *o)
{
    const struct option_value *v = o->value;
    const struct recipe *from = &s->from;
    struct imagine_request *r = &s->request;
    if (v[OPTION_STRENGTH].given || from->strength > 0)
        r->strength = v[OPTION_STRENGTH].given ? v[OPTION_STRENGTH].number : from->strength;
    else if (s->source.extends)
        r->strength = 1; /* there is nothing yet that could be kept */
    if (v[OPTION_CLIP_SKIP].given || from->clip_skip)
        r->clip_skip = v[OPTION_CLIP_SKIP].given ? (int)v[OPTION_CLIP_SKIP].whole : from->clip_skip;
    const char *tileable = v[OPTION_TILEABLE].given ? v[OPTION_TILEABLE].text : from->tileable;
    if (tileable)
        wrap_parse(tileable, &r->wrap); /* an unknown one of a recipe is none */
    const char *precision = v[OPTION_PRECISION].given ? v[OPTION_PRECISION].text : from->precision;
    if (precision && strcmp(precision, "f32") == 0)
        r->precision = DTYPE_F32;
    else if (precision && strcmp(precision, "bf16") == 0)
        r->precision = DTYPE_BF16;
}

/* A LoRA that makes a model need few steps brings its defaults along. */
static struct distilled take_distillation(struct settings *s, const struct image_model *m)
{
    struct imagine_request *r = &s->request;
    struct distilled d = m->distilled;
    for (int i = 0; i < s->loras.n && d.kind == DISTILLED_NOT; i++) {
        struct image_defaults standard = m->defaults;
        if (s->loras.items[i].unet == 0)
            continue;
        d = distilled_from_name(s->loras.items[i].name);
        distilled_defaults(&d, &standard);
        r->steps = standard.steps;
        r->guidance = standard.guidance;
        r->sampler = standard.sampler;
        r->schedule = standard.schedule;
    }
    return d;
}

/* What options and recipe say about the picture itself. */
static int choose(struct settings *s, const struct options *o, const struct image_model *m,
                  struct err *e)
{
    struct imagine_request *r = &s->request;
    *r = s->standard;
    r->prompt = s->prompt;
    r->negative = o->value[OPTION_NEGATIVE].given ? o->value[OPTION_NEGATIVE].text
                                                  : s->from.negative;
    choose_size(s, o, m);
    choose_numbers(s, o);
    struct sampling_source from = source(s, o);
    struct distilled distilled = take_distillation(s, m);
    int rc = sampling_request(&s->sampling, &from, &distilled, r, e);
    embedding_files_release(&s->embeddings);
    struct embedding_wish wish = {
        o, checkpoint_path(m->file), r->prompt, r->negative, &s->from, s->from_path};
    if (!rc)
        rc = embedding_files_find(&s->embeddings, &wish, e);
    r->embeddings = (const char *const *)s->embeddings.paths;
    r->n_embeddings = s->embeddings.n;
    return rc;
}

int settings_request(struct settings *s, const struct options *o, const struct image_model *m,
                     const struct backend *b, struct err *e)
{
    struct imagine_request *r = &s->standard;
    imagine_init(r, m, b);
    int rc = source_extend(&s->source, image_model_factor(m), e);
    source_request(&s->source, r);
    guides_request(&s->guides, r);
    struct enlarging_source hires = {o, &s->from, s->from_path, checkpoint_path(m->file)};
    if (!rc)
        rc = enlarging_read(&s->enlarging, &hires, e);
    r->hires = s->enlarging.hires;
    if (!rc)
        rc = loras_find(&s->loras, checkpoint_path(m->file), s->from_path, e);
    r->loras = s->loras.request;
    r->n_loras = s->loras.n_request;
    return rc ? rc : choose(s, o, m, e);
}

int settings_vary(struct settings *s, const struct options *o, const struct image_model *m,
                  struct err *e)
{
    struct sampling_source from = source(s, o);
    sampling_release(&s->sampling);
    int rc = sampling_read(&s->sampling, &from, e);
    return rc ? rc : choose(s, o, m, e);
}
