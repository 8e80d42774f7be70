/* unet.h - the denoiser of Stable Diffusion 1.x, 2.x and XL (Rombach et al., arXiv:2112.10752;
 * Podell et al., arXiv:2307.01952).
 *
 *     emb = time_embedding(sinusoid(timestep)) [+ add_embedding(pooled text and sizes)]   SDXL
 *     x = conv_in(x);  skips = [x]
 *     down block i:  each layer:  x = resnet(x, emb); x = transformer(x, context)?;  push x
 *                    x = downsample(x), push x         all but the last
 *     middle:        resnet, transformer, resnet
 *     up block i:    each layer:  x = resnet(concat(x, pop), emb); x = transformer(x, context)?
 *                    x = upsample(x)                    all but the last
 *     conv_out(silu(norm(x)))
 *
 * Depths and widths are read from the tensors. Source: diffusers,
 * models/unets/unet_2d_condition.py.
 */
#ifndef LAR_MODELS_UNET_H
#define LAR_MODELS_UNET_H

#include "base/arena.h"
#include "nn/resnet.h"
#include "nn/transformer.h"

struct checkpoint;

#define UNET_MAX_BLOCK 8
#define UNET_MAX_LAYER 8
#define UNET_MAX_SKIP  (1 + UNET_MAX_BLOCK * (UNET_MAX_LAYER + 1))

struct unet_block {
    int n_layer;
    struct resnet resnets[UNET_MAX_LAYER];
    struct transformer *attentions[UNET_MAX_LAYER]; /* NULL: none after this resnet */
    struct conv sampler;                            /* .w NULL in the last block */
};

struct unet {
    struct arena arena;         /* owns everything below */
    struct linear time1, time2; /* time_embedding */
    struct linear add1, add2;   /* add_embedding, SDXL; .w NULL without */
    struct conv conv_in, conv_out;
    struct unet_block down[UNET_MAX_BLOCK], mid, up[UNET_MAX_BLOCK];
    int n_block;
    struct norm norm_out;
    int n_cross; /* attentions to the prompt, numbered as diffusers does: down, up, middle */
    int64_t *cross_width; /* [n_cross] */
    int64_t n_in, n_out;  /* latent channels in and out */
    int64_t n_time;       /* width of the timestep's sinusoid */
    int64_t n_context;    /* width of the prompt's states; 0 without attention to it */
    int64_t n_add;        /* width of the added condition (SDXL: 2816); 0 without */
};

int unet_open(struct unet *m, const struct checkpoint *file, struct err *e);
/* Only what unet_encode() needs, of the component "unet" or "controlnet". */
int unet_open_encoder(struct unet *m, const struct checkpoint *file, const char *component,
                      struct err *e);
void unet_close(struct unet *m);

/* What the way down leaves for the way up, and the middle's result. */
struct unet_skips {
    struct tensor *x[UNET_MAX_SKIP]; /* newest last */
    int n;
    struct tensor *mid;
};

/* Records one evaluation for a batch.
 *   x        [n, h, w, n_in]              scaled noisy latents
 *   time     [n, n_time] f32              unet_sinusoid() of each timestep
 *   context  [n, tokens, n_context]       hidden states of the prompts
 *   add      [n, n_add] or NULL           pooled text and size sinusoids
 *   hint     [h, w, c] or NULL            added behind conv_in: what a ControlNet shall keep to
 *   more     [n_more]                     reference pictures, attended to beside the prompt
 *   control  or NULL                      added to the skips and the middle, by ControlNets
 * -> [n, h, w, n_out] */
struct unet_input {
    struct tensor *x, *time, *context, *add, *hint;
    const struct attention_more *more;
    int n_more;
    const struct unet_skips *control;
};
struct tensor *unet_forward(struct tape *t, const struct unet *m, const struct unet_input *in);
/* The same down to the middle. */
void unet_encode(struct tape *t, const struct unet *m, const struct unet_input *in,
                 struct unet_skips *s);

/* out[n] = cos(t w_i), then sin(t w_i), w_i = 10000^(-i / (n / 2)): the embedding of a timestep or
 * of a size (diffusers' get_timestep_embedding with flip_sin_to_cos, in float as there). */
void unet_sinusoid(double t, float *out, int64_t n);

#endif
