/* map.c - see map.h. */
#include "base/map.h"

#include "base/hash.h"
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t map_seed(void)
{
    static _Atomic uint64_t s;
    uint64_t now = atomic_load(&s);
    if (!now) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        uint64_t fresh = hash_mix64((uint64_t)t.tv_nsec ^ (uint64_t)t.tv_sec << 20 ^
                                    (uint64_t)(uintptr_t)&s ^ (uint64_t)getpid() << 44) |
                         1;
        if (atomic_compare_exchange_strong(&s, &now, fresh))
            now = fresh;
    }
    return now;
}

static uint64_t key_hash(const char *key, size_t len)
{
    return hash_mix64(hash_fnv1a(key, len) ^ map_seed());
}

static struct map_slot *find(struct map_slot *slots, size_t cap, const char *key, size_t len,
                             uint64_t hash)
{
    size_t i = hash & (cap - 1);
    while (slots[i].key &&
           (slots[i].hash != hash || slots[i].len != len || memcmp(slots[i].key, key, len) != 0))
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static void grow(struct map *m)
{
    size_t cap = m->cap ? m->cap * 2 : 64;
    struct map_slot *slots = mem_alloc(cap * sizeof(*slots));
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].key)
            *find(slots, cap, m->slots[i].key, m->slots[i].len, m->slots[i].hash) = m->slots[i];
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
}

void *map_put(struct map *m, const char *key, size_t len, void *value)
{
    if ((m->n + 1) * 10 > m->cap * 7)
        grow(m);
    uint64_t hash = key_hash(key, len);
    struct map_slot *s = find(m->slots, m->cap, key, len, hash);
    void *old = s->key ? s->value : NULL;
    if (!s->key) {
        *s = (struct map_slot){.key = mem_strndup(key, len), .len = len, .hash = hash};
        m->n++;
    }
    s->value = value;
    return old;
}

void *map_get(const struct map *m, const char *key, size_t len)
{
    if (!m->cap)
        return NULL;
    struct map_slot *s = find(m->slots, m->cap, key, len, key_hash(key, len));
    return s->key ? s->value : NULL;
}

void *map_get_str(const struct map *m, const char *key)
{
    return map_get(m, key, strlen(key));
}

void map_release(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        free(m->slots[i].key);
    free(m->slots);
    *m = (struct map){0};
}
