/* ops_test.c - every op on every kernel table of this machine against float64.
 *
 * Each row runs with f32 and bf16 activations and 1, 2 and 3 threads, which must agree bit for
 * bit. Operands and results lie against an inaccessible page, behind them or before them, and
 * operands are read-only, so that an access outside the data ends the test.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"
#include "support/op_reference.h"
#include "support/op_rows.h"
#include "tensor/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct op_row op_rows[] = {
    {.kind = OP_ROWS, {7}, {5, 33}},
    {.kind = OP_ROWS, {2, 5}, {11, 64}, DTYPE_F16},
    {.kind = OP_ROWS, {3}, {9, 1}, DTYPE_BF16},
    {.kind = OP_ROWS, {1, 4}, {6, 96}, DTYPE_Q8_0},
    {.kind = OP_ROWS, {1, 4}, {6, 96}, DTYPE_Q5_1},
    {.kind = OP_ROWS, {5}, {7, 512}, DTYPE_Q6_K},
    {.kind = OP_ROWS, {3}, {4, 64}, DTYPE_MXFP4},

    /* Columns around every vector and tile width, rows around every tile height. */
    {.kind = OP_LINEAR, {1, 1}, {1, 1}},
    {.kind = OP_LINEAR, {2, 3}, {3, 3}, DTYPE_BF16},
    {.kind = OP_LINEAR, {3, 7}, {5, 7}, DTYPE_F16},
    {.kind = OP_LINEAR, {4, 16}, {4, 16}},
    {.kind = OP_LINEAR, {5, 31}, {7, 31}, DTYPE_F16, .bare = true},
    {.kind = OP_LINEAR, {6, 32}, {8, 32}, DTYPE_Q8_0},
    {.kind = OP_LINEAR, {7, 33}, {9, 33}},
    {.kind = OP_LINEAR, {2, 4, 18}, {15, 18}, DTYPE_BF16},
    {.kind = OP_LINEAR, {11, 13}, {16, 13}},
    {.kind = OP_LINEAR, {12, 14}, {17, 14}, DTYPE_F16},
    {.kind = OP_LINEAR, {13, 64}, {31, 64}, DTYPE_Q8_0, .bare = true},
    {.kind = OP_LINEAR, {1, 29}, {33, 29}},
    {.kind = OP_LINEAR, {5, 30}, {47, 30}, DTYPE_F16},
    {.kind = OP_LINEAR, {2, 2, 3, 6}, {63, 6}, DTYPE_BF16},
    {.kind = OP_LINEAR, {9, 10}, {64, 10}},
    {.kind = OP_LINEAR, {7, 12}, {65, 12}, DTYPE_F16},
    {.kind = OP_LINEAR, {3, 34}, {131, 34}, DTYPE_BF16},
    {.kind = OP_LINEAR, {3, 35}, {131, 35}, DTYPE_BF16},
    {.kind = OP_LINEAR, {5, 1601}, {70, 1601}, DTYPE_F16}, /* blocks of channels */
    {.kind = OP_LINEAR, {4, 1632}, {67, 1632}, DTYPE_Q8_0},
    {.kind = OP_LINEAR, {2, 6402}, {3, 6402}, DTYPE_BF16},
    {.kind = OP_LINEAR, {3, 96}, {37, 96}, DTYPE_Q4_0},
    {.kind = OP_LINEAR, {4, 1632}, {5, 1632}, DTYPE_Q4_1},
    {.kind = OP_LINEAR, {2, 64}, {17, 64}, DTYPE_Q5_0, .bare = true},
    {.kind = OP_LINEAR, {7, 32}, {16, 32}, DTYPE_Q5_1},
    {.kind = OP_LINEAR, {3, 1792}, {67, 1792}, DTYPE_Q4_K},
    {.kind = OP_LINEAR, {2, 256}, {3, 256}, DTYPE_Q5_K},
    {.kind = OP_LINEAR, {5, 512}, {18, 512}, DTYPE_Q6_K},
    {.kind = OP_LINEAR, {3, 512}, {18, 512}, DTYPE_Q2_K},
    {.kind = OP_LINEAR, {2, 256}, {5, 256}, DTYPE_Q3_K},
    {.kind = OP_LINEAR, {3, 96}, {17, 96}, DTYPE_IQ4_NL},
    {.kind = OP_LINEAR, {5, 512}, {18, 512}, DTYPE_IQ4_XS},
    {.kind = OP_LINEAR, {4, 160}, {33, 160}, DTYPE_MXFP4},
    {.kind = OP_LINEAR, {1601, 3}, {5, 3}}, /* chunks of rows */
    {.kind = OP_LINEAR, {800, 10}, {66, 10}, DTYPE_F16},

    {.kind = OP_LINEAR, {2, 9, 35}, {67, 35}, DTYPE_F16, .residual = {2, 9, 67}},
    {.kind = OP_LINEAR, {3, 5, 8}, {5, 8}, DTYPE_F16, .bare = true, .residual = {3, 5}},

    {.kind = OP_LINEAR, {3, 7}, {5, 7}, DTYPE_F16, .fast = true},
    {.kind = OP_LINEAR, {37, 64}, {70, 64}, DTYPE_BF16, .fast = true},
    {.kind = OP_LINEAR, {2, 9, 35}, {67, 35}, DTYPE_F32, .residual = {2, 9, 67}, .fast = true},
    {.kind = OP_LINEAR, {1, 32}, {1, 32}, DTYPE_Q8_0, .fast = true},
    {.kind = OP_LINEAR, {13, 1632}, {67, 1632}, DTYPE_Q8_0, .residual = {13, 67}, .fast = true},
    {.kind = OP_LINEAR, {3, 96}, {37, 96}, DTYPE_Q4_0, .fast = true},
    {.kind = OP_LINEAR, {4, 1632}, {5, 1632}, DTYPE_Q4_1, .fast = true},
    {.kind = OP_LINEAR, {2, 64}, {17, 64}, DTYPE_Q5_0, .bare = true, .fast = true},
    {.kind = OP_LINEAR, {7, 32}, {16, 32}, DTYPE_Q5_1, .fast = true},
    {.kind = OP_LINEAR, {6, 512}, {33, 512}, DTYPE_Q2_K, .fast = true},
    {.kind = OP_LINEAR, {5, 256}, {50, 256}, DTYPE_Q3_K, .fast = true},
    {.kind = OP_LINEAR, {3, 1792}, {67, 1792}, DTYPE_Q4_K, .fast = true},
    {.kind = OP_LINEAR, {800, 256}, {3, 256}, DTYPE_Q5_K, .fast = true},
    {.kind = OP_LINEAR, {5, 8192}, {66, 8192}, DTYPE_Q6_K, .fast = true},
    {.kind = OP_LINEAR, {9, 64}, {21, 64}, DTYPE_IQ4_NL, .fast = true},
    {.kind = OP_LINEAR, {2, 256}, {48, 256}, DTYPE_IQ4_XS, .fast = true},
    {.kind = OP_LINEAR, {33, 96}, {65, 96}, DTYPE_MXFP4, .fast = true},
    {.kind = OP_LINEAR, {3, 48}, {2, 48}, DTYPE_Q4_0, .fast = true}, /* rows of half blocks */

    {.kind = OP_CONV2D, {1, 1, 1, 1}, {1, 1, 1, 1}, .param = 1},
    {.kind = OP_CONV2D, {2, 5, 3, 7}, {66, 7, 1, 1}, DTYPE_F16, 1, .residual = {2, 5, 3, 66}},
    {.kind = OP_CONV2D, {3, 5, 3, 4}, {5, 4, 3, 3}, DTYPE_F16, 1, {1, 1, 1, 1}, .residual = {3, 5}},
    {.kind = OP_CONV2D, {2, 5, 3, 7}, {5, 7, 1, 1}, DTYPE_F16, 1},
    {.kind = OP_CONV2D, {1, 1, 1, 4}, {3, 4, 3, 3}, DTYPE_F16, 1, {1, 1, 1, 1}},
    {.kind = OP_CONV2D, {1, 1, 9, 3}, {17, 3, 3, 3}, DTYPE_F32, 1, {1, 1, 1, 1}},
    {.kind = OP_CONV2D, {2, 7, 1, 6}, {4, 6, 3, 3}, DTYPE_BF16, 1, {1, 1, 1, 1}},
    {.kind = OP_CONV2D, {1, 6, 8, 5}, {19, 5, 3, 3}, DTYPE_F16, 2, {1, 1, 1, 1}},
    {.kind = OP_CONV2D, {2, 7, 7, 4}, {6, 4, 3, 3}, DTYPE_F32, 2, {0, 0, 1, 1}},
    {.kind = OP_CONV2D, {1, 8, 6, 2}, {3, 2, 3, 3}, DTYPE_BF16, 2, {0, 0, 1, 1}, .bare = true},
    {.kind = OP_CONV2D, {1, 5, 5, 3}, {2, 3, 2, 4}, DTYPE_F16, 1, {2, 1, 0, 3}},
    {.kind = OP_CONV2D, {1, 9, 8, 2}, {3, 2, 8, 8}, DTYPE_F16, 8},
    {.kind = OP_CONV2D, {1, 5, 4, 174}, {65, 174, 3, 3}, DTYPE_F16, 1, {1, 1, 1, 1}},
    {.kind = OP_CONV2D, {1, 4, 3, 695}, {9, 695, 3, 3}, DTYPE_BF16, 1, {1, 1, 1, 1}},
    /* Lines of 16 pixels and more, which tile registers read in place where no tap leaves them. */
    {.kind = OP_CONV2D, {2, 5, 40, 32}, {37, 32, 3, 3}, DTYPE_F16, 1, {1, 1, 1, 1}},
    {.kind = OP_CONV2D, {2, 3, 83, 32}, {37, 32, 3, 3}, DTYPE_F16, 1, {1, 1, 1, 1}},
    {.kind = OP_CONV2D,
     {1, 4, 131, 3},
     {5, 3, 3, 3},
     DTYPE_F16,
     2,
     {1, 1, 1, 1},
     .residual = {1, 5}},
    {.kind = OP_CONV2D, {1, 7, 70, 64}, {70, 64, 3, 3}, DTYPE_BF16, 2, {1, 1, 1, 1}},
    {.kind = OP_CONV2D, {1, 3, 16, 5}, {130, 5, 4, 2}, DTYPE_F32, 1, {2, 1, 1, 0}},
    {.kind = OP_CONV2D, {1, 3, 34, 1500}, {33, 1500, 3, 3}, DTYPE_F16, 1, {1, 1, 1, 1}},
    {.kind = OP_CONV2D, {1, 31, 29, 3}, {4, 3, 3, 3}, DTYPE_F32, 1, {1, 1, 1, 1}},
    /* Blocks run over the ends of rows. */
    {.kind = OP_CONV2D, {1, 1, 1, 3}, {4, 3, 3, 3}, DTYPE_F16, 1, {1, 1, 1, 1}, .wrap = WRAP_BOTH},
    {.kind = OP_CONV2D, {2, 5, 4, 6}, {17, 6, 3, 3}, DTYPE_F16, 1, {1, 1, 1, 1}, .wrap = WRAP_BOTH},
    {.kind = OP_CONV2D,
     {1, 3, 37, 64},
     {33, 64, 3, 3},
     DTYPE_F16,
     1,
     {1, 1, 1, 1},
     .wrap = WRAP_BOTH},
    {.kind = OP_CONV2D, {1, 4, 40, 32}, {18, 32, 3, 3}, DTYPE_F16, 1, {1, 1, 1, 1}, .wrap = WRAP_X},
    {.kind = OP_CONV2D, {2, 4, 33, 32}, {18, 32, 3, 3}, DTYPE_F16, 1, {1, 1, 1, 1}, .wrap = WRAP_Y},
    {.kind = OP_CONV2D,
     {1, 7, 70, 64},
     {20, 64, 3, 3},
     DTYPE_F16,
     2,
     {1, 1, 1, 1},
     .wrap = WRAP_BOTH},
    {.kind = OP_CONV2D, {1, 6, 34, 5}, {9, 5, 3, 3}, DTYPE_F16, 2, {0, 0, 1, 1}, .wrap = WRAP_BOTH},
    {.kind = OP_CONV2D, {1, 3, 20, 4}, {5, 4, 4, 6}, DTYPE_F16, 1, {3, 2, 1, 5}, .wrap = WRAP_BOTH},
    {.kind = OP_CONV2D, {1, 5, 3, 4}, {64, 4, 3, 3}, DTYPE_Q4_K, 1, {1, 1, 1, 1}},
    {.kind = OP_CONV2D, {1, 3, 2, 5}, {32, 5, 1, 1}, DTYPE_Q5_0, 1},
    {.kind = OP_CONV2D, {1, 3, 4, 320}, {4, 320, 3, 3}, DTYPE_Q6_K, 1, {1, 1, 1, 1}},
    {.kind = OP_CONV2D, {1, 1, 32, 2}, {2, 2, 1, 32}, DTYPE_Q8_0, 1},

    {.kind = OP_ADD, {1}, {1}},
    {.kind = OP_ADD, {3, 5, 7}, {3, 5, 7}},
    {.kind = OP_ADD, {3, 5, 7}, {7}},
    {.kind = OP_ADD, {2, 3, 77}, {3, 77}, DTYPE_F16},
    {.kind = OP_ADD, {2, 1, 2053}, {2053}, DTYPE_BF16},
    {.kind = OP_ADD, {2, 61, 67}, {61, 67}},

    {.kind = OP_SCALE, {3, 1367}},
    {.kind = OP_SCALE, {1}},
    {.kind = OP_SILU, {7, 601}},
    {.kind = OP_SILU, {1}},
    {.kind = OP_GELU, {3, 1371}},
    {.kind = OP_GELU, {2}},
    {.kind = OP_QUICK_GELU, {17, 251}},
    {.kind = OP_RELU, {5, 823}},
    {.kind = OP_LEAKY_RELU, {5, 823}},
    {.kind = OP_LEAKY_RELU, {2, 3, 5, 67}, {67}},
    {.kind = OP_LEAKY_RELU, {3, 2061}, {2061}},
    {.kind = OP_LEAKY_RELU, {300, 3}, {3}},
    {.kind = OP_SOFT_CAP, {4, 5, 5, 5}},
    {.kind = OP_GEGLU, {3, 2}},
    {.kind = OP_GEGLU, {5, 66}},
    {.kind = OP_GEGLU, {2, 3, 4106}},

    {.kind = OP_LAYERNORM, {1, 1}},
    {.kind = OP_LAYERNORM, {5, 3}, .bare = true},
    {.kind = OP_LAYERNORM, {2, 9, 67}},
    {.kind = OP_LAYERNORM, {19, 320}},
    {.kind = OP_LAYERNORM, {2, 1289}},
    {.kind = OP_GROUPNORM, {1, 1, 1, 4}, .param = 2},
    {.kind = OP_GROUPNORM, {2, 1, 1, 64}, .param = 32, .flag = true},
    {.kind = OP_GROUPNORM, {2, 3, 5, 33}, .param = 11, .bare = true},
    {.kind = OP_GROUPNORM, {1, 19, 28, 6}, .param = 3, .flag = true}, /* chunks of pixels */
    {.kind = OP_GROUPNORM, {3, 2, 7, 96}, .param = 32},
    {.kind = OP_GROUPNORM, {1, 17, 16, 7}, .param = 7},
    {.kind = OP_GROUPNORM, {1, 2, 2, 5}, .param = 1},
    {.kind = OP_GROUPNORM, {2, 3, 5, 33}, {2, 11, 2}, .param = 11, .flag = true},
    {.kind = OP_GROUPNORM, {1, 19, 28, 6}, {1, 3, 2}, .param = 3},
    {.kind = OP_MOMENTS, {1, 1, 1, 4}, .param = 2},
    {.kind = OP_MOMENTS, {2, 7, 5, 33}, .param = 11, .pad = {2, 0, 3, 0}},
    {.kind = OP_MOMENTS, {1, 23, 28, 6}, .param = 3, .pad = {1, 0, 0, 0}},

    {.kind = OP_ATTENTION, {1, 1, 8}, {1, 1, 8}, .param = 1},
    {.kind = OP_ATTENTION, {2, 7, 24}, {2, 7, 24}, .param = 3, .flag = true},
    {.kind = OP_ATTENTION, {2, 5, 80}, {2, 77, 80}, .param = 2},
    {.kind = OP_ATTENTION, {1, 50, 16}, {1, 256, 16}, .param = 2},
    {.kind = OP_ATTENTION, {1, 97, 40}, {1, 97, 40}, .param = 1, .flag = true},
    {.kind = OP_ATTENTION, {1, 300, 10}, {1, 300, 10}, .param = 2, .flag = true},
    {.kind = OP_ATTENTION, {1, 9, 128}, {1, 300, 128}, .param = 2},
    {.kind = OP_ATTENTION, {2, 6, 80}, {2, 77, 80}, .param = 1},
    {.kind = OP_ATTENTION, {1, 13, 128}, {1, 65, 128}, .param = 1},
    {.kind = OP_ATTENTION, {1, 4, 320}, {1, 257, 320}, .param = 2},
    {.kind = OP_ATTENTION, {1, 3, 512}, {1, 300, 512}, .param = 1},
    {.kind = OP_ATTENTION, {1, 3, 9}, {1, 5, 9}, .param = 3},
    {.kind = OP_ATTENTION, {1, 2, 33}, {1, 6, 33}, .param = 1, .flag = true},
    {.kind = OP_ATTENTION, {1, 130, 64}, {1, 290, 64}, .param = 2},
    {.kind = OP_ATTENTION, {1, 9, 7}, {1, 4, 7}, .param = 1, .flag = true},

    {.kind = OP_UPSAMPLE, {1, 1, 1, 1}, {2, 2}},
    {.kind = OP_UPSAMPLE, {2, 3, 5, 7}, {6, 10}},
    {.kind = OP_UPSAMPLE, {2, 3, 5, 7}, {7, 9}},
    {.kind = OP_UPSAMPLE, {1, 9, 4, 3}, {5, 1}},
    {.kind = OP_PIXEL_SHUFFLE, {1, 1, 1, 1}, .param = 1},
    {.kind = OP_PIXEL_SHUFFLE, {2, 3, 5, 12}, .param = 2},
    {.kind = OP_PIXEL_SHUFFLE, {1, 17, 19, 48}, .param = 4},
    {.kind = OP_PIXEL_UNSHUFFLE, {1, 2, 2, 3}, .param = 2},
    {.kind = OP_PIXEL_UNSHUFFLE, {2, 9, 6, 5}, .param = 3},
    {.kind = OP_CONCAT, {1, 1}, {1, 1}},
    {.kind = OP_CONCAT, {2, 3, 5}, {2, 3, 9}},
    {.kind = OP_CONCAT, {1, 2, 3, 1030}, {1, 2, 3, 3}, DTYPE_BF16},
    {.kind = OP_CAST, {3, 1367}},
    {.kind = OP_CAST, {1}},

    {.kind = OP_RMSNORM, {1, 1}},
    {.kind = OP_RMSNORM, {5, 3}, .bare = true},
    {.kind = OP_RMSNORM, {2, 9, 67}},
    {.kind = OP_RMSNORM, {300, 130}},
    {.kind = OP_ROPE_ANGLES, {7}, {1}},
    {.kind = OP_ROPE_ANGLES, {301}, {33}},
    {.kind = OP_ROPE, {1, 2}, {1, 2}, .param = 1},
    {.kind = OP_ROPE, {5, 3 * 22}, {5, 22}, .param = 3, .flag = true},
    {.kind = OP_ROPE, {200, 2 * 70}, {200, 70}, .param = 2},
    {.kind = OP_ROPE, {3, 4 * 19}, {3, 14}, .param = 4}, /* part of each head */
    {.kind = OP_ROPE, {3, 4 * 19}, {3, 14}, .param = 4, .flag = true},
    {.kind = OP_GLU, {1, 1}, {1, 1}, .param = GLU_SILU},
    {.kind = OP_GLU, {3, 2071}, {3, 2071}, .param = GLU_SILU},
    {.kind = OP_GLU, {2, 5, 34}, .param = GLU_SILU},
    {.kind = OP_GLU, {5, 67}, {5, 67}, .param = GLU_GELU_TANH},
    {.kind = OP_GLU, {3, 4142}, .param = GLU_GELU_TANH},
    {.kind = OP_GLU, {5, 67}, {5, 67}, .param = GLU_CLAMP},
    {.kind = OP_TOP_K, {1, 1}, .param = 1},
    {.kind = OP_TOP_K, {19, 33}, .param = 5},
    {.kind = OP_TOP_K, {2, 7}, .param = 7},
    {.kind = OP_GATES, {3, 9}, {3, 2}},
    {.kind = OP_GATES, {5, 33}, {5, 4}, .flag = true},
    {.kind = OP_EXPERTS, {1, 7}, {3, 5, 7}, .param = 2},
    {.kind = OP_EXPERTS, {9, 64}, {5, 37, 64}, DTYPE_Q8_0, 3, .bare = true},
    {.kind = OP_EXPERTS, {23, 2, 19}, {4, 6, 19}, DTYPE_BF16, 2},
    {.kind = OP_EXPERTS, {2, 256}, {40, 3, 256}, DTYPE_Q4_K, 4},
    {.kind = OP_MIX, {1, 1, 1}, {1, 1}},
    {.kind = OP_MIX, {9, 4, 67}, {9, 4}, .residual = {9, 67}},
};

#define N_ROWS    ((int)(sizeof(op_rows) / sizeof(op_rows[0])))
#define N_THREADS 3

static struct backend *backends[8][N_THREADS]; /* [table][threads - 1] */
static int n_tables;

static int open_backends(void **state)
{
    struct err e = {0};
    (void)state;
    for (; kernels_at(n_tables); n_tables++)
        for (int i = 0; i < N_THREADS; i++)
            if (cpu_backend_new(&backends[n_tables][i], i + 1, kernels_at(n_tables)->name, &e))
                return -1;
    return 0;
}

static int close_backends(void **state)
{
    (void)state;
    for (int i = 0; i < n_tables; i++)
        for (int j = 0; j < N_THREADS; j++)
            backend_free(backends[i][j]);
    return 0;
}

/* Memory between two inaccessible pages. */
struct guarded {
    char *map;
    size_t size;
};

static size_t page_round(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (n + page - 1) / page * page;
}

/* n bytes that end (or begin) at an inaccessible page. */
static void *guarded_new(struct guarded *g, size_t n, bool at_end)
{
    size_t page = page_round(1), body = page_round(n);
    g->size = body + 2 * page;
    g->map = mmap(NULL, g->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g->map != MAP_FAILED);
    assert_int_equal(mprotect(g->map + page, body, PROT_READ | PROT_WRITE), 0);
    return g->map + page + (at_end ? body - n : 0);
}

static void guarded_read_only(const struct guarded *g)
{
    size_t page = page_round(1);
    assert_int_equal(mprotect(g->map + page, g->size - 2 * page, PROT_READ), 0);
}

/* Runs the case on its operands as they are, moved against a guard page; the result goes to
 * `result`, tensor_size(out) bytes. */
static void run_guarded(const struct op_case *c, struct backend *b, bool at_end, void *result)
{
    struct guarded g[OP_MAX_SRC + 1] = {0};
    void *before[OP_MAX_SRC + 1] = {0};
    struct err e = {0};
    size_t size = tensor_size(c->out);
    for (int i = 0; i < OP_MAX_SRC; i++) {
        if (!c->src[i])
            continue;
        size_t n = tensor_size(c->src[i]);
        before[i] = c->src[i]->data;
        c->src[i]->data = memcpy(guarded_new(&g[i], n, at_end), before[i], n);
        guarded_read_only(&g[i]);
    }
    before[OP_MAX_SRC] = c->out->data;
    c->out->data = memset(guarded_new(&g[OP_MAX_SRC], size, at_end), 0xee, size);
    assert_ok(tape_run(c->tape, b, &e), e);
    memcpy(result, c->out->data, size);
    for (int i = 0; i < OP_MAX_SRC; i++)
        if (c->src[i])
            c->src[i]->data = before[i];
    c->out->data = before[OP_MAX_SRC];
    for (int i = 0; i <= OP_MAX_SRC; i++)
        if (g[i].map)
            munmap(g[i].map, g[i].size);
}

static void compare(const struct op_reference *r, const struct op_case *c, const char *backend)
{
    char text[OP_CASE_TEXT];
    double *got = op_reference_values(c->out);
    for (int64_t i = 0; i < r->n; i++) {
        double tolerance = op_reference_tolerance(r, c, i), error = fabs(got[i] - r->out[i]);
        if (isnan(r->out[i]) ? isnan(got[i]) : error <= tolerance)
            continue;
        fail_msg("%s, %s, %s: element %lld is %.9g, not %.9g (+- %.3g)", op_case_text(c, text),
                 backend, dtype_name(tape_type(c->tape)), (long long)i, got[i], r->out[i],
                 tolerance);
    }
    free(got);
}

/* All tables and thread counts. */
static void check_case(const struct op_case *c)
{
    struct op_reference r;
    size_t size = tensor_size(c->out);
    char *one = mem_alloc(size), *more = mem_alloc(size), text[OP_CASE_TEXT];
    op_reference_init(&r, c);
    for (int i = 0; i < n_tables; i++) {
        run_guarded(c, backends[i][0], true, one);
        memcpy(c->out->data, one, size);
        compare(&r, c, backends[i][0]->name);
        for (int j = 1; j < N_THREADS; j++) {
            run_guarded(c, backends[i][j], j % 2 == 0, more);
            if (memcmp(one, more, size) != 0)
                fail_msg("%s, %s: %d threads change the result", op_case_text(c, text),
                         backends[i][j]->name, j + 1);
        }
    }
    op_reference_release(&r);
    free(one);
    free(more);
}

static void check_kind(enum op_kind kind, enum dtype activation)
{
    int n = 0;
    for (int i = 0; i < N_ROWS; i++) {
        struct op_case c;
        struct err e = {0};
        if (op_rows[i].kind != kind)
            continue;
        assert_ok(op_case_init(&c, &op_rows[i], activation, &e), e);
        op_case_fill(&c, (kind >= OP_SCALE && kind <= OP_GEGLU) || kind == OP_GLU ? 12 : 1);
        check_case(&c);
        op_case_release(&c);
        n++;
    }
    if (n == 0 && kind != OP_ATTEND) /* attend_test.c */
        fail_msg("no case for %s", op_name(kind));
}

#define OP(NAME, function, text)              \
    static void test_##function(void **state) \
    {                                         \
        (void)state;                          \
        check_kind(OP_##NAME, DTYPE_F32);     \
        check_kind(OP_##NAME, DTYPE_BF16);    \
    }
#include "tensor/ops.def"
#undef OP

static void set_nan(struct tensor *x, int64_t i)
{
    if (x->type == DTYPE_F32)
        ((float *)x->data)[i] = NAN;
    else if (x->type == DTYPE_F16)
        ((uint16_t *)x->data)[i] = half_from_f32(NAN);
    else
        ((uint16_t *)x->data)[i] = bf16_from_f32(NAN);
}

/* A NaN comes out of every element that depends on it, and of no other. */
static void test_nan(void **state)
{
    (void)state;
    for (int i = 0; i < N_ROWS * 2 * OP_MAX_SRC; i++) {
        const struct op_row *row = &op_rows[i / 2 / OP_MAX_SRC];
        int j = i % OP_MAX_SRC;
        struct op_case c;
        struct err e = {0};
        assert_ok(op_case_init(&c, row, i / OP_MAX_SRC % 2 ? DTYPE_BF16 : DTYPE_F32, &e), e);
        struct tensor *x = c.src[j];
        /* 0 * NaN: a masked value, a weight over padding; either result is right. */
        bool hidden = (c.op->causal && j == 2) || (row->kind == OP_CONV2D && row->pad[3] && j == 1);
        if (x && tensor_n(c.out) < 2000 && dtype_is_float(x->type) && dtype_block(x->type) == 1 &&
            !hidden) {
            op_case_fill(&c, 1);
            set_nan(x, tensor_n(x) / 2);
            check_case(&c);
        }
        op_case_release(&c);
    }
}

/* An id outside the table is an error, not an access. */
static void test_rows_range(void **state)
{
    static const struct op_row row = {.kind = OP_ROWS, {2}, {5, 3}};
    static const int32_t wrong[] = {-1, 5, INT32_MAX, INT32_MIN};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct op_case c;
        struct err e = {0};
        assert_ok(op_case_init(&c, &row, DTYPE_F32, &e), e);
        op_case_fill(&c, 1);
        ((int32_t *)c.src[1]->data)[1] = wrong[i];
        assert_int_not_equal(tape_run(c.tape, backends[0][0], &e), 0);
        assert_err(e, ERR_FORMAT, "has no row");
        op_case_release(&c);
    }
}

/* The same goes for experts, and memory for their rows may be short at any step. */
static void test_experts_faults(void **state)
{
    static const struct op_row row = {.kind = OP_EXPERTS, {5, 3}, {2, 4, 3}, .param = 2};
    struct op_case c;
    struct err e = {0};
    (void)state;
    assert_ok(op_case_init(&c, &row, DTYPE_F32, &e), e);
    op_case_fill(&c, 1);
    for (int i = 1; i <= 4; i++) {
        mem_fail_nth(i);
        assert_int_equal(tape_run(c.tape, backends[0][0], &e), ERR_NOMEM);
        mem_fail_nth(0);
        assert_err(e, ERR_NOMEM, "expert");
        e = (struct err){0};
        assert_ok(tape_run(c.tape, backends[0][0], &e), e);
    }
    ((int32_t *)c.src[1]->data)[1] = 2;
    assert_int_not_equal(tape_run(c.tape, backends[0][0], &e), 0);
    assert_err(e, ERR_FORMAT, "z has no expert 2");
    op_case_release(&c);
}

/* What the tiles have no room for is refused with a sentence, before anything is computed. */
static void test_unsupported(void **state)
{
    static const struct op_row large = {.kind = OP_CONV2D, {1, 9, 9, 1}, {1, 1, 9, 9}, .param = 1};
    static const struct op_row ids = {.kind = OP_LINEAR, {1, 2}, {2, 2}, DTYPE_I32};
    struct op_case c;
    struct err e = {0};
    (void)state;
    assert_ok(op_case_init(&c, &large, DTYPE_F32, &e), e);
    op_case_fill(&c, 1);
    assert_int_equal(tape_run(c.tape, backends[0][0], &e), ERR_UNSUPPORTED);
    assert_err(e, ERR_UNSUPPORTED, "a 9 x 9 convolution kernel");
    op_case_release(&c);
    e = (struct err){0};
    assert_ok(op_case_init(&c, &ids, DTYPE_F32, &e), e);
    op_case_fill(&c, 1);
    assert_int_equal(tape_run(c.tape, backends[0][0], &e), ERR_UNSUPPORTED);
    assert_err(e, ERR_UNSUPPORTED, "y: weights of type i32 in this place");
    op_case_release(&c);
}

/* Scratch memory that cannot be had is an error, and the next run is well. */
static void test_no_memory(void **state)
{
    static const struct op_row rows[] = {
        {.kind = OP_LINEAR, {3, 35}, {131, 35}},
        {.kind = OP_CONV2D, {1, 5, 5, 3}, {2, 3, 3, 3}, .param = 1},
        {.kind = OP_ATTENTION, {1, 2, 8}, {1, 2, 8}, .param = 1},
        {.kind = OP_GROUPNORM, {1, 3, 3, 4}, .param = 2},
        {.kind = OP_LAYERNORM, {2, 8}},
        {.kind = OP_ROWS, {2}, {3, 8}},
        {.kind = OP_RMSNORM, {2, 8}},
        {.kind = OP_ROPE, {2, 8}, {2, 4}, .param = 2},
        {.kind = OP_TOP_K, {2, 8}, .param = 2},
        {.kind = OP_GATES, {2, 8}, {2, 3}},
        {.kind = OP_MIX, {2, 3, 8}, {2, 3}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct op_case c;
        struct err e = {0};
        struct backend *b;
        assert_ok(cpu_backend_new(&b, 2, NULL, &e), e);
        assert_ok(op_case_init(&c, &rows[i], DTYPE_F32, &e), e);
        op_case_fill(&c, 1);
        mem_fail_nth(1);
        assert_int_not_equal(tape_run(c.tape, b, &e), 0);
        mem_fail_nth(0);
        assert_err(e, ERR_NOMEM, "scratch memory");
        e = (struct err){0};
        assert_ok(tape_run(c.tape, b, &e), e);
        op_case_release(&c);
        backend_free(b);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define OP(NAME, function, text) cmocka_unit_test(test_##function),
#include "tensor/ops.def"
#undef OP
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_rows_range),
        cmocka_unit_test(test_experts_faults),
        cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, open_backends, close_backends);
}
