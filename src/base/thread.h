/* thread.h - the one thread pool and parallel_for.
 *
 * Work is handed out in chunks by an atomic counter, so a slow core does not hold up the rest.
 * What a chunk computes must not depend on which thread runs it: results never depend on the
 * number of threads.
 */
#ifndef LAR_BASE_THREAD_H
#define LAR_BASE_THREAD_H

struct pool;

/* n threads including the caller; 0 means one per processor this process may use. Never NULL;
 * fewer threads are used where the system gives fewer. */
struct pool *pool_new(int n);
void pool_free(struct pool *p); /* NULL is fine */
int pool_size(const struct pool *p);

/* fn(begin, end, worker, ctx) for disjoint ranges that cover [0, n); worker < pool_size() tells
 * which scratch memory is free. Every range is [k * chunk, (k + 1) * chunk) cut at n, with any
 * number of threads; chunk >= 1. Returns when all is done. One caller at a time; not reentrant. */
typedef void parallel_fn(long begin, long end, int worker, void *ctx);
void parallel_for(struct pool *p, long n, long chunk, parallel_fn *fn, void *ctx);

#endif
