/* repl.h - a conversation with a model in the terminal.
 *
 *     >>> Hello                            a turn; its answer is printed as it comes
 *     >>> """Several                       everything up to the next """ is one turn
 *     ... lines"""
 *     >>> A line that ends in \            goes on in the next one
 *     >>> /set parameter temperature 0     commands: cli/repl_commands.h
 *
 * Ctrl-C stops an answer, or forgets the line being typed; Ctrl-D or /bye ends the conversation.
 */
#ifndef LAR_CLI_REPL_H
#define LAR_CLI_REPL_H

struct answerer;
struct err;

/* Reads turns from standard input until its end. A turn that fails is told, and the next one
 * begins; 0 but when a signal other than Ctrl-C came. */
int repl_run(struct answerer *a, struct err *e);

#endif
