/* interrupt.h - Ctrl-C, and the signals that mean the same.
 *
 * The first SIGINT, SIGTERM or SIGHUP asks the command to end soon, through a flag that imagine()
 * polls; the second ends the program at once. Either way no partial file is left. SIGPIPE and
 * SIGXFSZ become errors of write().
 */
#ifndef LAR_CLI_INTERRUPT_H
#define LAR_CLI_INTERRUPT_H

#include <stdatomic.h>

/* Installs the handlers; signals that the parent process ignored (nohup) stay ignored. */
void interrupt_begin(void);

/* True once a signal came. */
const atomic_bool *interrupt_flag(void);

/* What Ctrl-C was to end has ended, and the program goes on; other signals still end it. */
void interrupt_clear(void);

/* 128 + the signal that came, as shells count; `code` when none did. */
int interrupt_exit_code(int code);

#endif
