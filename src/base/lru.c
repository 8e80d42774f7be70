/* lru.c - see lru.h. A list is enough: entries are few and large. */
#include "base/lru.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct lru_entry {
    struct lru_entry *next; /* less recently used */
    uint64_t hash;          /* of the key: most others differ in it */
    size_t n_key, n;
    unsigned char bytes[]; /* the value, then the key */
};

void lru_init(struct lru *c, size_t max)
{
    *c = (struct lru){.max = max};
}

void lru_release(struct lru *c)
{
    while (c->first) {
        struct lru_entry *x = c->first;
        c->first = x->next;
        free(x);
    }
    c->bytes = 0;
}

static size_t size_of(const struct lru_entry *x)
{
    return x->n_key + x->n;
}

/* Takes the entry of this key out of the list. */
static struct lru_entry *take(struct lru *c, const void *key, size_t n_key)
{
    uint64_t hash = hash_fnv1a(key, n_key);
    for (struct lru_entry **p = &c->first; *p; p = &(*p)->next) {
        struct lru_entry *x = *p;
        if (x->hash != hash || x->n_key != n_key || memcmp(x->bytes + x->n, key, n_key) != 0)
            continue;
        *p = x->next;
        c->bytes -= size_of(x);
        return x;
    }
    return NULL;
}

static void put_first(struct lru *c, struct lru_entry *x)
{
    x->next = c->first;
    c->first = x;
    c->bytes += size_of(x);
}

void *lru_get(struct lru *c, const void *key, size_t n_key, size_t *n)
{
    struct lru_entry *x = take(c, key, n_key);
    if (!x)
        return NULL;
    put_first(c, x);
    *n = x->n;
    return x->bytes;
}

static void drop_last(struct lru *c)
{
    struct lru_entry **p = &c->first;
    assert(*p);
    while ((*p)->next)
        p = &(*p)->next;
    c->bytes -= size_of(*p);
    free(*p);
    *p = NULL;
}

int lru_put(struct lru *c, const void *key, size_t n_key, const void *value, size_t n,
            struct err *e)
{
    free(take(c, key, n_key));
    if (n_key > c->max || n > c->max - n_key)
        return 0;
    while (c->first && c->bytes > c->max - n_key - n)
        drop_last(c);
    struct lru_entry *x = mem_try_array(sizeof(*x) + n + n_key, 1, "a cache entry", e);
    if (!x)
        return ERR_NOMEM;
    x->hash = hash_fnv1a(key, n_key);
    x->n_key = n_key;
    x->n = n;
    memcpy(x->bytes, value, n);
    memcpy(x->bytes + n, key, n_key);
    put_first(c, x);
    return 0;
}
