/* kvcache_test.c - blocks are neither lost nor shared by those who may not, whatever happens. */
#include "support/test.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "nn/kvcache.h"

#include <stdlib.h>
#include <string.h>

#define N_SEQ     6
#define MAX_TOKEN 400

static const struct kv_layer shape[2] = {{DTYPE_F32, 1, 2, 1, NULL, NULL},
                                         {DTYPE_F32, 2, 1, 1, NULL, NULL}};

/* A sequence and what it should hold. */
struct twin {
    struct kvcache_seq s;
    int32_t token[MAX_TOKEN];
    int n;
    bool live;
};

static struct kvcache *new_cache(int n_blocks)
{
    struct err e = {0};
    struct kvcache *c;
    assert_ok(kvcache_new(&c, shape, 2, n_blocks, &e), e);
    return c;
}

/* What the keys and values of a position are here: a hash of all tokens up to it. */
static float mark(const int32_t *tokens, int n)
{
    return (float)(hash_fnv1a(tokens, (size_t)n * sizeof(*tokens)) >> 44);
}

static void write_marks(struct kvcache *c, const struct twin *t, int from, int n)
{
    const struct kv_layer *l = kvcache_layers(c);
    for (int i = from; i < from + n; i++) {
        float x[2] = {mark(t->token, i + 1), 1};
        int32_t b = t->s.blocks[i / KV_BLOCK];
        kv_write_k(&l[0], b, i % KV_BLOCK, 0, x);
        kv_write_v(&l[0], b, i % KV_BLOCK, 0, x);
        kv_write_v(&l[1], b, i % KV_BLOCK, 1, x);
    }
}

static void check_marks(struct kvcache *c, const struct twin *t)
{
    const struct kv_layer *l = kvcache_layers(c);
    for (int i = 0; i < t->s.n_past; i++) {
        float x[2], want = mark(t->token, i + 1);
        int32_t b = t->s.blocks[i / KV_BLOCK];
        kv_read_k(&l[0], b, i % KV_BLOCK, 0, x);
        assert_true(x[0] == want);
        kv_read_v(&l[1], b, i % KV_BLOCK, 1, x);
        assert_true(x[0] == want);
    }
}

static void begin(struct kvcache *c, struct twin *t)
{
    struct err e = {0};
    assert_ok(kvcache_begin(c, &t->s, t->token, t->n, &e), e);
    t->live = true;
    check_marks(c, t);
}

/* Evaluates what the cache does not know; true when there was room. */
static bool fill(struct kvcache *c, struct twin *t)
{
    struct err e = {0};
    int past = t->s.n_past, n = t->n - past;
    if (kvcache_reserve(c, &t->s, n, &e)) {
        assert_err(e, ERR_NOMEM, "the cache of");
        return false;
    }
    write_marks(c, t, past, n);
    kvcache_commit(c, &t->s, t->token + past, n);
    assert_int_equal(t->s.n_past, t->n);
    return true;
}

static struct twin twin_of(int n, int seed)
{
    struct twin t = {.n = n};
    for (int i = 0; i < n; i++)
        t.token[i] = seed + i;
    return t;
}

static void assert_sound(const struct kvcache *c, const struct twin *t, int n)
{
    const struct kvcache_seq *seqs[N_SEQ];
    int k = 0;
    for (int i = 0; i < n; i++)
        if (t[i].live)
            seqs[k++] = &t[i].s;
    assert_true(kvcache_sound(c, seqs, k));
}

static void end(struct kvcache *c, struct twin *t)
{
    kvcache_end(c, &t->s);
    t->live = false;
}

static void reuses_prefixes(void **state)
{
    (void)state;
    struct kvcache *c = new_cache(16);
    struct twin t[2] = {twin_of(100, 0), twin_of(100, 0)};
    begin(c, &t[0]);
    assert_int_equal(t[0].s.n_past, 0);
    assert_true(fill(c, &t[0]));
    begin(c, &t[1]); /* the first one still runs: its full blocks are shared */
    assert_int_equal(t[1].s.n_past, 96);
    assert_int_equal(t[1].s.blocks[2], t[0].s.blocks[2]);
    end(c, &t[1]);
    end(c, &t[0]);
    assert_int_equal(kvcache_use(c).n_held, 0);
    assert_int_equal(kvcache_use(c).n_cached, 4);
    t[1].n = 99; /* one less than there are, as for logits */
    begin(c, &t[1]);
    assert_int_equal(t[1].s.n_past, 99);
    t[1].n = 101;
    t[1].token[99] = 77; /* goes on differently: a copy of the last block */
    assert_true(fill(c, &t[1]));
    check_marks(c, &t[1]);
    t[0].n = 100;
    begin(c, &t[0]);
    assert_int_equal(t[0].s.n_past, 100);
    assert_sound(c, t, 2);
    end(c, &t[0]);
    end(c, &t[1]);
    kvcache_clear(c);
    assert_int_equal(kvcache_use(c).n_free, 16);
    kvcache_free(c);
}

/* A conversation goes on in its own last block, without a copy. */
static void goes_on_in_place(void **state)
{
    (void)state;
    struct kvcache *c = new_cache(2);
    struct twin t = twin_of(40, 0);
    begin(c, &t);
    assert_true(fill(c, &t));
    int last = t.s.blocks[1];
    end(c, &t);
    begin(c, &t);
    assert_int_equal(t.s.n_past, 40);
    t.n = 64;
    for (int i = 40; i < 64; i++)
        t.token[i] = 9;
    assert_true(fill(c, &t));
    assert_int_equal(t.s.blocks[1], last);
    end(c, &t);
    t.n = 50; /* half of a full block, the pool being full: the rest of it is given up */
    begin(c, &t);
    assert_int_equal(t.s.n_past, 50);
    t.n = 51;
    t.token[50] = 1;
    assert_true(fill(c, &t));
    check_marks(c, &t);
    assert_sound(c, &t, 1);
    end(c, &t);
    kvcache_free(c);
}

static void evicts_the_oldest(void **state)
{
    (void)state;
    struct kvcache *c = new_cache(6);
    struct twin a = twin_of(64, 0), b = twin_of(64, 1000), d = twin_of(96, 2000);
    struct twin *order[] = {&a, &b, &a};
    for (int i = 0; i < 3; i++) {
        begin(c, order[i]);
        assert_true(fill(c, order[i]));
        end(c, order[i]);
    }
    begin(c, &d);
    assert_true(fill(c, &d)); /* 2 free, 1 of b's: its end */
    end(c, &d);
    begin(c, &a);
    assert_int_equal(a.s.n_past, 64);
    end(c, &a);
    begin(c, &b);
    assert_int_equal(b.s.n_past, 32);
    end(c, &b);
    kvcache_free(c);
}

static void says_when_it_is_full(void **state)
{
    (void)state;
    struct kvcache *c = new_cache(3);
    struct twin t[2] = {twin_of(64, 0), twin_of(64, 500)};
    begin(c, &t[0]);
    assert_true(fill(c, &t[0]));
    begin(c, &t[1]);
    assert_false(fill(c, &t[1]));
    assert_int_equal(t[1].s.n_blocks, 0);
    assert_sound(c, t, 2);
    end(c, &t[0]);
    assert_true(fill(c, &t[1]));
    end(c, &t[1]);
    kvcache_free(c);
    struct err e = {0};
    assert_int_equal(kvcache_new(&c, shape, 2, 0, &e), ERR_ARG);
    assert_null(c);
    struct kv_layer wide = {DTYPE_F32, 1 << 30, 1 << 10, 1 << 10, NULL, NULL};
    e = (struct err){0};
    assert_int_equal(kvcache_new(&c, &wide, 1, 1 << 25, &e), ERR_NOMEM);
    for (int n = 1; n <= 6; n++) {
        e = (struct err){0};
        mem_fail_nth(n);
        assert_int_equal(kvcache_new(&c, shape, 2, 4, &e), ERR_NOMEM);
    }
    mem_fail_nth(0);
}

static uint64_t random_state;

static int choose(int n)
{
    random_state++;
    return (int)(hash_mix64(random_state * 0x9e3779b97f4a7c15u) % (uint64_t)n);
}

/* Two tokens only, so that beginnings meet often. */
static void lengthen(struct twin *t, int n)
{
    for (int i = 0; i < n && t->n < MAX_TOKEN; i++)
        t->token[t->n++] = choose(12) == 0;
}

static void act(struct kvcache *c, struct twin *t)
{
    struct twin *x = &t[choose(N_SEQ)];
    struct err e = {0};
    int what = choose(10);
    if (!x->live && what < 8) {
        x->n = 0;
        lengthen(x, 1 + choose(120));
        begin(c, x);
        if (!fill(c, x))
            end(c, x);
    } else if (!x->live) {
        const struct twin *from = &t[choose(N_SEQ)];
        if (!from->live)
            return;
        memcpy(x->token, from->token, sizeof(x->token));
        assert_ok(kvcache_fork(c, &from->s, &x->s, &e), e);
        x->n = from->n;
        x->live = true;
    } else if (what < 6) {
        int n = x->n;
        lengthen(x, 1 + choose(40));
        if (!fill(c, x))
            x->n = n;
    } else if (what < 8) {
        kvcache_rewind(c, &x->s, choose(x->s.n_past + 1));
        x->n = x->s.n_past;
    } else {
        end(c, x);
    }
}

static void anything_may_happen(void **state)
{
    (void)state;
    static struct twin t[N_SEQ];
    for (int n_blocks = 1; n_blocks <= 40; n_blocks += 13) {
        struct kvcache *c = new_cache(n_blocks);
        memset(t, 0, sizeof(t));
        for (int i = 0; i < 3000; i++) {
            act(c, t);
            assert_sound(c, t, N_SEQ);
            if (i % 16 == 0)
                for (int k = 0; k < N_SEQ; k++)
                    if (t[k].live)
                        check_marks(c, &t[k]);
        }
        for (int k = 0; k < N_SEQ; k++)
            end(c, &t[k]);
        assert_int_equal(kvcache_use(c).n_held, 0);
        kvcache_clear(c);
        assert_int_equal(kvcache_use(c).n_free, n_blocks);
        kvcache_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reuses_prefixes),     cmocka_unit_test(goes_on_in_place),
        cmocka_unit_test(evicts_the_oldest),   cmocka_unit_test(says_when_it_is_full),
        cmocka_unit_test(anything_may_happen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
