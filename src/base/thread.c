/* thread.c - a pool of workers that sleep between jobs; see thread.h.
 *
 *   caller: publish job, bump generation, wake  ->  take chunks too  ->  wait until all are back
 *   worker: wait for a new generation           ->  take chunks      ->  report back
 *
 * Between two ops of a tape the gap is microseconds, so workers spin briefly before they sleep.
 */
#include "base/thread.h"

#include "base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define SPINS       2000
#define MAX_THREADS 256

struct worker {
    struct pool *pool;
    pthread_t thread;
    int index; /* 1 ..; the caller is 0 */
};

struct pool {
    int n; /* threads including the caller */
    struct worker *workers;

    pthread_mutex_t lock; /* guards the two conditions below */
    pthread_cond_t wake;  /* a new generation or quit */
    pthread_cond_t idle;  /* n_busy reached 0 */
    atomic_uint generation;
    atomic_int n_busy;
    atomic_bool quit;

    /* The job, written before the generation is bumped. */
    parallel_fn *fn;
    void *ctx;
    long n_items, chunk;
    atomic_long next;
};

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_chunks(struct pool *p, int worker)
{
    for (;;) {
        long begin = atomic_fetch_add(&p->next, p->chunk);
        if (begin >= p->n_items)
            return;
        long end = begin + p->chunk < p->n_items ? begin + p->chunk : p->n_items;
        p->fn(begin, end, worker, p->ctx);
    }
}

/* Waits for a generation other than `seen`; returns it. */
static unsigned wait_generation(struct pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        unsigned now = atomic_load(&p->generation);
        if (now != seen)
            return now;
        cpu_relax();
    }
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->generation) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return atomic_load(&p->generation);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_generation(p, seen);
        if (atomic_load(&p->quit))
            return NULL;
        take_chunks(p, w->index);
        if (atomic_fetch_sub(&p->n_busy, 1) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->idle);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

static int usable_processors(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

static void publish(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->generation, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

struct pool *pool_new(int n)
{
    struct pool *p = mem_alloc(sizeof(*p));
    if (n <= 0)
        n = usable_processors();
    if (n > MAX_THREADS)
        n = MAX_THREADS;
    p->workers = mem_alloc((size_t)n * sizeof(*p->workers));
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->idle, NULL);
    p->n = 1;
    while (p->n < n) {
        struct worker *w = &p->workers[p->n];
        *w = (struct worker){.pool = p, .index = p->n};
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0)
            break;
        p->n++;
    }
    return p;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    atomic_store(&p->quit, true);
    publish(p);
    for (int i = 1; i < p->n; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->idle);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
}

int pool_size(const struct pool *p)
{
    return p->n;
}

void parallel_for(struct pool *p, long n, long chunk, parallel_fn *fn, void *ctx)
{
    if (n <= 0)
        return;
    if (p->n == 1 || n <= chunk) {
        for (long begin = 0; begin < n; begin += chunk)
            fn(begin, begin + chunk < n ? begin + chunk : n, 0, ctx);
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    p->n_items = n;
    p->chunk = chunk;
    atomic_store(&p->next, 0);
    atomic_store(&p->n_busy, p->n - 1);
    publish(p);
    take_chunks(p, 0);
    for (int i = 0; i < SPINS && atomic_load(&p->n_busy); i++)
        cpu_relax();
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->n_busy))
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
