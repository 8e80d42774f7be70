/* program.h - runs the real `lar` as a user would, and keeps what it said. */
#ifndef LAR_TESTS_SUPPORT_PROGRAM_H
#define LAR_TESTS_SUPPORT_PROGRAM_H

#include <sys/types.h>

struct program {
    const char *exe;   /* another program; NULL: lar */
    const char *dir;   /* its current folder; NULL: the test's */
    const char *input; /* a file for standard input; NULL: nothing */
    int out;           /* a descriptor for standard output; 0: kept in `text` */
    pid_t pid;
    char *files[2]; /* where standard output and error are kept */
    int code;       /* exit code; 128 + n when signal n ended it */
    char *text;     /* what it wrote to standard output */
    char *errors;   /* and to standard error */
};

/* Gives the process a home of its own, an empty folder, and no variables of Lar's. Once per test
 * program; the path is borrowed. */
const char *program_home(void);

/* Starts lar with arguments up to NULL. */
void program_start(struct program *p, const char *const *args);
/* Waits for its end and reads what it wrote. */
void program_wait(struct program *p);
/* What it has written to standard error so far; heap. */
char *program_errors(const struct program *p);
void program_release(struct program *p);

/* Both; fails the test unless it ends with `code` and what it wrote contains `part`: to standard
 * output when `code` is 0, else to standard error. */
void program_run(struct program *p, const char *const *args, int code, const char *part);

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
