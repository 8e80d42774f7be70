/* language_names.h - from the names of Hugging Face's language models to those of GGUF files.
 *
 *     model.layers.0.self_attn.q_proj.weight             blk.0.attn_q.weight
 *     model.layers.0.mlp.experts.3.up_proj.weight        blk.0.ffn_up.3.weight
 *     model.embed_tokens.weight                          token_embd.weight
 *
 * Sources of the correspondence: llama.cpp's gguf-py/gguf/tensor_mapping.py, transformers.
 */
#ifndef LAR_FORMAT_LANGUAGE_NAMES_H
#define LAR_FORMAT_LANGUAGE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define LANGUAGE_NAME_MAX 128

/* The general.architecture that GGUF files have for config.json's model_type, or NULL when it is
 * none of the known. */
const char *language_names_arch(const char *model_type);

/* Every known model type, "a, b, c": static. */
const char *language_names_types(void);

/* What becomes of a tensor. Transposed ones are stored [.., in, out]. */
enum language_kind_of_name { LANGUAGE_UNKNOWN, LANGUAGE_PLAIN, LANGUAGE_TRANSPOSED };

/* Writes the GGUF name of a tensor of this architecture ("llama") into out. */
enum language_kind_of_name language_names_map(const char *arch, const char *name,
                                              char out[LANGUAGE_NAME_MAX]);

#endif
