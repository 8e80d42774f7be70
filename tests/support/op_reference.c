/* op_reference.c - see op_reference.h. */
#include "support/op_reference.h"

#include "base/mem.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdlib.h>

/* Operands as float64, the result and the slack. */
struct work {
    const struct op_case *c;
    const struct op *op;
    const double *v[OP_MAX_SRC]; /* NULL where the op has no such operand */
    double *out, *slack;
};

double *op_reference_values(const struct tensor *x)
{
    int64_t n = tensor_n(x);
    double *v = mem_alloc((size_t)n * sizeof(*v));
    float *f = mem_alloc((size_t)n * sizeof(*f));
    if (x->type == DTYPE_I32)
        for (int64_t i = 0; i < n; i++)
            f[i] = (float)((const int32_t *)x->data)[i];
    else
        quant_to_f32(x->type, x->data, f, n);
    for (int64_t i = 0; i < n; i++)
        v[i] = (double)f[i];
    free(f);
    return v;
}

static void rows(struct work *w)
{
    int64_t cols = w->c->src[0]->dim[1];
    for (int64_t i = 0; i < tensor_n(w->c->out); i++)
        w->out[i] = w->v[0][(int64_t)w->v[1][i / cols] * cols + i % cols];
}

/* What errors of a[j] of n are relative to: rounded to blocks of 32 whole numbers, the largest of
 * them. */
static double magnitude(const struct op *op, const double *a, int64_t j, int64_t n)
{
    if (!op->fast || dtype_block(op->src[1]->type) == 1)
        return fabs(a[j]);
    double most = 0;
    for (int64_t i = j / 32 * 32; i < n && i < j / 32 * 32 + 32; i++)
        most = fabs(a[i]) > most ? fabs(a[i]) : most;
    return most;
}

/* A linear layer is a convolution with one tap over one row of pixels. */
static void conv(struct work *w)
{
    const struct tensor *x = w->c->src[0], *k = w->c->src[1], *out = w->c->out;
    bool linear = w->op->kind == OP_LINEAR;
    int64_t h = linear ? 1 : x->dim[1], wd = linear ? tensor_n_rows(x) : x->dim[2];
    int64_t oh = linear ? 1 : out->dim[1], ow = linear ? wd : out->dim[2];
    int64_t c = k->dim[1], kh = linear ? 1 : k->dim[2], kw = linear ? 1 : k->dim[3];
    int64_t o = k->dim[0], stride = linear ? 1 : w->op->stride;
    for (int64_t i = 0; i < tensor_n(out); i++) {
        int64_t n = i % o, p = i / o, px = p % ow, py = p / ow % oh, image = p / ow / oh;
        double sum = w->v[2] ? w->v[2][n] : 0;
        if (w->v[3])
            sum += w->v[3][i / (tensor_n(out) / tensor_n_rows(w->c->src[3])) * o + n];
        double mag = fabs(sum);
        for (int64_t t = 0; t < kh * kw; t++) {
            int64_t iy = py * stride - w->op->pad[0] + t / kw;
            int64_t ix = px * stride - w->op->pad[1] + t % kw;
            if (w->op->wrap & WRAP_Y)
                iy = (iy + h) % h;
            if (w->op->wrap & WRAP_X)
                ix = (ix + wd) % wd;
            if (iy < 0 || iy >= h || ix < 0 || ix >= wd)
                continue;
            const double *a = w->v[0] + ((image * h + iy) * wd + ix) * c;
            const double *b = w->v[1] + n * c * kh * kw + t;
            for (int64_t j = 0; j < c; j++) {
                sum += a[j] * b[j * kh * kw];
                mag += magnitude(w->op, a, j, c) * fabs(b[j * kh * kw]);
            }
        }
        w->out[i] = sum;
        w->slack[i] = mag;
    }
}

static void add(struct work *w)
{
    int64_t n = tensor_n(w->c->out), nb = tensor_n(w->c->src[1]);
    for (int64_t i = 0; i < n; i++) {
        double b = w->v[1][i % nb];
        w->out[i] = w->v[0][i] + b;
        w->slack[i] = fabs(w->v[0][i]) + fabs(b);
    }
}

static double gelu(double x)
{
    return x * 0.5 * (1 + erf(x * sqrt(0.5)));
}

static void leaky_relu(struct work *w)
{
    int64_t cols = tensor_n_cols(w->c->out);
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        double x = w->v[0][i], slope = w->v[1] ? w->v[1][i % cols] : (double)w->op->factor;
        w->out[i] = x < 0 ? x * slope : x + 0 * slope; /* a slope of NaN shows */
        w->slack[i] = fabs(x);
    }
}

static double unary(const struct op *op, double x)
{
    switch (op->kind) {
    case OP_SCALE:
        return x * (double)op->factor + (double)op->offset;
    case OP_SILU:
        return x / (1 + exp(-x));
    case OP_GELU:
        return gelu(x);
    case OP_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case OP_RELU:
        return x < 0 ? 0 : x;
    case OP_SOFT_CAP:
        return tanh(x / (double)op->factor) * (double)op->factor;
    default:
        return x;
    }
}

static void map(struct work *w)
{
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        w->out[i] = unary(w->op, w->v[0][i]);
        w->slack[i] = fabs(w->v[0][i]) + 1;
    }
}

static void geglu(struct work *w)
{
    int64_t n = tensor_n_cols(w->c->out);
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        double x = w->v[0][i / n * 2 * n + i % n], gate = w->v[0][i / n * 2 * n + n + i % n];
        w->out[i] = x * gelu(gate);
        w->slack[i] = fabs(x * gate);
    }
}

/* Mean and variance of `rows` x `cols` elements, a row every `stride`. */
static void moments_of(const double *x, int64_t n, int64_t stride, int64_t cols, double m[2])
{
    m[0] = m[1] = 0;
    for (int64_t i = 0; i < n; i++)
        m[0] += x[i / cols * stride + i % cols] / (double)n;
    for (int64_t i = 0; i < n; i++)
        m[1] += pow(x[i / cols * stride + i % cols] - m[0], 2) / (double)n;
}

/* Normalises `rows` x `cols` elements, a row of `stride` channels (0: just one row); with
 * these moments or, for NULL, their own. */
static void normalise(struct work *w, int64_t first, int64_t n_rows, int64_t stride, int64_t cols,
                      const double *given)
{
    const double *x = w->v[0] + first;
    double own[2];
    moments_of(x, n_rows * cols, stride, cols, own);
    const double *m = given ? given : own;
    double mean = m[0], inv = 1 / sqrt(m[1] + (double)w->op->eps);
    for (int64_t i = 0; i < n_rows * cols; i++) {
        int64_t at = i / cols * stride + i % cols, c = (stride ? first % stride : 0) + i % cols;
        double scale = w->v[1] ? w->v[1][c] : 1, shift = w->v[2] ? w->v[2][c] : 0;
        double y = (x[at] - mean) * inv * scale + shift;
        w->out[first + at] = w->op->silu ? y / (1 + exp(-y)) : y;
        w->slack[first + at] = (fabs(x[at]) + fabs(mean)) * inv * fabs(scale) + fabs(shift);
    }
}

static void layernorm(struct work *w)
{
    int64_t cols = tensor_n_cols(w->c->out);
    for (int64_t r = 0; r < tensor_n_rows(w->c->out); r++)
        normalise(w, r * cols, 1, 0, cols, NULL);
}

static void groupnorm(struct work *w)
{
    int64_t channels = tensor_n_cols(w->c->out), samples = w->c->out->dim[0];
    int64_t pixels = tensor_n_rows(w->c->out) / samples, groups = w->op->n_group;
    int64_t size = channels / groups;
    for (int64_t i = 0; i < samples * groups; i++) {
        int64_t at = i / groups * pixels * channels + i % groups * size;
        const double *given = w->v[3] ? w->v[3] + 2 * i : NULL;
        normalise(w, at, pixels, channels, size, given);
    }
}

static void moments(struct work *w)
{
    const struct tensor *x = w->c->src[0];
    int64_t channels = x->dim[3], groups = w->op->n_group, size = channels / groups;
    int64_t rows = x->dim[1] - w->op->pad[0] - w->op->pad[2];
    for (int64_t i = 0; i < x->dim[0] * groups; i++) {
        int64_t row = i / groups * x->dim[1] + w->op->pad[0];
        const double *first = w->v[0] + row * x->dim[2] * channels + i % groups * size;
        moments_of(first, rows * x->dim[2] * size, channels, size, w->out + 2 * i);
        w->slack[2 * i] = fabs(w->out[2 * i]);
        for (int64_t k = 0; k < rows * x->dim[2] * size; k++) /* of squares from any pixel */
            w->slack[2 * i + 1] += 8 * pow(first[k / size * channels + k % size] - first[0], 2) /
                                   (double)(rows * x->dim[2] * size);
    }
}

/* One query of one head: d values at q, keys and values `stride` elements apart. */
static void attend(struct work *w, int64_t q, int64_t first, int64_t n, int64_t stride, int64_t d)
{
    double *p = mem_alloc((size_t)n * sizeof(*p)), max = -INFINITY, sum = 0, size = 0;
    for (int64_t t = 0; t < n; t++) {
        double s = 0, mag = 0;
        for (int64_t i = 0; i < d; i++) {
            s += w->v[0][q + i] * w->v[1][first + t * stride + i];
            mag += fabs(w->v[0][q + i] * w->v[1][first + t * stride + i]);
        }
        p[t] = s / sqrt((double)d);
        max = p[t] > max ? p[t] : max;
        size = mag > size ? mag : size;
    }
    for (int64_t t = 0; t < n; t++)
        sum += p[t] = exp(p[t] - max);
    for (int64_t i = 0; i < d; i++) {
        double y = 0, mag = 0;
        for (int64_t t = 0; t < n; t++) {
            y += p[t] / sum * w->v[2][first + t * stride + i];
            mag += p[t] / sum * fabs(w->v[2][first + t * stride + i]);
        }
        w->out[q + i] = y;
        w->slack[q + i] = mag * (1 + 0.1 * size / sqrt((double)d)); /* errors of the scores */
    }
    free(p);
}

static void attention(struct work *w)
{
    const struct tensor *q = w->c->src[0], *k = w->c->src[1];
    int64_t heads = w->op->n_head, d = q->dim[2] / heads, tq = q->dim[1], tk = k->dim[1];
    for (int64_t i = 0; i < q->dim[0] * tq * heads; i++) {
        int64_t h = i % heads, t = i / heads % tq, s = i / heads / tq;
        int64_t n = w->op->causal && t + 1 < tk ? t + 1 : tk;
        attend(w, i * d, (s * tk * heads + h) * d, n, heads * d, d);
    }
}

static void upsample(struct work *w)
{
    const struct tensor *x = w->c->src[0], *out = w->c->out;
    int64_t c = x->dim[3], h = out->dim[1], width = out->dim[2];
    for (int64_t i = 0; i < tensor_n(out); i++) {
        int64_t p = i / c, image = p / width / h;
        int64_t py = p / width % h * x->dim[1] / h, px = p % width * x->dim[2] / width;
        w->out[i] = w->v[0][((image * x->dim[1] + py) * x->dim[2] + px) * c + i % c];
    }
}

static void shuffle(struct work *w)
{
    bool grow = w->op->kind == OP_PIXEL_SHUFFLE;
    const struct tensor *x = w->c->src[0], *large = grow ? w->c->out : x;
    int64_t r = w->op->stride, c = large->dim[3], width = large->dim[2], h = large->dim[1];
    for (int64_t i = 0; i < tensor_n(large); i++) {
        int64_t k = i % c, col = i / c % width, row = i / c / width % h, n = i / c / width / h;
        int64_t pixel = (n * (h / r) + row / r) * (width / r) + col / r;
        int64_t at = (pixel * c + k) * r * r + row % r * r + col % r;
        w->out[grow ? i : at] = w->v[0][grow ? at : i];
    }
}

static void concat(struct work *w)
{
    int64_t na = tensor_n_cols(w->c->src[0]), nb = tensor_n_cols(w->c->src[1]);
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        int64_t r = i / (na + nb), c = i % (na + nb);
        w->out[i] = c < na ? w->v[0][r * na + c] : w->v[1][r * nb + c - na];
    }
}

static void rmsnorm(struct work *w)
{
    int64_t cols = tensor_n_cols(w->c->out);
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        const double *x = w->v[0] + i / cols * cols;
        double mean = 0;
        for (int64_t k = 0; k < cols; k++)
            mean += x[k] * x[k] / (double)cols;
        w->out[i] = x[i % cols] / sqrt(mean + (double)w->op->eps) *
                    (w->v[1] ? w->v[1][i % cols] : 1);
        w->slack[i] = fabs(w->out[i]);
    }
}

static void rope_angles(struct work *w)
{
    int64_t pairs = w->c->src[1]->dim[0];
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        double angle = w->v[0][i / (2 * pairs)] * w->v[1][i % pairs];
        double factor = (double)w->op->factor;
        w->out[i] = factor * (i % (2 * pairs) < pairs ? cos(angle) : sin(angle));
        w->slack[i] = factor;
    }
}

static void rope(struct work *w)
{
    int64_t cols = w->c->out->dim[1], d = cols / w->op->n_head, n_rot = w->c->src[1]->dim[1];
    int64_t pairs = n_rot / 2;
    bool interleaved = w->op->interleaved;
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        int64_t at = i % cols % d, pair = interleaved ? at / 2 : at % pairs;
        bool second = interleaved ? at % 2 == 1 : at >= pairs;
        const double *head = w->v[0] + i - at, *turn = w->v[1] + i / cols * n_rot;
        w->out[i] = w->v[0][i];
        if (at >= n_rot)
            continue;
        double x = head[interleaved ? 2 * pair : pair];
        double y = head[interleaved ? 2 * pair + 1 : pairs + pair];
        double c = turn[pair], s = turn[pairs + pair];
        w->out[i] = second ? x * s + y * c : x * c - y * s;
        w->slack[i] = fabs(x) + fabs(y);
    }
}

static double glu_of(enum glu kind, double g, double u)
{
    switch (kind) {
    case GLU_SILU:
        return g / (1 + exp(-g)) * u;
    case GLU_GELU_TANH:
        return g / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g))) * u;
    default:
        g = g > 7 ? 7 : g;
        u = u > 7 ? 7 : u < -7 ? -7 : u;
        return g / (1 + exp(-1.702 * g)) * (u + 1);
    }
}

static void glu(struct work *w)
{
    int64_t n = tensor_n_cols(w->c->out);
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        int64_t both = i / n * 2 * n + i % n;
        double g = w->v[1] ? w->v[0][i] : w->v[0][both],
               u = w->v[1] ? w->v[1][i] : w->v[0][both + n];
        w->out[i] = glu_of(w->op->glu, g, u);
        w->slack[i] = (fabs(g) + 1) * (fabs(u) + 1);
    }
}

static void top_k(struct work *w)
{
    int64_t n = w->c->src[0]->dim[1], k = w->c->out->dim[1];
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        const double *x = w->v[0] + i / k * n;
        for (int64_t a = 0; a < n; a++) { /* the one with i % k others before it */
            int64_t before = 0;
            for (int64_t b = 0; b < n; b++)
                before += isnan(x[a]) ? isnan(x[b]) && b < a
                                      : isnan(x[b]) || x[b] > x[a] || (x[b] == x[a] && b < a);
            if (before == i % k)
                w->out[i] = (double)a;
        }
    }
}

static void gates(struct work *w)
{
    int64_t n = w->c->src[0]->dim[1], k = w->c->out->dim[1];
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        const double *x = w->v[0] + i / k * n, *ids = w->v[1] + i / k * k;
        double sum = 0;
        for (int64_t j = 0; j < (w->op->norm ? k : n); j++)
            sum += exp(x[w->op->norm ? (int64_t)ids[j] : j]);
        w->slack[i] = w->out[i] = exp(x[(int64_t)ids[i % k]]) / sum;
    }
}

static void experts(struct work *w)
{
    const struct tensor *x = w->c->src[0], *m = w->c->src[2];
    int64_t n = m->dim[1], k = m->dim[2], used = w->c->src[1]->dim[1];
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        int64_t slot = i / n, expert = (int64_t)w->v[1][slot];
        const double *a = w->v[0] + (x->n_dim == 3 ? slot : slot / used) * k;
        const double *b = w->v[2] + (expert * n + i % n) * k;
        double bias = w->v[3] ? w->v[3][expert * n + i % n] : 0;
        w->out[i] = bias;
        w->slack[i] = fabs(bias);
        for (int64_t j = 0; j < k; j++) {
            w->out[i] += a[j] * b[j];
            w->slack[i] += fabs(a[j] * b[j]);
        }
    }
}

static void mix(struct work *w)
{
    int64_t n = w->c->out->dim[1], used = w->c->src[1]->dim[1];
    for (int64_t i = 0; i < tensor_n(w->c->out); i++) {
        w->out[i] = w->v[2] ? w->v[2][i] : 0;
        w->slack[i] = fabs(w->out[i]);
        for (int64_t j = 0; j < used; j++) {
            double x = w->v[0][(i / n * used + j) * n + i % n] * w->v[1][i / n * used + j];
            w->out[i] += x;
            w->slack[i] += fabs(x);
        }
    }
}

void op_reference_init(struct op_reference *r, const struct op_case *c)
{
    static void (*const functions[N_OP])(struct work *) = {
        [OP_ROWS] = rows,
        [OP_LINEAR] = conv,
        [OP_CONV2D] = conv,
        [OP_ADD] = add,
        [OP_SCALE] = map,
        [OP_SILU] = map,
        [OP_GELU] = map,
        [OP_QUICK_GELU] = map,
        [OP_RELU] = map,
        [OP_LEAKY_RELU] = leaky_relu,
        [OP_SOFT_CAP] = map,
        [OP_GEGLU] = geglu,
        [OP_LAYERNORM] = layernorm,
        [OP_GROUPNORM] = groupnorm,
        [OP_MOMENTS] = moments,
        [OP_ATTENTION] = attention,
        [OP_UPSAMPLE] = upsample,
        [OP_PIXEL_SHUFFLE] = shuffle,
        [OP_PIXEL_UNSHUFFLE] = shuffle,
        [OP_CONCAT] = concat,
        [OP_CAST] = map,
        [OP_RMSNORM] = rmsnorm,
        [OP_ROPE_ANGLES] = rope_angles,
        [OP_ROPE] = rope,
        [OP_GLU] = glu,
        [OP_TOP_K] = top_k,
        [OP_GATES] = gates,
        [OP_EXPERTS] = experts,
        [OP_MIX] = mix,
    };
    r->n = tensor_n(c->out);
    r->out = mem_alloc((size_t)r->n * sizeof(*r->out));
    r->slack = mem_alloc((size_t)r->n * sizeof(*r->slack));
    struct work w = {.c = c, .op = c->op, .out = r->out, .slack = r->slack};
    for (int i = 0; i < OP_MAX_SRC; i++)
        w.v[i] = c->src[i] ? op_reference_values(c->src[i]) : NULL;
    functions[c->op->kind](&w);
    for (int i = 0; i < OP_MAX_SRC; i++)
        free((double *)(uintptr_t)w.v[i]);
}

void op_reference_release(struct op_reference *r)
{
    free(r->out);
    free(r->slack);
}

double op_reference_tolerance(const struct op_reference *r, const struct op_case *c, int64_t i)
{
    enum op_kind kind = c->op->kind;
    bool product = kind == OP_LINEAR || kind == OP_CONV2D || kind == OP_ATTENTION ||
                   kind == OP_EXPERTS;
    bool exact = kind == OP_ROWS || kind == OP_UPSAMPLE || kind == OP_CONCAT || kind == OP_CAST ||
                 kind == OP_PIXEL_SHUFFLE || kind == OP_PIXEL_UNSHUFFLE || kind == OP_TOP_K;
    double f32 = exact ? 0 : product ? 1e-5 : 1e-6;
    double tolerance = f32 * (r->slack[i] + fabs(r->out[i])) + 1e-30;
    if (c->out->type == DTYPE_BF16)
        tolerance += 0x1p-8 * 1.01 * fabs(r->out[i]);
    if (c->out->type == DTYPE_BF16 && product &&
        c->src[kind == OP_EXPERTS ? 2 : 1]->type != DTYPE_BF16)
        tolerance += 0x1p-8 * 1.01 * r->slack[i];
    if (c->op->fast) /* activations and weights in bf16, or activations of -127 .. 127 */
        tolerance += 0x1p-8 * 1.01 * r->slack[i];
    if (c->out->type == DTYPE_BF16 && kind == OP_ATTENTION)
        tolerance += 0x1p-8 * 1.01 * r->slack[i];
    return tolerance;
}
