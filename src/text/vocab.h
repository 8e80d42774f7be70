/* vocab.h - the tokens of a tokenizer by id, and by text in constant time. */
#ifndef LAR_TEXT_VOCAB_H
#define LAR_TEXT_VOCAB_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define VOCAB_MAX_TOKENS ((size_t)4 << 20)
#define VOCAB_MAX_TOKEN  ((size_t)4096)      /* bytes of one token */
#define VOCAB_MAX_TEXT   ((size_t)128 << 20) /* bytes of all tokens together */

/* Bytes that belong to somebody else; they may hold NULs and need not end with one. */
struct span {
    const char *p;
    size_t n;
};

/* Read-only once made; any thread may use it. A zeroed one is empty. */
struct vocab {
    size_t n;
    char *text;      /* all tokens, one after the other */
    uint32_t *begin; /* [n + 1] into text */
    uint32_t *slots; /* open addressing: id + 1, or 0 */
    size_t mask;     /* slots - 1 */
    size_t longest;  /* bytes */
};

/* Copies the n tokens. An empty one is a hole, which no text finds; of equal ones the first is
 * found. ERR_FORMAT beyond the limits above. */
int vocab_init(struct vocab *v, const struct span *tokens, size_t n, struct err *e);
void vocab_release(struct vocab *v);

int32_t vocab_find(const struct vocab *v, const char *text, size_t n); /* -1: no token */
struct span vocab_text(const struct vocab *v, int32_t id);             /* borrowed; 0 <= id < n */

#endif
