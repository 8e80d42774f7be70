/* convert.h - `lar convert IN OUT [--type TYPE]`, `lar quantize IN OUT TYPE`: a model in another
 * format or element type. */
#ifndef LAR_CLI_CONVERT_H
#define LAR_CLI_CONVERT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

struct err;

struct convert_command {
    const char *in;            /* file or folder */
    const char *out;           /* ends in .gguf or .safetensors */
    const char *type;          /* "f16", "q4_k_m", ... (format/mix.h); NULL keeps the types */
    int n_threads;             /* 0: one per processor */
    bool force;                /* replaces a file that is there */
    bool json;                 /* the result as a JSON object */
    bool quiet;                /* no progress on stderr */
    const atomic_bool *cancel; /* true stops, ERR_CANCELLED; may be NULL */
};

/* The result goes to `out`, progress to stderr. On a failure no file appears. */
int convert_run(const struct convert_command *o, FILE *out, struct err *e);

#endif
