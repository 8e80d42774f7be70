/* kvcache.c - see kvcache.h. */
#include "nn/kvcache.h"

#include "base/err.h"
#include "base/mem.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NONE (-1)

/* A block is free (in the list of free ones), cached (in the tree and in the list by age) or held
 * (refs > 0; in the tree or not). Whoever holds a block holds what it grows from, too, and lets go
 * of it later: so in the list by age a block is always older than what it grows from, and the
 * oldest one is a leaf. */
struct block {
    int refs; /* sequences that hold it */
    int n;    /* tokens whose keys and values are there */
    bool in_tree;
    int parent, child;       /* in the tree; child: the first one */
    int sibling, sibling_up; /* the next and the previous child of the parent */
    int older, newer;        /* cached: by age; free: `newer` is the next one */
    int32_t token[KV_BLOCK];
};

struct kvcache {
    struct kv_layer *layers; /* owned, and their k and v */
    int n_layer;
    struct block *blocks; /* [n_blocks + 1]; the last one is the tree's root */
    int n_blocks;
    int free, oldest, newest;
    struct kvcache_use use;
};

/* ---- memory ---- */

size_t kvcache_block_bytes(const struct kv_layer *layers, int n_layer)
{
    size_t sum = 0;
    for (int i = 0; i < n_layer; i++)
        if (__builtin_add_overflow(sum, kv_k_bytes(&layers[i]), &sum) ||
            __builtin_add_overflow(sum, kv_v_bytes(&layers[i]), &sum))
            return 0;
    return sum;
}

static char *pool_alloc(size_t bytes, int n_blocks, struct err *e)
{
    size_t size;
    if (__builtin_mul_overflow(bytes, (size_t)n_blocks, &size)) {
        err_set(e, ERR_NOMEM, "a cache of %d blocks is larger than any memory", n_blocks);
        return NULL;
    }
    return mem_try_aligned(size, "the cache of keys and values", e);
}

static int alloc_layers(struct kvcache *c, const struct kv_layer *layers, int n_layer,
                        struct err *e)
{
    c->layers = mem_try_array((size_t)n_layer, sizeof(*layers), "a cache's layers", e);
    if (!c->layers)
        return ERR_NOMEM;
    for (c->n_layer = 0; c->n_layer < n_layer; c->n_layer++) {
        struct kv_layer *l = &c->layers[c->n_layer];
        *l = layers[c->n_layer];
        assert(kv_can(l->type));
        l->k = pool_alloc(kv_k_bytes(l), c->n_blocks, e);
        l->v = l->k ? pool_alloc(kv_v_bytes(l), c->n_blocks, e) : NULL;
        if (!l->v) {
            mem_free_aligned(l->k);
            return ERR_NOMEM;
        }
    }
    return 0;
}

int kvcache_new(struct kvcache **out, const struct kv_layer *layers, int n_layer, int n_blocks,
                struct err *e)
{
    *out = NULL;
    if (n_blocks < 1 || n_blocks > INT_MAX / KV_BLOCK)
        return err_set(e, ERR_ARG, "a cache of %d blocks", n_blocks);
    struct kvcache *c = mem_alloc(sizeof(*c));
    c->n_blocks = n_blocks;
    c->oldest = c->newest = c->free = NONE;
    c->blocks = mem_try_array((size_t)n_blocks + 1, sizeof(*c->blocks), "a cache's blocks", e);
    int rc = c->blocks ? alloc_layers(c, layers, n_layer, e) : ERR_NOMEM;
    if (rc) {
        kvcache_free(c);
        return rc;
    }
    for (int i = n_blocks - 1; i >= 0; i--) {
        c->blocks[i].newer = c->free;
        c->free = i;
    }
    c->blocks[n_blocks].child = NONE;
    c->use.n_free = n_blocks;
    *out = c;
    return 0;
}

void kvcache_free(struct kvcache *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n_layer; i++) {
        mem_free_aligned(c->layers[i].k);
        mem_free_aligned(c->layers[i].v);
    }
    free(c->layers);
    free(c->blocks);
    free(c);
}

const struct kv_layer *kvcache_layers(const struct kvcache *c)
{
    return c->layers;
}

struct kvcache_use kvcache_use(const struct kvcache *c)
{
    return c->use;
}

/* ---- the lists ---- */

static void push_free(struct kvcache *c, int i)
{
    c->blocks[i].newer = c->free;
    c->free = i;
    c->use.n_free++;
}

static void push_newest(struct kvcache *c, int i)
{
    struct block *b = &c->blocks[i];
    b->older = c->newest;
    b->newer = NONE;
    if (c->newest == NONE)
        c->oldest = i;
    else
        c->blocks[c->newest].newer = i;
    c->newest = i;
    c->use.n_cached++;
}

static void leave_ages(struct kvcache *c, int i)
{
    const struct block *b = &c->blocks[i];
    if (b->older == NONE)
        c->oldest = b->newer;
    else
        c->blocks[b->older].newer = b->newer;
    if (b->newer == NONE)
        c->newest = b->older;
    else
        c->blocks[b->newer].older = b->older;
    c->use.n_cached--;
}

/* ---- the tree ---- */

static void enter_tree(struct kvcache *c, int i, int parent)
{
    struct block *b = &c->blocks[i], *p = &c->blocks[parent];
    assert(parent == c->n_blocks || (p->in_tree && p->n == KV_BLOCK));
    b->in_tree = true;
    b->parent = parent;
    b->child = NONE;
    b->sibling = p->child;
    b->sibling_up = NONE;
    if (p->child != NONE)
        c->blocks[p->child].sibling_up = i;
    p->child = i;
}

static void leave_tree(struct kvcache *c, int i)
{
    struct block *b = &c->blocks[i];
    assert(b->in_tree && b->child == NONE);
    b->in_tree = false;
    if (b->sibling_up == NONE)
        c->blocks[b->parent].child = b->sibling;
    else
        c->blocks[b->sibling_up].sibling = b->sibling;
    if (b->sibling != NONE)
        c->blocks[b->sibling].sibling_up = b->sibling_up;
}

static int common(const int32_t *a, int n_a, const int32_t *b, int n_b)
{
    int n = n_a < n_b ? n_a : n_b, i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* The child of `parent` that begins with most of these tokens, and how many. */
static int best_child(const struct kvcache *c, int parent, const int32_t *tokens, int n, int *most)
{
    int best = NONE;
    *most = 0;
    for (int i = c->blocks[parent].child; i != NONE; i = c->blocks[i].sibling) {
        int m = common(c->blocks[i].token, c->blocks[i].n, tokens, n);
        if (m > *most) {
            *most = m;
            best = i;
        }
        if (m == KV_BLOCK)
            break;
    }
    return best;
}

/* ---- holding blocks ---- */

static void hold(struct kvcache *c, int i)
{
    if (c->blocks[i].refs++ > 0)
        return;
    leave_ages(c, i);
    c->use.n_held++;
}

static void let_go(struct kvcache *c, int i)
{
    struct block *b = &c->blocks[i];
    assert(b->refs > 0);
    if (--b->refs > 0)
        return;
    c->use.n_held--;
    if (b->in_tree)
        push_newest(c, i);
    else
        push_free(c, i);
}

/* A block of nobody's, held once; NONE when all are held. */
static int take(struct kvcache *c)
{
    int i = c->free;
    if (i != NONE) {
        c->free = c->blocks[i].newer;
        c->use.n_free--;
    } else if (c->oldest != NONE) {
        i = c->oldest;
        leave_ages(c, i);
        leave_tree(c, i);
    } else {
        return NONE;
    }
    c->blocks[i].refs = 1;
    c->blocks[i].n = 0;
    c->use.n_held++;
    return i;
}

static void copy_block(struct kvcache *c, int from, int to, int n)
{
    for (int i = 0; i < c->n_layer; i++) {
        const struct kv_layer *l = &c->layers[i];
        size_t k = kv_k_bytes(l), v = kv_v_bytes(l);
        memcpy(l->k + (size_t)to * k, l->k + (size_t)from * k, k);
        memcpy(l->v + (size_t)to * v, l->v + (size_t)from * v, v);
    }
    memcpy(c->blocks[to].token, c->blocks[from].token, (size_t)n * sizeof(int32_t));
    c->blocks[to].n = n;
}

static int pool_full(const struct kvcache *c, struct err *e)
{
    return err_set(e, ERR_NOMEM,
                   "the cache of %d tokens is full: give it more, or run fewer sequences",
                   c->n_blocks * KV_BLOCK);
}

/* Makes the partly filled block at the end the sequence's own. */
static int own_last(struct kvcache *c, struct kvcache_seq *s, struct err *e)
{
    int used = s->n_past % KV_BLOCK;
    if (used == 0)
        return 0;
    int *last = &s->blocks[s->n_past / KV_BLOCK];
    struct block *b = &c->blocks[*last];
    if (b->refs == 1 && !b->in_tree)
        return 0;
    bool all_ours = b->refs == 1 && b->child == NONE && b->n == used;
    int copy = all_ours ? NONE : take(c);
    if (copy != NONE) {
        copy_block(c, *last, copy, used);
        let_go(c, *last);
        *last = copy;
        return 0;
    }
    /* Nothing would be lost by taking it out of the tree, or there is no other way. */
    if (b->refs > 1 || b->child != NONE)
        return pool_full(c, e);
    leave_tree(c, *last);
    b->n = used;
    return 0;
}

/* ---- sequences ---- */

static int grow(struct kvcache_seq *s, int n_blocks, struct err *e)
{
    if (n_blocks <= s->max_blocks)
        return 0;
    int max = s->max_blocks < INT_MAX / 2 && 2 * s->max_blocks > n_blocks ? 2 * s->max_blocks
                                                                          : n_blocks;
    int32_t *blocks = mem_try_array((size_t)max, sizeof(*blocks), "a sequence's blocks", e);
    if (!blocks)
        return ERR_NOMEM;
    if (s->n_blocks)
        memcpy(blocks, s->blocks, (size_t)s->n_blocks * sizeof(*blocks));
    free(s->blocks);
    s->blocks = blocks;
    s->max_blocks = max;
    return 0;
}

static void drop_blocks(struct kvcache *c, struct kvcache_seq *s, int n_blocks)
{
    while (s->n_blocks > n_blocks)
        let_go(c, s->blocks[--s->n_blocks]);
}

int kvcache_begin(struct kvcache *c, struct kvcache_seq *s, const int32_t *tokens, int n,
                  struct err *e)
{
    int at = c->n_blocks, matched;
    assert(s->n_blocks == 0);
    s->n_past = 0;
    while (s->n_past < n) {
        at = best_child(c, at, tokens + s->n_past, n - s->n_past, &matched);
        if (at == NONE)
            break;
        int rc = grow(s, s->n_blocks + 1, e);
        if (rc) {
            kvcache_end(c, s);
            return rc;
        }
        hold(c, at);
        s->blocks[s->n_blocks++] = at;
        s->n_past += matched;
        if (matched < KV_BLOCK)
            break;
    }
    return 0;
}

int kvcache_reserve(struct kvcache *c, struct kvcache_seq *s, int n, struct err *e)
{
    int had = s->n_blocks;
    if (n > INT_MAX - KV_BLOCK - s->n_past) /* no such pool */
        return pool_full(c, e);
    int want = (s->n_past + n + KV_BLOCK - 1) / KV_BLOCK;
    int rc = grow(s, want, e);
    while (!rc && s->n_blocks < want) {
        int i = take(c);
        if (i == NONE)
            rc = pool_full(c, e);
        else
            s->blocks[s->n_blocks++] = i;
    }
    if (!rc)
        rc = own_last(c, s, e);
    if (rc)
        drop_blocks(c, s, had);
    return rc;
}

/* The i-th block is full: into the tree, or the equal one that is there in its place. */
static void share(struct kvcache *c, struct kvcache_seq *s, int i)
{
    int parent = i == 0 ? c->n_blocks : s->blocks[i - 1], mine = s->blocks[i], m;
    int same = best_child(c, parent, c->blocks[mine].token, KV_BLOCK, &m);
    if (m < KV_BLOCK) {
        enter_tree(c, mine, parent);
        return;
    }
    hold(c, same);
    let_go(c, mine);
    s->blocks[i] = same;
}

void kvcache_commit(struct kvcache *c, struct kvcache_seq *s, const int32_t *tokens, int n)
{
    assert(s->n_past + n <= s->n_blocks * KV_BLOCK);
    for (int t = 0; t < n; t++) {
        int i = s->n_past / KV_BLOCK, slot = s->n_past % KV_BLOCK;
        struct block *b = &c->blocks[s->blocks[i]];
        assert(b->refs == 1 && !b->in_tree);
        b->token[slot] = tokens[t];
        b->n = slot + 1;
        s->n_past++;
        if (b->n == KV_BLOCK)
            share(c, s, i);
    }
}

void kvcache_rewind(struct kvcache *c, struct kvcache_seq *s, int n_past)
{
    assert(n_past >= 0 && n_past <= s->n_past);
    s->n_past = n_past;
    drop_blocks(c, s, (n_past + KV_BLOCK - 1) / KV_BLOCK);
    if (n_past % KV_BLOCK) {
        struct block *b = &c->blocks[s->blocks[s->n_blocks - 1]];
        if (b->refs == 1 && !b->in_tree)
            b->n = n_past % KV_BLOCK;
    }
}

int kvcache_fork(struct kvcache *c, const struct kvcache_seq *from, struct kvcache_seq *to,
                 struct err *e)
{
    int n = (from->n_past + KV_BLOCK - 1) / KV_BLOCK;
    assert(to->n_blocks == 0);
    int rc = grow(to, n, e);
    if (rc)
        return rc;
    for (int i = 0; i < n; i++) {
        c->blocks[from->blocks[i]].refs++;
        to->blocks[i] = from->blocks[i];
    }
    to->n_blocks = n;
    to->n_past = from->n_past;
    return 0;
}

/* A partly filled block enters the tree unless what is there begins with all of it. */
static void keep_last(struct kvcache *c, const struct kvcache_seq *s)
{
    int i = s->n_past / KV_BLOCK, m;
    if (s->n_past % KV_BLOCK == 0)
        return;
    struct block *b = &c->blocks[s->blocks[i]];
    int parent = i == 0 ? c->n_blocks : s->blocks[i - 1];
    if (b->in_tree || b->refs > 1)
        return;
    best_child(c, parent, b->token, b->n, &m);
    if (m < b->n)
        enter_tree(c, s->blocks[i], parent);
}

void kvcache_end(struct kvcache *c, struct kvcache_seq *s)
{
    keep_last(c, s);
    drop_blocks(c, s, 0);
    free(s->blocks);
    *s = (struct kvcache_seq){0};
}

void kvcache_clear(struct kvcache *c)
{
    while (c->oldest != NONE) {
        int i = c->oldest;
        leave_ages(c, i);
        leave_tree(c, i);
        push_free(c, i);
    }
}

/* ---- for tests ---- */

/* References as the sequences have them; every sequence walks down the tree. */
static bool refs_sound(const struct kvcache *c, const struct kvcache_seq *const *seqs, int n)
{
    int *refs = mem_alloc((size_t)c->n_blocks * sizeof(*refs)), held = 0;
    bool ok = true;
    for (int s = 0; s < n; s++) {
        ok = ok && seqs[s]->n_past <= seqs[s]->n_blocks * KV_BLOCK;
        for (int i = 0; i < seqs[s]->n_blocks; i++) {
            const struct block *b = &c->blocks[seqs[s]->blocks[i]];
            int parent = i == 0 ? c->n_blocks : seqs[s]->blocks[i - 1];
            refs[seqs[s]->blocks[i]]++;
            ok = ok && (!b->in_tree || b->parent == parent);
            ok = ok && (b->in_tree || seqs[s]->n_past < (i + 1) * KV_BLOCK);
        }
    }
    for (int i = 0; i < c->n_blocks; i++) {
        ok = ok && refs[i] == c->blocks[i].refs;
        held += refs[i] > 0;
    }
    free(refs);
    return ok && held == c->use.n_held;
}

/* The lists hold what they should; no block is older than one that grows from it. */
static bool lists_sound(const struct kvcache *c)
{
    int n_free = 0, n_cached = 0;
    for (int i = c->free; i != NONE && n_free <= c->n_blocks; i = c->blocks[i].newer, n_free++)
        if (c->blocks[i].refs || c->blocks[i].in_tree)
            return false;
    bool *seen = mem_alloc((size_t)c->n_blocks + 1);
    bool ok = true;
    for (int i = c->oldest; i != NONE && n_cached <= c->n_blocks; i = c->blocks[i].newer) {
        const struct block *b = &c->blocks[i];
        ok = ok && b->refs == 0 && b->in_tree && !seen[b->parent];
        seen[i] = true;
        n_cached++;
    }
    free(seen);
    return ok && n_free == c->use.n_free && n_cached == c->use.n_cached;
}

bool kvcache_sound(const struct kvcache *c, const struct kvcache_seq *const *seqs, int n)
{
    return refs_sound(c, seqs, n) && lists_sound(c) &&
           c->use.n_free + c->use.n_cached + c->use.n_held == c->n_blocks;
}
