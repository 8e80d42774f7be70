/* lora.c - see lora.h. */
#include "models/lora.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "format/checkpoint.h"
#include "format/lora_file.h"
#include "format/lora_names.h"
#include "models/lora_dense.h"
#include "models/lora_place.h"
#include "nn/adapter.h"
#include "tensor/quant.h"

#include <stdbool.h>
#include <string.h>

/* One file over one checkpoint. */
struct job {
    struct adapters *out;
    const struct checkpoint *c;
    const struct lora_file *f;
    struct lora_strength strength;
    struct lora_names names;
    struct err *e;
};

static int add_product(const struct job *j, const struct lora_place *p)
{
    const struct file_tensor *const *t = p->m->part;
    struct adapter_part part = {0};
    double scale = 1;
    if (!t[LORA_DOWN] || !t[LORA_UP])
        return lora_place_lacks(p, t[LORA_DOWN] ? "lora_up" : "lora_down");
    int64_t rank = lora_place_dim(t[LORA_DOWN], 0), inner = lora_place_dim(t[LORA_UP], 1);
    bool mid = t[LORA_MID];
    int64_t kh = mid ? 1 : p->kh, kw = mid ? 1 : p->kw;
    int rc = lora_place_take(p, t[LORA_DOWN], (int64_t[]){rank, p->n_in, kh, kw}, &part.down);
    if (!rc && mid)
        rc = lora_place_take(p, t[LORA_MID], (int64_t[]){inner, rank, p->kh, p->kw}, &part.mid);
    if (!rc)
        rc = lora_place_take(p, t[LORA_UP], (int64_t[]){p->n_out, mid ? inner : rank, 1, 1},
                             &part.up);
    if (!rc)
        rc = lora_place_scale(p, rank, &scale);
    part.scale = (float)(p->strength * scale);
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

static int add_hadamard(const struct job *j, const struct lora_place *p)
{
    const struct file_tensor *const *t = p->m->part;
    struct tensor a[2], b[2];
    int64_t n = p->n_in * p->kh * p->kw;
    for (int i = 0; i < 2; i++) {
        const struct file_tensor *ta = t[i ? LORA_HADA_W2_A : LORA_HADA_W1_A];
        const struct file_tensor *tb = t[i ? LORA_HADA_W2_B : LORA_HADA_W1_B];
        if (!ta || !tb)
            return lora_place_lacks(p, "second factor");
        int64_t r = lora_place_dim(tb, 0);
        int rc = lora_place_take(p, ta, (int64_t[]){p->n_out, r, 1, 1}, &a[i]);
        if (!rc)
            rc = lora_place_take(p, tb, (int64_t[]){r, n, 1, 1}, &b[i]);
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
    double scale = 1;
    int rc = lora_place_scale(p, b[0].dim[0], &scale);
    part.scale = (float)(p->strength * scale);
    if (!rc)
        rc = khatri_rao(j, a, b, &part);
    if (!rc)
        adapters_add(j->out, p->w->name, &part);
    return rc;
}

/* ---- modules ---- */

static int add_module(const struct job *j, const struct lora_module *m, const struct ckpt_tensor *w)
{
    bool window = w->n_dim == 4;
    struct lora_place p = {.c = j->c,
                           .f = j->f,
                           .m = m,
                           .w = w,
                           .n_out = w->dim[0],
                           .n_in = w->dim[1],
                           .kh = window ? w->dim[2] : 1,
                           .kw = window ? w->dim[3] : 1,
                           .e = j->e};
    p.strength = strncmp(w->name, "unet.", 5) == 0 ? j->strength.unet : j->strength.text;
    if (p.strength == 0) /* NOLINT: exactly none */
        return 0;
    if (m->part[LORA_DIFF_B])
        return err_set(j->e, ERR_UNSUPPORTED, "%s: tensor %s: changes of biases are not supported",
                       lora_file_path(j->f), m->part[LORA_DIFF_B]->name);
    if (lora_is_dense(&p))
        return lora_add_dense(j->out, &p);
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
        lora_place_families(&b, j->c, j->f);
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
