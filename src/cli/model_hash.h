/* model_hash.h - the model's content id for the recipe, found while the picture is being drawn.
 *
 * Hashing reads every byte of the model, so it happens once per file: results are kept in
 * $XDG_CACHE_HOME/lar/hashes, by path, size and time of modification. The cache may be deleted at
 * any time; a broken one is ignored and replaced.
 */
#ifndef LAR_CLI_MODEL_HASH_H
#define LAR_CLI_MODEL_HASH_H

#include <stdatomic.h>

struct checkpoint;
struct err;
struct model_hash;

#define MODEL_HASH_SIZE 11 /* 10 hexadecimal digits and NUL */

/* Starts a thread. `c` is borrowed until model_hash_end(); others may read it meanwhile. */
struct model_hash *model_hash_begin(struct checkpoint *c);
/* Waits for the id; NULL when it cannot be had or `cancel` becomes true. */
const char *model_hash_wait(struct model_hash *h, const atomic_bool *cancel);
/* Ends the thread, finished or not. NULL is fine. */
void model_hash_end(struct model_hash *h);

/* The same id of any one file, read here and now. */
int file_hash(const char *path, char out[MODEL_HASH_SIZE], struct err *e);

/* Do the digits that both have agree, in any case? Old recipes have 8, A1111's and ours 10, LoRAs'
 * 12. Nothing, or NULL, agrees with all. */
_Bool hash_agrees(const char *a, const char *b);

/* The two halves of the cache, `file` being its path; for tests. Both do nothing when the cache or
 * the model's files cannot be read. model_hash_load() returns whether `out` holds the id. */
_Bool model_hash_load(const char *file, const struct checkpoint *c, char out[MODEL_HASH_SIZE]);
void model_hash_store(const char *file, const struct checkpoint *c,
                      const char hash[MODEL_HASH_SIZE]);

#endif
