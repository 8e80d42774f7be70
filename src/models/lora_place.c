/* lora_place.c - see lora_place.h. */
#include "models/lora_place.h"

#include "base/buf.h"
#include "base/err.h"
#include "format/checkpoint.h"
#include "models/lora.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- families ---- */

static const char *family_of_width(int64_t n_context)
{
    return n_context == 768    ? "SD 1.x"
           : n_context == 1024 ? "SD 2.x"
           : n_context == 2048 ? "SDXL"
                               : NULL;
}

static const char *family_of_model(const struct checkpoint *c)
{
    for (size_t i = 0; i < checkpoint_n(c); i++) {
        const struct ckpt_tensor *t = checkpoint_at(c, i);
        if (strncmp(t->name, "unet.", 5) == 0 && strstr(t->name, "attn2.to_k.weight") &&
            t->n_dim == 2)
            return family_of_width(t->dim[1]);
    }
    return NULL;
}

/* Words in module names that only other kinds of models have. */
static const struct {
    const char *word, *family;
} strangers[] = {{"double_blocks", "FLUX"},
                 {"single_transformer_blocks", "FLUX"},
                 {"joint_blocks", "SD 3"},
                 {"cross_attn", "a video model"}};

const char *lora_family(const struct lora_file *f)
{
    const char *family = NULL;
    for (size_t i = 0; i < f->n_modules && !family; i++) {
        const struct lora_module *m = &f->modules[i];
        const struct file_tensor *in = m->part[LORA_DOWN] ? m->part[LORA_DOWN]
                                                          : m->part[LORA_HADA_W1_B];
        if (in && in->n_dim >= 2 &&
            (strstr(m->name, "attn2_to_k") || strcmp(m->name, "unet:6") == 0))
            family = family_of_width(in->dim[1]);
        for (size_t k = 0; k < COUNT(strangers) && !family; k++)
            if (strstr(m->name, strangers[k].word))
                family = strangers[k].family;
    }
    const char *said = lora_file_meta(f, "ss_base_model_version");
    if (!family && said)
        family = strncmp(said, "sdxl", 4) == 0    ? "SDXL"
                 : strncmp(said, "sd_v1", 5) == 0 ? "SD 1.x"
                 : strncmp(said, "sd_v2", 5) == 0 ? "SD 2.x"
                                                  : NULL;
    return family;
}

void lora_place_families(struct buf *b, const struct checkpoint *c, const struct lora_file *f)
{
    const char *file = lora_family(f), *model = family_of_model(c);
    if (file && model && strcmp(file, model) == 0)
        buf_printf(b, "; it was made for another kind of %s", model);
    else
        buf_printf(b, "; it was made for %s", file ? file : "another kind of model");
    if (file && model && strcmp(file, model) != 0)
        buf_printf(b, ", and %s is %s", checkpoint_path(c), model);
}

/* ---- parts ---- */

int64_t lora_place_dim(const struct file_tensor *t, int i)
{
    return i < t->n_dim ? t->dim[i] : 1;
}

/* Is the shape [d0, d1, d2, d3] up to trailing ones, without a dimension of 0? */
static bool has_shape(const struct file_tensor *t, const int64_t d[4])
{
    for (int i = 0; i < t->n_dim || i < 4; i++)
        if (lora_place_dim(t, i) != (i < 4 ? d[i] : 1) || lora_place_dim(t, i) < 1)
            return false;
    return true;
}

static int misshapen(const struct lora_place *p, const struct file_tensor *t)
{
    struct tensor have = {.n_dim = t->n_dim < 4 ? t->n_dim : 4}, want = {.n_dim = p->w->n_dim};
    char a[TENSOR_SHAPE_TEXT], b[TENSOR_SHAPE_TEXT];
    struct buf families;
    memcpy(have.dim, t->dim, (size_t)have.n_dim * sizeof(*t->dim));
    memcpy(want.dim, p->w->dim, sizeof(want.dim));
    buf_init(&families, 512);
    lora_place_families(&families, p->c, p->f);
    err_set(p->e, ERR_FORMAT, "%s: tensor %s has shape %s, which does not fit %s, %s%s",
            lora_file_path(p->f), t->name, tensor_shape_text(&have, a), p->w->name,
            tensor_shape_text(&want, b), buf_str(&families));
    buf_release(&families);
    return p->e->code;
}

int lora_place_take(const struct lora_place *p, const struct file_tensor *t, const int64_t d[4],
                    struct tensor *out)
{
    if (t->type != DTYPE_F32 && t->type != DTYPE_F16 && t->type != DTYPE_BF16)
        return err_set(p->e, ERR_UNSUPPORTED,
                       "%s: tensor %s has type %s; F32, F16 and BF16 can be used",
                       lora_file_path(p->f), t->name, t->type_name);
    if (!has_shape(t, d))
        return misshapen(p, t);
    *out = (struct tensor){.type = t->type,
                           .n_dim = d[2] * d[3] == 1 ? 2 : 4,
                           .data = (void *)(uintptr_t)t->data,
                           .name = t->name};
    memcpy(out->dim, d, sizeof(out->dim));
    return 0;
}

int lora_place_lacks(const struct lora_place *p, const char *part)
{
    return err_set(p->e, ERR_FORMAT, "%s: %s has no %s; the file is damaged, download it again",
                   lora_file_path(p->f), p->m->name, part);
}

int lora_place_scale(const struct lora_place *p, int64_t rank, double *scale)
{
    const struct file_tensor *t = p->m->part[LORA_ALPHA];
    double alpha = lora_file_alpha(p->f, p->m, rank);
    if (t && !lora_file_scalar(t, &alpha))
        return err_set(p->e, ERR_FORMAT, "%s: tensor %s is not a finite number",
                       lora_file_path(p->f), t->name);
    *scale = alpha / (double)rank;
    return 0;
}
