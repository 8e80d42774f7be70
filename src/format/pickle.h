/* pickle.h - Python's pickles as plain data. Nothing is ever executed.
 *
 * A pickle is a program for a small stack machine. This reader knows only the instructions that
 * build numbers, texts, lists and dictionaries; "call this function" becomes a value that says so,
 * and only for functions on the caller's list: a pickle that names another one is refused. What the
 * calls mean is up to the caller (pytorch.h).
 * Format: https://github.com/python/cpython/blob/main/Lib/pickletools.py, protocols 2 to 5.
 */
#ifndef LAR_FORMAT_PICKLE_H
#define LAR_FORMAT_PICKLE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,       /* number */
    PICKLE_INT,        /* number; integers beyond 64 bits are only known to be large */
    PICKLE_REAL,       /* a value nobody here needs */
    PICKLE_TEXT,       /* text: a string or bytes */
    PICKLE_LIST,       /* items: a list or tuple */
    PICKLE_DICT,       /* items: key, value, key, value, ... */
    PICKLE_GLOBAL,     /* text: "collections.OrderedDict" */
    PICKLE_OBJECT,     /* callee(args) with state and, like a dictionary, items */
    PICKLE_PERSISTENT, /* args: what stands for something outside the pickle */
    PICKLE_MARK        /* internal */
};

struct pickle_value {
    enum pickle_kind kind;
    bool seen; /* for whoever walks the tree, which may have cycles */
    int64_t number;
    const char *text; /* NUL-terminated */
    struct pickle_value **items;
    size_t n, cap;
    struct pickle_value *callee, *args, *state; /* or NULL */
};

struct pickle {
    struct arena arena;
    struct pickle_value *root;
    struct pickle_value *persistent; /* a list of what persistent values stand for, in order */
    size_t used;                     /* bytes up to the end of the pickle */
};

/* `globals` lists what may be named, "module.name", NULL at the end; an entry that ends in '.'
 * allows all of the module. On an error nothing is held. The sentence does not name the file. */
int pickle_parse(struct pickle *p, const void *data, size_t n, const char *const *globals,
                 struct err *e);
void pickle_release(struct pickle *p); /* a zeroed one is fine */

/* The value under a text key of a dictionary or object; NULL when there is none. */
struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key);

#endif
