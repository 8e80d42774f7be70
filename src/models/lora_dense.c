/* lora_dense.c - see lora_dense.h. Source of the forms: LyCORIS, modules/{loha,lokr,full}.py and
 * functional/general.py; peft, tuners/lora/dora.py.
 */
#include "models/lora_dense.h"

#include "base/arena.h"
#include "base/err.h"
#include "format/checkpoint.h"
#include "nn/adapter.h"
#include "tensor/quant.h"

#include <math.h>
#include <string.h>

/* a [rows, r] times b [r, cols] */
struct product {
    float *a, *b;
    int64_t rows, r, cols;
};

enum kind { PRODUCT, HADAMARD, KRONECKER, WHOLE };

/* A difference, from which rows are computed as they are needed. */
struct delta {
    const struct lora_place *p;
    struct arena arena;
    enum kind kind;
    int64_t n_out, n; /* n = n_in kh kw */
    int64_t window;   /* kh kw */
    struct product x[2];
    float *k[2]; /* Kronecker factors: [rows[0], cols[0]], [rows[1], cols[1], window] */
    int64_t rows[2], cols[2];
    struct tensor whole;
    float *row, *other;     /* [n] */
    const float *magnitude; /* DoRA: [n_out] or [n_in]; or NULL */
    bool of_rows;
    float *length; /* of the changed weight's rows or columns */
    double scale;
};

static float *floats(struct delta *d, int64_t n)
{
    return arena_try_array(&d->arena, (size_t)n, sizeof(float), "a LoRA's weights", d->p->e);
}

/* A part of this shape as floats; NULL after an error. */
static float *part(struct delta *d, enum lora_part which, const int64_t dim[4])
{
    struct tensor t;
    int64_t n = dim[0] * dim[1] * dim[2] * dim[3];
    if (lora_place_take(d->p, d->p->m->part[which], dim, &t))
        return NULL;
    float *x = floats(d, n);
    if (x)
        quant_to_f32(t.type, t.data, x, n);
    return x;
}

static int64_t dim_of(const struct delta *d, enum lora_part which, int i)
{
    const struct file_tensor *t = d->p->m->part[which];
    return t ? lora_place_dim(t, i) : 0;
}

/* A product with a core: wa [r1, rows], wb [r2, cols], t [r1, r2, window] -> wa^T [rows, r1] and
 * [r1, cols window]. */
static int with_core(struct delta *d, struct product *x, enum lora_part a, enum lora_part b,
                     enum lora_part core)
{
    int64_t r1 = dim_of(d, a, 0), r2 = dim_of(d, b, 0), cols = x->cols / d->window;
    float *wa = part(d, a, (int64_t[]){r1, x->rows, 1, 1});
    const float *wb = wa ? part(d, b, (int64_t[]){r2, cols, 1, 1}) : NULL;
    const float *t = wb ? part(d, core, (int64_t[]){r1, r2, d->p->kh, d->p->kw}) : NULL;
    x->a = t ? floats(d, x->rows * r1) : NULL;
    x->b = x->a ? floats(d, r1 * x->cols) : NULL;
    if (!x->b)
        return d->p->e->code;
    x->r = r1;
    for (int64_t i = 0; i < r1; i++) {
        for (int64_t o = 0; o < x->rows; o++)
            x->a[o * r1 + i] = wa[i * x->rows + o];
        for (int64_t j = 0; j < r2; j++)
            for (int64_t c = 0; c < cols; c++)
                for (int64_t w = 0; w < d->window; w++)
                    x->b[i * x->cols + c * d->window + w] += t[(i * r2 + j) * d->window + w] *
                                                             wb[j * cols + c];
    }
    return 0;
}

/* x->rows and x->cols are set. */
static int plain(struct delta *d, struct product *x, enum lora_part a, enum lora_part b)
{
    x->r = dim_of(d, b, 0);
    x->a = part(d, a, (int64_t[]){x->rows, x->r, 1, 1});
    x->b = x->a ? part(d, b, (int64_t[]){x->r, x->cols, 1, 1}) : NULL;
    return x->b ? 0 : d->p->e->code;
}

static bool has(const struct delta *d, enum lora_part which)
{
    return d->p->m->part[which];
}

static int read_product(struct delta *d)
{
    struct product *x = &d->x[0];
    const struct lora_place *p = d->p;
    if (!has(d, LORA_DOWN) || !has(d, LORA_UP))
        return lora_place_lacks(p, has(d, LORA_DOWN) ? "lora_up" : "lora_down");
    if (has(d, LORA_MID))
        return err_set(p->e, ERR_UNSUPPORTED, "%s: %s: DoRA with a lora_mid is not supported",
                       lora_file_path(p->f), p->m->name);
    x->r = dim_of(d, LORA_DOWN, 0);
    x->a = part(d, LORA_UP, (int64_t[]){d->n_out, x->r, 1, 1});
    x->b = x->a ? part(d, LORA_DOWN, (int64_t[]){x->r, p->n_in, p->kh, p->kw}) : NULL;
    return x->b ? lora_place_scale(p, x->r, &d->scale) : p->e->code;
}

static int read_hadamard(struct delta *d)
{
    static const enum lora_part a[] = {LORA_HADA_W1_A, LORA_HADA_W2_A};
    static const enum lora_part b[] = {LORA_HADA_W1_B, LORA_HADA_W2_B};
    static const enum lora_part core[] = {LORA_HADA_T1, LORA_HADA_T2};
    int rc = 0;
    d->kind = HADAMARD;
    for (int i = 0; i < 2 && !rc; i++) {
        d->x[i].rows = d->n_out;
        d->x[i].cols = d->n;
        if (!has(d, a[i]) || !has(d, b[i]))
            rc = lora_place_lacks(d->p, "second factor");
        else
            rc = has(d, core[i]) ? with_core(d, &d->x[i], a[i], b[i], core[i])
                                 : plain(d, &d->x[i], a[i], b[i]);
    }
    return rc ? rc : lora_place_scale(d->p, dim_of(d, LORA_HADA_W1_B, 0), &d->scale);
}

/* out[i] = row i of a product */
static void product_row(const struct product *x, int64_t i, float *out)
{
    memset(out, 0, (size_t)x->cols * sizeof(*out));
    for (int64_t k = 0; k < x->r; k++) {
        const float *b = x->b + k * x->cols;
        float a = x->a[i * x->r + k];
        for (int64_t c = 0; c < x->cols; c++)
            out[c] += a * b[c];
    }
}

/* One factor of a Kronecker product: whole, a product, or a product with a core. */
static int read_factor(struct delta *d, int i, int64_t *rank)
{
    static const enum lora_part whole[] = {LORA_KRON_W1, LORA_KRON_W2};
    static const enum lora_part a[] = {LORA_KRON_W1_A, LORA_KRON_W2_A};
    static const enum lora_part b[] = {LORA_KRON_W1_B, LORA_KRON_W2_B};
    int64_t window = i ? d->window : 1;
    bool core = i && has(d, LORA_KRON_T2);
    struct product x = {0};
    if (has(d, whole[i])) {
        d->rows[i] = dim_of(d, whole[i], 0);
        d->cols[i] = dim_of(d, whole[i], 1);
        d->k[i] = part(d, whole[i],
                       (int64_t[]){d->rows[i], d->cols[i], i ? d->p->kh : 1, i ? d->p->kw : 1});
        return d->k[i] ? 0 : d->p->e->code;
    }
    if (!has(d, a[i]) || !has(d, b[i]))
        return lora_place_lacks(d->p, i ? "lokr_w2" : "lokr_w1");
    x.rows = dim_of(d, a[i], core ? 1 : 0);
    x.cols = dim_of(d, b[i], 1) * (core ? window : 1);
    int rc = core ? with_core(d, &x, a[i], b[i], LORA_KRON_T2) : plain(d, &x, a[i], b[i]);
    if (rc)
        return rc;
    *rank = *rank ? *rank : dim_of(d, b[i], 0);
    d->rows[i] = x.rows;
    d->cols[i] = x.cols / window;
    d->k[i] = floats(d, x.rows * x.cols);
    for (int64_t row = 0; d->k[i] && row < x.rows; row++)
        product_row(&x, row, d->k[i] + row * x.cols);
    return d->k[i] ? 0 : d->p->e->code;
}

static int read_kronecker(struct delta *d)
{
    const struct lora_place *p = d->p;
    int64_t rank = 0, rows, cols;
    d->kind = KRONECKER;
    int rc = read_factor(d, 0, &rank);
    if (!rc)
        rc = read_factor(d, 1, &rank);
    if (rc)
        return rc;
    if (__builtin_mul_overflow(d->rows[0], d->rows[1], &rows) ||
        __builtin_mul_overflow(d->cols[0], d->cols[1], &cols) || rows != d->n_out ||
        cols != p->n_in)
        return err_set(p->e, ERR_FORMAT,
                       "%s: the factors of %s make a matrix of another shape than %s has",
                       lora_file_path(p->f), p->m->name, p->w->name);
    return rank ? lora_place_scale(p, rank, &d->scale) : 0; /* two whole factors are not scaled */
}

/* The lengths of the rows, [n_out, 1...] and as peft writes them [n_out] or [1, n_out, 1, 1], or
 * those of the columns, [1, n_in, 1...]. */
static int read_magnitude(struct delta *d)
{
    const struct lora_place *p = d->p;
    bool peft = strstr(p->m->part[LORA_MAGNITUDE]->name, "lora_magnitude_vector");
    bool upright = dim_of(d, LORA_MAGNITUDE, 0) == d->n_out;
    int64_t n = upright || peft ? d->n_out : p->n_in;
    d->of_rows = upright || peft;
    d->magnitude = part(d, LORA_MAGNITUDE, (int64_t[]){upright ? n : 1, upright ? 1 : n, 1, 1});
    d->length = d->magnitude ? floats(d, n) : NULL;
    return d->length ? 0 : p->e->code;
}

static int read_delta(struct delta *d)
{
    const struct lora_place *p = d->p;
    int rc;
    if (has(d, LORA_DIFF)) {
        d->kind = WHOLE;
        rc = lora_place_take(p, p->m->part[LORA_DIFF], (int64_t[]){d->n_out, p->n_in, p->kh, p->kw},
                             &d->whole);
    } else if (has(d, LORA_HADA_W1_A) || has(d, LORA_HADA_W2_A)) {
        rc = read_hadamard(d);
    } else if (has(d, LORA_DOWN) || has(d, LORA_UP)) {
        d->x[0].rows = d->n_out;
        d->x[0].cols = d->n;
        rc = read_product(d);
    } else {
        rc = read_kronecker(d);
    }
    return rc || !has(d, LORA_MAGNITUDE) ? rc : read_magnitude(d);
}

/* d->row = row i of the difference, without strength. */
static void delta_row(struct delta *d, int64_t i)
{
    if (d->kind == WHOLE) {
        size_t size = dtype_row_size(d->whole.type, d->n);
        quant_to_f32(d->whole.type, (const char *)d->whole.data + (size_t)i * size, d->row, d->n);
        return;
    }
    if (d->kind == KRONECKER) {
        int64_t width = d->cols[1] * d->window;
        const float *b = d->k[1] + i % d->rows[1] * width;
        for (int64_t k = 0; k < d->cols[0]; k++) {
            float a = d->k[0][i / d->rows[1] * d->cols[0] + k] * (float)d->scale;
            for (int64_t c = 0; c < width; c++)
                d->row[k * width + c] = a * b[c];
        }
        return;
    }
    product_row(&d->x[0], i, d->row);
    if (d->kind == HADAMARD)
        product_row(&d->x[1], i, d->other);
    for (int64_t c = 0; c < d->n; c++)
        d->row[c] *= (float)d->scale * (d->kind == HADAMARD ? d->other[c] : 1);
}

static void base_row(const struct delta *d, int64_t i, float *out)
{
    const struct ckpt_tensor *w = d->p->w;
    quant_to_f32(w->type, (const char *)w->data + (size_t)i * dtype_row_size(w->type, d->n), out,
                 d->n);
}

/* The lengths of V = W + difference, by rows or by columns (a column has a window). */
static void measure(struct delta *d)
{
    int64_t n_length = d->of_rows ? d->n_out : d->p->n_in;
    for (int64_t i = 0; i < d->n_out; i++) {
        delta_row(d, i);
        base_row(d, i, d->other);
        for (int64_t c = 0; c < d->n; c++) {
            float v = d->row[c] + d->other[c];
            d->length[d->of_rows ? i : c / d->window] += v * v;
        }
    }
    for (int64_t i = 0; i < n_length; i++)
        d->length[i] = sqrtf(d->length[i]);
}

/* d->row = what is added to row i of W at full strength. */
static void change_row(struct delta *d, int64_t i)
{
    delta_row(d, i);
    if (!d->magnitude)
        return;
    base_row(d, i, d->other);
    for (int64_t c = 0; c < d->n; c++) {
        int64_t k = d->of_rows ? i : c / d->window;
        float gain = d->length[k] > 0 ? d->magnitude[k] / d->length[k] : 0;
        d->row[c] = gain * (d->row[c] + d->other[c]) - d->other[c];
    }
}

/* Adds it to what stands in the weight's place already, at first a copy of the weight. */
static int write(struct adapters *a, struct delta *d)
{
    const struct lora_place *p = d->p;
    enum dtype type = p->w->type == DTYPE_F32 ? DTYPE_F32 : DTYPE_F16;
    size_t size = dtype_row_size(type, d->n);
    const struct tensor *before = adapters_weight(a, p->w->name);
    struct tensor out = {
        .type = type, .n_dim = 2, .dim = {d->n_out, d->n, 1, 1}, .name = p->w->name};
    out.data = before
                   ? before->data
                   : arena_try_array(&a->arena, (size_t)d->n_out, size, "a LoRA's weights", p->e);
    if (!out.data)
        return ERR_NOMEM;
    float strength = (float)p->strength;
    for (int64_t i = 0; i < d->n_out; i++) {
        char *to = (char *)out.data + (size_t)i * size;
        change_row(d, i);
        if (before)
            quant_to_f32(type, to, d->other, d->n);
        else
            base_row(d, i, d->other);
        for (int64_t c = 0; c < d->n; c++)
            d->other[c] += strength * d->row[c];
        quant_from_f32(type, d->other, to, d->n);
    }
    if (!before)
        adapters_replace(a, p->w->name, &out);
    return 0;
}

bool lora_is_dense(const struct lora_place *p)
{
    static const enum lora_part parts[] = {LORA_MAGNITUDE, LORA_HADA_T1,   LORA_HADA_T2,
                                           LORA_KRON_W1,   LORA_KRON_W1_A, LORA_KRON_W2,
                                           LORA_KRON_W2_A, LORA_DIFF};
    const struct file_tensor *b1 = p->m->part[LORA_HADA_W1_B], *b2 = p->m->part[LORA_HADA_W2_B];
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (p->m->part[parts[i]])
            return true;
    if (!b1 || !b2)
        return false;
    double rank = (double)lora_place_dim(b1, 0) * (double)lora_place_dim(b2, 0);
    double n_in = (double)(p->n_in * p->kh * p->kw), n_out = (double)p->n_out;
    return rank * (n_in + n_out) >= n_in * n_out;
}

int lora_add_dense(struct adapters *a, const struct lora_place *p)
{
    struct delta d = {.p = p, .n_out = p->n_out, .n = p->n_in * p->kh * p->kw, .scale = 1};
    d.window = p->kh * p->kw;
    if (p->w->type == DTYPE_OTHER || p->w->type == DTYPE_I32 || p->w->transposed)
        return err_set(p->e, ERR_UNSUPPORTED, "%s: %s cannot change %s of type %s",
                       lora_file_path(p->f), p->m->name, p->w->name, p->w->type_name);
    int rc = read_delta(&d);
    d.row = rc ? NULL : floats(&d, d.n);
    d.other = d.row ? floats(&d, d.n) : NULL;
    if (!rc && !d.other)
        rc = ERR_NOMEM;
    if (!rc && d.magnitude)
        measure(&d);
    if (!rc)
        rc = write(a, &d);
    arena_release(&d.arena);
    return rc;
}
