/* repl.c - see repl.h. */
#include "cli/repl.h"

#include "base/err.h"
#include "cli/answer.h"
#include "cli/interrupt.h"
#include "cli/line.h"
#include "cli/message.h"

/* A turn that fails is told, and the conversation goes on. */
static void turn(struct answerer *a, const char *line)
{
    struct err e = {0};
    if (answerer_say(a, line, &e) && e.code != ERR_CANCELLED)
        message_error(&e);
    interrupt_clear();
}

int repl_run(struct answerer *a, struct err *e)
{
    struct line_reader *reader = line_reader_open(NULL);
    const char *line;
    enum line_event event;
    (void)e;
    while (!atomic_load(interrupt_flag()) &&
           (event = line_read(reader, ">>> ", &line)) != LINE_END) {
        if (event == LINE_INTERRUPTED)
            interrupt_clear();
        else if (*line)
            turn(a, line);
    }
    line_reader_close(reader);
    return 0;
}
