/* tokenizer_parts.h - what a tokenizer is made of; for the files that make one and run one.
 *
 * A text goes through the parts in this order (the words of Hugging Face's tokenizer.json, which
 * GGUF's metadata is mapped to):
 *
 *     added (as spelled) ─► normalizer ─► added (normalized) ─► splitter ─► model ─► ends
 */
#ifndef LAR_TEXT_TOKENIZER_PARTS_H
#define LAR_TEXT_TOKENIZER_PARTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "text/bpe.h"
#include "text/charsmap.h"
#include "text/regex.h"
#include "text/tokenizer.h"
#include "text/trie.h"
#include "text/unicode.h"

#define TOKENIZER_MAX_STEPS 16             /* of the normalizer, and of the splitter */
#define TOKENIZER_MAX_ENDS  8              /* tokens before a text, and after it */
#define META_SPACE          "\xe2\x96\x81" /* U+2581, SentencePiece's blank */

struct pretokenizer;

/* Of one token; GGUF's tokenizer.ggml.token_type counts in this order, from 1. */
enum token_kind {
    TOKEN_NORMAL,
    TOKEN_UNKNOWN,
    TOKEN_CONTROL,
    TOKEN_USER,
    TOKEN_UNUSED,
    TOKEN_BYTE,
    TOKEN_VISIBLE, /* control, but the reader of the text wants to see it */
};

/* A token looked for in the text before anything else. */
struct added {
    int32_t id;
    bool special;     /* only with TOKENIZE_SPECIAL */
    bool normalized;  /* looked for in the normalized text */
    bool single_word; /* not inside a word */
    bool lstrip;      /* takes the blanks before it */
    bool rstrip;      /* and after it */
};

enum step_kind {
    /* Of the normalizer: */
    STEP_NORMAL_FORM, /* `form` of Unicode */
    STEP_LOWERCASE,
    STEP_STRIP,         /* white space at the ends, `left` and `right`, or `only_blanks` there */
    STEP_STRIP_ACCENTS, /* marks go */
    STEP_BERT_ACCENTS,  /* nonspacing marks go */
    STEP_BERT_CLEAN,    /* controls go, every kind of blank becomes one */
    STEP_BERT_CHINESE,  /* blanks around Chinese characters */
    STEP_NMT,           /* the same as SentencePiece's nmt rules have it */
    STEP_CHARSMAP,      /* SentencePiece's own table */
    STEP_REPLACE,       /* every match of the pattern, or blank without one, becomes `text` */
    STEP_PREPEND,       /* `text` before a text that is not empty */
    /* Of the splitter: */
    STEP_SPLIT,        /* cuts at the matches of the pattern */
    STEP_META_SPACE,   /* blanks become `text`, which also goes before the first word; cuts there */
    STEP_PREFIX_SPACE, /* a blank before a piece that does not begin with one */
    STEP_SPELL_BYTES,  /* bytes become the characters that spell them in byte-level vocabularies */
};

/* What becomes of a match of STEP_SPLIT. */
enum split_behavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_WITH_PREVIOUS,
    SPLIT_WITH_NEXT,
    SPLIT_CONTIGUOUS
};

/* When STEP_META_SPACE puts one before a text. */
enum prepend { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };

struct step {
    enum step_kind kind;
    struct regex *regex; /* owned */
    struct span text;    /* in the arena */
    enum split_behavior behavior;
    bool invert; /* what the pattern does not match counts as the match */
    enum prepend prepend;
    enum unicode_form form;
    bool left, right, only_blanks;
    struct charsmap charsmap;
    bool by_grapheme; /* apply it as tokenizer.json means it */
};

struct steps {
    struct step list[TOKENIZER_MAX_STEPS];
    size_t n;
};

enum model_kind {
    MODEL_BPE,       /* a list of merges */
    MODEL_TEXTS,     /* merges wherever the result is a token: SentencePiece, tiktoken */
    MODEL_UNIGRAM,   /* the likeliest way to cut a word into tokens */
    MODEL_WORDPIECE, /* the longest token that fits, again and again */
};

/* How the tokens spell what they stand for. */
enum spelling {
    SPELLED_BLANKS,    /* U+2581 for a blank */
    SPELLED_BYTES,     /* a character for every byte, as GPT-2 has it */
    SPELLED_WORDPIECE, /* words after a blank, what goes on in a word after inner_prefix */
    SPELLED_SUFFIX,    /* char_suffix at the end of a word, where a blank follows */
};

struct tokenizer {
    struct arena arena;
    struct vocab vocab;  /* as the file spells them; with `bytes`, as what they stand for */
    struct vocab pieces; /* what they stand for; only its texts are used */
    uint8_t *kind;       /* [n] enum token_kind */
    uint8_t *end;        /* [n] ends generation */
    struct added *added; /* [n_added] */
    size_t n_added;
    struct trie added_raw, added_normalized; /* -> index into added */
    struct steps normalizer, splitter;
    enum model_kind model;
    bool bytes;         /* the model works on bytes, not on characters */
    bool byte_fallback; /* characters without a token become the tokens of their bytes */
    bool whole_words;   /* a word that is a token is not merged */
    bool fuse_unknown;  /* several unknown characters in a row are one token */
    enum spelling spelling;
    bool clean_up;          /* SPELLED_WORDPIECE: no blank before punctuation */
    bool strip_first_space; /* of a text put together */
    struct bpe bpe;
    uint32_t *rank;                        /* [n] of MODEL_TEXTS */
    double *score;                         /* [n] of MODEL_UNIGRAM, log probabilities */
    double unknown_score;                  /* of MODEL_UNIGRAM: less than any token's */
    struct trie by_text;                   /* of MODEL_UNIGRAM: the tokens */
    struct span word_prefix, inner_prefix; /* MODEL_WORDPIECE: before first and later tokens */
    struct span char_prefix, char_suffix;  /* MODEL_BPE: of later characters, of the last one */
    size_t max_word;                       /* MODEL_WORDPIECE: characters; longer is unknown */
    int32_t byte_id[256];                  /* the token of a byte, or -1 */
    int32_t bos, eos, unknown;
    int32_t before[TOKENIZER_MAX_ENDS], after[TOKENIZER_MAX_ENDS]; /* with TOKENIZE_ENDS */
    size_t n_before, n_after;
};

/* Scratch texts of an encoder: two of the normalizer, one per step of the splitter, then: */
enum {
    TEXT_OF_STEPS = 2,
    TEXT_OF_WORD = 2 + TOKENIZER_MAX_STEPS,
    TEXT_REPAIRED,
    TOKENIZER_N_TEXTS
};

/* One call of tokenizer_encode(). */
struct encoder {
    const struct tokenizer *t;
    struct tokens *out;
    unsigned flags;
    struct err *e;
    struct bpe_scratch bpe;
    struct regex_scratch regex;
    struct buf texts[TOKENIZER_N_TEXTS];
    struct tokens ids; /* scratch of one word */
    uint32_t *begin;   /* [cap of ids + 1] */
    struct best *best; /* [n_best] scratch of MODEL_UNIGRAM */
    size_t n_best;
};

/* text -> normalized text, borrowed until the next call. A text that lost white space at its
 * beginning is no longer the first one: PREPEND_FIRST puts nothing before it. */
int steps_normalize(struct encoder *c, struct span text, bool *first, struct span *out);
/* Cuts a normalized text; every word goes to model_word(). */
int steps_split(struct encoder *c, struct span text, bool first);
void steps_release(struct steps *s);

/* A step that isolates the matches of a pattern. */
int steps_add_split(struct steps *s, const char *pattern, struct err *e);
int steps_add_pretokenizer(struct steps *s, const struct pretokenizer *pre, struct err *e);
#define STEPS_PUNCTUATION "[\\p{P}!-/:-@\\[-`{-~]" /* as BERT means it */
/* BERT's normalizer and splitter. */
void steps_add_bert_normalizer(struct steps *s, bool clean, bool chinese, bool accents,
                               bool lowercase);
int steps_add_bert_splitter(struct steps *s, struct err *e);

/* Appends the ids of one word. */
int model_word(struct encoder *c, struct span word);
int model_unigram(struct encoder *c, struct span word);
int model_wordpiece(struct encoder *c, struct span word);

/* Appends the unknown token or those of the bytes; see words.c. */
size_t model_put_unknown(const struct tokenizer *t, struct span symbol, int32_t *ids, size_t n);

/* The code point by which byte-level vocabularies spell a byte, and back: -1 for other ones. */
uint32_t byte_level_spelling(unsigned char byte);
int byte_level_byte(uint32_t cp);

/* Fills pieces and byte_id from the vocabulary and its kinds. */
int tokenizer_make_pieces(struct tokenizer *t, struct err *e);

/* A SentencePiece model as GGUF's metadata or its own file describe it; everything is borrowed.
 * The vocabulary and its kinds are read already. */
struct sentencepiece {
    const float *scores; /* [n] */
    bool unigram;        /* else BPE */
    bool prefix;         /* a blank before the text */
    bool collapse;       /* no blanks at the ends, one elsewhere */
    struct span charsmap;
};
int tokenizer_make_sentencepiece(struct tokenizer *t, const struct sentencepiece *s, struct err *e);

/* A SentencePiece model file (tokenizer.model); tiktoken's, of lines "base64 rank", whose words
 * the pre-tokenizer of this name cuts. */
int tokenizer_from_sentencepiece(struct tokenizer **t, struct span file, struct err *e);
int tokenizer_from_tiktoken(struct tokenizer **t, struct span file, const char *pre, struct err *e);

/* Memory for kinds and ends of the vocabulary; all tokens are normal ones. */
int tokenizer_reserve(struct tokenizer *t, struct err *e);

/* Added tokens from kinds: control and unknown ones are special, those of the user are not. */
int tokenizer_add_by_kind(struct tokenizer *t, struct err *e);

/* Marks what ends generation by its text, since few files say it: only special tokens, or any. */
void tokenizer_find_ends(struct tokenizer *t, bool any);

/* Makes the splitter cut before blanks where that changes nothing but the speed. */
int tokenizer_split_at_blanks(struct tokenizer *t, struct err *e);

/* MODEL_UNIGRAM: makes the trie and the unknown score from kinds and scores. */
int tokenizer_index_unigram(struct tokenizer *t, struct err *e);

/* Makes the tries of t->added; everything else is made. */
int tokenizer_index_added(struct tokenizer *t, struct err *e);

#endif
