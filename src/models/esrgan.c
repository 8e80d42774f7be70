/* esrgan.c - see esrgan.h. */
#include "models/esrgan.h"

#include "base/err.h"
#include "format/checkpoint.h"

#include <stdio.h>

#define SLOPE 0.2f /* of the leaky ReLUs */
#define SHARE 0.2f /* of what a block adds */

bool esrgan_present(const struct checkpoint *file)
{
    return checkpoint_find(file, "upscaler.conv_first.weight") ||
           checkpoint_find(file, "upscaler.body.0.weight");
}

static int64_t n_out(const struct conv *c)
{
    return c->w ? c->w->dim[0] : 0;
}

/* The five convolutions of a dense block: each sees the block's input and all before it. */
static void load_dense(struct loader *l, struct esrgan_dense *d, int64_t width)
{
    int64_t in = width;
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof(name), "conv%d", i + 1);
        conv_load(l, &d->conv[i], name, i < 4 ? LOAD_ANY : width, in, 3);
        in += n_out(&d->conv[i]);
    }
}

static void load_rrdb(struct loader *l, struct esrgan *m)
{
    conv_load(l, &m->first, "conv_first", LOAD_ANY, LOAD_ANY, 3);
    int64_t width = n_out(&m->first), n_in = m->first.w ? m->first.w->dim[1] : 3;
    m->n_block = load_count(l, "body");
    if (m->n_block < 1 || m->n_block > ESRGAN_MAX_BLOCK || (n_in != 3 && n_in != 12 && n_in != 48))
        load_fail(l, "no ESRGAN that is known: %d blocks, %d channels of input", m->n_block,
                  (int)n_in);
    for (int i = 0; !load_done(l) && i < m->n_block; i++)
        for (int k = 0; k < 3; k++) {
            load_push(l, "body.%d.rdb%d", i, k + 1);
            load_dense(l, &m->dense[i][k], width);
            load_pop(l);
        }
    conv_load(l, &m->body, "conv_body", width, width, 3);
    while (m->n_up < ESRGAN_MAX_UP && load_has_any(l, "conv_up%d", m->n_up + 1)) {
        char name[32];
        snprintf(name, sizeof(name), "conv_up%d", m->n_up + 1);
        conv_load(l, &m->up[m->n_up++], name, width, width, 3);
    }
    conv_load(l, &m->hr, "conv_hr", width, width, 3);
    conv_load(l, &m->last, "conv_last", 3, width, 3);
    m->unshuffle = n_in == 48 ? 4 : n_in == 12 ? 2 : 1;
    m->scale = (1 << m->n_up) / m->unshuffle;
    /* 15 convolutions a block and 2 more on the small picture; then ever larger ones. */
    m->reach = m->unshuffle * (15 * m->n_block + 2 + 2 + m->n_up);
    if (m->scale < 1)
        load_fail(l, "no ESRGAN that is known: it would make pictures smaller");
}

static int64_t square_root(int64_t n)
{
    int64_t r = 1;
    while (r * r < n)
        r++;
    return r;
}

static void load_compact(struct loader *l, struct esrgan *m)
{
    int n = load_count(l, "body");
    int64_t width = 3;
    if (n % 2 == 0 || n / 2 >= ESRGAN_MAX_CONV)
        load_fail(l, "no compact upscaler that is known: %d layers", n);
    load_push(l, "body");
    for (int i = 0; !load_done(l) && i < n; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%d.weight", i);
        if (i % 2) {
            m->slope[i / 2] = load_vector(l, name, width);
            continue;
        }
        snprintf(name, sizeof(name), "%d", i);
        conv_load(l, &m->conv[m->n_conv], name, LOAD_ANY, width, 3);
        width = n_out(&m->conv[m->n_conv++]);
    }
    load_pop(l);
    m->unshuffle = 1;
    m->scale = (int)square_root(width / 3);
    m->reach = m->n_conv;
    if (!load_done(l) && (width != 3 * (int64_t)m->scale * m->scale || m->scale > 8))
        load_fail(l, "no compact upscaler that is known: %d channels of output", (int)width);
}

int esrgan_open(struct esrgan *m, const struct checkpoint *file, struct err *e)
{
    struct loader l;
    *m = (struct esrgan){0};
    if (!esrgan_present(file))
        return err_set(e, ERR_FORMAT,
                       "%s: no upscaler that is known; ESRGAN, Real-ESRGAN and their compact "
                       "networks are",
                       checkpoint_path(file));
    load_start(&l, file, &m->arena, "upscaler", e);
    if (load_has(&l, "conv_first.weight"))
        load_rrdb(&l, m);
    else
        load_compact(&l, m);
    if (load_done(&l))
        esrgan_close(m);
    return load_done(&l);
}

void esrgan_close(struct esrgan *m)
{
    arena_release(&m->arena);
    *m = (struct esrgan){0};
}

static struct tensor *named(struct tape *t, const char *name, struct tensor *x)
{
    tape_push(t, "%s", name);
    tape_result(t, x);
    tape_pop(t);
    return x;
}

/* x + 0.2 (what came of it) */
static struct tensor *add_share(struct tape *t, struct tensor *x, struct tensor *y)
{
    return op_add(t, op_scale(t, y, SHARE, 0), x);
}

static struct tensor *dense(struct tape *t, const struct esrgan_dense *d, struct tensor *x)
{
    struct tensor *all = x, *y = x; /* all: [n, h, w, width + i growth] */
    for (int i = 0; i < 5; i++) {
        y = conv(t, &d->conv[i], all, 1);
        if (i < 4)
            all = op_concat(t, all, op_leaky_relu(t, y, SLOPE));
    }
    return add_share(t, x, y);
}

static struct tensor *run_rrdb(struct tape *t, const struct esrgan *m, struct tensor *x)
{
    if (m->unshuffle > 1)
        x = op_pixel_unshuffle(t, x, m->unshuffle);
    struct tensor *first = named(t, "conv_first", conv(t, &m->first, x, 1)), *f = first;
    for (int i = 0; i < m->n_block; i++) {
        struct tensor *y = f;
        for (int k = 0; k < 3; k++) {
            tape_push(t, "body.%d.rdb%d", i, k + 1);
            y = tape_result(t, dense(t, &m->dense[i][k], y));
            tape_pop(t);
        }
        tape_push(t, "body.%d", i);
        f = tape_result(t, add_share(t, f, y));
        tape_pop(t);
    }
    f = conv_add(t, &m->body, f, first);
    for (int i = 0; i < m->n_up; i++) {
        f = op_upsample(t, f, 2 * f->dim[1], 2 * f->dim[2]);
        tape_push(t, "conv_up%d", i + 1);
        f = op_leaky_relu(t, tape_result(t, conv(t, &m->up[i], f, 1)), SLOPE);
        tape_pop(t);
    }
    f = op_leaky_relu(t, named(t, "conv_hr", conv(t, &m->hr, f, 1)), SLOPE);
    return named(t, "conv_last", conv(t, &m->last, f, 1));
}

/* What the network adds to the picture may be bf16; the picture stays what it is. */
static struct tensor *run_compact(struct tape *t, const struct esrgan *m, struct tensor *picture)
{
    struct tensor *y = op_cast(t, picture, tape_type(t));
    for (int i = 0; i < m->n_conv; i++) {
        tape_push(t, "body.%d", 2 * i);
        y = tape_result(t, conv(t, &m->conv[i], y, 1));
        tape_pop(t);
        if (i + 1 < m->n_conv)
            y = op_prelu(t, y, m->slope[i]);
    }
    y = op_cast(t, op_pixel_shuffle(t, y, m->scale), picture->type);
    return op_add(t, y, op_upsample(t, picture, y->dim[1], y->dim[2]));
}

struct tensor *esrgan_forward(struct tape *t, const struct esrgan *m, struct tensor *x)
{
    return m->n_block ? run_rrdb(t, m, op_cast(t, x, tape_type(t))) : run_compact(t, m, x);
}
