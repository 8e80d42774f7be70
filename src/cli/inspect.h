/* inspect.h - `lar inspect FILE|FOLDER`: what a model or a picture contains. */
#ifndef LAR_CLI_INSPECT_H
#define LAR_CLI_INSPECT_H

#include <stdbool.h>
#include <stdio.h>

struct err;

struct inspect_options {
    const char *path;
    bool json;    /* one JSON object instead of a table */
    bool tensors; /* every tensor: name, shape, type */
    bool hash;    /* the content id (reads the whole file) */
    bool check;   /* looks for NaN and infinity (reads the whole file); ERR_NUMERIC when found */
};

/* Writes to `out`; nothing when opening fails. */
int inspect_run(const struct inspect_options *o, FILE *out, struct err *e);

#endif
