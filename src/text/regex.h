/* regex.h - regular expressions of pre-tokenizers: PCRE2 with JIT and Unicode properties.
 *
 * Patterns are written as tokenizer.json has them, in Oniguruma's Ruby syntax
 * (https://github.com/kkos/oniguruma/blob/master/doc/RE), where \s is Unicode's White_Space, \w
 * its alphabetic characters, marks, digits and connectors, \h a hexadecimal digit, and classes may
 * hold classes: [a[bc]], [\p{L}&&[^\p{Han}]]. What differs in PCRE2 is rewritten.
 */
#ifndef LAR_TEXT_REGEX_H
#define LAR_TEXT_REGEX_H

#include "text/vocab.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct regex;

#define REGEX_MAX_PATTERN ((size_t)64 << 10)

/* Read-only once made; any thread may use it. A literal pattern is a text to be found. ERR_FORMAT
 * names the pattern and what is wrong with it. */
int regex_new(struct regex **r, struct span pattern, bool literal, struct err *e);
void regex_free(struct regex *r);

/* Memory for matching, one per thread; a zeroed one is empty. */
struct regex_scratch {
    void *match, *context, *stack;
};

void regex_scratch_release(struct regex_scratch *s);

struct regex_match {
    size_t begin, end;
};

/* The first match in the text from `from` on, what lies before being context: 1 and its place,
 * which may be empty, or 0. Bytes that are no UTF-8 match nothing. Backtracking is bounded:
 * ERR_FORMAT where the pattern takes too long. */
int regex_find(const struct regex *r, struct regex_scratch *s, struct span text, size_t from,
               struct regex_match *found, struct err *e);

#endif
