/* inpaint.c - see inpaint.h. */
#include "pipeline/inpaint.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/resize.h"
#include "pipeline/codec.h"
#include "pipeline/image_model.h"
#include "pipeline/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool inpaint_wanted(const struct image_model *m, const struct picture *mask)
{
    return mask || m->unet.n_in != m->unet.n_out;
}

static size_t n_latent(const struct inpaint *p)
{
    return (size_t)p->h * (size_t)p->w * (size_t)p->c;
}

/* ---- the mask ---- */

static int crop(const struct picture *in, const struct mask_box *box, struct picture *out,
                struct err *e)
{
    size_t c = (size_t)in->channels, row = (size_t)box->width * c;
    int rc = picture_alloc(out, box->width, box->height, in->channels, "the mask's area", e);
    for (int y = 0; !rc && y < box->height; y++)
        memcpy(out->data + (size_t)y * row,
               in->data + ((size_t)(box->y + y) * (size_t)in->width + (size_t)box->x) * c, row);
    return rc;
}

/* Moves and limits begin .. begin + *length to 0 .. limit, as long as `wanted` where it fits. */
static int place(int begin, int *length, int wanted, int limit)
{
    wanted = wanted > limit ? limit : wanted;
    begin -= (wanted - *length) / 2;
    *length = wanted;
    return begin < 0 ? 0 : begin + wanted > limit ? limit - wanted : begin;
}

/* The box with padding around it, in the shape of the drawing as far as the picture reaches. */
static struct mask_box widen(struct mask_box b, int padding, const struct inpaint *p, double aspect)
{
    int limit_w = p->whole.width, limit_h = p->whole.height;
    b.x = place(b.x, &b.width, b.width + 2 * padding, limit_w);
    b.y = place(b.y, &b.height, b.height + 2 * padding, limit_h);
    if (b.width < b.height * aspect)
        b.x = place(b.x, &b.width, (int)ceil(b.height * aspect), limit_w);
    else
        b.y = place(b.y, &b.height, (int)ceil(b.width / aspect), limit_h);
    return b;
}

/* Cuts the mask's area out of p->whole and of `mask`, and scales it to the drawing. */
static int take_area(struct inpaint *p, struct picture *mask, const struct inpaint_request *x,
                     int width, int height, struct err *e)
{
    struct mask all = {0};
    struct picture part = {0}, part_mask = {0};
    int rc = mask_from_picture(&all, mask, e);
    if (!rc) {
        p->box = mask_bounds(&all);
        if (p->box.width)
            p->box = widen(p->box, x->padding, p, (double)width / height);
        else
            rc = err_set(e, ERR_ARG, "the mask is all black: nothing is to be drawn");
    }
    if (!rc)
        rc = crop(&p->whole, &p->box, &part, e);
    if (!rc)
        rc = picture_resize(&part, width, height, &p->source, e);
    if (!rc)
        rc = crop(mask, &p->box, &part_mask, e);
    mask_release(&all);
    picture_release(&part);
    picture_release(mask);
    *mask = part_mask;
    return rc;
}

static int copy(const struct picture *in, struct picture *out, struct err *e)
{
    return picture_resize(in, in->width, in->height, out, e);
}

/* Fills whole, source, box and seam; `cover` is the mask of the source's size. */
static int fit(struct inpaint *p, const struct inpaint_request *x, struct mask *cover,
               struct err *e)
{
    int factor = image_model_factor(x->m), width = p->w * factor, height = p->h * factor;
    struct picture mask = {0}, whole = {0}, scaled = {0};
    int rc = picture_resize(x->mask, x->image->width, x->image->height, &mask, e);
    if (!rc && x->area) {
        rc = copy(x->image, &p->whole, e);
        if (!rc)
            rc = take_area(p, &mask, x, width, height, e);
    } else if (!rc) {
        whole = mask;
        mask = (struct picture){0};
        rc = picture_fit(&whole, width, height, &mask, e);
        if (!rc)
            rc = picture_fit(x->image, width, height, &p->whole, e);
        if (!rc)
            rc = copy(&p->whole, &p->source, e);
        p->box = (struct mask_box){0, 0, width, height};
    }
    if (!rc)
        rc = mask_from_picture(&p->seam, &mask, e);
    if (!rc)
        rc = picture_resize(&mask, width, height, &scaled, e);
    if (!rc)
        rc = mask_from_picture(cover, &scaled, e);
    if (!rc && (!mask_bounds(cover).width || !mask_bounds(&p->seam).width))
        rc = err_set(e, ERR_ARG, "the mask is all black: nothing is to be drawn");
    if (!rc)
        rc = mask_feather(&p->seam, x->seam, e);
    picture_release(&mask);
    picture_release(&whole);
    picture_release(&scaled);
    return rc;
}

/* ---- opening ---- */

/* Mid-grey, which is nothing, where there is no picture to keep. */
static int encode_hidden(struct inpaint *p, struct backend *b, const struct inpaint_request *x,
                         const struct mask *cover, struct err *e)
{
    int factor = image_model_factor(x->m);
    struct picture blank = {0};
    struct mask all = {0};
    int rc = 0;
    if (!p->masked)
        rc = picture_alloc(&blank, p->w * factor, p->h * factor, 3, "the source", e);
    if (!rc && !p->masked) {
        memset(blank.data, 255, (size_t)blank.width * (size_t)blank.height * 3);
        rc = mask_from_picture(&all, &blank, e);
    }
    struct codec_encode c = {.m = x->m,
                             .picture = p->masked ? &p->source : &blank,
                             .hide = p->masked ? cover : &all,
                             .h = p->h,
                             .w = p->w,
                             .precision = x->precision,
                             .cancel = x->cancel,
                             .wrap = x->wrap};
    if (!rc)
        rc = codec_encode(&c, b, p->hidden, e);
    picture_release(&blank);
    mask_release(&all);
    return rc;
}

static int alloc(struct inpaint *p, struct err *e)
{
    p->mask = mem_try_array((size_t)p->h * (size_t)p->w, sizeof(float), "the mask", e);
    p->noise = mem_try_array(n_latent(p), sizeof(float), "the mask", e);
    p->kept = mem_try_array(n_latent(p), sizeof(float), "the mask", e);
    p->hidden = p->nine ? mem_try_array(n_latent(p), sizeof(float), "the mask", e) : NULL;
    return p->mask && p->noise && p->kept && (p->hidden || !p->nine) ? 0 : ERR_NOMEM;
}

int inpaint_open(struct inpaint *p, struct backend *b, const struct inpaint_request *x,
                 struct err *e)
{
    struct mask cover = {0};
    *p = (struct inpaint){.masked = x->mask != NULL,
                          .nine = x->m->unet.n_in != x->m->unet.n_out,
                          .h = x->h,
                          .w = x->w,
                          .c = (int)x->m->unet.n_out};
    int rc = alloc(p, e);
    if (!rc && p->masked)
        rc = fit(p, x, &cover, e);
    if (!rc && p->masked)
        mask_shrink(&cover, image_model_factor(x->m), p->mask);
    for (size_t i = 0; !rc && !p->masked && i < (size_t)p->h * (size_t)p->w; i++)
        p->mask[i] = 1;
    if (!rc && p->nine)
        rc = encode_hidden(p, b, x, &cover, e);
    mask_release(&cover);
    return rc;
}

void inpaint_release(struct inpaint *p)
{
    picture_release(&p->whole);
    picture_release(&p->source);
    mask_release(&p->seam);
    free(p->mask);
    free(p->hidden);
    free(p->noise);
    free(p->kept);
    *p = (struct inpaint){0};
}

/* ---- while drawing ---- */

int inpaint_begin(struct inpaint *p, const struct noise_options *o, struct err *e)
{
    struct noise noise = {0};
    if (!p->masked)
        return 0;
    int rc = noise_init(&noise, o, e);
    if (!rc)
        noise_fill(&noise, p->noise);
    noise_release(&noise);
    return rc;
}

void inpaint_keep(const struct inpaint *p, const struct sampler *s, const float *latent, float *x)
{
    if (!p->masked || p->nine)
        return;
    sampler_noised(s, latent, p->noise, p->kept);
    for (size_t i = 0; i < (size_t)p->h * (size_t)p->w; i++)
        if (p->mask[i] < 1)
            memcpy(x + i * (size_t)p->c, p->kept + i * (size_t)p->c, (size_t)p->c * sizeof(*x));
}

void inpaint_input(const struct inpaint *p, const float *x, float *in)
{
    size_t c = (size_t)p->c;
    for (size_t i = 0; i < (size_t)p->h * (size_t)p->w; i++, in += 2 * c + 1) {
        memcpy(in, x + i * c, c * sizeof(*in));
        in[c] = p->mask[i];
        memcpy(in + c + 1, p->hidden + i * c, c * sizeof(*in));
    }
}

/* ---- in the end ---- */

/* The drawing over the source with this much of it to be seen. Straight alpha. */
static void blend(unsigned char *out, const unsigned char *drawn, float share, int channels)
{
    double under = (1 - (double)share) * (channels == 4 ? out[3] / 255.0 : 1);
    double alpha = under + (double)share;
    for (int c = 0; c < 3 && alpha > 0; c++)
        out[c] = (unsigned char)lrint((drawn[c] * (double)share + out[c] * under) / alpha);
    if (channels == 4)
        out[3] = (unsigned char)lrint(alpha * 255);
}

int inpaint_paste(const struct inpaint *p, struct picture *drawn, struct err *e)
{
    const struct mask_box *box = &p->box;
    struct picture part = {0}, out = {0};
    if (!p->masked)
        return 0;
    int rc = picture_resize(drawn, box->width, box->height, &part, e);
    if (!rc)
        rc = copy(&p->whole, &out, e);
    for (int y = 0; !rc && y < box->height; y++)
        for (int x = 0; x < box->width; x++) {
            size_t at = (size_t)y * (size_t)box->width + (size_t)x;
            size_t to = (size_t)(box->y + y) * (size_t)out.width + (size_t)(box->x + x);
            if (p->seam.data[at] > 0)
                blend(out.data + to * (size_t)out.channels, part.data + at * (size_t)part.channels,
                      p->seam.data[at], out.channels);
        }
    picture_release(&part);
    if (!rc) {
        picture_release(drawn);
        *drawn = out;
    }
    return rc;
}
