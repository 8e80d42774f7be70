/* mix.h - which element type each tensor of a quantised language model gets.
 *
 * "q4_k_m" is no type but a recipe: most matrices in Q4_K, those that suffer most (attn_v,
 * ffn_down, the output) in Q6_K in some layers. Names, recipes and the numbers in general.file_type
 * are those of llama.cpp (https://github.com/ggml-org/llama.cpp, src/llama-quant.cpp), so that a
 * file made here has the size and the quality its name promises.
 */
#ifndef LAR_FORMAT_MIX_H
#define LAR_FORMAT_MIX_H

#include "tensor/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_tensor;

struct mix {
    const char *name;   /* "q4_k_m" */
    uint32_t file_type; /* general.file_type */
    enum dtype type;    /* of most matrices */
    /* The letter at the end of the name; 0 where there is none, and every matrix but the output
     * gets the type (but for Q2_K, IQ4_NL and IQ4_XS). */
    char size;
};

/* In either case of letters; "q4_k" is q4_k_m. NULL when there is none. */
const struct mix *mix_find(const char *name);
/* The mix that pictures' tools would name for a type: of Q4_K, q4_k_s. NULL for DTYPE_OTHER. */
const struct mix *mix_of_type(enum dtype type);
const struct mix *mix_at(size_t i); /* in the order of the table; NULL at its end */

/* What the recipes ask of a model. */
struct mix_model {
    int n_layer, n_head, n_head_kv; /* 0: the file does not say */
    int n_expert;
    bool is_tied;   /* no output.weight: the token embeddings are the output as well */
    bool is_falcon; /* which llama.cpp treats apart */
};

/* Is this tensor one of the matrices that a mix changes? Norms, biases, routers, positions and
 * token types are not. */
bool mix_takes(const struct file_tensor *t);

/* The type of a tensor that mix_takes(); its rows divide by the block, F16 if need be. */
enum dtype mix_type(const struct mix *mix, const struct mix_model *model,
                    const struct file_tensor *t);

/* What takes the place of a type where rows are no multiple of its block of 256: a type with blocks
 * of 32 that is a little larger. Others stay. */
enum dtype mix_smaller_block(enum dtype type);

#endif
