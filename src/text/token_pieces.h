/* token_pieces.h - the bytes that each token of a vocabulary stands for. */
#ifndef LAR_TEXT_TOKEN_PIECES_H
#define LAR_TEXT_TOKEN_PIECES_H

#include <stddef.h>
#include <stdint.h>

/* Everything is borrowed. */
struct token_pieces {
    size_t n; /* tokens */
    const char *const *bytes;
    const uint32_t *n_bytes;
    const uint8_t *control; /* NULL, or 1 for each token that is never text: end of turn, padding */
};

#endif
