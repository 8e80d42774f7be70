/* bpe.c - see bpe.h.
 *
 * A word is a doubly linked list of tokens, and a binary heap holds one candidate per neighbouring
 * pair as (rank << 32 | position). Merging leaves stale candidates behind; they are recognised
 * when they come up, because their pair no longer gives the token they promised.
 */
#include "text/bpe.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct bpe_node {
    uint32_t id;         /* NONE once merged into its left neighbour */
    uint32_t prev, next; /* indices, NONE at the ends */
};

/* Stable counting sort of the merge indices in `from` by the id that key() picks; b->first gets the
 * offsets of the groups. */
static void sort_by(struct bpe *b, const struct bpe_merge *merges, size_t n, const uint32_t *from,
                    uint32_t *to, uint32_t (*key)(const struct bpe_merge *))
{
    uint32_t *first = b->first;
    for (size_t i = 0; i <= b->n_vocab; i++)
        first[i] = 0;
    for (size_t i = 0; i < n; i++)
        first[key(&merges[i]) + 1]++;
    for (size_t i = 0; i < b->n_vocab; i++)
        first[i + 1] += first[i];
    for (size_t i = 0; i < n; i++)
        to[first[key(&merges[from[i]])]++] = from[i];
    for (size_t i = b->n_vocab; i > 0; i--) /* each offset has moved to its group's end */
        first[i] = first[i - 1];
    first[0] = 0;
}

static uint32_t key_left(const struct bpe_merge *m)
{
    return m->left;
}

static uint32_t key_right(const struct bpe_merge *m)
{
    return m->right;
}

int bpe_init(struct bpe *b, size_t n_vocab, const struct bpe_merge *merges, size_t n, struct err *e)
{
    *b = (struct bpe){.n_vocab = n_vocab};
    b->first = mem_try_array(n_vocab + 1, sizeof(uint32_t), "the merges", e);
    b->right = mem_try_array(n, sizeof(uint32_t), "the merges", e);
    b->rank = mem_try_array(n, sizeof(uint32_t), "the merges", e);
    b->result = mem_try_array(n, sizeof(uint32_t), "the merges", e);
    if (!b->first || !b->right || !b->rank || !b->result) {
        bpe_release(b);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        assert(merges[i].left < n_vocab && merges[i].right < n_vocab && merges[i].result < n_vocab);
        b->result[i] = (uint32_t)i; /* for now the identity, to sort from */
    }
    sort_by(b, merges, n, b->result, b->right, key_right);
    sort_by(b, merges, n, b->right, b->rank, key_left);
    for (size_t i = 0; i < n; i++) {
        b->right[i] = merges[b->rank[i]].right;
        b->result[i] = merges[i].result;
    }
    return 0;
}

void bpe_release(struct bpe *b)
{
    free(b->first);
    free(b->right);
    free(b->rank);
    free(b->result);
    *b = (struct bpe){0};
}

/* The rank of the merge of two tokens, or NONE. */
static uint32_t find_rank(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint32_t lo = b->first[left], end = b->first[left + 1], hi = end;
    while (lo < hi) { /* the first entry beyond `right`; the one before it has the last rank */
        uint32_t mid = lo + (hi - lo) / 2;
        if (b->right[mid] <= right)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > b->first[left] && b->right[lo - 1] == right ? b->rank[lo - 1] : NONE;
}

static void heap_push(uint64_t *heap, size_t *n, uint64_t key)
{
    size_t i = (*n)++;
    while (i > 0 && heap[(i - 1) / 2] > key) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = key;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n)
{
    uint64_t top = heap[0], last = heap[--*n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < *n; i = child) {
        if (child + 1 < *n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= last)
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

/* Makes room for a word of n tokens. The heap starts with at most n - 1 candidates and grows by at
 * most one per merge, of which there are at most n - 1. */
static int reserve(struct bpe_scratch *s, size_t n, struct err *e)
{
    if (n <= s->cap)
        return 0;
    bpe_scratch_release(s);
    if (n < 64)
        n = 64;
    s->nodes = mem_try_array(n, sizeof(*s->nodes), "a long word", e);
    s->heap = mem_try_array(n, 2 * sizeof(*s->heap), "a long word", e);
    if (!s->nodes || !s->heap) {
        bpe_scratch_release(s);
        return ERR_NOMEM;
    }
    s->cap = n;
    return 0;
}

void bpe_scratch_release(struct bpe_scratch *s)
{
    free(s->nodes);
    free(s->heap);
    *s = (struct bpe_scratch){0};
}

/* Adds the pair that begins at node i, if there is one and a merge exists for it. */
static void push_pair(const struct bpe *b, struct bpe_scratch *s, size_t *n_heap, uint32_t i)
{
    if (i == NONE || s->nodes[i].next == NONE)
        return;
    uint32_t rank = find_rank(b, s->nodes[i].id, s->nodes[s->nodes[i].next].id);
    if (rank != NONE)
        heap_push(s->heap, n_heap, (uint64_t)rank << 32 | i);
}

int bpe_apply(const struct bpe *b, struct bpe_scratch *s, int32_t *ids, size_t *n, struct err *e)
{
    size_t n_heap = 0, kept = 0;
    if (*n < 2)
        return 0;
    if (reserve(s, *n, e))
        return ERR_NOMEM;
    struct bpe_node *nodes = s->nodes;
    for (uint32_t i = 0; i < *n; i++)
        nodes[i] = (struct bpe_node){(uint32_t)ids[i], i - 1, i + 1 < *n ? i + 1 : NONE};
    for (uint32_t i = 0; i < *n; i++)
        push_pair(b, s, &n_heap, i);
    while (n_heap > 0) {
        uint64_t top = heap_pop(s->heap, &n_heap);
        uint32_t i = (uint32_t)top, result = b->result[top >> 32];
        if (nodes[i].id == NONE || nodes[i].next == NONE)
            continue;
        uint32_t j = nodes[i].next, rank = find_rank(b, nodes[i].id, nodes[j].id);
        if (rank == NONE || b->result[rank] != result)
            continue;
        nodes[i].id = result;
        nodes[i].next = nodes[j].next;
        nodes[j].id = NONE;
        if (nodes[j].next != NONE)
            nodes[nodes[j].next].prev = i;
        push_pair(b, s, &n_heap, nodes[i].prev);
        push_pair(b, s, &n_heap, i);
    }
    for (uint32_t i = 0; i != NONE; i = nodes[i].next)
        ids[kept++] = (int32_t)nodes[i].id;
    *n = kept;
    return 0;
}
