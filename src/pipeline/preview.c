/* preview.c - see preview.h. */
#include "pipeline/preview.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "format/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PATCH  4 /* latents of the same value, so that the middle ones see no other */
#define SIDE   6 /* patches per side of what is decoded for the fit */
#define LATENT (PATCH * SIDE)

/* ---- a tiny decoder of its own ---- */

static int open_file(struct preview_decoder **out, const char *path, struct err *e)
{
    struct preview_decoder *d = mem_alloc(sizeof(*d));
    int rc = checkpoint_open(&d->file, path, e);
    if (!rc)
        rc = taesd_open(&d->taesd, d->file, e);
    if (!rc && !d->taesd.decoder.n_layer)
        rc = err_set(e, ERR_FORMAT, "%s: has no decoder", path);
    if (rc)
        preview_decoder_close(d);
    else
        *out = d;
    return rc;
}

/* The first of the usual names in the folder of the model; heap, NULL when there is none. */
static char *beside(const struct image_model *m)
{
    static const char *const ends[] = {".safetensors", "_decoder.safetensors", ""};
    const char *path = checkpoint_path(m->file);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char *found = mem_printf("%.*s%s%s", (int)n, path,
                                 m->family == IMAGE_SDXL ? "taesdxl" : "taesd", ends[i]);
        if (file_exists(found))
            return found;
        free(found);
    }
    return NULL;
}

int preview_decoder_open(struct preview_decoder **d, const struct image_model *m, const char *path,
                         struct err *e)
{
    *d = NULL;
    char *found = path ? mem_strdup(path) : beside(m);
    int rc = found ? open_file(d, found, e) : 0;
    if (!rc && *d &&
        ((*d)->taesd.n_latent != m->unet.n_out || (*d)->taesd.factor != image_model_factor(m))) {
        rc = err_set(e, ERR_FORMAT, "%s: is a tiny autoencoder of another kind of model", found);
        preview_decoder_close(*d);
        *d = NULL;
    }
    free(found);
    return rc;
}

void preview_decoder_close(struct preview_decoder *d)
{
    if (!d)
        return;
    taesd_close(&d->taesd);
    checkpoint_close(d->file);
    free(d);
}

/* ---- the linear map ---- */

/* Solves a x = b, [n][n] and [n][3], in place by Gauss with pivots; false when a is singular. */
static bool solve(double (*a)[IMAGE_MAX_LATENT + 1], double (*b)[3], int n)
{
    for (int i = 0; i < n; i++) {
        int best = i;
        for (int r = i + 1; r < n; r++)
            best = fabs(a[r][i]) > fabs(a[best][i]) ? r : best;
        if (!(fabs(a[best][i]) > 1e-9))
            return false;
        for (int k = 0; k < n; k++) {
            double swap = a[i][k];
            a[i][k] = a[best][k];
            a[best][k] = swap;
        }
        for (int k = 0; k < 3; k++) {
            double swap = b[i][k];
            b[i][k] = b[best][k];
            b[best][k] = swap;
        }
        for (int r = 0; r < n; r++) {
            double f = r == i ? 0 : a[r][i] / a[i][i];
            for (int k = i; k < n; k++)
                a[r][k] -= f * a[i][k];
            for (int k = 0; k < 3; k++)
                b[r][k] -= f * b[i][k];
        }
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 3; k++)
            b[i][k] /= a[i][i];
    return true;
}

int preview_fit(const float *z, const float *rgb, size_t n, int c, float (*map)[3], struct err *e)
{
    double a[IMAGE_MAX_LATENT + 1][IMAGE_MAX_LATENT + 1] = {{0}};
    double b[IMAGE_MAX_LATENT + 1][3] = {{0}};
    for (size_t i = 0; i < n; i++)
        for (int r = 0; r <= c; r++) {
            double zr = r < c ? (double)z[i * (size_t)c + (size_t)r] : 1;
            for (int k = 0; k <= c; k++)
                a[r][k] += zr * (k < c ? (double)z[i * (size_t)c + (size_t)k] : 1);
            for (int k = 0; k < 3; k++)
                b[r][k] += zr * (double)rgb[3 * i + (size_t)k];
        }
    if (!solve(a, b, c + 1))
        return err_set(e, ERR_NUMERIC, "the VAE's colours do not depend on its latents");
    for (int r = 0; r <= c; r++)
        for (int k = 0; k < 3; k++)
            map[r][k] = (float)b[r][k];
    return 0;
}

/* Decodes patches of random values, normal as latents are, and fits their middles. */
static int fit_model(struct image_model *m, struct backend *b, const struct preview_options *o,
                     struct err *e)
{
    int c = (int)m->unet.n_out, factor = image_model_factor(m);
    float patches[SIDE * SIDE * IMAGE_MAX_LATENT], rgb[SIDE * SIDE * 3] = {0};
    float *latent = mem_alloc(LATENT * LATENT * (size_t)c * sizeof(*latent));
    struct picture p = {0};
    struct codec codec = {0};
    struct rng_philox rng;
    rng_philox_init(&rng, 0); /* the same for ever */
    rng_philox_normal(&rng, patches, (size_t)(SIDE * SIDE * c));
    for (int y = 0; y < LATENT; y++)
        for (int x = 0; x < LATENT; x++)
            memcpy(latent + (y * LATENT + x) * c, patches + (y / PATCH * SIDE + x / PATCH) * c,
                   (size_t)c * sizeof(*latent));
    struct codec_options decoder = {LATENT, LATENT, o->precision, WRAP_NONE};
    int rc = codec_init(&codec, m, &decoder, e);
    if (!rc)
        rc = codec_decode(&codec, b, latent, o->cancel, &p, e);
    int begin = (PATCH / 2 - 1) * factor, side = 2 * factor; /* the middle of a patch, in pixels */
    for (int i = 0; !rc && i < SIDE * SIDE; i++)
        for (int k = 0; k < side * side; k++) {
            int x = i % SIDE * PATCH * factor + begin + k % side;
            int y = i / SIDE * PATCH * factor + begin + k / side;
            for (int j = 0; j < 3; j++)
                rgb[3 * i + j] += (float)p.data[(y * p.width + x) * 3 + j] / (float)(side * side);
        }
    if (!rc)
        rc = preview_fit(patches, rgb, SIDE * SIDE, c, m->preview_map, e);
    m->has_preview_map = !rc;
    picture_release(&p);
    codec_release(&codec);
    free(latent);
    return rc;
}

static int project(const struct preview *p, struct picture *out, struct err *e)
{
    int h = p->h / p->shrink, w = p->w / p->shrink, c = (int)p->m->unet.n_out;
    const float(*map)[3] = (const float(*)[3])p->m->preview_map;
    int rc = picture_alloc(out, w, h, 3, "the preview", e);
    for (int i = 0; !rc && i < h * w; i++)
        for (int k = 0; k < 3; k++) {
            float v = map[c][k];
            for (int j = 0; j < c; j++)
                v += map[j][k] * p->small[i * c + j];
            out->data[3 * i + k] = (unsigned char)(v > 0 ? v < 255 ? rintf(v) : 255 : 0);
        }
    return rc;
}

/* ---- any of them ---- */

int preview_init(struct preview *p, struct image_model *m, struct backend *b,
                 const struct preview_options *o, struct err *e)
{
    const struct taesd *taesd = o->taesd ? o->taesd : m->tiny_vae ? &m->taesd : NULL;
    int longer = (o->h > o->w ? o->h : o->w) * image_model_factor(m);
    *p = (struct preview){.m = m,
                          .b = b,
                          .cancel = o->cancel,
                          .h = o->h,
                          .w = o->w,
                          .shrink = (longer + PREVIEW_SIDE - 1) / PREVIEW_SIDE,
                          .share = o->share};
    if (p->shrink > o->h || p->shrink > o->w)
        p->shrink = 1; /* a strip */
    if (m->unet.n_out > IMAGE_MAX_LATENT)
        return err_set(e, ERR_UNSUPPORTED, "no previews for latents of %d channels",
                       (int)m->unet.n_out);
    int h = p->h / p->shrink, w = p->w / p->shrink;
    p->small = mem_try_array((size_t)h * (size_t)w * (size_t)m->unet.n_out, sizeof(*p->small),
                             "the preview", e);
    if (!p->small)
        return ERR_NOMEM;
    if (!taesd)
        return m->has_preview_map ? 0 : fit_model(m, b, o, e);
    p->tiny.taesd = *taesd;
    p->tiny.tiny_vae = true;
    p->tiny.unet.n_out = m->unet.n_out;
    return codec_init(&p->codec, &p->tiny, &(struct codec_options){h, w, o->precision, WRAP_NONE},
                      e);
}

void preview_release(struct preview *p)
{
    codec_release(&p->codec);
    free(p->small);
    *p = (struct preview){0};
}

bool preview_due(const struct preview *p)
{
    return p->share <= 0 || clock_seconds() >= p->next;
}

static void shrink(struct preview *p, const float *latent)
{
    int k = p->shrink, h = p->h / k, w = p->w / k, c = (int)p->m->unet.n_out;
    for (int i = 0; i < h * w * c; i++) {
        int x = i / c % w * k, y = i / c / w * k;
        float sum = 0;
        for (int j = 0; j < k * k; j++)
            sum += latent[((y + j / k) * p->w + x + j % k) * c + i % c];
        p->small[i] = sum / (float)(k * k);
    }
}

int preview_make(struct preview *p, const float *latent, struct picture *out, struct err *e)
{
    struct picture small = {0};
    double start = clock_seconds();
    shrink(p, latent);
    *out = (struct picture){0};
    int rc;
    if (p->tiny.tiny_vae) {
        rc = codec_decode(&p->codec, p->b, p->small, p->cancel, out, e);
    } else {
        int factor = image_model_factor(p->m);
        rc = project(p, &small, e);
        if (!rc)
            rc = picture_resize(&small, small.width * factor, small.height * factor, out, e);
        picture_release(&small);
    }
    if (p->share > 0)
        p->next = clock_seconds() + (clock_seconds() - start) * (1 / p->share - 1);
    return rc;
}
