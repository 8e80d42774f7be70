/* interrupt.c - see interrupt.h. */
#include "cli/interrupt.h"

#include "base/file.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

/* Globals, since signal handlers know nothing else. */
static atomic_bool flag;
static atomic_int signal_number;

static void handle(int number)
{
    if (atomic_exchange(&flag, true)) {
        file_writer_unlink_all();
        _exit(128 + number);
    }
    atomic_store(&signal_number, number);
}

/* Without SA_RESTART, so that Ctrl-C ends the reading of a prompt. */
void interrupt_begin(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP}, ignored[] = {SIGPIPE, SIGXFSZ};
    struct sigaction old, action = {.sa_handler = handle};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
    action.sa_handler = SIG_IGN;
    for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
        sigaction(ignored[i], &action, NULL);
}

const atomic_bool *interrupt_flag(void)
{
    return &flag;
}

void interrupt_clear(void)
{
    int was = SIGINT;
    if (atomic_compare_exchange_strong(&signal_number, &was, 0))
        atomic_store(&flag, false);
}

int interrupt_exit_code(int code)
{
    int number = atomic_load(&signal_number);
    return number && code ? 128 + number : code;
}
