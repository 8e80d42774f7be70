/* hires.c - see hires.h. */
#include "pipeline/hires.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/picture.h"
#include "format/resize.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"
#include "pipeline/upscale.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name, *label;
} kinds[N_HIRES] = {
    [HIRES_LATENT] = {"latent", "Latent"},
    [HIRES_LATENT_NEAREST] = {"latent-nearest", "Latent (nearest)"},
    [HIRES_LATENT_BICUBIC] = {"latent-bicubic", "Latent (bicubic)"},
    [HIRES_LANCZOS] = {"lanczos", "Lanczos"},
};

enum hires_kind hires_parse(const char *name)
{
    for (int i = 0; i < HIRES_NETWORK; i++)
        if (strcasecmp(name, kinds[i].name) == 0 || strcasecmp(name, kinds[i].label) == 0)
            return (enum hires_kind)i;
    return N_HIRES;
}

const char *hires_name(enum hires_kind kind)
{
    return kinds[kind].name;
}

const char *hires_label(enum hires_kind kind)
{
    return kinds[kind].label;
}

/* ---- latents ---- */

#define TAPS 4

/* What one row or column of the result is made of. */
struct taps {
    int at[TAPS];
    double weight[TAPS];
};

/* Cubic convolution with a = -0.75, as torch has it. */
static double cubic(double x)
{
    const double a = -0.75;
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* Pixel centres are at halves; align_corners=False. */
static struct taps taps_of(enum hires_kind kind, int i, int n, int n_out, bool wraps)
{
    struct taps t = {{0}, {0}};
    double x = (i + 0.5) * n / n_out - 0.5, low = floor(x);
    for (int k = 0; k < TAPS; k++) {
        double d = x - (low + k - 1);
        t.weight[k] = kind == HIRES_LATENT_BICUBIC   ? cubic(d)
                      : kind == HIRES_LATENT_NEAREST ? (k == 1 ? 1 : 0)
                                                     : fmax(0, 1 - fabs(d));
        int at = kind == HIRES_LATENT_NEAREST ? (int)((int64_t)i * n / n_out) : (int)low + k - 1;
        at = wraps ? ((at % n) + n) % n : at;
        t.at[k] = at < 0 ? 0 : at >= n ? n - 1 : at;
    }
    return t;
}

void hires_interpolate(const struct hires_latent *x, enum hires_kind kind, float *out)
{
    for (int i = 0; i < x->h_out; i++) {
        struct taps ty = taps_of(kind, i, x->h, x->h_out, x->wrap & WRAP_Y);
        for (int j = 0; j < x->w_out; j++) {
            struct taps tx = taps_of(kind, j, x->w, x->w_out, x->wrap & WRAP_X);
            for (int c = 0; c < x->c; c++) {
                double sum = 0;
                for (int k = 0; k < TAPS * TAPS; k++) {
                    size_t row = (size_t)ty.at[k / TAPS] * (size_t)x->w;
                    sum += ty.weight[k / TAPS] * tx.weight[k % TAPS] *
                           (double)
                               x->in[(row + (size_t)tx.at[k % TAPS]) * (size_t)x->c + (size_t)c];
                }
                *out++ = (float)sum;
            }
        }
    }
}

/* ---- the two drawings ---- */

/* The context of the first drawing's callbacks. */
struct hires {
    struct image_model *m;
    struct backend *b;
    const struct imagine_request *r;
    int picture; /* the second drawing's, among the request's */
    struct err *e;
};

static int on_progress(const struct imagine_progress *p, void *ctx)
{
    const struct hires *x = ctx;
    return x->r->on_progress ? x->r->on_progress(p, x->r->ctx) : 0;
}

static int on_second_progress(const struct imagine_progress *p, void *ctx)
{
    const struct hires *x = ctx;
    struct imagine_progress own = *p;
    own.picture = x->picture;
    own.n_pictures = x->r->n_pictures;
    return x->r->on_progress ? x->r->on_progress(&own, x->r->ctx) : 0;
}

static int on_preview(const struct picture *p, int step, void *ctx)
{
    const struct hires *x = ctx;
    return x->r->on_preview(p, step, x->r->ctx);
}

static void on_second_latent(const float *latent, int step, void *ctx)
{
    const struct hires *x = ctx;
    x->r->on_latent(latent, step, x->r->ctx);
}

static int on_second_picture(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    const struct hires *x = ctx;
    (void)i;
    return x->r->on_picture ? x->r->on_picture(p, x->picture, seed, x->r->ctx) : 0;
}

static int large(int side, double scale, int factor)
{
    return (int)lrint(side * scale / factor) * factor;
}

/* Draws again, from a latent or a picture of the large size. */
static int again(struct hires *x, int i, const float *latent, const struct picture *image)
{
    const struct imagine_hires *h = &x->r->hires;
    int factor = image_model_factor(x->m);
    struct imagine_seeds seeds = imagine_seeds(x->r, i);
    struct imagine_request second = *x->r;
    second.hires = (struct imagine_hires){0};
    second.width = large(x->r->width, h->scale, factor);
    second.height = large(x->r->height, h->scale, factor);
    second.latent = latent;
    second.image = image;
    second.strength = h->strength;
    if (h->steps) {
        second.steps = h->steps;
        second.sigmas = NULL;
    }
    second.n_pictures = 1;
    second.seeds = NULL;
    second.seed = seeds.seed;
    second.variation = seeds.variation;
    second.on_progress = on_second_progress;
    second.on_picture = on_second_picture;
    second.on_preview = x->r->on_preview ? on_preview : NULL;
    second.on_latent = x->r->on_latent ? on_second_latent : NULL;
    second.ctx = x;
    x->picture = i;
    return imagine(x->m, x->b, &second, x->e);
}

static int on_drawn(const float *latent, int i, void *ctx)
{
    struct hires *x = ctx;
    const struct imagine_request *r = x->r;
    int factor = image_model_factor(x->m);
    struct hires_latent l = {.in = latent,
                             .h = r->height / factor,
                             .w = r->width / factor,
                             .c = (int)x->m->unet.n_out,
                             .h_out = large(r->height, r->hires.scale, factor) / factor,
                             .w_out = large(r->width, r->hires.scale, factor) / factor,
                             .wrap = r->wrap};
    size_t n = (size_t)l.h_out * (size_t)l.w_out * (size_t)l.c;
    float *enlarged = mem_try_array(n, sizeof(*enlarged), "the enlarged latent", x->e);
    if (!enlarged)
        return ERR_NOMEM;
    hires_interpolate(&l, r->hires.kind, enlarged);
    int rc = again(x, i, enlarged, NULL);
    free(enlarged);
    return rc;
}

static int on_picture(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct hires *x = ctx;
    const struct imagine_request *r = x->r;
    struct picture by_network = {0}, fitted = {0};
    int rc = 0, factor = image_model_factor(x->m);
    (void)seed;
    if (r->hires.kind == HIRES_NETWORK) {
        struct upscale_request u = {.picture = p, .precision = r->precision, .cancel = r->cancel};
        rc = upscale(r->hires.network, x->b, &u, &by_network, x->e);
    }
    if (!rc)
        rc = picture_resize(by_network.data ? &by_network : p,
                            large(r->width, r->hires.scale, factor),
                            large(r->height, r->hires.scale, factor), &fitted, x->e);
    picture_release(&by_network);
    if (!rc)
        rc = again(x, i, NULL, &fitted);
    picture_release(&fitted);
    return rc;
}

int hires_imagine(struct image_model *m, struct backend *b, const struct imagine_request *r,
                  struct err *e)
{
    const struct imagine_hires *h = &r->hires;
    struct hires x = {.m = m, .b = b, .r = r, .e = e};
    struct imagine_request first = *r;
    if (!(h->scale > 1 && h->scale <= HIRES_MAX_SCALE))
        return err_set(e, ERR_ARG, "hires scale %g: must be above 1 and at most %d", h->scale,
                       HIRES_MAX_SCALE);
    if (!(h->strength > 0 && h->strength <= 1) || h->steps < 0)
        return err_set(e, ERR_ARG, "hires strength %g, steps %d: must be above 0, strength to 1",
                       h->strength, h->steps);
    if (r->mask)
        return err_set(e, ERR_ARG,
                       "a masked picture keeps its size; leave out hires, or draw the mask's area");
    first.hires = (struct imagine_hires){0};
    first.on_progress = on_progress;
    first.on_preview = r->on_preview ? on_preview : NULL;
    first.on_drawn = h->kind < HIRES_LANCZOS ? on_drawn : NULL;
    first.on_picture = on_picture;
    first.on_latent = NULL;
    first.ctx = &x;
    return imagine(m, b, &first, e);
}
