/* bert.h - encoders of text for embeddings: bert (Devlin et al., arXiv:1810.04805) and nomic-bert
 * (Nussbaum et al., arXiv:2402.01613).
 *
 *     x = layernorm(tokens[ids] + types[0] (+ positions))
 *     each layer:  x = layernorm(x + attention(x))        nomic-bert: rotary positions
 *                  x = layernorm(x + down(gelu(up(x))))   nomic-bert: down(up(x) * silu(gate(x)))
 *
 * Sources: transformers, models/bert and models/nomic_bert. Names are those of llama.cpp's GGUF
 * files; folders from Hugging Face are mapped to them (format/language_names.h).
 */
#ifndef LAR_MODELS_BERT_H
#define LAR_MODELS_BERT_H

#include <stdint.h>

struct checkpoint;
struct err;
struct tape;
struct tensor;

/* How one vector is made of a text's: the numbers are those of GGUF's pooling_type. */
enum bert_pooling { BERT_MEAN = 1, BERT_FIRST = 2, BERT_LAST = 3 };

struct bert_params {
    const char *arch; /* "bert", "nomic-bert" */
    int n_vocab, n_embd, n_layer, n_head;
    int n_ctx; /* tokens of the longest text */
    enum bert_pooling pooling;
    uint64_t n_weights; /* parameters */
};

struct bert;

/* Does this checkpoint hold such an encoder? */
int bert_knows(const struct checkpoint *file);

/* The checkpoint is borrowed until bert_close(). Errors name what is missing or misshapen. */
int bert_open(struct bert **m, const struct checkpoint *file, struct err *e);
void bert_close(struct bert *m); /* NULL is fine */
const struct bert_params *bert_params(const struct bert *m);

/* Records the encoder for texts of one length: ids [n, length] I32, positions [n * length] I32 (0
 * to length - 1, n times) -> [n, length, n_embd]. */
struct tensor *bert_forward(struct tape *t, const struct bert *m, struct tensor *ids,
                            struct tensor *positions);

#endif
