/* completions.h - what a shell proposes after Tab, made from options.def. */
#ifndef LAR_CLI_COMPLETIONS_H
#define LAR_CLI_COMPLETIONS_H

struct buf;

/* Appends the script for `shell`: "bash", "zsh" or "fish". */
void completions(struct buf *b, const char *shell);

#endif
