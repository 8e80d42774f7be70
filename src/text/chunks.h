/* chunks.h - a prompt of any length as chunks that a CLIP text encoder takes.
 *
 *     bos 75 tokens eos | bos 75 tokens eos | bos the rest eos pad pad ...
 *
 * Each chunk is encoded for itself, the states follow each other. A chunk that would end between
 * two commas ends at the first of them, if that takes no more than 20 tokens away; BREAK ends one
 * too. Source: stable-diffusion-webui, modules/sd_hijack_clip.py, tokenize_line().
 */
#ifndef LAR_TEXT_CHUNKS_H
#define LAR_TEXT_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

struct clip_tokenizer;
struct err;

#define CHUNKS_MAX 64 /* 4800 tokens with CLIP */

/* A word that stands for vectors of its own in place of tokens' rows: a textual inversion. It is
 * found among the tokens, as in the reference, thus in any case of letters. Where it begins or ends
 * with a sign, "<toy>", the text is cut there first: "<toy>, red" has the token ">,". */
struct chunk_word {
    const char *text;
    const int32_t *ids; /* its tokens */
    size_t n_ids;       /* >= 1 */
    int32_t first;      /* id of its first vector; not below the vocabulary's size */
    int n;              /* vectors, which have consecutive ids; fits into a chunk */
};

/* What a prompt is cut for. */
struct chunk_rules {
    const struct clip_tokenizer *tokenizer;
    size_t n_ctx;                   /* tokens of a chunk with bos and eos, >= 3; CLIP: 77 */
    const struct chunk_word *words; /* where several fit the longest counts, then the first */
    size_t n_words;
};

/* A zeroed struct chunks is empty. */
struct chunks {
    int32_t *ids; /* [n, n_ctx]; owned */
    float *weights;
    size_t n, n_ctx;
};

/* At least one chunk. ERR_ARG for more than CHUNKS_MAX and as prompt_parse() has it, ERR_NOMEM;
 * `c` is empty then. */
int chunks_make(struct chunks *c, const struct chunk_rules *r, const char *text, size_t len,
                struct err *e);
void chunks_release(struct chunks *c);

#endif
