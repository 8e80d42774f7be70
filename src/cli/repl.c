/* repl.c - see repl.h. */
#include "cli/repl.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/answer.h"
#include "cli/interrupt.h"
#include "cli/line.h"
#include "cli/message.h"
#include "cli/repl_commands.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_TURN ((size_t)16 << 20)
#define QUOTES   "\"\"\""

/* ~/.local/state/lar/history, as the XDG base directories have it; NULL without a home. */
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state == '/')
        return file_join(state, "lar/history");
    return home && *home ? file_join(home, ".local/state/lar/history") : NULL;
}

/* Appends a line to the turn. True when more lines belong to it. */
static bool add_line(struct buf *turn, const char *line, bool *quoted)
{
    size_t n = strlen(line);
    if (!*quoted && turn->len == 0 && strncmp(line, QUOTES, 3) == 0) {
        *quoted = true;
        line += 3;
        n -= 3;
    }
    if (*quoted) {
        const char *end = strstr(line, QUOTES);
        buf_append(turn, line, end ? (size_t)(end - line) : n);
        if (!end)
            buf_append_char(turn, '\n');
        return !end;
    }
    bool goes_on = n > 0 && line[n - 1] == '\\';
    buf_append(turn, line, n - goes_on);
    if (goes_on)
        buf_append_char(turn, '\n');
    return goes_on;
}

/* One turn of one or more lines. What was typed of it is forgotten on LINE_INTERRUPTED. */
static enum line_event read_turn(struct line_reader *reader, struct buf *turn, bool *quoted)
{
    const char *line;
    bool more;
    buf_reset(turn);
    *quoted = false;
    do {
        bool first = turn->len == 0 && !*quoted;
        enum line_event event = line_read(reader, first ? ">>> " : "... ", &line);
        if (event != LINE_TEXT)
            return event == LINE_END && turn->len > 0 ? LINE_TEXT : event;
        line_keep(reader, line);
        more = add_line(turn, line, quoted);
    } while (more && !buf_failed(turn));
    return LINE_TEXT;
}

static void take_turn(struct repl *r, const struct buf *turn, bool quoted)
{
    struct err e = {0};
    const char *text = buf_str(turn);
    int rc;
    if (buf_failed(turn))
        rc = err_set(&e, ERR_ARG, "what was typed is longer than %zu MiB", MAX_TURN >> 20);
    else if (!quoted && *text == '/')
        rc = repl_command(r, text, &e);
    else
        rc = text[strspn(text, " \t\n")] ? answerer_say(r->answerer, text, &e) : 0;
    if (rc && rc != ERR_CANCELLED)
        message_error(&e);
}

int repl_run(struct answerer *a, struct err *e)
{
    char *history = history_path();
    struct repl r = {.answerer = a, .reader = line_reader_open(history)};
    struct buf turn;
    bool quoted = false;
    free(history);
    buf_init(&turn, MAX_TURN);
    if (isatty(STDIN_FILENO))
        message_note("/help says what can be done here, Ctrl-D ends it");
    while (!r.ended) {
        enum line_event event = read_turn(r.reader, &turn, &quoted);
        if (event == LINE_END)
            break;
        if (event == LINE_TEXT)
            take_turn(&r, &turn, quoted);
        interrupt_clear();
        if (atomic_load(interrupt_flag())) /* another signal than Ctrl-C's */
            break;
    }
    line_reader_close(r.reader);
    buf_release(&turn);
    return atomic_load(interrupt_flag()) ? err_set(e, ERR_CANCELLED, "cancelled") : 0;
}
