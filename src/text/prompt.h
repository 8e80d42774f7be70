/* prompt.h - prompts as AUTOMATIC1111's web UI reads them: which words count how much.
 *
 *     (word)        1.1 times           ((word))    1.21 times
 *     [word]        1 / 1.1 times       (word:1.3)  1.3 times
 *     \( \) \[ \] \\  the character itself
 *     BREAK         the rest begins a new chunk (text/chunks.h)
 *
 * Brackets nest, and one that is never closed reaches to the end; one that was never opened is
 * text. Source: stable-diffusion-webui, modules/prompt_parser.py, parse_prompt_attention(). Two
 * things differ: BREAK also works inside brackets, where there it becomes the word with a negative
 * weight; and a weight that is no number, "(a:1.2.3)", is text, where there it is an exception.
 */
#ifndef LAR_TEXT_PROMPT_H
#define LAR_TEXT_PROMPT_H

#include <stdbool.h>
#include <stddef.h>

struct err;

#define PROMPT_MAX_DEPTH 256 /* open brackets of one kind; bounds the time */

struct prompt_part {
    size_t begin, len; /* in prompt.text; 0 for a break */
    double weight;
    bool is_break;
};

/* A zeroed struct prompt is empty. Neighbours differ in weight, or one is a break. */
struct prompt {
    char *text; /* owned; without brackets, weights and escapes */
    struct prompt_part *parts;
    size_t n;
};

/* Any bytes are text. ERR_ARG for brackets deeper than PROMPT_MAX_DEPTH, ERR_NOMEM; `p` is empty
 * then. */
int prompt_parse(struct prompt *p, const char *text, size_t len, struct err *e);
void prompt_release(struct prompt *p);

#endif
