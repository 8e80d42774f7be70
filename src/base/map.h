/* map.h - a hash map from byte strings to pointers.
 *
 * Open addressing, grows at 70 % load, seeded per process so that hostile names cannot collide on
 * purpose. Keys are copied. No removal: maps here are built once and read.
 */
#ifndef LAR_BASE_MAP_H
#define LAR_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_slot {
    char *key; /* owned; NULL marks a free slot */
    size_t len;
    uint64_t hash;
    void *value;
};

/* A zeroed struct map is an empty map. */
struct map {
    struct map_slot *slots;
    size_t n;   /* entries */
    size_t cap; /* slots, a power of two */
};

void map_release(struct map *m); /* does not free the values */
/* Stores value under the key; returns the value that was there before, or NULL. */
void *map_put(struct map *m, const char *key, size_t len, void *value);
void *map_get(const struct map *m, const char *key, size_t len); /* NULL when absent */
void *map_get_str(const struct map *m, const char *key);
/* A random number that stays the same in this process, for other hashes of hostile keys. */
uint64_t map_seed(void);

#endif
