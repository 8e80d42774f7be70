/* pretokenizers.h - how the vocabularies named in GGUF's tokenizer.ggml.pre cut text into words. */
#ifndef LAR_TEXT_PRETOKENIZERS_H
#define LAR_TEXT_PRETOKENIZERS_H

#include <stdbool.h>

#define PRETOKENIZER_MAX_PATTERNS 6

struct pretokenizer {
    const char *names; /* of tokenizer.ggml.pre, separated by blanks */
    /* Each pattern cuts the pieces that the one before left: its matches are pieces, and what lies
     * between them. Syntax: regex.h. */
    const char *patterns[PRETOKENIZER_MAX_PATTERNS];
    bool whole_words; /* a word that is a token is not merged from its bytes */
    bool add_bos;     /* unless the file says otherwise */
    bool no_bos;      /* the family has none, although llama.cpp's default is one */
    bool meta_space;  /* SentencePiece's way: U+2581 for a space, characters instead of bytes */
};

/* NULL when the name is unknown. */
const struct pretokenizer *pretokenizer_find(const char *name);

/* The name of the row with exactly these patterns (NULL behind the last), if there are several the
 * one with this `whole_words`. False when there is none. */
#define PRETOKENIZER_NAME 32
bool pretokenizer_name(const char *const patterns[PRETOKENIZER_MAX_PATTERNS], bool whole_words,
                       char name[PRETOKENIZER_NAME]);

/* GPT-2's pattern, which tokenizer.json's ByteLevel implies. */
extern const char pretokenizer_gpt2[];

#endif
