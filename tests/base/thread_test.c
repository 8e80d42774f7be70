/* thread_test.c - every index once, with any number of threads; clean under ThreadSanitizer. */
#include "support/test.h"

#include "base/thread.h"

#include <stdatomic.h>

#define MAX_N       1000
#define MAX_WORKERS 8

/* Tests fail only in the main thread: cmocka's asserts jump. Workers count what is wrong. */
struct cover {
    int seen[MAX_N]; /* plain ints: two threads on one index would be a race to TSan */
    long n, chunk;
    int n_workers;
    long per_worker[MAX_WORKERS]; /* likewise: a worker index belongs to one thread at a time */
    atomic_long n_bad;
};

static void cover(long begin, long end, int worker, void *ctx)
{
    struct cover *c = ctx;
    if (begin < 0 || end <= begin || end > c->n || begin % c->chunk || end - begin > c->chunk ||
        worker < 0 || worker >= c->n_workers) {
        atomic_fetch_add(&c->n_bad, 1);
        return;
    }
    for (long i = begin; i < end; i++)
        c->seen[i]++;
    c->per_worker[worker] += end - begin;
}

static void every_index_once(void **state)
{
    (void)state;
    static const long ns[] = {0, 1, 2, 3, 7, 64, 65, 999, 1000}, chunks[] = {1, 2, 3, 16, 64, 2000};
    for (int n_threads = 1; n_threads <= MAX_WORKERS; n_threads += n_threads < 4 ? 1 : 4) {
        struct pool *p = pool_new(n_threads);
        assert_in_range(pool_size(p), 1, n_threads);
        for (size_t i = 0; i < sizeof(ns) / sizeof(ns[0]); i++) {
            for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
                struct cover c = {.n = ns[i], .chunk = chunks[k], .n_workers = pool_size(p)};
                long total = 0;
                parallel_for(p, c.n, c.chunk, cover, &c);
                assert_int_equal(atomic_load(&c.n_bad), 0);
                for (long j = 0; j < MAX_N; j++)
                    assert_int_equal(c.seen[j], j < c.n);
                for (int w = 0; w < MAX_WORKERS; w++)
                    total += c.per_worker[w];
                assert_int_equal(total, c.n);
            }
        }
        pool_free(p);
    }
}

static void add_one(long begin, long end, int worker, void *ctx)
{
    long *values = ctx;
    (void)worker;
    for (long i = begin; i < end; i++)
        values[i]++;
}

/* Each job reads what the one before wrote, without locks: the return of parallel_for orders them.
 * Now and then the caller dawdles, so that workers fall asleep and have to be woken. */
static void jobs_in_a_row(void **state)
{
    (void)state;
    struct pool *p = pool_new(4);
    long values[64] = {0}, n_jobs = 3000;
    for (long job = 0; job < n_jobs; job++) {
        parallel_for(p, 64, 1 + job % 9, add_one, values);
        if (job % 500 == 0)
            for (volatile int spin = 0; spin < 1000000; spin++)
                ;
        assert_int_equal(values[job % 64], job + 1);
    }
    for (int i = 0; i < 64; i++)
        assert_int_equal(values[i], n_jobs);
    pool_free(p);
}

/* Pools come and go, used or not. */
static void many_pools(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        long values[8] = {0};
        struct pool *p = pool_new(1 + i % 5);
        if (i % 3)
            parallel_for(p, 8, 1, add_one, values);
        for (int k = 0; k < 8; k++)
            assert_int_equal(values[k], i % 3 != 0);
        pool_free(p);
    }
    pool_free(NULL);
    struct pool *all = pool_new(0);
    assert_true(pool_size(all) >= 1);
    pool_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_once),
        cmocka_unit_test(jobs_in_a_row),
        cmocka_unit_test(many_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
