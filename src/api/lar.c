/* lar.c - see lar.h: the processor, pictures and models. */
#include "lar.h"

#include "api/handles.h"
#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "models/esrgan.h"
#include "pipeline/image_model.h"
#include "pipeline/recipe.h"
#include "pipeline/upscale.h"

#include <stdlib.h>
#include <string.h>

#define SAME(name) _Static_assert((int)LAR_ERR_##name == (int)ERR_##name, "lar.h and err.def")
SAME(ARG);
SAME(NOT_FOUND);
SAME(FORMAT);
SAME(UNSUPPORTED);
SAME(NOMEM);
SAME(IO);
SAME(CANCELLED);
SAME(NUMERIC);
SAME(INTERNAL);
_Static_assert(sizeof(((struct lar_error *)0)->text) == sizeof(((struct err *)0)->text), "text");

int api_report(int rc, const struct err *own, struct lar_error *e)
{
    if (rc && e && !e->code) {
        e->code = rc;
        memcpy(e->text, own->text, sizeof(e->text));
    }
    return rc;
}

struct picture api_picture(const struct lar_picture *p)
{
    return (struct picture){p->width, p->height, p->channels, p->data};
}

struct lar_picture api_lar_picture(const struct picture *p)
{
    return (struct lar_picture){p->width, p->height, p->channels, p->data};
}

const char *lar_version(void)
{
    return LAR_VERSION;
}

/* ---- the processor ---- */

int lar_open(struct lar **lar, int n_threads, struct lar_error *e)
{
    struct err own = {0};
    struct backend *b = NULL;
    *lar = NULL;
    int rc = n_threads < 0
                 ? err_set(&own, ERR_ARG, "%d threads: give 0 for one per core", n_threads)
                 : cpu_backend_new(&b, n_threads, NULL, &own);
    if (rc)
        return api_report(rc, &own, e);
    *lar = mem_alloc(sizeof(**lar));
    (*lar)->backend = b;
    return 0;
}

void lar_close(struct lar *lar)
{
    if (!lar)
        return;
    backend_free(lar->backend);
    free(lar);
}

const char *lar_backend(const struct lar *lar)
{
    return lar->backend->name;
}

void lar_cancel(struct lar *lar)
{
    atomic_store(&lar->cancel, true);
}

/* ---- pictures ---- */

int lar_picture_read(const char *path, struct lar_picture *p, struct lar_error *e)
{
    struct err own = {0};
    struct picture x = {0};
    int rc = picture_read(path, &x, NULL, &own);
    *p = api_lar_picture(&x);
    return api_report(rc, &own, e);
}

void lar_picture_release(struct lar_picture *p)
{
    struct picture x = api_picture(p);
    picture_release(&x);
    *p = (struct lar_picture){0};
}

int lar_picture_write(const char *path, const struct lar_picture *p, const char *recipe,
                      struct lar_error *e)
{
    struct err own = {0};
    struct recipe r;
    struct picture_text text = {0};
    struct picture x = api_picture(p);
    int rc = 0;
    if (recipe) {
        rc = recipe_from_json(&r, recipe, &own);
        if (!rc) {
            recipe_to_text(&r, &text);
            recipe_release(&r);
        }
    }
    if (!rc)
        rc = picture_write(path, &x, &text, 0, &own);
    picture_text_release(&text);
    return api_report(rc, &own, e);
}

int lar_upscale(struct lar *lar, const char *model, const struct lar_picture *in,
                struct lar_picture *out, struct lar_error *e)
{
    struct err own = {0};
    struct checkpoint *file;
    struct esrgan net = {0};
    struct picture source = api_picture(in), large = {0};
    struct upscale_request r = {.picture = &source,
                                .precision = lar->backend->bf16 ? DTYPE_BF16 : DTYPE_F32,
                                .cancel = &lar->cancel};
    int rc = checkpoint_open(&file, model, &own);
    atomic_store(&lar->cancel, false);
    if (!rc)
        rc = esrgan_open(&net, file, &own);
    if (!rc)
        rc = upscale(&net, lar->backend, &r, &large, &own);
    esrgan_close(&net);
    checkpoint_close(file);
    *out = api_lar_picture(&large);
    return api_report(rc, &own, e);
}

/* ---- models ---- */

int lar_image_model_open(struct lar_image_model **m, struct lar *lar, const char *path,
                         struct lar_error *e)
{
    struct err own = {0};
    struct image_model *model;
    *m = NULL;
    int rc = image_model_open(&model, path, &own);
    if (rc)
        return api_report(rc, &own, e);
    *m = mem_alloc(sizeof(**m));
    (*m)->lar = lar;
    (*m)->model = model;
    (*m)->name = image_model_name(model);
    return 0;
}

void lar_image_model_close(struct lar_image_model *m)
{
    if (!m)
        return;
    image_model_close(m->model);
    free(m->name);
    free(m);
}
