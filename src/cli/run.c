/* run.c - the command `lar run`: one answer, or a conversation. */
#include "base/buf.h"
#include "base/err.h"
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/repl.h"

#include <unistd.h>

#define MAX_PROMPT ((size_t)64 << 20)

/* The words of the command line, then what is piped in: `lar run MODEL "Summarise:" < text`. */
static int read_prompt(const struct options *o, struct buf *b, struct err *e)
{
    int rc = 0;
    for (int i = 1; i < o->n_operands; i++)
        buf_printf(b, "%s%s", i > 1 ? " " : "", o->operands[i]);
    if (isatty(STDIN_FILENO))
        return 0;
    size_t words = b->len;
    if (words > 0)
        buf_append_str(b, "\n\n");
    size_t before = b->len;
    rc = input_read("-", b, "the prompt", e);
    input_trim(b);
    if (b->len <= before && b->data) { /* nothing came */
        b->len = words;
        b->data[words] = '\0';
    }
    return rc;
}

int command_run(const struct options *o, struct err *e)
{
    struct answerer a = {0};
    struct buf prompt;
    buf_init(&prompt, MAX_PROMPT);
    int rc = read_prompt(o, &prompt, e);
    if (!rc && prompt.len == 0 && !isatty(STDIN_FILENO))
        rc = err_set(e, ERR_ARG,
                     "there is no prompt; write for example: lar run %s \"Who are you?\"",
                     o->operands[0]);
    if (!rc)
        rc = answerer_open(&a, o, o->operands[0], e);
    if (!rc && prompt.len == 0)
        rc = repl_run(&a, e);
    else if (!rc && o->value[OPTION_RAW].given)
        rc = answerer_continue(&a, buf_str(&prompt), e);
    else if (!rc)
        rc = answerer_say(&a, buf_str(&prompt), e);
    answerer_close(&a);
    buf_release(&prompt);
    return rc;
}
