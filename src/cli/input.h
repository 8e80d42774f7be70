/* input.h - texts that commands read. */
#ifndef LAR_CLI_INPUT_H
#define LAR_CLI_INPUT_H

struct buf;
struct err;

/* Appends the bytes of a file, of standard input for "-", to `b`, whose maximum is the limit:
 * ERR_ARG beyond it. `what` ("the prompt") is for the sentence. Ctrl-C gives ERR_CANCELLED. */
int input_read(const char *path, struct buf *b, const char *what, struct err *e);

/* Cuts line ends off the end. */
void input_trim(struct buf *b);

#endif
