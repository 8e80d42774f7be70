/* json_schema_writer.h - what the files of text/json_schema*.c share. */
#ifndef LAR_TEXT_JSON_SCHEMA_WRITER_H
#define LAR_TEXT_JSON_SCHEMA_WRITER_H

#include "base/buf.h"
#include "base/map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct json_t;

enum schema_type {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_INTEGER = 4,
    SCHEMA_NUMBER = 8,
    SCHEMA_STRING = 16,
    SCHEMA_ARRAY = 32,
    SCHEMA_OBJECT = 64,
    SCHEMA_ANY = 127 - SCHEMA_INTEGER /* a number may be whole */
};

struct schema_writer {
    const struct json_t *root;
    struct buf *out;     /* finished rules */
    struct map rules;    /* by the schema's own text, so that the same schema is one rule: number */
    struct json_t *kept; /* an array that owns what merging made */
    char path[256];      /* where we are, for messages: "#/properties/a"; cut where it is longer */
    unsigned n_rules;
    bool has_formats; /* the rules of formats are needed */
    int depth;
    struct err *e;
};

/* Stores the error with the place in front. */
int schema_fail(struct schema_writer *w, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Enters a member of the schema; returns what schema_leave() needs. */
size_t schema_enter(struct schema_writer *w, const char *key);
void schema_leave(struct schema_writer *w, size_t mark);

/* The number of the rule ("r12") for a schema, which is written first where it is new. */
int schema_rule(struct schema_writer *w, const struct json_t *s, unsigned *number);

/* A fresh rule number; an error when there are too many. */
int schema_new_rule(struct schema_writer *w, unsigned *number);

/* The types that a schema's `type`, or else its other keywords, allow. */
int schema_types(struct schema_writer *w, const struct json_t *s, unsigned *types);

/* An integer keyword >= 0; leaves *v as it is where it is absent. */
int schema_count(struct schema_writer *w, const struct json_t *s, const char *key, uint64_t *v);

/* Merging (json_schema_merge.c): what is valid under both. The result is borrowed from w->kept;
 * `false` where nothing is. References are resolved first. */
int schema_merge(struct schema_writer *w, const struct json_t *a, const struct json_t *b,
                 const struct json_t **both);

/* Follows $ref, merging what stands beside it. */
int schema_resolve(struct schema_writer *w, const struct json_t *s, const struct json_t **target);

/* Whether a keyword only comments. */
bool schema_is_annotation(const char *key);

/* Each appends an expression of GBNF. */
int schema_object(struct schema_writer *w, const struct json_t *s, struct buf *out);
int schema_string(struct schema_writer *w, const struct json_t *s, struct buf *out);
int schema_number(struct schema_writer *w, const struct json_t *s, bool integer, struct buf *out);
int schema_pattern(struct schema_writer *w, const char *pattern, struct buf *out); /* with quotes */
void schema_value(const struct json_t *v, struct buf *out);                        /* a constant */
void schema_name(const char *name, struct buf *out); /* a JSON string as a text of GBNF */
void schema_string_rules(const struct schema_writer *w, struct buf *out); /* of formats */

#endif
