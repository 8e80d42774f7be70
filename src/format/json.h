/* json.h - JSON from files that nobody trusts: limits, typed getters, errors that name the place.
 *
 * A thin layer over jansson. Getters take a path of keys and array indices ("vae.scaling_factor",
 * "block_out_channels.0"; "" is the root). A value that is absent or null leaves the caller's
 * default untouched; one of the wrong type or out of range is ERR_FORMAT.
 */
#ifndef LAR_FORMAT_JSON_H
#define LAR_FORMAT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct json_t; /* jansson.h */

#define JSON_DOC_MAX_DEPTH  64
#define JSON_DOC_MAX_VALUES ((size_t)4 << 20)

struct json_doc {
    struct json_t *root; /* owned */
    char *name;          /* owned; for messages: a path, or "x.gguf: lar.config.unet" */
};

/* Parses n bytes of UTF-8; duplicate keys, NUL characters, anything nested deeper or longer than
 * the limits above, and trailing bytes other than white space are errors with line and column. */
int json_doc_parse(struct json_doc *d, const char *name, const void *text, size_t n, struct err *e);
/* The same for a file of at most `max` bytes. */
int json_doc_read(struct json_doc *d, const char *path, size_t max, struct err *e);
void json_doc_release(struct json_doc *d); /* a zeroed document is fine */

/* The value at the path, borrowed, or NULL when it is absent or null. */
const struct json_t *json_doc_at(const struct json_doc *d, const char *path);

int json_doc_int(const struct json_doc *d, const char *path, int64_t least, int64_t most,
                 int64_t *v, struct err *e);
int json_doc_num(const struct json_doc *d, const char *path, double *v, struct err *e); /* finite */
int json_doc_bool(const struct json_doc *d, const char *path, bool *v, struct err *e);
/* Borrowed until the release. */
int json_doc_str(const struct json_doc *d, const char *path, const char **v, struct err *e);

/* An array of at most `max` integers; a single integer counts as an array of one. *n stays
 * untouched when the value is absent. */
struct json_ints {
    int64_t *v;
    size_t max, n;
    int64_t least, most;
};
int json_doc_ints(const struct json_doc *d, const char *path, struct json_ints *out, struct err *e);

#endif
