/* taesd.h - the tiny autoencoders TAESD, TAESDXL, TAEF1 ... (Ollin Boer Bohan,
 * https://github.com/madebyollin/taesd): convolutions and ReLU only, 18 times cheaper to decode.
 *
 *     conv, then four stages of residual blocks, each followed by a halving (encoder: strided
 *     convolution) or doubling (decoder: nearest neighbour + convolution), conv
 *
 * The layers form one sequence; what each is follows from its tensors. Source: diffusers,
 * models/autoencoders/{autoencoder_tiny,vae}.py, EncoderTiny and DecoderTiny.
 */
#ifndef LAR_MODELS_TAESD_H
#define LAR_MODELS_TAESD_H

#include "base/arena.h"
#include "nn/layers.h"

struct checkpoint;

#define TAESD_MAX_LAYER 64

enum taesd_kind { TAESD_CONV, TAESD_BLOCK, TAESD_RELU, TAESD_UPSAMPLE };

struct taesd_layer {
    enum taesd_kind kind;
    int stride;
    struct conv conv[3]; /* a block has three, a convolution one */
    struct conv skip;    /* .w NULL: identity */
};

struct taesd_side {
    struct taesd_layer layers[TAESD_MAX_LAYER];
    int n_layer; /* 0: not in the file */
};

struct taesd {
    struct arena arena;
    struct taesd_side encoder, decoder;
    int64_t n_latent;
    int factor;
    double scale, shift; /* as in struct vae; 1 and 0: it works on the UNet's latents */
};

/* Is the checkpoint's "vae" of this kind? */
bool taesd_present(const struct checkpoint *file);

/* Either side may be missing (the files come singly). */
int taesd_open(struct taesd *m, const struct checkpoint *file, struct err *e);
/* The encoder of one file and the decoder of another. */
int taesd_open_pair(struct taesd *m, const struct checkpoint *encoder,
                    const struct checkpoint *decoder, struct err *e);
void taesd_close(struct taesd *m);

/* z [n, h, w, n_latent], scaled -> [n, factor h, factor w, 3] in about [-1, 1]. */
struct tensor *taesd_decode(struct tape *t, const struct taesd *m, struct tensor *z);
/* x [n, h, w, 3] in [-1, 1] -> latents [n, h / factor, w / factor, n_latent]. */
struct tensor *taesd_encode(struct tape *t, const struct taesd *m, struct tensor *x);

#endif
