/* control.c - see control.h. */
#include "pipeline/control.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/canny.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "format/resize.h"
#include "pipeline/cancel.h"
#include "pipeline/image_model.h"
#include "pipeline/memory.h"
#include "tensor/tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int check(const struct imagine_control *x, struct err *e)
{
    const char *path = checkpoint_path(x->file);
    if (!isfinite(x->weight))
        return err_set(e, ERR_ARG, "%s: the weight must be a number", path);
    if (!(x->start >= 0 && x->start < x->end && x->end <= 1))
        return err_set(e, ERR_ARG,
                       "%s: acts from %g to %g; both are parts of the steps, 0 <= start < end <= 1",
                       path, x->start, x->end);
    if (x->canny && !(x->low >= 0 && x->low <= x->high && x->high <= CANNY_MAX))
        return err_set(e, ERR_ARG, "%s: canny's thresholds %d and %d: 0 <= low <= high <= %d", path,
                       x->low, x->high, CANNY_MAX);
    return 0;
}

/* The net's picture at the size drawn. */
static int prepare(const struct control_request *r, const struct imagine_control *x,
                   struct picture *out, struct err *e)
{
    int factor = image_model_factor(r->m);
    int rc = picture_fit(x->picture, r->w * factor, r->h * factor, out, e);
    if (rc)
        return rc;
    picture_flatten(out);
    return x->canny ? picture_canny(out, x->low, x->high, e) : 0;
}

/* Samples as [0, 1], in the order of channels that the net was trained with. */
static void fill_picture(const struct picture *p, bool bgr, float *out)
{
    size_t n = (size_t)p->width * (size_t)p->height;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < 3; k++)
            out[3 * i + k] = (float)p->data[3 * i + (bgr ? 2 - k : k)] / 255;
}

/* Runs the embedding of the picture and keeps it as `hint`. */
static int make_hint(struct control_net *x, struct backend *b, const struct control_request *r,
                     const struct picture *p, struct err *e)
{
    struct tape *t = tape_new(r->precision);
    int64_t dim[4] = {1, p->height, p->width, 3};
    tape_wrap(t, r->wrap);
    struct tensor *in = tape_input(t, DTYPE_F32, "picture", 4, dim);
    struct tensor *out = tape_keep(t, op_cast(t, controlnet_hint(t, &x->net, in), DTYPE_F32));
    int rc = memory_check(t, "the ControlNet's picture", e);
    if (!rc)
        rc = tape_plan(t, e);
    if (!rc && (out->dim[1] != r->h || out->dim[2] != r->w))
        rc = err_set(e, ERR_FORMAT, "%s: makes hints of %dx%d for latents of %dx%d",
                     checkpoint_path(x->r->file), (int)out->dim[2], (int)out->dim[1], r->w, r->h);
    if (!rc) {
        fill_picture(p, x->net.bgr, in->data);
        rc = cancel_run(t, b, r->cancel, e);
    }
    if (!rc) {
        x->hint = mem_try_array((size_t)tensor_n(out), sizeof(float), "the ControlNet's hint", e);
        rc = x->hint ? 0 : ERR_NOMEM;
    }
    if (!rc)
        memcpy(x->hint, out->data, tensor_size(out));
    tape_free(t);
    return rc;
}

int control_open(struct control *c, struct backend *b, const struct control_request *r,
                 struct err *e)
{
    int rc = 0;
    *c = (struct control){0};
    if (r->n > CONTROL_MAX)
        return err_set(e, ERR_ARG, "%d ControlNets; at most %d work together", r->n, CONTROL_MAX);
    for (int i = 0; !rc && i < r->n; i++) {
        struct control_net *x = &c->nets[c->n++];
        struct picture p = {0};
        x->r = &r->controls[i];
        rc = check(x->r, e);
        if (!rc)
            rc = controlnet_open(&x->net, x->r->file, e);
        if (!rc)
            rc = controlnet_check(&x->net, &r->m->unet, checkpoint_path(x->r->file), e);
        if (!rc && x->r->weight != 0)
            rc = prepare(r, x->r, &p, e);
        if (!rc && x->r->weight != 0)
            rc = make_hint(x, b, r, &p, e);
        picture_release(&p);
    }
    return rc;
}

void control_release(struct control *c)
{
    for (int i = 0; i < c->n; i++) {
        controlnet_close(&c->nets[i].net);
        free(c->nets[i].hint);
    }
    *c = (struct control){0};
}

unsigned control_all(const struct control *c)
{
    unsigned all = 0;
    for (int i = 0; i < c->n; i++)
        all |= c->nets[i].hint ? 1u << i : 0;
    return all;
}

unsigned control_active(const struct control *c, int step, int n_steps)
{
    unsigned active = control_all(c);
    for (int i = 0; i < c->n; i++)
        if ((double)step / n_steps < c->nets[i].r->start ||
            (double)(step + 1) / n_steps > c->nets[i].r->end)
            active &= ~(1u << i);
    return active;
}

const struct unet_skips *control_record(struct control *c, struct tape *t,
                                        const struct unet_input *in, unsigned active,
                                        struct unet_skips *sum)
{
    const struct tensor *x0 = in->x;
    sum->n = 0;
    c->latent = NULL;
    for (int i = 0; i < c->n; i++) {
        struct control_net *x = &c->nets[i];
        struct unet_input own = *in;
        x->in = NULL;
        if (!(active >> i & 1))
            continue;
        if (x->net.unet.n_in != x0->dim[3] && !c->latent)
            c->latent = tape_input(
                t, DTYPE_F32, "control latent", 4,
                (int64_t[]){x0->dim[0], x0->dim[1], x0->dim[2], x->net.unet.n_in});
        if (c->latent)
            own.x = c->latent;
        int64_t width = x->net.unet.conv_in.w->dim[0];
        own.hint = x->in = tape_constant(t, DTYPE_F32, "hint", 3,
                                         (int64_t[]){in->x->dim[1], in->x->dim[2], width});
        tape_push(t, "controlnet.%d", i);
        controlnet_forward(t, &x->net, &own, x->r->weight, sum);
        tape_pop(t);
    }
    return sum->n ? sum : NULL;
}

void control_fill(const struct control *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->nets[i].in)
            memcpy(c->nets[i].in->data, c->nets[i].hint, tensor_size(c->nets[i].in));
}

void control_latent(const struct control *c, const float *latent)
{
    if (!c->latent)
        return;
    size_t one = tensor_size(c->latent) / (size_t)c->latent->dim[0];
    for (int64_t i = 0; i < c->latent->dim[0]; i++)
        memcpy((char *)c->latent->data + (size_t)i * one, latent, one);
}
