/* taesd.c - see taesd.h. */
#include "models/taesd.h"

#include "base/err.h"
#include "format/checkpoint.h"
#include "models/config.h"

#define MAX_HALVINGS 6

static void load_block(struct loader *l, struct taesd_layer *x)
{
    static const char *const names[3] = {"conv.0", "conv.2", "conv.4"};
    int64_t width = load_dim(l, "conv.0.weight", 1);
    x->kind = TAESD_BLOCK;
    for (int i = 0; i < 3; i++) {
        conv_load(l, &x->conv[i], names[i], LOAD_ANY, width, 3);
        width = x->conv[i].w ? x->conv[i].w->dim[0] : 0;
    }
    if (load_has(l, "skip.weight"))
        conv_load_plain(l, &x->skip, "skip", width, LOAD_ANY, 1);
}

static void load_conv(struct loader *l, struct taesd_layer *x, const char *name, bool encoder)
{
    conv_load_plain(l, &x->conv[0], name, LOAD_ANY, LOAD_ANY, 3);
    x->kind = TAESD_CONV;
    x->stride = encoder && !x->conv[0].b ? 2 : 1; /* the halving convolutions have no bias */
}

/* Index of the last layer with tensors, or -1. */
static int last_layer(const struct loader *l)
{
    int last = -1;
    for (int i = 0; i < TAESD_MAX_LAYER; i++)
        if (load_has_any(l, "layers.%d", i))
            last = i;
    return last;
}

static void load_side(struct loader *l, struct taesd_side *s, const char *name)
{
    bool encoder = name[0] == 'e';
    load_push(l, "%s", name);
    s->n_layer = last_layer(l) + 1;
    for (int i = 0; i < s->n_layer && !load_done(l); i++) {
        struct taesd_layer *x = &s->layers[i];
        char layer[32];
        snprintf(layer, sizeof(layer), "layers.%d", i);
        if (load_has_any(l, "%s.conv", layer)) {
            load_push(l, "%s", layer);
            load_block(l, x);
            load_pop(l);
        } else if (load_has_any(l, "%s", layer) || i == 0 || encoder) {
            load_conv(l, x, layer, encoder);
        } else { /* layers without tensors: one ReLU at the start of the decoder, then doublings */
            x->kind = i == 1 ? TAESD_RELU : TAESD_UPSAMPLE;
        }
    }
    load_pop(l);
}

static int halvings(const struct taesd_side *s)
{
    int n = 0;
    for (int i = 0; i < s->n_layer; i++)
        n += s->layers[i].kind == TAESD_UPSAMPLE || s->layers[i].stride == 2;
    return n;
}

bool taesd_present(const struct checkpoint *file)
{
    return checkpoint_find(file, "vae.decoder.layers.0.weight") ||
           checkpoint_find(file, "vae.encoder.layers.0.weight");
}

/* Convolutions stand at both ends. Both sides must agree; a missing one has no say. */
static void check_sides(struct loader *l, struct taesd *m)
{
    const struct taesd_side *sides[2] = {&m->encoder, &m->decoder};
    for (int i = 0; i < 2; i++) {
        int n = sides[i]->n_layer, bits = halvings(sides[i]);
        const struct taesd_layer *first = sides[i]->layers, *last = first + (n ? n - 1 : 0);
        if (!n)
            continue;
        if (first->kind != TAESD_CONV || last->kind != TAESD_CONV || bits > MAX_HALVINGS) {
            load_fail(l, "vae.%s is no tiny autoencoder", i ? "decoder" : "encoder");
            return;
        }
        int64_t n_latent = i ? first->conv[0].w->dim[1] : last->conv[0].w->dim[0];
        if (m->factor && (n_latent != m->n_latent || m->factor != 1 << bits))
            load_fail(l, "vae: encoder and decoder do not belong together");
        m->n_latent = n_latent;
        m->factor = 1 << bits;
    }
    if (!m->factor)
        load_fail(l,
                  "no tiny autoencoder: neither vae.encoder.layers... nor vae.decoder.layers...");
}

int taesd_open(struct taesd *m, const struct checkpoint *file, struct err *e)
{
    return taesd_open_pair(m, file, file, e);
}

int taesd_open_pair(struct taesd *m, const struct checkpoint *encoder,
                    const struct checkpoint *decoder, struct err *e)
{
    struct config c;
    struct loader l;
    *m = (struct taesd){0};
    int rc = config_open(&c, decoder, "vae", e);
    if (rc)
        return rc;
    load_start(&l, encoder, &m->arena, "vae", e);
    load_side(&l, &m->encoder, "encoder");
    l.file = decoder;
    load_side(&l, &m->decoder, "decoder");
    m->scale = config_real(&c, "scaling_factor", 1);
    m->shift = config_real(&c, "shift_factor", 0);
    config_close(&c);
    if (!load_done(&l))
        check_sides(&l, m);
    if (load_done(&l))
        taesd_close(m);
    return load_done(&l);
}

void taesd_close(struct taesd *m)
{
    arena_release(&m->arena);
    *m = (struct taesd){0};
}

static struct tensor *block(struct tape *t, const struct taesd_layer *l, struct tensor *x)
{
    struct tensor *h = op_relu(t, conv(t, &l->conv[0], x, 1));
    h = op_relu(t, conv(t, &l->conv[1], h, 1));
    if (l->skip.w)
        x = conv(t, &l->skip, x, 1);
    return op_relu(t, conv_add(t, &l->conv[2], h, x));
}

static struct tensor *run(struct tape *t, const struct taesd_side *s, const char *name,
                          struct tensor *x)
{
    tape_push(t, "%s", name);
    for (int i = 0; i < s->n_layer; i++) {
        const struct taesd_layer *l = &s->layers[i];
        tape_push(t, "layers.%d", i);
        if (l->kind == TAESD_CONV)
            x = conv(t, &l->conv[0], x, l->stride);
        else if (l->kind == TAESD_BLOCK)
            x = block(t, l, x);
        else if (l->kind == TAESD_RELU)
            x = op_relu(t, x);
        else
            x = op_upsample(t, x, 2 * x->dim[1], 2 * x->dim[2]);
        tape_result(t, x);
        tape_pop(t);
    }
    tape_pop(t);
    return x;
}

/* The network works on [0, 1]; pictures here are [-1, 1]. */
struct tensor *taesd_decode(struct tape *t, const struct taesd *m, struct tensor *z)
{
    struct tensor *x = op_soft_cap(t, op_cast(t, z, tape_type(t)), 3);
    return op_scale(t, run(t, &m->decoder, "decoder", x), 2, -1);
}

struct tensor *taesd_encode(struct tape *t, const struct taesd *m, struct tensor *x)
{
    x = op_scale(t, op_cast(t, x, tape_type(t)), 0.5f, 0.5f);
    return run(t, &m->encoder, "encoder", x);
}
