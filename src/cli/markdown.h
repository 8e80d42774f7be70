/* markdown.h - colours for Markdown that arrives in pieces.
 *
 * Every byte is written as it came; only colour sequences (CSI ... m) are added, so that what is
 * copied from the terminal is still the Markdown the model wrote. Control characters other than
 * newline and tab are shown as '?': a model must not be able to move the cursor or set the title.
 * Where colours go follows CommonMark (https://spec.commonmark.org/0.31.2/) for headings, fences,
 * code spans, quotes, list markers and emphasis; emphasis ends with its paragraph.
 *
 *     ## A heading       `code`   **strong**   *emphasis*   - item      ```c
 *     \_bold, blue__/    \cyan/   \__bold__/   \_italic_/   | yellow    int x;   cyan until the
 *                                                                       ```      closing fence
 */
#ifndef LAR_CLI_MARKDOWN_H
#define LAR_CLI_MARKDOWN_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

struct markdown {
    bool colour;     /* false: only the control characters are changed */
    bool started;    /* the line has more than its indentation and markers */
    bool blank;      /* the line so far is empty or spaces */
    int indent;      /* spaces before that */
    bool heading;    /* to the end of the line */
    char fence;      /* '`' or '~' inside a fenced block, else 0 */
    int fence_n;     /* characters of the opening fence */
    bool info;       /* the rest of the line belongs to a fence */
    bool only_fence; /* this line of the block is a fence so far */
    int code;        /* backticks that opened a code span, 0 outside */
    bool bold, italic;
    char marks[2]; /* which character opened them */
    char before;   /* the last byte written of this line, ' ' at its beginning */
    char run;      /* characters held back because what follows decides: run_n times `run` */
    int run_n;
    int style; /* what the terminal shows now */
};

void markdown_init(struct markdown *m, bool colour);
/* Appends what can be said already; a run of markers waits for the next byte. */
void markdown_put(struct markdown *m, const char *text, size_t n, struct buf *out);
/* Writes what was held back and switches colours off; ready for another text. */
void markdown_end(struct markdown *m, struct buf *out);

#endif
