/* clip_vision.h - CLIP's encoder of pictures (Radford et al., arXiv:2103.00020): ViT-L/14, and
 * OpenCLIP's ViT-H/14 and ViT-bigG/14, which IP-Adapters look at reference pictures with.
 *
 *     x = [class, patch_embedding(patches)] + position_embedding
 *     x = pre_layrnorm(x)                                    (spelt so in the checkpoints)
 *     each layer as in nn/clip_layer.h, every token seeing all others
 *     embedding = visual_projection(post_layernorm(x[0]))
 *
 * Source: transformers, models/clip/modeling_clip.py, CLIPVisionModelWithProjection.
 */
#ifndef LAR_MODELS_CLIP_VISION_H
#define LAR_MODELS_CLIP_VISION_H

#include "base/arena.h"
#include "nn/clip_layer.h"

struct checkpoint;

struct clip_vision {
    struct arena arena;       /* owns everything below */
    struct tensor *token;     /* [1, n_embd]: the class embedding */
    struct tensor *first;     /* [1] I32: 0, its row */
    struct tensor *patch;     /* [n_embd, 3 patch patch]: its convolution as a matrix */
    struct tensor *positions; /* [1 + patches, n_embd] */
    struct norm pre_norm, post_norm;
    struct clip_layer *layers;
    int n_layer;
    struct tensor *projection; /* [n_proj, n_embd] */
    bool quick_gelu;
    int side, patch_side; /* pixels of its square pictures and of their patches: 224 and 14 */
    int64_t n_embd, n_proj;
};

/* The component "image_encoder". The weights stay in the checkpoint, which must outlive it. */
int clip_vision_open(struct clip_vision *m, const struct checkpoint *file, struct err *e);
void clip_vision_close(struct clip_vision *m);

/* pixels [side, side, 3], normalised (pipeline/reference.h) -> out [patches, 3, patch, patch]. */
void clip_vision_patches(const struct clip_vision *m, const float *pixels, float *out);
/* A tape's input for them: [1, patches, 3 patch patch]. */
struct tensor *clip_vision_input(struct tape *t, const struct clip_vision *m);

/* Records from that input to the embedding [1, n_proj], or to the state before the last layer [1,
 * 1 + patches, n_embd]. */
struct tensor *clip_vision_embed(struct tape *t, const struct clip_vision *m,
                                 struct tensor *patches);
struct tensor *clip_vision_hidden(struct tape *t, const struct clip_vision *m,
                                  struct tensor *patches);

#endif
