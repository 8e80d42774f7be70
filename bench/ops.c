/* ops.c - the speed of the ops that matter in Stable Diffusion 1.5 at 512 x 512, as CSV.
 *
 *     ops [-i ISA] [-a f32|bf16] [-t THREADS] [-r REPETITIONS] [-f TEXT]
 *
 * -f keeps rows whose text contains TEXT. With one thread (the default) time is the processor's,
 * so that a busy machine disturbs less; with more it is the wall's. `peak` is the speed of
 * multiply-adds that touch nothing but registers, measured beside each row, and `of_peak` the
 * share of it that a row reaches; with bf16 instructions up to 2 is possible.
 */
#include "base/err.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"
#include "support/op_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONV3      \
    DTYPE_F16, 1,  \
    {              \
        1, 1, 1, 1 \
    }

#define PROMPT(type)                                                     \
    {                                                                    \
        .kind = OP_LINEAR, {512, 2048}, {8192, 2048}, type, .fast = true \
    }

static const struct op_row rows[] = {
    /* UNet */
    {.kind = OP_CONV2D, {1, 64, 64, 4}, {320, 4, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {1, 64, 64, 320}, {320, 320, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {2, 64, 64, 320}, {320, 320, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {2, 64, 64, 960}, {320, 960, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {1, 32, 32, 640}, {640, 640, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {2, 32, 32, 640}, {640, 640, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {1, 16, 16, 1280}, {1280, 1280, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {2, 16, 16, 1280}, {1280, 1280, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {1, 8, 8, 1280}, {1280, 1280, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {2, 8, 8, 1280}, {1280, 1280, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {1, 64, 64, 320}, {4, 320, 3, 3}, CONV3},
    {.kind = OP_LINEAR, {1, 1280}, {1280, 1280}, DTYPE_F16},
    {.kind = OP_LINEAR, {2, 4096, 320}, {320, 320}, DTYPE_F16},
    {.kind = OP_LINEAR, {2, 4096, 320}, {2560, 320}, DTYPE_F16},
    {.kind = OP_LINEAR, {2, 4096, 1280}, {320, 1280}, DTYPE_F16},
    {.kind = OP_LINEAR, {2, 1024, 640}, {640, 640}, DTYPE_F16},
    {.kind = OP_LINEAR, {2, 1024, 640}, {5120, 640}, DTYPE_F16},
    {.kind = OP_LINEAR, {2, 256, 1280}, {1280, 1280}, DTYPE_F16},
    {.kind = OP_LINEAR, {2, 256, 1280}, {1280, 1280}, DTYPE_Q8_0},
    {.kind = OP_LINEAR, {2, 256, 1280}, {1280, 1280}, DTYPE_Q4_0},
    {.kind = OP_LINEAR, {2, 256, 1280}, {1280, 1280}, DTYPE_Q5_1},
    {.kind = OP_LINEAR, {2, 256, 1280}, {1280, 1280}, DTYPE_Q4_K},
    {.kind = OP_LINEAR, {2, 256, 1280}, {1280, 1280}, DTYPE_Q6_K},
    {.kind = OP_LINEAR, {2, 64, 1280}, {10240, 1280}, DTYPE_F16},
    {.kind = OP_LINEAR, {1, 77, 768}, {3072, 768}, DTYPE_F16},
    {.kind = OP_LINEAR, {2, 77, 768}, {320, 768}, DTYPE_F16},
    {.kind = OP_ATTENTION, {1, 4096, 320}, {1, 4096, 320}, .param = 8},
    {.kind = OP_ATTENTION, {2, 1024, 640}, {2, 1024, 640}, .param = 8},
    {.kind = OP_ATTENTION, {2, 256, 1280}, {2, 256, 1280}, .param = 8},
    {.kind = OP_ATTENTION, {2, 4096, 320}, {2, 77, 320}, .param = 8},
    {.kind = OP_ATTENTION, {1, 77, 768}, {1, 77, 768}, .param = 12, .flag = true},
    {.kind = OP_GROUPNORM, {2, 64, 64, 320}, .param = 32, .flag = true},
    {.kind = OP_GROUPNORM, {2, 16, 16, 1280}, .param = 32, .flag = true},
    {.kind = OP_LAYERNORM, {2, 4096, 320}},
    {.kind = OP_GEGLU, {2, 4096, 2560}},
    {.kind = OP_SILU, {2, 64, 64, 320}},
    {.kind = OP_ADD, {2, 64, 64, 320}, {2, 64, 64, 320}},
    {.kind = OP_CONCAT, {2, 64, 64, 320}, {2, 64, 64, 320}},
    {.kind = OP_UPSAMPLE, {2, 32, 32, 640}, {64, 64}},
    {.kind = OP_RMSNORM, {512, 2048}},
    {.kind = OP_ROPE_ANGLES, {512}, {32}},
    {.kind = OP_ROPE, {512, 2048}, {512, 64}, .param = 32},
    {.kind = OP_ROPE, {512, 2048}, {512, 64}, .param = 32, .flag = true},
    {.kind = OP_GLU, {512, 8192}, {512, 8192}, .param = GLU_SILU},
    {.kind = OP_TOP_K, {512, 128}, .param = 8},
    {.kind = OP_GATES, {512, 128}, {512, 8}, .flag = true},
    {.kind = OP_EXPERTS, {512, 2048}, {128, 768, 2048}, DTYPE_Q8_0, 8, .bare = true},
    {.kind = OP_EXPERTS, {1, 2048}, {128, 768, 2048}, DTYPE_Q8_0, 8, .bare = true},
    {.kind = OP_MIX, {512, 8, 2048}, {512, 8}, .residual = {512, 2048}},
    /* A prompt through Llama 3.2 1B */
    PROMPT(DTYPE_BF16),
    PROMPT(DTYPE_F16),
    PROMPT(DTYPE_Q8_0),
    PROMPT(DTYPE_Q4_0),
    PROMPT(DTYPE_Q5_1),
    PROMPT(DTYPE_Q4_K),
    PROMPT(DTYPE_Q5_K),
    PROMPT(DTYPE_Q6_K),
    PROMPT(DTYPE_Q3_K),
    PROMPT(DTYPE_Q2_K),
    PROMPT(DTYPE_IQ4_XS),
    PROMPT(DTYPE_MXFP4),
    {.kind = OP_LINEAR, {512, 8192}, {2048, 8192}, DTYPE_Q4_K, .fast = true},
    {.kind = OP_LINEAR, {512, 8192}, {2048, 8192}, DTYPE_Q6_K, .fast = true},
    {.kind = OP_LINEAR, {64, 2048}, {8192, 2048}, DTYPE_Q4_K, .fast = true},
    {.kind = OP_LINEAR, {32, 2048}, {8192, 2048}, DTYPE_Q4_K, .fast = true},
    /* VAE decoder */
    {.kind = OP_CONV2D, {1, 64, 64, 512}, {512, 512, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {1, 128, 128, 512}, {512, 512, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {1, 256, 256, 256}, {256, 256, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {1, 512, 512, 128}, {128, 128, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {1, 512, 512, 128}, {3, 128, 3, 3}, CONV3},
    {.kind = OP_CONV2D, {1, 256, 256, 64}, {64, 64, 3, 3}, CONV3}, /* TAESD */
    {.kind = OP_ATTENTION, {1, 4096, 512}, {1, 4096, 512}, .param = 1},
    {.kind = OP_GROUPNORM, {1, 512, 512, 128}, .param = 32, .flag = true},
};

#define N_ROWS ((int)(sizeof(rows) / sizeof(rows[0])))

struct options {
    const char *isa, *filter;
    enum dtype activation;
    int threads, repetitions;
};

static double now(int threads)
{
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Register-only multiply-adds: 12 independent sums hide the latency of 4-6 cycles at 2 a cycle. */
#define SUMS 12
#define PEAK(bytes, target)                                                              \
    target static double peak_##bytes(void)                                              \
    {                                                                                    \
        typedef float vec __attribute__((vector_size(bytes)));                           \
        vec s[SUMS], x = {0}, y = {0};                                                   \
        const long n = 400000;                                                           \
        volatile float sink;                                                             \
        __asm__ volatile("" : "+m"(x), "+m"(y));                                         \
        for (int j = 0; j < SUMS; j++)                                                   \
            s[j] = y + (float)j;                                                         \
        double start = now(1);                                                           \
        for (long i = 0; i < n; i++) {                                                   \
            _Pragma("GCC unroll 12") for (int j = 0; j < SUMS; j++) s[j] = s[j] * x + y; \
        }                                                                                \
        double seconds = now(1) - start;                                                 \
        for (int j = 1; j < SUMS; j++)                                                   \
            s[0] += s[j];                                                                \
        sink = s[0][0];                                                                  \
        (void)sink;                                                                      \
        return 2.0 * SUMS * (bytes / 4) * (double)n / seconds * 1e-9;                    \
    }

#if defined(__x86_64__)
PEAK(16, )
PEAK(32, __attribute__((target("avx2,fma"))))
PEAK(64, __attribute__((target("avx512f,fma"))))
#else
PEAK(16, )
#define peak_32 peak_16
#define peak_64 peak_16
#endif

/* GFLOP/s of one thread; the best of three, to miss most of what disturbs. */
static double peak(int width)
{
    double best = 0;
    for (int i = 0; i < 3; i++) {
        double p = width == 16 ? peak_64() : width == 8 ? peak_32() : peak_16();
        best = p > best ? p : best;
    }
    return best;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#define MAX_REPETITIONS 100

static int measure(const struct op_case *c, struct backend *b, const struct options *o,
                   const char *text, struct err *e)
{
    double t[MAX_REPETITIONS], best = peak(((struct cpu *)b)->k->width) * o->threads;
    int rc = tape_run(c->tape, b, e); /* warms caches and scratch memory */
    for (int i = 0; i < o->repetitions && !rc; i++) {
        double start = now(o->threads);
        rc = tape_run(c->tape, b, e);
        t[i] = now(o->threads) - start;
    }
    if (rc)
        return rc;
    qsort(t, (size_t)o->repetitions, sizeof(t[0]), by_value);
    double median = t[o->repetitions / 2], flops = op_case_flops(c);
    if (flops > 0)
        printf("\"%s\",%s,%s,%d,%.3f,%.1f,GFLOP/s,%.1f,%.2f\n", text, b->name,
               dtype_name(o->activation), o->threads, median * 1e3, flops / median * 1e-9, best,
               flops / median * 1e-9 / best);
    else
        printf("\"%s\",%s,%s,%d,%.3f,%.1f,GB/s,,\n", text, b->name, dtype_name(o->activation),
               o->threads, median * 1e3, op_case_bytes(c) / median * 1e-9);
    fflush(stdout);
    return 0;
}

static int run_rows(const struct options *o, struct err *e)
{
    struct backend *b;
    int rc = cpu_backend_new(&b, o->threads, o->isa, e);
    for (int i = 0; i < N_ROWS && !rc; i++) {
        struct op_case c;
        char text[OP_CASE_TEXT];
        rc = op_case_init(&c, &rows[i], o->activation, e);
        if (rc)
            break;
        op_case_text(&c, text);
        if (!o->filter || strstr(text, o->filter)) {
            op_case_fill(&c, 1);
            rc = measure(&c, b, o, text, e);
        }
        op_case_release(&c);
    }
    backend_free(b);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.threads = 1, .repetitions = 5};
    struct err e = {0};
    bool both = true;
    for (int c; (c = getopt(argc, argv, "i:a:t:r:f:")) != -1;) {
        if (c == 'i') {
            o.isa = optarg;
        } else if (c == 'a') {
            o.activation = dtype_from_name(optarg);
            both = false;
        } else if (c == 't') {
            o.threads = (int)strtol(optarg, NULL, 10);
        } else if (c == 'r') {
            o.repetitions = (int)strtol(optarg, NULL, 10);
        } else if (c == 'f') {
            o.filter = optarg;
        } else {
            return 2;
        }
    }
    if (o.threads < 1 || o.repetitions < 1 || o.repetitions > MAX_REPETITIONS ||
        (o.activation != DTYPE_F32 && o.activation != DTYPE_BF16)) {
        fputs("usage: ops [-i ISA] [-a f32|bf16] [-t THREADS] [-r REPETITIONS] [-f TEXT]\n",
              stderr);
        return 2;
    }
    puts("op,backend,type,threads,ms,speed,unit,peak,of_peak");
    int rc = run_rows(&o, &e);
    if (!rc && both) {
        o.activation = DTYPE_BF16;
        rc = run_rows(&o, &e);
    }
    if (rc)
        fprintf(stderr, "%s\n", e.text);
    return rc != 0;
}
