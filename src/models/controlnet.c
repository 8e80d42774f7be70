/* controlnet.c - see controlnet.h. */
#include "models/controlnet.h"

#include "base/err.h"
#include "format/checkpoint.h"
#include "models/config.h"

#include <string.h>

static void load_hint(struct loader *l, struct controlnet *m, int64_t width)
{
    load_push(l, "controlnet_cond_embedding");
    conv_load(l, &m->hint_in, "conv_in", LOAD_ANY, 3, 3);
    int64_t n = m->hint_in.w ? m->hint_in.w->dim[0] : 0;
    m->n_hint = load_count(l, "blocks");
    if (m->n_hint % 2 || m->n_hint > 2 * UNET_MAX_BLOCK)
        load_fail(l, "%s has %d convolutions; an even number up to %d is supported", l->scope,
                  m->n_hint, 2 * UNET_MAX_BLOCK);
    for (int i = 0; i < m->n_hint && !load_done(l); i++) {
        char name[32];
        snprintf(name, sizeof(name), "blocks.%d", i);
        conv_load(l, &m->hint[i], name, LOAD_ANY, n, 3);
        n = m->hint[i].w ? m->hint[i].w->dim[0] : 0;
    }
    conv_load(l, &m->hint_out, "conv_out", width, n, 3);
    load_pop(l);
}

/* One convolution for each skip of the way down, which keeps its width. */
static void load_zeros(struct loader *l, struct controlnet *m)
{
    struct unet *u = &m->unet;
    int64_t width = u->conv_in.w->dim[0];
    for (int i = -1; i < u->n_block && !load_done(l); i++) {
        int n = i < 0 ? 1 : u->down[i].n_layer + (u->down[i].sampler.w ? 1 : 0);
        for (int j = 0; j < n && !load_done(l); j++) {
            char name[48];
            if (i >= 0 && j < u->down[i].n_layer)
                width = resnet_n_out(&u->down[i].resnets[j]);
            snprintf(name, sizeof(name), "controlnet_down_blocks.%d", m->n_zero);
            conv_load(l, &m->zero[m->n_zero++], name, width, width, 1);
        }
    }
    width = resnet_n_out(&u->mid.resnets[u->mid.n_layer - 1]);
    conv_load(l, &m->zero_mid, "controlnet_mid_block", width, width, 1);
}

/* Relatives that work in another way. */
static void check_kind(struct loader *l, const struct config *c)
{
    if (load_has_any(l, "task_embedding") || load_has_any(l, "control_add_embedding"))
        load_fail(l, "a ControlNet-Union (ProMax) is not supported; use a ControlNet of one kind");
    else if (config_bool(c, "global_pool_conditions", false))
        load_fail(l, "a ControlNet that pools its picture (shuffle) is not supported");
}

bool controlnet_present(const struct checkpoint *file)
{
    return checkpoint_find(file, "controlnet.controlnet_mid_block.weight") != NULL;
}

int controlnet_open(struct controlnet *m, const struct checkpoint *file, struct err *e)
{
    struct config c;
    struct loader l;
    *m = (struct controlnet){0};
    if (!controlnet_present(file))
        return err_set(e, ERR_FORMAT,
                       "%s: is no ControlNet (controlnet_mid_block or control_model... is missing)",
                       checkpoint_path(file));
    int rc = unet_open_encoder(&m->unet, file, "controlnet", e);
    if (!rc)
        rc = config_open(&c, file, "controlnet", e);
    if (rc) {
        controlnet_close(m);
        return rc;
    }
    load_start(&l, file, &m->unet.arena, "controlnet", e);
    check_kind(&l, &c);
    load_hint(&l, m, m->unet.conv_in.w->dim[0]);
    load_zeros(&l, m);
    m->bgr = strcmp(config_text(&c, "controlnet_conditioning_channel_order", "rgb"), "bgr") == 0;
    config_close(&c);
    if (load_done(&l))
        controlnet_close(m);
    return load_done(&l);
}

void controlnet_close(struct controlnet *m)
{
    unet_close(&m->unet);
    *m = (struct controlnet){0};
}

static int n_skips(const struct unet *u)
{
    int n = 1;
    for (int i = 0; i < u->n_block; i++)
        n += u->down[i].n_layer + (u->down[i].sampler.w ? 1 : 0);
    return n;
}

int controlnet_check(const struct controlnet *m, const struct unet *u, const char *name,
                     struct err *e)
{
    const struct unet *c = &m->unet;
    bool same = c->n_block == u->n_block && n_skips(c) == n_skips(u) &&
                c->conv_in.w->dim[0] == u->conv_in.w->dim[0];
    for (int i = 0; same && i < u->n_block; i++)
        same = resnet_n_out(&c->down[i].resnets[0]) == resnet_n_out(&u->down[i].resnets[0]);
    if (!same || c->n_context != u->n_context || c->n_add != u->n_add)
        return err_set(e, ERR_ARG,
                       "%s: this ControlNet is for another family of models: it attends to prompts "
                       "of width %d, the model to %d; use one made for the model",
                       name, (int)c->n_context, (int)u->n_context);
    if (c->n_in != u->n_out)
        return err_set(e, ERR_ARG, "%s: the ControlNet takes latents of %d channels, not %d", name,
                       (int)c->n_in, (int)u->n_out);
    return 0;
}

struct tensor *controlnet_hint(struct tape *t, const struct controlnet *m, struct tensor *picture)
{
    struct tensor *x = op_cast(t, picture, tape_type(t));
    tape_push(t, "controlnet_cond_embedding");
    x = op_silu(t, conv(t, &m->hint_in, x, 1));
    for (int i = 0; i < m->n_hint; i++)
        x = op_silu(t, conv(t, &m->hint[i], x, 1 + i % 2));
    x = tape_result(t, conv(t, &m->hint_out, x, 1));
    tape_pop(t);
    return x;
}

/* sum + weight zero(x); sum may be NULL. */
static struct tensor *add(struct tape *t, const struct conv *zero, struct tensor *x, double weight,
                          struct tensor *sum)
{
    if (weight == 1)
        return tape_result(t, conv_add(t, zero, x, sum));
    x = op_scale(t, conv(t, zero, x, 1), (float)weight, 0);
    return tape_result(t, sum ? op_add(t, sum, x) : x);
}

void controlnet_forward(struct tape *t, const struct controlnet *m, const struct unet_input *in,
                        double weight, struct unet_skips *sum)
{
    struct unet_skips s = {.n = 0};
    unet_encode(t, &m->unet, in, &s);
    bool first = sum->n == 0;
    for (int i = 0; i < s.n; i++) {
        tape_push(t, "controlnet_down_blocks.%d", i);
        sum->x[i] = add(t, &m->zero[i], s.x[i], weight, first ? NULL : sum->x[i]);
        tape_pop(t);
    }
    tape_push(t, "controlnet_mid_block");
    sum->mid = add(t, &m->zero_mid, s.mid, weight, first ? NULL : sum->mid);
    tape_pop(t);
    sum->n = s.n;
}
