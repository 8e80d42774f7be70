/* lru.h - a cache of byte strings by byte strings, bounded in bytes: the least recently used go.
 *
 * Keys are compared whole, so that a hit is exact. One thread at a time.
 */
#ifndef LAR_BASE_LRU_H
#define LAR_BASE_LRU_H

#include <stddef.h>

struct err;
struct lru_entry;

struct lru {
    struct lru_entry *first; /* the most recently used; owned list */
    size_t bytes;            /* of all keys and values */
    size_t max;              /* bytes <= max */
};

void lru_init(struct lru *c, size_t max);
void lru_release(struct lru *c);

/* The value, borrowed until the next lru_put(), and its size; NULL when it is not there. */
void *lru_get(struct lru *c, const void *key, size_t n_key, size_t *n);

/* Keeps a copy, in place of an older value of this key; what is larger than the cache is not kept.
 * ERR_NOMEM: nothing is kept. */
int lru_put(struct lru *c, const void *key, size_t n_key, const void *value, size_t n,
            struct err *e);

#endif
