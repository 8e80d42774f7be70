/* manual.h - the manual page lar(1), made from the table of options.def. */
#ifndef LAR_CLI_MANUAL_H
#define LAR_CLI_MANUAL_H

struct buf;

/* Appends the whole page in the man macros of roff: docs/lar.1. */
void manual_page(struct buf *b);

#endif
