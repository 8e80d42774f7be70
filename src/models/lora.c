/* lora.c - see lora.h. */
#include "models/lora.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "format/checkpoint.h"
#include "format/lora_file.h"
#include "format/lora_names.h"
#include "nn/adapter.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* One file over one checkpoint. */
struct job {
    struct adapters *out;
    const struct checkpoint *c;
    const struct lora_file *f;
    struct lora_strength strength;
    struct lora_names names;
    struct err *e;
};

/* One module of the file and the weight it belongs to. */
struct place {
    const struct lora_module *m;
    const struct ckpt_tensor *w;
    int64_t n_out, n_in, kh, kw; /* of the weight */
    double strength;
};

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

/* "; it was made for SDXL, and this model is SD 1.x" as far as that is known. */
static void append_families(struct buf *b, const struct job *j)
{
    const char *file = lora_family(j->f), *model = family_of_model(j->c);
    if (file && model && strcmp(file, model) != 0)
        buf_printf(b, "; it was made for %s, and %s is %s", file, checkpoint_path(j->c), model);
    else
        buf_printf(b, "; it was made for %s", file ? "another variant of it" : "another model");
}

/* ---- parts ---- */

static int64_t dim_of(const struct file_tensor *t, int i)
{
    return i < t->n_dim ? t->dim[i] : 1;
}

/* Is the shape [d0, d1, d2, d3] up to trailing ones, without a dimension of 0? */
static bool has_shape(const struct file_tensor *t, const int64_t d[4])
{
    for (int i = 0; i < t->n_dim || i < 4; i++)
        if (dim_of(t, i) != (i < 4 ? d[i] : 1) || dim_of(t, i) < 1)
            return false;
    return true;
}

static int misshapen(const struct job *j, const struct place *p, const struct file_tensor *t)
{
    struct tensor have = {.n_dim = t->n_dim < 4 ? t->n_dim : 4}, want = {.n_dim = p->w->n_dim};
    char a[TENSOR_SHAPE_TEXT], b[TENSOR_SHAPE_TEXT];
    struct buf families;
    memcpy(have.dim, t->dim, (size_t)have.n_dim * sizeof(*t->dim));
    memcpy(want.dim, p->w->dim, sizeof(want.dim));
    buf_init(&families, 512);
    append_families(&families, j);
    err_set(j->e, ERR_FORMAT, "%s: tensor %s has shape %s, which does not fit %s, %s%s",
            lora_file_path(j->f), t->name, tensor_shape_text(&have, a), p->w->name,
            tensor_shape_text(&want, b), buf_str(&families));
    buf_release(&families);
    return j->e->code;
}

/* A part as an operand: its shape must be d, its type one of floats. 1x1 windows are dropped. */
static int take(const struct job *j, const struct place *p, const struct file_tensor *t,
                const int64_t d[4], struct tensor *out)
{
    if (t->type != DTYPE_F32 && t->type != DTYPE_F16 && t->type != DTYPE_BF16)
        return err_set(j->e, ERR_UNSUPPORTED,
                       "%s: tensor %s has type %s; F32, F16 and BF16 can be used",
                       lora_file_path(j->f), t->name, t->type_name);
    if (!has_shape(t, d))
        return misshapen(j, p, t);
    *out = (struct tensor){.type = t->type,
                           .n_dim = d[2] * d[3] == 1 ? 2 : 4,
                           .data = (void *)(uintptr_t)t->data,
                           .name = t->name};
    memcpy(out->dim, d, sizeof(out->dim));
    return 0;
}

static int incomplete(const struct job *j, const struct place *p, const char *lacks)
{
    return err_set(j->e, ERR_FORMAT, "%s: %s has no %s; the file is damaged, download it again",
                   lora_file_path(j->f), p->m->name, lacks);
}

/* strength * alpha / rank */
static int scale_of(const struct job *j, const struct place *p, int64_t rank, float *scale)
{
    const struct file_tensor *t = p->m->part[LORA_ALPHA];
    double alpha = lora_file_alpha(j->f, p->m, rank);
    if (t && !lora_file_scalar(t, &alpha))
        return err_set(j->e, ERR_FORMAT, "%s: tensor %s is not a finite number",
                       lora_file_path(j->f), t->name);
    *scale = (float)(p->strength * alpha / (double)rank);
    return 0;
}

static int add_product(const struct job *j, const struct place *p)
{
    const struct file_tensor *const *t = p->m->part;
    struct adapter_part part = {0};
    if (!t[LORA_DOWN] || !t[LORA_UP])
        return incomplete(j, p, t[LORA_DOWN] ? "lora_up" : "lora_down");
    int64_t rank = dim_of(t[LORA_DOWN], 0), inner = dim_of(t[LORA_UP], 1);
    bool mid = t[LORA_MID];
    int64_t kh = mid ? 1 : p->kh, kw = mid ? 1 : p->kw;
    int rc = take(j, p, t[LORA_DOWN], (int64_t[]){rank, p->n_in, kh, kw}, &part.down);
    if (!rc && mid)
        rc = take(j, p, t[LORA_MID], (int64_t[]){inner, rank, p->kh, p->kw}, &part.mid);
    if (!rc)
        rc = take(j, p, t[LORA_UP], (int64_t[]){p->n_out, mid ? inner : rank, 1, 1}, &part.up);
    if (!rc)
        rc = scale_of(j, p, rank, &part.scale);
    if (!rc)
        adapters_add(j->out, p->w->name, &part);
    return rc;
}

/* ---- Hadamard products ---- */

/* Floats of a part of a LoHa, [rows, cols]. */
static float *floats(const struct job *j, const struct tensor *t, size_t n)
{
    float *out = arena_try_array(&j->out->arena, n, sizeof(*out), "a LoHa", j->e);
    if (out)
        quant_to_f32(t->type, t->data, out, (int64_t)n);
    return out;
}

/* down[(i, k)] = b1[i] o b2[k], up[.., (i, k)] = a1[.., i] a2[.., k]. a: [n_out, r], b: [r, n]. */
static int khatri_rao(const struct job *j, const struct tensor a[2], const struct tensor b[2],
                      struct adapter_part *part)
{
    size_t r0 = (size_t)b[0].dim[0], r1 = (size_t)b[1].dim[0], n_out = (size_t)a[0].dim[0];
    size_t n = (size_t)(b[0].dim[1]);
    const float *a0 = floats(j, &a[0], n_out * r0), *a1 = floats(j, &a[1], n_out * r1);
    const float *b0 = floats(j, &b[0], r0 * n), *b1 = floats(j, &b[1], r1 * n);
    float *down = arena_try_array(&j->out->arena, r0 * r1, n * sizeof(*down), "a LoHa", j->e);
    float *up = arena_try_array(&j->out->arena, r0 * r1, n_out * sizeof(*up), "a LoHa", j->e);
    if (!a0 || !a1 || !b0 || !b1 || !down || !up)
        return ERR_NOMEM;
    for (size_t i = 0; i < r0; i++)
        for (size_t k = 0; k < r1; k++) {
            for (size_t x = 0; x < n; x++)
                down[(i * r1 + k) * n + x] = b0[i * n + x] * b1[k * n + x];
            for (size_t y = 0; y < n_out; y++)
                up[y * r0 * r1 + i * r1 + k] = a0[y * r0 + i] * a1[y * r1 + k];
        }
    part->down.data = down;
    part->up.data = up;
    return 0;
}

static int add_hadamard(const struct job *j, const struct place *p)
{
    const struct file_tensor *const *t = p->m->part;
    struct tensor a[2], b[2];
    int64_t n = p->n_in * p->kh * p->kw;
    for (int i = 0; i < 2; i++) {
        const struct file_tensor *ta = t[i ? LORA_HADA_W2_A : LORA_HADA_W1_A];
        const struct file_tensor *tb = t[i ? LORA_HADA_W2_B : LORA_HADA_W1_B];
        if (!ta || !tb)
            return incomplete(j, p, "second factor");
        int64_t r = dim_of(tb, 0);
        int rc = take(j, p, ta, (int64_t[]){p->n_out, r, 1, 1}, &a[i]);
        if (!rc)
            rc = take(j, p, tb, (int64_t[]){r, n, 1, 1}, &b[i]);
        if (rc)
            return rc;
    }
    int64_t rank = b[0].dim[0] * b[1].dim[0];
    bool window = p->kh * p->kw > 1;
    struct adapter_part part = {
        .down = {.type = DTYPE_F32,
                 .n_dim = window ? 4 : 2,
                 .dim = {rank, p->n_in, p->kh, p->kw},
                 .name = p->m->name},
        .up = {.type = DTYPE_F32, .n_dim = 2, .dim = {p->n_out, rank, 1, 1}, .name = p->m->name},
    };
    int rc = scale_of(j, p, b[0].dim[0], &part.scale);
    if (!rc)
        rc = khatri_rao(j, a, b, &part);
    if (!rc)
        adapters_add(j->out, p->w->name, &part);
    return rc;
}

/* ---- modules ---- */

/* Parts that are additions of a kind that cannot be computed. */
static const struct {
    enum lora_part part;
    const char *kind;
} unsupported[] = {{LORA_MAGNITUDE, "DoRA"}, {LORA_HADA_T1, "a LoHa with a Tucker core"},
                   {LORA_KRON_W1, "LoKr"},   {LORA_KRON_W1_A, "LoKr"},
                   {LORA_KRON_W2, "LoKr"},   {LORA_DIFF, "a full difference"},
                   {LORA_DIFF_B, "a bias"}};

static int add_module(const struct job *j, const struct lora_module *m, const struct ckpt_tensor *w)
{
    struct place p = {m, w, w->dim[0], w->dim[1], 1, 1, 0};
    if (w->n_dim == 4) {
        p.kh = w->dim[2];
        p.kw = w->dim[3];
    }
    p.strength = strncmp(w->name, "unet.", 5) == 0 ? j->strength.unet : j->strength.text;
    if (p.strength == 0) /* NOLINT: exactly none */
        return 0;
    for (size_t i = 0; i < COUNT(unsupported); i++)
        if (m->part[unsupported[i].part])
            return err_set(j->e, ERR_UNSUPPORTED, "%s: tensor %s: %s is not supported",
                           lora_file_path(j->f), m->part[unsupported[i].part]->name,
                           unsupported[i].kind);
    if (m->part[LORA_HADA_W1_A] || m->part[LORA_HADA_W2_A])
        return add_hadamard(j, &p);
    return add_product(j, &p);
}

/* The names of the first few modules without a place. */
static void append_homeless(struct buf *b, const struct job *j)
{
    int n = 0;
    for (size_t i = 0; i < j->f->n_modules && n < 3; i++)
        if (!lora_names_find(&j->names, j->f->modules[i].name))
            buf_printf(b, "%s%s", n++ ? ", " : "", j->f->modules[i].name);
}

/* Most of a file for another kind of model finds no place; a few modules may be of parts that this
 * program has no use for. */
static int check_homeless(const struct job *j, size_t n)
{
    struct buf b;
    int rc = 0;
    if (n == 0)
        return 0;
    buf_init(&b, 4096);
    append_homeless(&b, j);
    if (2 * n <= j->f->n_modules) {
        log_line(LOG_WARN,
                 "%s: %zu of its %zu modules are left out, the model has none of that "
                 "name: %s",
                 lora_file_path(j->f), n, j->f->n_modules, buf_str(&b));
    } else {
        append_families(&b, j);
        rc = err_set(j->e, ERR_FORMAT, "%s: the model has no place for %zu of its %zu modules: %s",
                     lora_file_path(j->f), n, j->f->n_modules, buf_str(&b));
    }
    buf_release(&b);
    return rc;
}

int lora_apply(struct adapters *a, const struct checkpoint *c, const struct lora_file *f,
               struct lora_strength strength, struct err *e)
{
    struct err own = {0};
    struct job j = {.out = a, .c = c, .f = f, .strength = strength, .e = e ? e : &own};
    size_t n_homeless = 0;
    lora_names_init(&j.names, c);
    for (size_t i = 0; i < f->n_modules; i++)
        n_homeless += !lora_names_find(&j.names, f->modules[i].name);
    int rc = check_homeless(&j, n_homeless);
    for (size_t i = 0; !rc && i < f->n_modules; i++) {
        const struct ckpt_tensor *w = lora_names_find(&j.names, f->modules[i].name);
        if (w)
            rc = add_module(&j, &f->modules[i], w);
    }
    lora_names_release(&j.names);
    return rc;
}
