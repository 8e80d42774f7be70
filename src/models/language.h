/* language.h - decoder-only language models: from a checkpoint's tensors to logits.
 *
 * One struct for every architecture: what tells them apart is a row of language_params.c. Weights
 * have llama.cpp's GGUF names ("blk.0.attn_q.weight"); format/language_names.h maps those of
 * Hugging Face folders to them, params come from the GGUF metadata or from config.json.
 *
 *     language_open(&m, checkpoint, e);
 *     logits = language_forward(tape, m, &(struct language_batch){tokens, positions, outputs,
 * ...});
 */
#ifndef LAR_MODELS_LANGUAGE_H
#define LAR_MODELS_LANGUAGE_H

#include <stdint.h>

struct checkpoint;
struct err;
struct kv_batch;
struct kv_layer;
struct language_model;
struct tape;
struct tensor;

/* Every pointer is borrowed until language_close(). */
struct language_params {
    const char *arch; /* general.architecture: "llama" */
    int n_vocab;      /* rows of the logits */
    int n_ctx_train;  /* longest sequence the model was trained for, with its rope scaling */
    int n_embd, n_layer, n_head, n_head_kv;
    int d_k, d_v;         /* of a head */
    int n_expert;         /* 0: dense */
    int n_expert_used;    /* per token */
    const int *window;    /* [n_layer]: keys a query sees, its own included; 0: all */
    uint64_t n_weights;   /* parameters, tied ones once */
    uint64_t size;        /* bytes of the weights as they lie */
    uint64_t active_size; /* of these, the bytes one token reads */
};

/* Looks up every weight. The checkpoint is borrowed until language_close(). Errors name what is
 * missing or misshapen; an architecture that is not known is ERR_UNSUPPORTED and names those that
 * are. *m is NULL then. */
int language_open(struct language_model **m, const struct checkpoint *file, struct err *e);
void language_close(struct language_model *m); /* NULL is fine */
const struct language_params *language_params(const struct language_model *m);

/* Rows of several sequences, as tensor/kv.h has them. */
struct language_batch {
    struct tensor *tokens;        /* [n] I32 */
    struct tensor *positions;     /* [n] I32, of each token in its sequence */
    struct tensor *outputs;       /* [n_outputs] I32: the rows whose logits are wanted */
    const struct kv_layer *kv;    /* [n_layer] */
    const struct kv_batch *batch; /* may change between the runs of a tape */
    int n_ctx; /* the longest sequence to come: phi3's longrope turns differently in long ones */
};

/* Records the model on a tape of f32 activations; -> logits [n_outputs, n_vocab] f32. */
struct tensor *language_forward(struct tape *t, const struct language_model *m,
                                const struct language_batch *b);

#endif
