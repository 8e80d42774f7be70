/* vae.h - the KL autoencoder of Stable Diffusion: pictures <-> latents, 8x smaller per side.
 *
 *     decoder: post_quant_conv, conv_in, resnet attention resnet,
 *              each block: resnets, upsample + conv (all but the last);  conv_out(silu(norm))
 *     encoder: conv_in, each block: resnets, strided conv (all but the last),
 *              resnet attention resnet, conv_out(silu(norm)), quant_conv -> mean and log variance
 *
 * Source: diffusers, models/autoencoders/{autoencoder_kl,vae}.py.
 */
#ifndef LAR_MODELS_VAE_H
#define LAR_MODELS_VAE_H

#include "base/arena.h"
#include "nn/attention.h"
#include "nn/resnet.h"

struct checkpoint;

#define VAE_MAX_BLOCK 8
#define VAE_MAX_LAYER 8

struct vae_block {
    int n_layer;
    struct resnet resnets[VAE_MAX_LAYER];
    struct conv sampler; /* .w NULL in the last block */
};

struct vae_mid {
    struct resnet resnets[2];
    struct norm norm;
    struct attention attn; /* one head; .q.w NULL: none */
};

/* One half of the autoencoder. */
struct vae_side {
    struct conv conv_in, conv_out;
    struct vae_block blocks[VAE_MAX_BLOCK];
    int n_block;
    struct vae_mid mid;
    struct norm norm_out;
};

struct vae {
    struct arena arena; /* owns everything below */
    struct vae_side encoder, decoder;
    bool has_encoder, has_decoder;
    struct conv quant, post_quant; /* .w NULL: identity */
    int64_t n_latent;              /* latent channels */
    int factor;                    /* pixels per latent, per side */
    double scale, shift;           /* UNet's latent = (VAE's latent - shift) * scale */
};

/* `scale` is used where the configuration has no scaling_factor. */
int vae_open(struct vae *m, const struct checkpoint *file, double scale, struct err *e);
void vae_close(struct vae *m);

/* z [n, h, w, n_latent], not scaled -> picture [n, factor h, factor w, 3] in about [-1, 1]. */
struct tensor *vae_decode(struct tape *t, const struct vae *m, struct tensor *z);
/* x [n, h, w, 3] in [-1, 1], sides divisible by factor -> moments [n, h / factor, w / factor,
 * 2 n_latent]: means, then log variances. */
struct tensor *vae_encode(struct tape *t, const struct vae *m, struct tensor *x);

/* The same for pictures whose activations are too large for memory. The two levels with the most
 * pixels are a list of steps, each of which needs only a few rows around those that it computes:
 *
 *     decoder = vae_decode_start(), then the steps;  encoder = the steps, then vae_encode_end()
 *
 * but for the norms, which need the moments of the whole picture (nn/layers.h). */
enum vae_sampling { VAE_SAME, VAE_UP, VAE_DOWN };
struct vae_step {
    const struct conv *first; /* with `sampling` before or in it; or NULL */
    enum vae_sampling sampling;
    const struct resnet *resnet; /* then; or NULL */
    const struct norm *norm;     /* then conv(silu(norm)); or NULL */
    const struct conv *conv;
};
#define VAE_MAX_STEP (2 * (VAE_MAX_LAYER + 1) + 1)

/* Return the number of steps; 0: none, there is one level only. */
int vae_decoder_steps(const struct vae *m, struct vae_step steps[VAE_MAX_STEP]);
int vae_encoder_steps(const struct vae *m, struct vae_step steps[VAE_MAX_STEP]);
struct tensor *vae_decode_start(struct tape *t, const struct vae *m, struct tensor *z);
struct tensor *vae_encode_end(struct tape *t, const struct vae *m, struct tensor *x);

/* The step's norms, in order; NULL beyond the last. */
const struct norm *vae_step_norm(const struct vae_step *s, int i);
/* Rows of input that the result's rows need above and below their own, an even number. */
int vae_step_halo(const struct vae_step *s);
/* x [n, h, w, c] -> the step's result, its norms with these moments (op_moments()); with fewer
 * moments than norms, what the next norm would get. */
struct tensor *vae_step(struct tape *t, const struct vae_step *s, struct tensor *x,
                        struct tensor *const *moments, int n_moments);

#endif
