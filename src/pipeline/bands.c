/* bands.c - see bands.h. */
#include "pipeline/bands.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/cancel.h"
#include "pipeline/memory.h"
#include "tensor/ops.h"

#include <stdlib.h>
#include <string.h>

/* Bands of so many pixels of the larger side of a step, or so many rows of its input: the band's
 * activations stay far below the maps, and a halo of 2 rows on either side costs little. */
#define BAND_PIXELS (64L * 1024)
#define BAND_ROWS   32
#define MAX_NORM    2

/* Mean and variance of each group of a norm over the bands so far. */
struct moments {
    double *mean, *var; /* [n_group], owned */
    double n;           /* rows */
};

/* One way over the picture: the step with moments of its first n_known norms. */
struct pass {
    const struct bands *b;
    const struct vae_step *s;
    struct backend *backend;
    const atomic_bool *cancel;
    struct band_map *in, *out; /* the same where the step works in place */
    struct moments moments[MAX_NORM];
    int n_known;

    /* The tape of one band, kept while bands have the same shape. */
    struct tape *t;
    struct tensor *x, *given[MAX_NORM], *y;
    int64_t top, rows, bottom; /* of x: halo, the band, halo */
    char *carry;               /* in place: rows above the next band, which are overwritten */
    int64_t n_carried;
    char *head; /* in place: the first rows, as they were, if the picture wraps */
};

void band_map_release(struct band_map *m)
{
    mem_free_aligned(m->data);
    *m = (struct band_map){0};
}

static size_t row_size(const struct band_map *m)
{
    return (size_t)dtype_row_size(m->type, m->w * m->c);
}

static char *row(const struct band_map *m, int64_t y)
{
    return (char *)m->data + (size_t)y * row_size(m);
}

/* n rows of the step's input, an even number when it halves, as rows of its result. */
static int64_t scaled(const struct vae_step *s, int64_t n)
{
    return s->sampling == VAE_UP ? 2 * n : s->sampling == VAE_DOWN ? n / 2 : n;
}

static int64_t channels_out(const struct vae_step *s)
{
    const struct conv *c = s->conv ? s->conv : s->resnet ? &s->resnet->conv2 : s->first;
    return c->w->dim[0];
}

/* The shape of what the step makes. */
static struct band_map result_of(const struct bands *b, int i, const struct band_map *in)
{
    const struct vae_step *s = &b->steps[i];
    return (struct band_map){
        .h = scaled(s, in->h),
        .w = scaled(s, in->w),
        .c = channels_out(s),
        .type = b->last_f32 && i == b->n - 1 ? DTYPE_F32 : b->precision,
    };
}

/* Does a band's result take the place of its rows? */
static bool in_place(const struct vae_step *s, const struct band_map *in,
                     const struct band_map *out)
{
    return s->sampling == VAE_SAME && in->c == out->c && in->type == out->type;
}

static int64_t band_rows(const struct bands *b, const struct vae_step *s, const struct band_map *in)
{
    int64_t width = s->sampling == VAE_UP ? 4 * in->w : in->w; /* pixels of a row of input */
    int64_t rows = (b->pixels ? b->pixels : BAND_PIXELS) / width / 2 * 2;
    int64_t least = b->pixels ? 2 : BAND_ROWS;
    rows = rows < least ? least : rows;
    return rows < in->h ? rows : in->h;
}

static void record(struct pass *p)
{
    const struct band_map *in = p->in;
    struct tape *t = p->t = tape_new(p->b->precision);
    tape_wrap(t, p->b->wrap & WRAP_X); /* the halo does it for Y */
    p->x = tape_input(t, in->type, "band", 4,
                      (int64_t[]){1, p->top + p->rows + p->bottom, in->w, in->c});
    for (int i = 0; i < p->n_known; i++)
        p->given[i] = tape_input(t, DTYPE_F32, "moments", 3,
                                 (int64_t[]){1, vae_step_norm(p->s, i)->n_group, 2});
    struct tensor *x = op_cast(t, p->x, p->b->precision);
    struct tensor *y = vae_step(t, p->s, x, p->given, p->n_known);
    const struct norm *next = vae_step_norm(p->s, p->n_known);
    if (next)
        y = op_moments(t, y, next->n_group, (int)scaled(p->s, p->top),
                       (int)scaled(p->s, p->bottom));
    else
        y = op_cast(t, y, p->out->type);
    p->y = tape_keep(t, y);
}

/* A tape for a band of this shape; the one there is where it fits. */
static int prepare(struct pass *p, int64_t top, int64_t rows, int64_t bottom, struct err *e)
{
    if (p->t && p->top == top && p->rows == rows && p->bottom == bottom)
        return 0;
    tape_free(p->t);
    p->top = top;
    p->rows = rows;
    p->bottom = bottom;
    record(p);
    int rc = tape_plan(p->t, e);
    for (int i = 0; !rc && i < p->n_known; i++)
        for (int64_t g = 0; g < p->given[i]->dim[1]; g++) {
            float *to = (float *)p->given[i]->data + 2 * g;
            to[0] = (float)p->moments[i].mean[g];
            to[1] = (float)p->moments[i].var[g];
        }
    return rc;
}

/* Joins the moments of one more band (Chan, Golub and LeVeque, 1983). */
static void join(struct moments *m, const float *band, int64_t n_group, double n)
{
    double share = n / (m->n + n);
    for (int64_t g = 0; g < n_group; g++) {
        double mean = (double)band[2 * g], var = (double)band[2 * g + 1], d = mean - m->mean[g];
        m->mean[g] += share * d;
        m->var[g] += share * (var - m->var[g]) + share * (1 - share) * d * d;
    }
    m->n += n;
}

/* Rows y .. y + n of the input; those beyond its ends are at the other side. */
static void take_rows(const struct pass *p, int64_t y, int64_t n, char *to)
{
    size_t size = row_size(p->in);
    int64_t h = p->in->h;
    for (int64_t i = 0; i < n; i++)
        memcpy(to + (size_t)i * size, row(p->in, ((y + i) % h + h) % h), size);
}

static int run_band(struct pass *p, int64_t y, int64_t rows, struct err *e)
{
    int64_t halo = vae_step_halo(p->s), below = p->in->h - y - rows;
    bool wraps = p->b->wrap & WRAP_Y;
    size_t size = row_size(p->in);
    int rc = prepare(p, y < halo && !wraps ? y : halo, rows, below < halo && !wraps ? below : halo,
                     e);
    if (rc)
        return rc;
    char *x = p->x->data;
    bool overwrites = p->in == p->out && !vae_step_norm(p->s, p->n_known);
    take_rows(p, y - p->top, p->top + rows + p->bottom, x);
    if (overwrites) {
        int64_t beyond = p->bottom - below;
        memcpy(x, p->carry + (size_t)(p->n_carried - p->top) * size, (size_t)p->top * size);
        if (beyond > 0)
            memcpy(x + (size_t)(p->top + rows + below) * size, p->head, (size_t)beyond * size);
    }
    rc = cancel_run(p->t, p->backend, p->cancel, e);
    if (rc)
        return rc;
    if (vae_step_norm(p->s, p->n_known)) {
        join(&p->moments[p->n_known], p->y->data, p->y->dim[1], (double)rows);
        return 0;
    }
    if (overwrites) {
        p->n_carried = halo < p->top + rows ? halo : p->top + rows;
        memcpy(p->carry, x + (size_t)(p->top + rows - p->n_carried) * size,
               (size_t)p->n_carried * size);
    }
    size_t out_size = row_size(p->out);
    memcpy(row(p->out, scaled(p->s, y)),
           (char *)p->y->data + (size_t)scaled(p->s, p->top) * out_size,
           (size_t)scaled(p->s, rows) * out_size);
    return 0;
}

static int run_pass(struct pass *p, struct err *e)
{
    int64_t rows = band_rows(p->b, p->s, p->in), halo = vae_step_halo(p->s);
    int rc = 0;
    p->t = NULL;
    if (p->b->wrap & WRAP_Y) {
        take_rows(p, 0, halo, p->head);
        take_rows(p, -halo, halo, p->carry);
        p->n_carried = halo;
    }
    for (int64_t y = 0; !rc && y < p->in->h; y += rows)
        rc = run_band(p, y, rows < p->in->h - y ? rows : p->in->h - y, e);
    tape_free(p->t);
    p->t = NULL;
    return rc;
}

static int run_step(struct pass *p, int i, struct err *e)
{
    struct band_map out = result_of(p->b, i, p->in);
    int rc = 0;
    p->s = &p->b->steps[i];
    bool same = in_place(p->s, p->in, &out);
    if (!same)
        out.data = mem_try_aligned((size_t)out.h * row_size(&out), "the picture", e);
    p->carry = mem_alloc((size_t)vae_step_halo(p->s) * row_size(p->in));
    p->head = mem_alloc((size_t)vae_step_halo(p->s) * row_size(p->in));
    if (!same && !out.data)
        rc = ERR_NOMEM;
    p->out = same ? p->in : &out;
    bool last = false;
    for (int k = 0; !rc && !last; k++) {
        const struct norm *next = vae_step_norm(p->s, k);
        size_t size = next ? (size_t)next->n_group * sizeof(double) : 0;
        if (next)
            p->moments[k] = (struct moments){mem_alloc(size), mem_alloc(size), 0};
        last = !next;
        p->n_known = k;
        rc = run_pass(p, e);
    }
    for (int k = 0; k < MAX_NORM; k++) {
        free(p->moments[k].mean);
        free(p->moments[k].var);
        p->moments[k] = (struct moments){0};
    }
    free(p->carry);
    free(p->head);
    p->out = NULL;
    if (!same && !rc) {
        band_map_release(p->in);
        *p->in = out;
    } else if (!same) {
        band_map_release(&out);
    }
    return rc;
}

int bands_run(const struct bands *b, struct backend *backend, const atomic_bool *cancel,
              struct band_map *map, struct err *e)
{
    struct pass p = {.b = b, .backend = backend, .cancel = cancel, .in = map};
    int rc = 0;
    for (int i = 0; !rc && i < b->n; i++)
        rc = run_step(&p, i, e);
    if (rc)
        band_map_release(map);
    return rc;
}

int bands_need(const struct bands *b, const struct band_map *shape, size_t *bytes, struct err *e)
{
    struct band_map in = *shape, out;
    *bytes = 0;
    for (int i = 0; i < b->n; i++, in = out) {
        struct pass p = {.b = b, .s = &b->steps[i], .in = &in, .out = &out};
        int64_t halo = vae_step_halo(p.s);
        size_t band;
        out = result_of(b, i, &in);
        while (vae_step_norm(p.s, p.n_known))
            p.n_known++;
        p.top = p.bottom = halo;
        p.rows = band_rows(b, p.s, &in);
        record(&p); /* of the last pass, which has all the tensors of the others */
        int rc = memory_need(p.t, &band, e);
        tape_free(p.t);
        if (rc)
            return rc;
        band += (size_t)in.h * row_size(&in);
        band += in_place(p.s, &in, &out) ? 0 : (size_t)out.h * row_size(&out);
        *bytes = band > *bytes ? band : *bytes;
    }
    return 0;
}
