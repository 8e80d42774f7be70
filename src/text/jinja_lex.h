/* jinja_lex.h - a template's text as tokens, white space trimmed as trim_blocks and lstrip_blocks
 * want it. Private to the interpreter.
 */
#ifndef LAR_TEXT_JINJA_LEX_H
#define LAR_TEXT_JINJA_LEX_H

#include <stddef.h>
#include <stdint.h>

struct arena;
struct err;

enum jinja_token_type {
    JINJA_EOF,
    JINJA_DATA, /* text between tags */
    JINJA_BLOCK_BEGIN,
    JINJA_BLOCK_END,
    JINJA_PRINT_BEGIN,
    JINJA_PRINT_END,
    JINJA_NAME,
    JINJA_STRING, /* unescaped */
    JINJA_INTEGER,
    JINJA_FLOAT,
    JINJA_OPERATOR
};

/* Operators of two characters; those of one are the character. */
enum jinja_operator { JINJA_EQ = 256, JINJA_NE, JINJA_LE, JINJA_GE, JINJA_POW, JINJA_FLOORDIV };

struct jinja_token {
    enum jinja_token_type type;
    int line;
    int op;
    const char *text; /* DATA, NAME, STRING; in the arena or the source; no NUL behind it */
    size_t n;
    union {
        int64_t i;
        double f;
    } u;
};

struct jinja_tokens {
    struct jinja_token *v; /* in the arena; the last is JINJA_EOF */
    size_t n, cap;
};

/* `source` is borrowed as long as the tokens are read; its line ends are '\n' alone. */
int jinja_lex(struct jinja_tokens *out, const char *source, size_t n, struct arena *arena,
              struct err *e);

#endif
