/* attention.h - what both kinds of attention share. */
#ifndef LAR_CPU_ATTENTION_H
#define LAR_CPU_ATTENTION_H

#include "tensor/kv.h"
#include "tensor/tape.h"

struct cpu;
struct err;
struct gemm_tile;
struct product;

#define ATTENTION_ROWS 64

/* tile.c[n][nv * width] (+)= rows[n][k] w for one panel of w and n <= ATTENTION_ROWS; rows are
 * `step` bytes apart, which only sets with groups of rows rely on. */
void attention_product(const struct product *p, struct gemm_tile t, const void *const *rows,
                       long step, int n);

/* op_attend() has two ways: sequences with at most ATTEND_FEW queries for a head of the cache read
 * its blocks as they are (attend.c), others unpack them for matrix products (attend_many.c). */
#define ATTEND_FEW    32
#define ATTEND_HIDDEN (-1e30f) /* the score of a key before the window; its weight is 0 */

/* Queries of one head of the cache that the rows of a sequence have. */
static inline long attend_queries(const struct op *op, const struct kv_seq *s)
{
    return (long)s->n_rows * (op->n_head / op->cache->n_head_kv);
}

/* The first position that one at `position` sees. */
static inline int attend_first_key(const struct op *op, int position)
{
    return op->window > 0 && position >= op->window ? position - op->window + 1 : 0;
}

/* A head's keys or values in the block of a position. */
static inline const char *attend_block(const struct kv_layer *l, const struct kv_seq *s, int head,
                                       long position, bool values)
{
    size_t bytes = values ? kv_v_bytes(l) : kv_k_bytes(l);
    const char *p = (values ? l->v : l->k) + (size_t)s->blocks[position / KV_BLOCK] * bytes;
    return p + bytes / (size_t)l->n_head_kv * (size_t)head;
}

/* Those sequences of the batch with more than ATTEND_FEW queries; the cache has been filled. */
int cpu_attend_many(struct cpu *c, const struct op *op, struct err *e);

#endif
