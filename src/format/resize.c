/* resize.c - see resize.h. */
#include "format/resize.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/picture.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PRECISION_BITS 22

/* A kernel that is zero beyond `support`. */
struct filter {
    double (*at)(double x);
    double support;
};

/* How one axis is resampled: output j is the sum of weights[j, k] * input[first[j] + k]. */
struct axis {
    const struct filter *filter;
    int n_in, n_out;
    int max_taps;
    int *first;       /* [n_out] */
    int *n_taps;      /* [n_out] */
    int32_t *weights; /* [n_out, max_taps], fixed point */
};

static double sinc(double x)
{
    return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI);
}

static double lanczos_at(double x)
{
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static double bicubic_at(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static const struct filter lanczos = {lanczos_at, 3}, bicubic = {bicubic_at, 2};

static void axis_release(struct axis *a)
{
    free(a->first);
    free(a->n_taps);
    free(a->weights);
}

/* The weights of one output whose centre lies at `center` of the input, `scale` wide. */
static void set_taps(struct axis *a, int j, double center, double scale, double *w)
{
    double support = a->filter->support * scale, sum = 0;
    int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > a->n_in ? a->n_in : end;
    for (int k = 0; k < end - first; k++)
        sum += w[k] = a->filter->at((k + first - center + 0.5) / scale);
    for (int k = 0; k < end - first; k++) {
        double fixed = w[k] / sum * (1 << PRECISION_BITS);
        a->weights[(size_t)j * (size_t)a->max_taps + (size_t)k] = (int32_t)(fixed < 0
                                                                                ? fixed - 0.5
                                                                                : fixed + 0.5);
    }
    a->first[j] = first;
    a->n_taps[j] = end - first;
}

/* Maps [begin, end) of a->n_in inputs to a->n_out outputs; release the axis in every case. */
static int axis_init(struct axis *a, float begin, float end, struct err *e)
{
    int n_out = a->n_out;
    double scale = (double)(end - begin) / n_out;
    double filter_scale = scale < 1 ? 1 : scale;
    size_t n = (size_t)n_out;
    a->max_taps = 2 * (int)ceil(a->filter->support * filter_scale) + 1;
    double *w = mem_try_array((size_t)a->max_taps, sizeof *w, "resize weights", e);
    a->first = mem_try_array(n, sizeof *a->first, "resize weights", e);
    a->n_taps = mem_try_array(n, sizeof *a->n_taps, "resize weights", e);
    a->weights = mem_try_array(n * (size_t)a->max_taps, sizeof *a->weights, "resize weights", e);
    int rc = w && a->first && a->n_taps && a->weights ? 0 : ERR_NOMEM;
    for (int j = 0; j < n_out && !rc; j++)
        set_taps(a, j, begin + (j + 0.5) * scale, filter_scale, w);
    free(w);
    return rc;
}

static inline unsigned char clip(int32_t fixed)
{
    int32_t v = fixed >> PRECISION_BITS;
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Resamples the middle axis of `in` [n_outer, a->n_in, n_inner] to `out` [n_outer, a->n_out,
 * n_inner]: columns are [height, width, channels], rows are [1, height, width * channels]. */
static void resample(const struct axis *a, const unsigned char *in, unsigned char *out,
                     size_t n_outer, size_t n_inner)
{
    for (size_t o = 0; o < n_outer; o++, in += (size_t)a->n_in * n_inner)
        for (int j = 0; j < a->n_out; j++, out += n_inner) {
            const int32_t *w = a->weights + (size_t)j * (size_t)a->max_taps;
            const unsigned char *from = in + (size_t)a->first[j] * n_inner;
            for (size_t i = 0; i < n_inner; i++) {
                int32_t sum = 1 << (PRECISION_BITS - 1);
                for (int k = 0; k < a->n_taps[j]; k++)
                    sum += w[k] * from[(size_t)k * n_inner + i];
                out[i] = clip(sum);
            }
        }
}

/* Straight to premultiplied alpha, rounded as Pillow's MULDIV255. */
static void premultiply(struct picture *p)
{
    unsigned char *s = p->data;
    for (size_t i = (size_t)p->width * (size_t)p->height; i > 0; i--, s += 4)
        for (int c = 0; c < 3; c++) {
            unsigned t = s[c] * s[3] + 128u;
            s[c] = (unsigned char)((t + (t >> 8)) >> 8);
        }
}

static void unpremultiply(struct picture *p)
{
    unsigned char *s = p->data;
    for (size_t i = (size_t)p->width * (size_t)p->height; i > 0; i--, s += 4)
        for (int c = 0; c < 3 && s[3] != 0 && s[3] != 255; c++) {
            unsigned v = 255u * s[c] / s[3];
            s[c] = (unsigned char)(v > 255 ? 255 : v);
        }
}

static int copy(const struct picture *in, struct picture *out, struct err *e)
{
    int rc = picture_alloc(out, in->width, in->height, in->channels, "a scaled picture", e);
    if (!rc)
        memcpy(out->data, in->data, (size_t)in->width * (size_t)in->height * (size_t)in->channels);
    return rc;
}

/* A part of the input, in pixels, and how it is scaled. */
struct box {
    float x0, y0, x1, y1;
    const struct filter *filter;
};

/* Pillow 13 (pull request 9549) does the rows first when that leaves clearly less to do: when the
 * height shrinks, by more than twice what the width does. Rounding in between makes it visible. */
static bool rows_come_first(const struct picture *in, const struct picture *out)
{
    return out->height < in->height && in->height - out->height > 2 * (in->width - out->width);
}

static int resize_premultiplied(const struct picture *in, const struct box *b, struct picture *out,
                                struct err *e)
{
    struct axis columns = {.filter = b->filter, .n_in = in->width, .n_out = out->width};
    struct axis rows = {.filter = b->filter, .n_in = in->height, .n_out = out->height};
    struct picture half = {0}; /* after the first pass */
    bool rows_first = rows_come_first(in, out);
    int rc = axis_init(&columns, b->x0, b->x1, e);
    if (!rc)
        rc = axis_init(&rows, b->y0, b->y1, e);
    if (!rc)
        rc = picture_alloc(&half, rows_first ? in->width : out->width,
                           rows_first ? out->height : in->height, in->channels, "a scaled picture",
                           e);
    size_t channels = (size_t)in->channels;
    if (!rc && rows_first) {
        resample(&rows, in->data, half.data, 1, (size_t)in->width * channels);
        resample(&columns, half.data, out->data, (size_t)out->height, channels);
    } else if (!rc) {
        resample(&columns, in->data, half.data, (size_t)in->height, channels);
        resample(&rows, half.data, out->data, 1, (size_t)out->width * channels);
    }
    axis_release(&columns);
    axis_release(&rows);
    picture_release(&half);
    return rc;
}

static int resize_box(const struct picture *in, const struct box *b, int width, int height,
                      struct picture *out, struct err *e)
{
    *out = (struct picture){0};
    if (width == in->width && height == in->height && b->x0 == 0 && b->y0 == 0 &&
        b->x1 == (float)width && b->y1 == (float)height)
        return copy(in, out, e);
    struct picture premultiplied = {0};
    int rc = picture_alloc(out, width, height, in->channels, "a scaled picture", e);
    if (!rc && in->channels == 4) {
        rc = copy(in, &premultiplied, e);
        if (!rc)
            premultiply(&premultiplied);
    }
    if (!rc)
        rc = resize_premultiplied(in->channels == 4 ? &premultiplied : in, b, out, e);
    if (!rc && in->channels == 4)
        unpremultiply(out);
    picture_release(&premultiplied);
    if (rc)
        picture_release(out);
    return rc;
}

int picture_resize(const struct picture *in, int width, int height, struct picture *out,
                   struct err *e)
{
    struct box all = {0, 0, (float)in->width, (float)in->height, &lanczos};
    return resize_box(in, &all, width, height, out, e);
}

int picture_resize_bicubic(const struct picture *in, int width, int height, struct picture *out,
                           struct err *e)
{
    struct box all = {0, 0, (float)in->width, (float)in->height, &bicubic};
    return resize_box(in, &all, width, height, out, e);
}

int picture_fit(const struct picture *in, int width, int height, struct picture *out, struct err *e)
{
    double w = in->width, h = in->height, aspect = (double)width / height;
    if (w / h > aspect)
        w = aspect * h;
    else if (w / h < aspect)
        h = w / aspect;
    double x0 = (in->width - w) * 0.5, y0 = (in->height - h) * 0.5;
    struct box middle = {(float)x0, (float)y0, (float)(x0 + w), (float)(y0 + h), &lanczos};
    return resize_box(in, &middle, width, height, out, e);
}
