/* line.h - lines as a person types them: edited and remembered on a terminal, plain elsewhere. */
#ifndef LAR_CLI_LINE_H
#define LAR_CLI_LINE_H

#include <stdbool.h>

struct line_reader;

/* Reads standard input. With `history`, the path of a file, lines kept in earlier sessions can be
 * called back; it is made, for its owner's eyes only, when the first line is kept. NULL: none. */
struct line_reader *line_reader_open(const char *history);
void line_reader_close(struct line_reader *r);

enum line_event { LINE_TEXT, LINE_INTERRUPTED, LINE_END };

/* The next line without its newline, borrowed until the next call. Ctrl-C gives LINE_INTERRUPTED
 * with what was typed forgotten, the end of input (Ctrl-D on an empty line) LINE_END. */
enum line_event line_read(struct line_reader *r, const char *prompt, const char **line);

/* Remembers a line, in the file too, unless it repeats the last one. */
void line_keep(struct line_reader *r, const char *line);
/* From now on nothing is remembered, or again. */
void line_remember(struct line_reader *r, bool on);

#endif
