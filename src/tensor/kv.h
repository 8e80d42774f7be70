/* kv.h - the paged cache of keys and values that op_attend() fills and reads.
 *
 * Each layer has one pool of blocks; a block holds KV_BLOCK tokens of one sequence, and a sequence
 * is a list of block numbers. The layout inside a block suits the kernels, which take all tokens of
 * one head at a time (g = groups of 32 dimensions, the last filled up with zeros):
 *
 *            keys of a head                               values of a head
 *     f32    [d_k][KV_BLOCK]                              [KV_BLOCK][d_v up to a multiple of 16]
 *     f16    the same                                     the same
 *     q8_0   scales f16 [g][KV_BLOCK],                    scales f16 [g][KV_BLOCK],
 *            q + 128 as u8 [8 g][KV_BLOCK][4]             q as i8 [g][KV_BLOCK][32]
 *     q4_0   scales f16 [g][KV_BLOCK],                    scales f16 [g][KV_BLOCK],
 *            q + 8 as nibbles [4 g][KV_BLOCK][4]          q + 8 as nibbles [g][KV_BLOCK][16]
 *
 * Keys have the token as the fast index, so that one vector holds the scores of many tokens. Low
 * nibbles are the first four dimensions of eight (keys), the first 16 of 32 (values). Numbers are
 * rounded as quant_from_f32() does it, each token's dimensions in groups of 32.
 */
#ifndef LAR_TENSOR_KV_H
#define LAR_TENSOR_KV_H

#include "tensor/dtype.h"

#define KV_BLOCK 32 /* tokens */

/* The cache of one layer. The owner of the memory may have filled it with anything. */
struct kv_layer {
    enum dtype type; /* kv_can() */
    int n_head_kv, d_k, d_v;
    char *k, *v; /* [n_blocks] of kv_k_bytes() and kv_v_bytes() */
};

/* Rows first_row .. first_row + n_rows of a run belong to one sequence, at the positions from
 * n_past on; blocks[position / KV_BLOCK] is the pool block of a position. Of a layer with a window
 * the blocks that end before the window of the first row are not read: their numbers may be
 * anything. Blocks that the rows fall into belong to no other sequence. */
struct kv_seq {
    int first_row, n_rows, n_past;
    const int32_t *blocks;
};

/* What one run attends to; may change between the runs of a tape. Rows of no sequence give 0. */
struct kv_batch {
    int n_seq;
    struct kv_seq *seq;
};

/* Can a cache have this type? f32, f16, q8_0 and q4_0. */
bool kv_can(enum dtype type);

/* Bytes of one block: all heads of KV_BLOCK tokens. */
size_t kv_k_bytes(const struct kv_layer *l);
size_t kv_v_bytes(const struct kv_layer *l);

/* One head of one token, x [d_k] or [d_v]: `slot` is the position % KV_BLOCK. These are the
 * reference for the kernels. */
void kv_write_k(const struct kv_layer *l, int32_t block, int slot, int head, const float *x);
void kv_write_v(const struct kv_layer *l, int32_t block, int slot, int head, const float *x);
void kv_read_k(const struct kv_layer *l, int32_t block, int slot, int head, float *x);
void kv_read_v(const struct kv_layer *l, int32_t block, int slot, int head, float *x);

#endif
