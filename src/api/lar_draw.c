/* lar_draw.c - see lar.h: a struct lar_draw becomes a struct imagine_request. */
#include "lar.h"

#include "api/handles.h"
#include "base/err.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "models/esrgan.h"
#include "pipeline/control.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"
#include "pipeline/imagine_recipe.h"
#include "pipeline/recipe.h"
#include "pipeline/reference.h"
#include "pipeline/sampler.h"
#include "tensor/backend.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FILE (CONTROL_MAX + 2 * REFERENCE_MAX + 1)

/* Everything that a running lar_draw() holds. */
struct drawing {
    const struct lar_draw *d;
    struct lar_image_model *m;
    struct imagine_request r;
    struct picture image, mask; /* borrowed data */
    struct imagine_lora *loras; /* owned */
    struct imagine_control controls[CONTROL_MAX];
    struct imagine_reference references[REFERENCE_MAX];
    struct picture control_pictures[CONTROL_MAX], reference_pictures[REFERENCE_MAX];
    struct esrgan network;              /* of hires_upscaler; owned */
    struct checkpoint *files[MAX_FILE]; /* owned */
    int n_files;
};

void lar_draw_init(struct lar_draw *d, const struct lar_image_model *m)
{
    struct imagine_request r;
    imagine_init(&r, m->model, m->lar->backend);
    *d = (struct lar_draw){
        .prompt = r.prompt,
        .width = r.width,
        .height = r.height,
        .steps = r.steps,
        .guidance = r.guidance,
        .sampler = sampler_name(r.sampler),
        .schedule = schedule_name(r.schedule),
        .noise = noise_kind_name(r.noise),
        .precision = dtype_name(r.precision),
        .n_pictures = r.n_pictures,
        .clip_skip = r.clip_skip,
        .strength = r.strength,
        .mask_seam = r.mask_seam,
        .mask_padding = r.mask_padding,
        .hires_upscaler = hires_name(HIRES_LATENT),
        .hires_strength = HIRES_STRENGTH,
    };
}

/* ---- callbacks ---- */

static int on_progress(const struct imagine_progress *p, void *ctx)
{
    static const enum lar_phase phases[] = {[IMAGINE_ENCODE] = LAR_ENCODING,
                                            [IMAGINE_STEP] = LAR_STEPPING,
                                            [IMAGINE_DECODE] = LAR_DECODING};
    const struct drawing *x = ctx;
    struct lar_progress out = {phases[p->phase], p->step, p->n_steps, p->picture, p->n_pictures};
    return x->d->on_progress(&out, x->d->ctx) ? ERR_CANCELLED : 0;
}

static int on_preview(const struct picture *p, int step, void *ctx)
{
    const struct drawing *x = ctx;
    struct lar_picture out = api_lar_picture(p);
    return x->d->on_preview(&out, step, x->d->ctx) ? ERR_CANCELLED : 0;
}

static int on_picture(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    const struct drawing *x = ctx;
    struct recipe recipe;
    imagine_recipe(&x->r, i, &recipe);
    recipe_set(&recipe.model, x->m->name);
    char *json = recipe_to_json(&recipe);
    struct lar_drawn drawn = {api_lar_picture(p), i, seed, json};
    int rc = x->d->on_picture(&drawn, x->d->ctx) ? ERR_CANCELLED : 0;
    free(json);
    recipe_release(&recipe);
    return rc;
}

/* ---- the request ---- */

static int open_file(struct drawing *x, const char *path, const char *what,
                     const struct checkpoint **out, struct err *e)
{
    if (!path)
        return err_set(e, ERR_ARG, "%s: there is no path", what);
    for (int i = 0; i < x->n_files; i++) /* pictures of one adapter are looked at together */
        if (strcmp(checkpoint_path(x->files[i]), path) == 0) {
            *out = x->files[i];
            return 0;
        }
    int rc = checkpoint_open(&x->files[x->n_files], path, e);
    if (!rc)
        *out = x->files[x->n_files++];
    return rc;
}

static int choose_names(const struct lar_draw *d, struct imagine_request *r, struct err *e)
{
    enum schedule_kind by_sampler = N_SCHEDULE; /* "DPM++ 2M Karras" says both */
    int rc = d->sampler ? sampler_parse(d->sampler, &r->sampler, &by_sampler, e) : 0;
    if (!rc && d->schedule)
        rc = schedule_parse(d->schedule, &r->schedule, e);
    if (by_sampler != N_SCHEDULE)
        r->schedule = by_sampler;
    if (!rc && d->noise)
        rc = noise_kind_parse(d->noise, &r->noise, e);
    if (!rc && d->precision) {
        bool bf16 = strcmp(d->precision, "bf16") == 0;
        r->precision = bf16 ? DTYPE_BF16 : DTYPE_F32;
        if (!bf16 && strcmp(d->precision, "f32") != 0)
            rc = err_set(e, ERR_ARG, "precision %s: choose f32 or bf16", d->precision);
    }
    if (!rc && d->tileable && wrap_parse(d->tileable, &r->wrap))
        rc = err_set(e, ERR_ARG, "tileable %s: choose x, y or both", d->tileable);
    return rc;
}

static int add_controls(struct drawing *x, struct err *e)
{
    const struct lar_draw *d = x->d;
    int rc = 0;
    if (d->n_controls < 0 || d->n_controls > CONTROL_MAX)
        return err_set(e, ERR_ARG, "%d ControlNets: at most %d work together", d->n_controls,
                       CONTROL_MAX);
    for (int i = 0; i < d->n_controls && !rc; i++) {
        const struct lar_control *c = &d->controls[i];
        struct imagine_control *out = &x->controls[i];
        if (!c->picture)
            return err_set(e, ERR_ARG, "ControlNet %d has no picture", i);
        x->control_pictures[i] = api_picture(c->picture);
        *out = (struct imagine_control)CONTROL_DEFAULTS;
        out->picture = &x->control_pictures[i];
        out->weight = c->weight;
        out->start = c->start;
        out->end = c->end > 0 ? c->end : 1;
        out->canny = c->canny != 0;
        rc = open_file(x, c->net, "a ControlNet", &out->file, e);
    }
    x->r.controls = x->controls;
    x->r.n_controls = d->n_controls;
    return rc;
}

static int add_references(struct drawing *x, struct err *e)
{
    const struct lar_draw *d = x->d;
    int rc = 0;
    if (d->n_references < 0 || d->n_references > REFERENCE_MAX)
        return err_set(e, ERR_ARG, "%d references: at most %d work together", d->n_references,
                       REFERENCE_MAX);
    for (int i = 0; i < d->n_references && !rc; i++) {
        const struct lar_reference *c = &d->references[i];
        struct imagine_reference *out = &x->references[i];
        if (!c->picture)
            return err_set(e, ERR_ARG, "reference %d has no picture", i);
        x->reference_pictures[i] = api_picture(c->picture);
        out->picture = &x->reference_pictures[i];
        out->weight = c->weight;
        rc = open_file(x, c->adapter, "an IP-Adapter", &out->adapter, e);
        if (!rc)
            rc = open_file(x, c->encoder, "an IP-Adapter's image encoder", &out->encoder, e);
    }
    x->r.references = x->references;
    x->r.n_references = d->n_references;
    return rc;
}

static int add_hires(struct drawing *x, struct err *e)
{
    const struct lar_draw *d = x->d;
    struct imagine_hires *h = &x->r.hires;
    const struct checkpoint *file = NULL;
    if (d->hires_scale <= 0)
        return 0;
    *h = (struct imagine_hires){.scale = d->hires_scale,
                                .kind = d->hires_upscaler ? hires_parse(d->hires_upscaler)
                                                          : HIRES_LATENT,
                                .strength = d->hires_strength,
                                .steps = d->hires_steps};
    if (h->kind != N_HIRES)
        return 0;
    h->kind = HIRES_NETWORK;
    h->network = &x->network;
    int rc = open_file(x, d->hires_upscaler, "an upscaler", &file, e);
    return rc ? rc : esrgan_open(&x->network, file, e);
}

static int add_loras(struct drawing *x, struct err *e)
{
    const struct lar_draw *d = x->d;
    if (d->n_loras < 0)
        return err_set(e, ERR_ARG, "%d LoRAs", d->n_loras);
    x->loras = mem_alloc(((size_t)d->n_loras + 1) * sizeof(*x->loras));
    for (int i = 0; i < d->n_loras; i++) {
        if (!d->loras[i].path)
            return err_set(e, ERR_ARG, "a LoRA: there is no path");
        x->loras[i] = (struct imagine_lora){d->loras[i].path, d->loras[i].weight,
                                            d->loras[i].weight};
    }
    x->r.loras = x->loras;
    x->r.n_loras = d->n_loras;
    return 0;
}

static void add_pictures(struct drawing *x)
{
    const struct lar_draw *d = x->d;
    struct imagine_request *r = &x->r;
    if (d->image) {
        x->image = api_picture(d->image);
        r->image = &x->image;
    }
    if (d->mask) {
        x->mask = api_picture(d->mask);
        r->mask = &x->mask;
    }
    r->strength = d->strength;
    r->mask_seam = d->mask_seam;
    r->mask_area = d->mask_area != 0;
    r->mask_padding = d->mask_padding;
}

static int make_request(struct drawing *x, struct err *e)
{
    const struct lar_draw *d = x->d;
    struct imagine_request *r = &x->r;
    imagine_init(r, x->m->model, x->m->lar->backend);
    r->prompt = d->prompt ? d->prompt : "";
    r->negative = d->negative;
    r->width = d->width;
    r->height = d->height;
    r->steps = d->steps;
    r->guidance = d->guidance;
    r->guidance_rescale = d->guidance_rescale;
    r->seed = d->seed;
    r->n_pictures = d->n_pictures;
    r->variation = d->variation;
    r->variation_strength = d->variation_strength;
    r->clip_skip = d->clip_skip;
    r->embeddings = d->embeddings;
    r->n_embeddings = d->n_embeddings;
    r->cancel = &x->m->lar->cancel;
    r->on_progress = d->on_progress ? on_progress : NULL;
    r->on_preview = d->on_preview ? on_preview : NULL;
    r->on_picture = d->on_picture ? on_picture : NULL;
    r->ctx = x;
    add_pictures(x);
    int rc = choose_names(d, r, e);
    if (!rc)
        rc = add_loras(x, e);
    if (!rc)
        rc = add_controls(x, e);
    if (!rc)
        rc = add_hires(x, e);
    return rc ? rc : add_references(x, e);
}

int lar_draw(struct lar_image_model *m, const struct lar_draw *d, struct lar_error *e)
{
    struct err own = {0};
    struct drawing x = {.d = d, .m = m};
    atomic_store(&m->lar->cancel, false);
    int rc = make_request(&x, &own);
    if (!rc)
        rc = imagine(m->model, m->lar->backend, &x.r, &own);
    esrgan_close(&x.network);
    for (int i = 0; i < x.n_files; i++)
        checkpoint_close(x.files[i]);
    free(x.loras);
    return api_report(rc, &own, e);
}
