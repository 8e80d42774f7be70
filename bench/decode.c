/* decode.c - how near products of a few rows come to the speed of reading their weights, as CSV.
 *
 *     decode [-i ISA] [-t THREADS] [-r REPETITIONS] [-m MEGABYTES] [-f TYPE] [-n ROWS]
 *
 * For each type and number of rows: a matrix of 2048 columns that fills the megabytes is read
 * (`read`, by the same threads) and multiplied with (`product`), in turn, so that a busy machine
 * disturbs both; of each the best of the repetitions counts, in 10^9 bytes of weights per second.
 * `of_read` is their ratio, `tokens` how often per second all rows of a model of 1.24 10^9 weights
 * of this type would be through.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cpu/cpu.h"
#include "cpu/matmul.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COLUMNS 2048
#define PIECE   65536
#define WEIGHTS 1.24e9

struct options {
    const char *isa, *type;
    int threads, repetitions, megabytes, rows;
};

/* One thread's own time, so that a busy machine disturbs less; of more the wall's. */
static double now(const struct cpu *c)
{
    struct timespec t;
    clock_gettime(pool_size(c->pool) == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t sink;

static void read_pieces(long begin, long end, int worker, void *ctx)
{
    const uint64_t *p = (const uint64_t *)((const char *)ctx + begin);
    uint64_t sum[8] = {0}, total = 0;
    (void)worker;
    for (long i = 0; i < (end - begin) / 64; i++, p += 8)
        for (int j = 0; j < 8; j++)
            sum[j] += p[j];
    for (int j = 0; j < 8; j++)
        total += sum[j];
    if (total == 1) /* so that nothing is left out */
        sink++;
}

static void measure(struct cpu *c, const struct options *o, char *memory, enum dtype type, int rows)
{
    size_t size = (size_t)o->megabytes << 20, row = dtype_row_size(type, COLUMNS);
    int64_t n = (int64_t)(size / row);
    struct err e = {0};
    struct tensor x = {.type = DTYPE_F32, .n_dim = 2, .dim = {rows, COLUMNS, 1, 1}};
    struct tensor w = {.type = type, .n_dim = 2, .dim = {n, COLUMNS, 1, 1}, .data = memory};
    struct tensor y = {.type = DTYPE_F32, .n_dim = 2, .dim = {rows, n, 1, 1}};
    struct matmul m = {.x = &x, .w = &w, .out = &y, .fast = true};
    float *values = x.data = mem_alloc(tensor_size(&x));
    double best_read = 1e9, best = 1e9;
    y.data = mem_alloc(tensor_size(&y));
    for (int64_t i = 0; i < tensor_n(&x); i++)
        values[i] = (float)(i % 17) - 8;
    for (int i = 0; i < o->repetitions; i++) {
        double t0 = now(c);
        parallel_for(c->pool, (long)size, PIECE, read_pieces, memory);
        double t1 = now(c);
        if (cpu_matmul(c, &m, &e))
            fprintf(stderr, "%s\n", e.text);
        double t2 = now(c);
        best_read = t1 - t0 < best_read ? t1 - t0 : best_read;
        best = t2 - t1 < best ? t2 - t1 : best;
    }
    double read = (double)size / best_read / 1e9, product = (double)n * (double)row / best / 1e9;
    double model = WEIGHTS / COLUMNS * (double)row / 1e9;
    printf("%s,%s,%d,%.2f,%.2f,%.2f,%.1f\n", c->base.name, dtype_name(type), rows, read, product,
           product / read, product / model * rows);
    fflush(stdout);
    free(x.data);
    free(y.data);
}

int main(int argc, char **argv)
{
    static const int counts[] = {1, 2, 4, 8, 16};
    struct options o = {.repetitions = 5, .megabytes = 256};
    struct backend *b;
    struct err e = {0};
    for (int c; (c = getopt(argc, argv, "i:t:r:m:f:n:")) != -1;) {
        if (c == 'i')
            o.isa = optarg;
        else if (c == 'f')
            o.type = optarg;
        else if (c == 't')
            o.threads = (int)strtol(optarg, NULL, 10);
        else if (c == 'r')
            o.repetitions = (int)strtol(optarg, NULL, 10);
        else if (c == 'm')
            o.megabytes = (int)strtol(optarg, NULL, 10);
        else if (c == 'n')
            o.rows = (int)strtol(optarg, NULL, 10);
        else
            return 2;
    }
    char *memory = mem_try_aligned((size_t)o.megabytes << 20, "weights", &e);
    if (!memory || cpu_backend_new(&b, o.threads, o.isa, &e)) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    for (size_t i = 0; i < (size_t)o.megabytes << 20; i++)
        memory[i] = (char)((i * 37 & 0x3f) | 0x20); /* scales that are normal numbers */
    printf("backend,type,rows,read,product,of_read,tokens\n");
    for (int type = 0; dtype_is_float((enum dtype)type); type++)
        for (int i = 0; i < 5; i++)
            if ((!o.type || strcmp(o.type, dtype_name((enum dtype)type)) == 0) &&
                (!o.rows || o.rows == counts[i]))
                measure((struct cpu *)b, &o, memory, (enum dtype)type, counts[i]);
    backend_free(b);
    mem_free_aligned(memory);
    return 0;
}
