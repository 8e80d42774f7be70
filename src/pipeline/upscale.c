/* upscale.c - see upscale.h. */
#include "pipeline/upscale.h"

#include "base/err.h"
#include "format/picture.h"
#include "format/resize.h"
#include "models/esrgan.h"
#include "pipeline/cancel.h"
#include "pipeline/memory.h"
#include "tensor/backend.h"
#include "tensor/tape.h"

#include <math.h>

#define TILE    240
#define MAX_PAD 24

/* One direction: where tiles lie and what they give. All are multiples of the network's unit. */
struct axis {
    int picture; /* pixels */
    int all;     /* the picture, widened to a multiple */
    int tile, pad, n;
};

struct job {
    const struct esrgan *m;
    const struct upscale_request *r;
    struct axis x, y;
    struct tape *tape;
    struct tensor *in, *result; /* [1, tile, tile, 3] and that enlarged */
    struct picture *out;
};

static int round_up(int n, int unit)
{
    return (n + unit - 1) / unit * unit;
}

/* As few tiles as their size allows, all of one size. */
static struct axis plan_axis(const struct esrgan *m, int picture, int tile)
{
    int unit = m->unshuffle;
    struct axis a = {.picture = picture, .all = round_up(picture, unit), .n = 1};
    a.pad = round_up(m->reach < MAX_PAD ? m->reach : MAX_PAD, unit);
    a.tile = a.all;
    int step = round_up(tile > 3 * a.pad ? tile : 3 * a.pad, unit) - 2 * a.pad;
    if (a.all > step + 2 * a.pad) {
        int inner = a.all - 2 * a.pad;
        a.n = (inner + step - 1) / step;
        step = round_up((inner + a.n - 1) / a.n, unit);
        a.n = (inner + step - 1) / step;
        a.tile = step + 2 * a.pad;
    }
    return a;
}

/* The first pixel that tile i gives; of tile n the end of the picture. */
static int core(const struct axis *a, int i)
{
    if (i == 0)
        return 0;
    return i == a->n ? a->all : i * (a->tile - 2 * a->pad) + a->pad;
}

/* The first pixel that tile i sees. */
static int start(const struct axis *a, int i)
{
    int first = i ? core(a, i) - a->pad : 0;
    return first < a->all - a->tile ? first : a->all - a->tile;
}

/* The tile's pixels in [0, 1]; beyond the picture its last row and column go on. */
static void fill(const struct job *j, int x0, int y0)
{
    const struct picture *p = j->r->picture;
    float *out = j->in->data;
    for (int y = y0; y < y0 + j->y.tile; y++)
        for (int x = x0; x < x0 + j->x.tile; x++) {
            int from_y = y < p->height ? y : p->height - 1,
                from_x = x < p->width ? x : p->width - 1;
            size_t at = ((size_t)from_y * (size_t)p->width + (size_t)from_x) * (size_t)p->channels;
            for (int c = 0; c < 3; c++)
                *out++ = (float)p->data[at + (size_t)c] / 255;
        }
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* Copies what tile (i, k), which starts at (x0, y0), gives. NaN is ERR_NUMERIC. */
static int store(const struct job *j, int i, int k, int x0, int y0, struct err *e)
{
    int s = j->m->scale, channels = j->out->channels;
    int x_end = min_int(core(&j->x, i + 1), j->x.picture) * s;
    int y_end = min_int(core(&j->y, k + 1), j->y.picture) * s;
    for (int y = core(&j->y, k) * s; y < y_end; y++)
        for (int x = core(&j->x, i) * s; x < x_end; x++) {
            size_t from = ((size_t)(y - y0 * s) * (size_t)(j->x.tile * s) + (size_t)(x - x0 * s)) *
                          3;
            size_t to = ((size_t)y * (size_t)j->out->width + (size_t)x) * (size_t)channels;
            for (size_t c = 0; c < 3; c++) {
                float v = ((const float *)j->result->data)[from + c] * 255;
                if (isnan(v))
                    return err_set(e, ERR_NUMERIC,
                                   "the enlarged picture is not a number; try --precision f32");
                v = v < 0 ? 0 : v > 255 ? 255 : v;
                j->out->data[to + c] = (unsigned char)lrintf(v);
            }
        }
    return 0;
}

static int run_tiles(struct job *j, struct backend *b, struct err *e)
{
    const struct upscale_request *r = j->r;
    int rc = 0, total = j->x.n * j->y.n;
    for (int t = 0; !rc && t < total; t++) {
        int i = t % j->x.n, k = t / j->x.n;
        int x0 = start(&j->x, i), y0 = start(&j->y, k);
        fill(j, x0, y0);
        rc = cancel_run(j->tape, b, r->cancel, e);
        if (!rc)
            rc = store(j, i, k, x0, y0, e);
        if (!rc && r->on_progress)
            rc = r->on_progress(t + 1, total, r->ctx);
    }
    return rc;
}

/* Alpha becomes a grey picture, which is scaled. */
static int scale_alpha(const struct picture *in, struct picture *out, struct err *e)
{
    struct picture grey, large = {0};
    int rc = picture_alloc(&grey, in->width, in->height, 3, "the alpha channel", e);
    if (rc)
        return rc;
    for (size_t i = 0; i < (size_t)in->width * (size_t)in->height * 3; i++)
        grey.data[i] = in->data[i / 3 * 4 + 3];
    rc = picture_resize(&grey, out->width, out->height, &large, e);
    for (size_t i = 0; !rc && i < (size_t)out->width * (size_t)out->height; i++)
        out->data[4 * i + 3] = large.data[3 * i];
    picture_release(&grey);
    picture_release(&large);
    return rc;
}

int upscale(const struct esrgan *m, struct backend *b, const struct upscale_request *r,
            struct picture *out, struct err *e)
{
    const struct picture *p = r->picture;
    int tile = r->tile ? r->tile : TILE;
    struct job j = {.m = m,
                    .r = r,
                    .x = plan_axis(m, p->width, tile),
                    .y = plan_axis(m, p->height, tile),
                    .tape = tape_new(r->precision),
                    .out = out};
    *out = (struct picture){0};
    int64_t dim[4] = {1, j.y.tile, j.x.tile, 3};
    j.in = tape_input(j.tape, DTYPE_F32, "picture", 4, dim);
    j.result = tape_keep(j.tape, op_cast(j.tape, esrgan_forward(j.tape, m, j.in), DTYPE_F32));
    int rc = memory_check(j.tape, "enlarging", e);
    if (!rc)
        rc = tape_plan(j.tape, e);
    if (!rc &&
        (p->width > PICTURE_MAX_PIXELS / m->scale || p->height > PICTURE_MAX_PIXELS / m->scale))
        rc = err_set(e, ERR_UNSUPPORTED, "the enlarged picture would be too large");
    if (!rc)
        rc = picture_alloc(out, p->width * m->scale, p->height * m->scale, p->channels,
                           "the enlarged picture", e);
    if (!rc)
        rc = run_tiles(&j, b, e);
    if (!rc && p->channels == 4)
        rc = scale_alpha(p, out, e);
    if (rc)
        picture_release(out);
    tape_free(j.tape);
    return rc;
}
