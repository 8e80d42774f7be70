/* kvcache.h - who owns which block of keys and values: sequences, and a tree for reuse.
 *
 *     pool    [ 0 ][ 1 ][ 2 ][ 3 ][ 4 ][ 5 ] ...        KV_BLOCK tokens each, in every layer
 *     tree    root -- 0 "You are a helpful ..." -- 1 " ... Question:" -- 4 "Who"
 *                                              \-- 3 "Translate"           (partly filled)
 *     seq A   0 1 4 5         5 is not full yet: A's own
 *     seq B   0 3             shares 0 with A
 *
 * Full blocks enter the tree as they are filled, so that sequences with a common beginning share
 * them; the last, partly filled block enters it when its sequence ends. A block that only the tree
 * holds stays until its memory is needed: the least recently used goes first, leaves before what
 * they grow from. A sequence that writes into a block others hold gets a copy of it (copy on
 * write).
 *
 * All layers share one numbering of blocks, so those behind a sliding window stay until their
 * sequence ends. One thread at a time.
 *
 * After PagedAttention (Kwon et al., SOSP 2023) and RadixAttention (Zheng et al., SGLang, 2024).
 */
#ifndef LAR_NN_KVCACHE_H
#define LAR_NN_KVCACHE_H

#include "tensor/kv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct kvcache;

/* One sequence's way through the pool. A zeroed one is empty; only kvcache_*() change it. */
struct kvcache_seq {
    int32_t *blocks; /* owned; [n_blocks], for struct kv_seq */
    int n_blocks, max_blocks;
    int n_past; /* tokens whose keys and values are there */
};

/* A pool of n_blocks for layers of these shapes (k and v are ignored). Memory is touched as blocks
 * are first written. */
int kvcache_new(struct kvcache **c, const struct kv_layer *layers, int n_layer, int n_blocks,
                struct err *e);
void kvcache_free(struct kvcache *c); /* NULL is fine */

/* Bytes of one block in all layers; 0 when that is more than a size_t holds. */
size_t kvcache_block_bytes(const struct kv_layer *layers, int n_layer);

/* [n_layer], for recording a tape; lives as long as the cache. */
const struct kv_layer *kvcache_layers(const struct kvcache *c);

/* Starts an empty sequence with the longest beginning of these n tokens that the tree knows:
 * s->n_past of them need no evaluation. Pass one token less than there are to get logits. */
int kvcache_begin(struct kvcache *c, struct kvcache_seq *s, const int32_t *tokens, int n,
                  struct err *e);

/* Makes room for n tokens more, which the caller's run may then write. ERR_NOMEM when other
 * sequences hold the whole pool; the sequence stays as it was. */
int kvcache_reserve(struct kvcache *c, struct kvcache_seq *s, int n, struct err *e);

/* Says that a run wrote these n reserved tokens. */
void kvcache_commit(struct kvcache *c, struct kvcache_seq *s, const int32_t *tokens, int n);

/* Forgets all but the first n_past tokens; also what was reserved and not written. */
void kvcache_rewind(struct kvcache *c, struct kvcache_seq *s, int n_past);

/* Makes `to`, an empty sequence, one with the same tokens, which share their blocks. */
int kvcache_fork(struct kvcache *c, const struct kvcache_seq *from, struct kvcache_seq *to,
                 struct err *e);

/* Ends a sequence; its blocks stay in the tree. An empty one is fine. */
void kvcache_end(struct kvcache *c, struct kvcache_seq *s);

/* Forgets what only the tree holds. */
void kvcache_clear(struct kvcache *c);

/* Every block is one of these. */
struct kvcache_use {
    int n_free, n_cached /* in the tree alone */, n_held /* by sequences */;
};
struct kvcache_use kvcache_use(const struct kvcache *c);

/* Are the invariants true for exactly these n sequences? For tests. */
bool kvcache_sound(const struct kvcache *c, const struct kvcache_seq *const *seqs, int n);

#endif
