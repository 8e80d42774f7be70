/* bpe.c - see bpe.h.
 *
 * A word is a doubly linked list of tokens, and a binary heap holds one candidate per neighbouring
 * pair as (rank << 32 | position). Merging leaves stale candidates behind; they are recognised
 * when they come up, because their pair no longer gives the token they promised.
 */
#include "text/bpe.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/vocab.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#define NONE UINT32_MAX

struct bpe_node {
    uint32_t id;
    uint32_t prev, next; /* indices, NONE at the ends */
    bool gone;           /* merged into its left neighbour */
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

/* The merge of two neighbours; its rank is NONE where there is none. */
struct found {
    uint32_t rank, result;
};

/* How the merge of two neighbouring nodes is found: by ids or by text. */
struct merging {
    struct bpe_scratch *s;
    struct found (*find)(const struct merging *m, uint32_t i, uint32_t j);
    const struct bpe *bpe;
    const struct bpe_texts *texts;
    const struct bpe_pieces *word;
};

static struct found find_ids(const struct merging *m, uint32_t i, uint32_t j)
{
    uint32_t rank = find_rank(m->bpe, m->s->nodes[i].id, m->s->nodes[j].id);
    return (struct found){rank, rank == NONE ? NONE : m->bpe->result[rank]};
}

static struct found find_text(const struct merging *m, uint32_t i, uint32_t j)
{
    uint32_t next = m->s->nodes[j].next;
    uint32_t begin = m->word->begin[i], end = m->word->begin[next == NONE ? m->word->n : next];
    int32_t id = vocab_find(m->texts->vocab, m->word->text + begin, end - begin);
    return id < 0 ? (struct found){NONE, NONE} : (struct found){m->texts->rank[id], (uint32_t)id};
}

/* Adds the pair that begins at node i, if there is one and a merge exists for it. */
static void push_pair(const struct merging *m, size_t *n_heap, uint32_t i)
{
    if (i == NONE || m->s->nodes[i].next == NONE)
        return;
    struct found f = m->find(m, i, m->s->nodes[i].next);
    if (f.rank != NONE)
        heap_push(m->s->heap, n_heap, (uint64_t)f.rank << 32 | i);
}

/* Is what came up from the heap still true of the pair found at its place? With a list of merges it
 * is while the result is the one promised, as in the reference. */
static bool holds(const struct merging *m, uint32_t promised, struct found f)
{
    return f.rank == promised || (f.rank != NONE && m->bpe && f.result == m->bpe->result[promised]);
}

static void merge_all(const struct merging *m, const int32_t *ids, size_t n)
{
    struct bpe_node *nodes = m->s->nodes;
    size_t n_heap = 0;
    for (uint32_t i = 0; i < n; i++)
        nodes[i] = (struct bpe_node){(uint32_t)ids[i], i - 1, i + 1 < n ? i + 1 : NONE, false};
    for (uint32_t i = 0; i < n; i++)
        push_pair(m, &n_heap, i);
    while (n_heap > 0) {
        uint64_t top = heap_pop(m->s->heap, &n_heap);
        uint32_t i = (uint32_t)top;
        if (nodes[i].gone || nodes[i].next == NONE)
            continue;
        uint32_t j = nodes[i].next;
        struct found f = m->find(m, i, j);
        if (!holds(m, (uint32_t)(top >> 32), f))
            continue;
        nodes[i].id = f.result;
        nodes[i].next = nodes[j].next;
        nodes[j].gone = true;
        if (nodes[j].next != NONE)
            nodes[nodes[j].next].prev = i;
        push_pair(m, &n_heap, nodes[i].prev);
        push_pair(m, &n_heap, i);
    }
}

int bpe_apply(const struct bpe *b, struct bpe_scratch *s, int32_t *ids, size_t *n, struct err *e)
{
    const struct merging m = {.s = s, .find = find_ids, .bpe = b};
    size_t kept = 0;
    if (*n < 2)
        return 0;
    if (reserve(s, *n, e))
        return ERR_NOMEM;
    merge_all(&m, ids, *n);
    for (uint32_t i = 0; i != NONE; i = s->nodes[i].next)
        ids[kept++] = (int32_t)s->nodes[i].id;
    *n = kept;
    return 0;
}

int bpe_apply_texts(const struct bpe_texts *b, struct bpe_scratch *s, struct bpe_pieces *word,
                    struct err *e)
{
    const struct merging m = {.s = s, .find = find_text, .texts = b, .word = word};
    size_t kept = 0;
    if (word->n < 2)
        return 0;
    if (reserve(s, word->n, e))
        return ERR_NOMEM;
    merge_all(&m, word->ids, word->n);
    uint32_t end = word->begin[word->n];
    for (uint32_t i = 0; i != NONE; i = s->nodes[i].next) {
        word->begin[kept] = word->begin[i];
        word->ids[kept++] = (int32_t)s->nodes[i].id;
    }
    word->begin[kept] = end;
    word->n = kept;
    return 0;
}
