/* ip_adapter.h - pictures as prompts (Ye et al., arXiv:2308.06721): an image encoder's view of a
 * picture becomes a few tokens that the UNet's pixels attend to beside the prompt.
 *
 *     kind    of                      tokens
 *     plain   the embedding           norm(proj(x)), 4
 *     full    all tokens              norm(mlp(x)), one for each
 *     plus    all tokens              a resampler's: latents that attend to them, layer by layer
 *
 *     every cross-attention i:  out += weight attention(q, to_k_ip_i(tokens), to_v_ip_i(tokens))
 *
 * Source: diffusers, loaders/unet.py (names) and models/embeddings.py (projections).
 */
#ifndef LAR_MODELS_IP_ADAPTER_H
#define LAR_MODELS_IP_ADAPTER_H

#include "base/arena.h"
#include "nn/transformer.h"

struct checkpoint;
struct unet;

#define IP_ADAPTER_MAX_LAYER 16

enum ip_adapter_kind { IP_ADAPTER_PLAIN, IP_ADAPTER_FULL, IP_ADAPTER_PLUS };

/* A layer of the resampler. */
struct ip_adapter_layer {
    struct norm norm_x, norm_latents, norm_ff;
    struct attention attn;
    struct linear ff1, ff2;
};

struct ip_adapter {
    struct arena arena; /* owns everything below */
    enum ip_adapter_kind kind;
    struct linear proj, mlp; /* plain: proj; full: proj, GELU, mlp; plus: into and out of it */
    struct norm norm;
    struct tensor *latents; /* plus: [1, n_token, width] f32 */
    struct ip_adapter_layer layers[IP_ADAPTER_MAX_LAYER];
    int n_layer;
    struct attention_source *sources; /* [n_source] for the UNet's cross-attentions, in the order
                                         of struct transformer_block's index */
    int n_source;
    int64_t n_in;      /* width of what the image encoder gives */
    int64_t n_context; /* width of a token */
    int64_t n_token;   /* per picture; full: 0, one for each of the encoder's */
};

/* Is there one in the file? */
bool ip_adapter_present(const struct checkpoint *file);
/* The component "ip_adapter". The weights stay in the checkpoint, which must outlive it. */
int ip_adapter_open(struct ip_adapter *m, const struct checkpoint *file, struct err *e);
void ip_adapter_close(struct ip_adapter *m);

/* Is it made for this UNet? ERR_ARG says what differs; `name` is the adapter's file. */
int ip_adapter_check(const struct ip_adapter *m, const struct unet *u, const char *name,
                     struct err *e);
/* Can this encoder's file feed this adapter's file? From their tensors' shapes alone. */
bool ip_adapter_fits(const struct checkpoint *adapter, const struct checkpoint *encoder);

/* x: plain: [1, n_in], else [1, tokens, n_in] -> [1, tokens, n_context]. */
struct tensor *ip_adapter_project(struct tape *t, const struct ip_adapter *m, struct tensor *x);

#endif
