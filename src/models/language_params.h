/* language_params.h - what a language model's files say beside its tensors, and what its
 * architecture says: for language.c.
 */
#ifndef LAR_MODELS_LANGUAGE_PARAMS_H
#define LAR_MODELS_LANGUAGE_PARAMS_H

#include "models/language.h"
#include "nn/rope.h"
#include "tensor/tape.h"

#include <stdbool.h>

struct arena;

/* One architecture. */
struct language_kind {
    const char *arch;    /* general.architecture */
    bool interleaved;    /* rotary pairs in GGUF files; those of Hugging Face are halves */
    bool norms_lack_one; /* Hugging Face's norms are weight + 1 */
    bool pre_norm;       /* before attention and feed-forward layers */
    bool post_norm;      /* after them, before the residual is added */
    bool qk_norm;
    bool qkv_bias; /* always there */
    bool sinks;
    bool scaled_input; /* embeddings times sqrt(n_embd) */
    bool exact_yarn;
    enum glu glu;
    int window_period;    /* every n-th layer sees all keys, the others a window; 0: all a window */
    int plain_period;     /* every n-th layer does not rotate; 0: all do */
    int wide_layers;      /* models of so many layers scale scores by n_embd / n_head, not d_k */
    double local_base;    /* of rotations in layers with a window, or 0: as in the others */
    const char *ffn_norm; /* NULL: ffn_norm */
};

struct language_config {
    const struct language_kind *kind;
    struct language_params p;
    float eps;
    float scale;                  /* of attention scores */
    float softcap, final_softcap; /* 0: none */
    bool interleaved;
    bool norms_lack_one;        /* as kind says, of these files */
    int tied;                   /* the head is the embedding: 1, 0; -1: if the file has no other */
    bool gate_norm;             /* weights of the chosen experts add up to 1 */
    const bool *rotated;        /* [n_layer] */
    struct rope_params rope;    /* its divisors are those of short contexts */
    struct rope_params local;   /* of layers with a window */
    const float *long_divisors; /* of contexts beyond rope.n_ctx_orig, or NULL */
};

/* Arrays are in the arena. n_vocab, n_embd, n_expert and sizes are left to who knows the tensors,
 * except that n_embd is given. */
int language_params_read(struct language_config *c, const struct checkpoint *file, int n_embd,
                         struct arena *arena, struct err *e);

#endif
