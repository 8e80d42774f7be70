/* matvec.c - products of a few rows: decoding a token for each of some sequences.
 *
 * The time is that of reading the weights once. A task is a run of rows of weights that fit L1
 * beside the activations; its sums get bias and residual as those of gemm.c do.
 */
#include "cpu/matvec.h"

#include "base/err.h"
#include "base/thread.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"

#define MAX_ROWS   16
#define PACK_ALONE 16384 /* activations that one thread packs sooner than others wake up */
#define CHUNK      256   /* channels that are packed at a time */
#define TASK_BYTES 65536 /* of weights */
#define TASK_MAX   256   /* rows of weights */

struct matvec {
    const struct cpu *c;
    const struct matmul *m;
    long k, n, columns; /* columns per task */
    int rows;
    const float *x[MAX_ROWS];
    char *packed[MAX_ROWS]; /* of each pass of `width` rows; NULL for weights that are no blocks */
    char *worker;           /* sums [rows][columns] */
    size_t worker_size;
};

bool cpu_matvec_fits(const struct cpu *c, const struct matmul *m)
{
    int64_t rows = tensor_n_rows(m->out);
    (void)c;
    return m->fast && rows <= MAX_ROWS && m->x->type == DTYPE_F32 && dtype_is_float(m->w->type) &&
           tensor_n_cols(m->x) % dtype_block(m->w->type) == 0 &&
           (!m->residual || tensor_same_shape(m->residual, m->out));
}

/* Rows of a pass: as many as a vector has lanes. */
static int pass_rows(const struct matvec *v, int first)
{
    int left = v->rows - first, width = v->packed[0] ? v->c->k->width : MAX_ROWS;
    return left < width ? left : width;
}

static void pack(long begin, long end, int worker, void *ctx)
{
    const struct matvec *v = ctx;
    (void)worker;
    for (int i = 0; i < v->rows; i += pass_rows(v, i)) {
        struct dot_pack p = {
            .type = v->m->w->type,
            .x = v->x + i,
            .rows = pass_rows(v, i),
            .lanes = v->c->k->dot_lanes(v->m->w->type, pass_rows(v, i)),
            .k = v->k,
            .dst = v->packed[i],
        };
        v->c->k->dot_pack(&p, begin, end);
    }
}

static void run_task(const struct matvec *v, long n0, long n, float *sums)
{
    const struct kernels *k = v->c->k;
    const struct matmul *m = v->m;
    for (int i = 0; i < v->rows; i += pass_rows(v, i)) {
        struct dot_tile t = {
            .type = m->w->type,
            .w = cpu_at(m->w, n0 * v->k),
            .w_row = (long)dtype_row_size(m->w->type, v->k),
            .n = n,
            .k = v->k,
            .rows = pass_rows(v, i),
            .lanes = k->dot_lanes(m->w->type, pass_rows(v, i)),
            .x = v->packed[i],
            .floats = v->x + i,
            .sums = sums + i * v->columns,
            .lds = v->columns,
        };
        k->dot(&t);
    }
    struct finish_tile f = {
        .sums = sums,
        .lds = v->columns,
        .bias = m->bias ? m->bias + n0 : NULL,
        .type = m->out->type,
        .out = cpu_at(m->out, n0),
        .out_stride = (long)dtype_row_size(m->out->type, v->n),
        .rows = v->rows,
        .n = n,
    };
    if (m->residual) {
        f.residual = cpu_at(m->residual, n0);
        f.residual_type = m->residual->type;
        f.residual_stride = (long)dtype_row_size(m->residual->type, v->n);
    }
    k->finish(&f);
}

static void run_tasks(long begin, long end, int worker, void *ctx)
{
    const struct matvec *v = ctx;
    float *sums = (float *)(v->worker + (size_t)worker * v->worker_size);
    for (long n0 = begin; n0 < end; n0 += v->columns)
        run_task(v, n0, end - n0 < v->columns ? end - n0 : v->columns, sums);
}

int cpu_matvec(struct cpu *c, const struct matmul *m, struct err *e)
{
    const struct kernels *k = c->k;
    struct matvec v = {
        .c = c,
        .m = m,
        .k = (long)tensor_n_cols(m->x),
        .n = (long)tensor_n_cols(m->out),
        .rows = (int)tensor_n_rows(m->out),
    };
    bool blocks = dtype_block(m->w->type) > 1;
    int width = blocks ? k->width : MAX_ROWS;
    size_t packed = 0;
    for (int i = 0; i < v.rows; i++)
        v.x[i] = (const float *)m->x->data + (m->rows ? m->rows[i] : i) * v.k;
    if (blocks) {
        int lanes = k->dot_lanes(m->w->type, v.rows < width ? v.rows : width);
        packed = cpu_round64((size_t)k->dot_packed(m->w->type, lanes, v.k));
    }
    long row = (long)dtype_row_size(m->w->type, v.k);
    v.columns = TASK_BYTES / row / 8 * 8;
    v.columns = v.columns < 8 ? 8 : v.columns > TASK_MAX ? TASK_MAX : v.columns;
    size_t passes = (size_t)((v.rows + width - 1) / width);
    v.worker_size = cpu_round64((size_t)(v.rows * v.columns) * sizeof(float));
    char *scratch = cpu_scratch(c, passes * packed, v.worker_size, e);
    if (!scratch)
        return ERR_NOMEM;
    v.worker = scratch + passes * packed;
    if (blocks) {
        long chunks = (v.k + CHUNK - 1) / CHUNK;
        for (size_t i = 0; i < passes; i++)
            v.packed[i * (size_t)width] = scratch + i * packed;
        parallel_for(c->pool, chunks, v.k * v.rows <= PACK_ALONE ? chunks : 4, pack, &v);
    }
    parallel_for(c->pool, v.n, v.columns, run_tasks, &v);
    return 0;
}
