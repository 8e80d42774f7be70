/* attend_test.c - op_attend on every kernel table of this machine against float64.
 *
 * A case plays several runs over one cache: the reference keeps every sequence's keys and values,
 * rounded as the cache's type rounds them, and attends to them in the plainest way.
 */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"
#include "tensor/kv.h"
#include "tensor/ops.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SEQ    3
#define MAX_RUN    4
#define MAX_TOKENS 1300
#define N_BLOCKS   (MAX_SEQ * MAX_TOKENS / KV_BLOCK + MAX_SEQ)

/* rows[run][sequence]: how many tokens each sequence gets in each run. */
struct attend_row {
    enum dtype type;
    int n_head, n_head_kv, d_k, d_v;
    int rows[MAX_RUN][MAX_SEQ];
    float softcap;
    int window;
    bool sinks;
};

static const struct attend_row rows[] = {
    {.type = DTYPE_F32, 1, 1, 4, 4, {{1}}},
    {.type = DTYPE_F32, 4, 4, 8, 8, {{5}, {1}, {31}, {2}}},
    {.type = DTYPE_F32, 8, 2, 64, 64, {{70, 1, 3}, {1, 1, 1}, {1, 40, 0}, {2, 0, 1}}},
    {.type = DTYPE_F16, 8, 2, 64, 64, {{70, 1, 3}, {1, 1, 1}, {1, 40, 0}, {2, 0, 1}}},
    {.type = DTYPE_Q8_0, 8, 2, 64, 64, {{70, 1, 3}, {1, 1, 1}, {1, 40, 0}, {2, 0, 1}}},
    {.type = DTYPE_Q4_0, 8, 2, 64, 64, {{70, 1, 3}, {1, 1, 1}, {1, 40, 0}, {2, 0, 1}}},
    {.type = DTYPE_F16, 6, 2, 80, 80, {{33}, {1}}, .softcap = 2},
    {.type = DTYPE_Q8_0, 6, 2, 80, 80, {{33}, {1}}, .softcap = 2},
    {.type = DTYPE_Q8_0, 3, 1, 96, 96, {{33, 2}, {1, 1}, {5, 1}}, .sinks = true},
    {.type = DTYPE_Q8_0, 5, 1, 128, 128, {{100}, {1}, {17}}, .window = 40},
    {.type = DTYPE_F32, 2, 1, 256, 256, {{37}, {1}}, .window = 7, .softcap = 1.5f, .sinks = true},
    {.type = DTYPE_Q4_0, 2, 2, 256, 256, {{37}, {1}}},
    {.type = DTYPE_F16, 4, 1, 20, 12, {{9}, {1}, {70}, {1}}, .window = 33, .sinks = true},
    {.type = DTYPE_Q8_0, 4, 1, 20, 12, {{9}, {1}, {70}, {1}}, .window = 64},
    {.type = DTYPE_F16, 4, 1, 48, 48, {{150}, {1, 3}, {40}}},
    {.type = DTYPE_Q8_0, 16, 1, 32, 32, {{90}, {1, 3}, {16}}, .softcap = 3},
    {.type = DTYPE_F16, 1, 1, 64, 64, {{550}, {1}, {70}}, .window = 300},
    /* Long enough to be split. */
    {.type = DTYPE_F16, 2, 1, 16, 16, {{1100}, {1}}, .sinks = true},
    {.type = DTYPE_Q8_0, 2, 1, 32, 32, {{1200}, {3}}, .softcap = 2, .window = 1100},
};

struct play {
    const struct attend_row *row;
    struct kv_layer cache;
    int32_t blocks[MAX_SEQ][MAX_TOKENS / KV_BLOCK + 1];
    int n_past[MAX_SEQ];
    float *k[MAX_SEQ], *v[MAX_SEQ]; /* [MAX_TOKENS][n_head_kv * d], as the cache rounds them */
};

static float value(uint64_t seed, int64_t i)
{
    uint64_t h = hash_mix64(seed + (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u);
    return (float)((double)(h >> 40) / (1 << 23) - 1);
}

static void fill(struct tensor *x, uint64_t seed)
{
    for (int64_t i = 0; i < tensor_n(x); i++)
        ((float *)x->data)[i] = value(seed, i);
}

/* x [n_head, d], each head rounded in groups of 32. */
static void round_heads(enum dtype type, const float *x, float *y, int n_head, int d)
{
    float group[32];
    unsigned char bytes[32 * sizeof(float)];
    for (int i = 0; i < n_head * d; i += d)
        for (int j = 0; j < d; j += 32) {
            size_t n = (size_t)(d - j < 32 ? d - j : 32) * sizeof(float);
            memset(group, 0, sizeof(group));
            memcpy(group, x + i + j, n);
            quant_from_f32(type, group, bytes, 32);
            quant_to_f32(type, bytes, group, 32);
            memcpy(y + i + j, group, n);
        }
}

/* Memory full of NaN, in which blocks are handed out in an order of their own. */
static void play_init(struct play *p, const struct attend_row *row)
{
    struct err e = {0};
    *p = (struct play){.row = row, .cache = {row->type, row->n_head_kv, row->d_k, row->d_v, 0, 0}};
    size_t k = kv_k_bytes(&p->cache) * N_BLOCKS, v = kv_v_bytes(&p->cache) * N_BLOCKS;
    p->cache.k = memset(mem_try_aligned(k, "keys", &e), 0xff, k);
    p->cache.v = memset(mem_try_aligned(v, "values", &e), 0xff, v);
    for (int s = 0, n = 0; s < MAX_SEQ; s++) {
        for (int i = 0; i <= MAX_TOKENS / KV_BLOCK; i++)
            p->blocks[s][i] = n++ * 29 % N_BLOCKS;
        p->k[s] = mem_alloc(MAX_TOKENS * (size_t)(row->n_head_kv * row->d_k) * sizeof(float));
        p->v[s] = mem_alloc(MAX_TOKENS * (size_t)(row->n_head_kv * row->d_v) * sizeof(float));
    }
}

static void play_release(struct play *p)
{
    mem_free_aligned(p->cache.k);
    mem_free_aligned(p->cache.v);
    for (int s = 0; s < MAX_SEQ; s++) {
        free(p->k[s]);
        free(p->v[s]);
    }
}

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* One head of one row. */
struct query {
    int seq, position, head;
    const float *q;
    const float *sink; /* or NULL */
};

/* out [d_v], and the sums of magnitudes; of scores the largest of the latter is returned. */
static double reference(const struct play *p, struct query c, double *out, double *slack)
{
    const struct attend_row *r = p->row;
    int kv = c.head / (r->n_head / r->n_head_kv), last = c.position;
    int first = r->window && last >= r->window ? last - r->window + 1 : 0;
    double w[MAX_TOKENS], sum = c.sink ? exp(*c.sink) : 0, most = 0;
    for (int t = first; t <= last; t++) {
        const float *k = p->k[c.seq] + (t * r->n_head_kv + kv) * r->d_k;
        double size = 0;
        for (int i = 0; i < r->d_k; i++)
            size += fabs((double)c.q[i] * k[i]) / sqrt(r->d_k);
        most = size > most ? size : most;
        w[t] = dot(c.q, k, r->d_k) / sqrt(r->d_k);
        if (r->softcap > 0)
            w[t] = r->softcap * tanh(w[t] / r->softcap);
        w[t] = exp(w[t]);
        sum += w[t];
    }
    for (int i = 0; i < r->d_v; i++) {
        out[i] = slack[i] = 0;
        for (int t = first; t <= last; t++) {
            double x = w[t] / sum * p->v[c.seq][(t * r->n_head_kv + kv) * r->d_v + i];
            out[i] += x;
            slack[i] += fabs(x);
        }
    }
    return most;
}

/* The tape of a run and what it works on. */
struct run {
    struct tape *tape;
    struct tensor *q, *k, *v, *sinks, *out;
    struct kv_batch batch;
    struct kv_seq seq[MAX_SEQ];
    int of[MAX_SEQ]; /* which sequence of the play */
};

/* Sequences in another order than in the play, and one row at the end that belongs to none. */
static void run_init(struct run *r, struct play *p, int step, bool fast)
{
    const struct attend_row *row = p->row;
    struct err e = {0};
    int n = 0;
    *r = (struct run){.tape = tape_new(DTYPE_F32), .batch = {0, r->seq}};
    for (int s = MAX_SEQ - 1; s >= 0; s--) {
        int add = row->rows[step][s];
        if (!add)
            continue;
        r->of[r->batch.n_seq] = s;
        r->seq[r->batch.n_seq++] = (struct kv_seq){n, add, p->n_past[s], p->blocks[s]};
        n += add;
    }
    struct tape *t = r->tape;
    tape_set_fast(t, fast);
    r->q = tape_input(t, DTYPE_F32, "q", 2, (int64_t[]){n + 1, row->n_head * row->d_k});
    r->k = tape_input(t, DTYPE_F32, "k", 2, (int64_t[]){n + 1, row->n_head_kv * row->d_k});
    r->v = tape_input(t, DTYPE_F32, "v", 2, (int64_t[]){n + 1, row->n_head_kv * row->d_v});
    r->sinks = row->sinks ? tape_input(t, DTYPE_F32, "s", 1, (int64_t[]){row->n_head}) : NULL;
    struct attend a = {&p->cache,    &r->batch,   row->n_head, 1 / sqrtf((float)row->d_k),
                       row->softcap, row->window, r->sinks};
    r->out = tape_keep(t, op_attend(t, r->q, r->k, r->v, a));
    assert_ok(tape_plan(t, &e), e);
    fill(r->q, (uint64_t)step << 40);
    fill(r->k, (uint64_t)step << 41 | 1);
    fill(r->v, (uint64_t)step << 42 | 2);
    for (int64_t i = 0; i < tensor_n(r->q); i++)
        ((float *)r->q->data)[i] *= 4; /* weights that differ */
    if (r->sinks)
        fill(r->sinks, 77);
}

/* Adds the run's keys and values to the reference's. */
static void remember(struct play *p, const struct run *r)
{
    const struct attend_row *row = p->row;
    long dk = row->n_head_kv * row->d_k, dv = row->n_head_kv * row->d_v;
    for (int i = 0; i < r->batch.n_seq; i++)
        for (int j = 0; j < r->seq[i].n_rows; j++) {
            int at = r->seq[i].first_row + j, s = r->of[i], t = p->n_past[s]++;
            round_heads(row->type, (float *)r->k->data + at * dk, p->k[s] + t * dk, row->n_head_kv,
                        row->d_k);
            round_heads(row->type, (float *)r->v->data + at * dv, p->v[s] + t * dv, row->n_head_kv,
                        row->d_v);
        }
}

static void check_run(const struct play *p, const struct run *r, const char *backend, bool bf16)
{
    const struct attend_row *row = p->row;
    const float *q = r->q->data, *out = r->out->data;
    double want[256], slack[256];
    /* Of d products with |k| <= 1 the queries, |q| <= 4, may be off by half of 4 / 127 / 254; both
     * the weights and their sum by as much. */
    bool quantised = dtype_block(row->type) > 1;
    /* In bf16 each factor may be off by 2^-9: scores by twice that of their magnitudes, weights and
     * their sum by as much, then weights and values once more; weights also by 7.5e-5 of 2^x. */
    const double unit = 1.0 / 512;
    double rounding = quantised ? 2 * sqrt(row->d_k) * 4 / 127 / 254 / 2 : 0;
    for (int i = 0; i < r->batch.n_seq; i++)
        for (int j = 0; j < r->seq[i].n_rows; j++)
            for (int h = 0; h < row->n_head; h++) {
                long at = (long)(r->seq[i].first_row + j) * row->n_head + h;
                struct query c = {r->of[i], r->seq[i].n_past + j, h, q + at * row->d_k,
                                  r->sinks ? (float *)r->sinks->data + h : NULL};
                double most = reference(p, c, want, slack);
                double error = 2e-5 + (bf16 ? 2 * (2 * unit * most + 7.5e-5) + 2 * unit : rounding);
                for (int d = 0; d < row->d_v; d++)
                    if (!(fabs(out[at * row->d_v + d] - want[d]) <= error * slack[d] + 1e-7))
                        fail_msg("%s, case %d, row %d, head %d: %g, not %g", backend,
                                 (int)(row - rows), r->seq[i].first_row + j, h,
                                 (double)out[at * row->d_v + d], want[d]);
            }
    for (int d = 0; d < row->n_head * row->d_v; d++)
        assert_true(out[tensor_n(r->out) - 1 - d] == 0);
}

enum { CHECK = 1, FAST = 2 };

/* Plays a case and, if asked, compares with the reference. The results of all runs one after the
 * other go to `results`. */
static void play(const struct attend_row *row, struct backend *b, unsigned how, struct buf *results)
{
    struct play p;
    struct err e = {0};
    play_init(&p, row);
    for (int step = 0; step < MAX_RUN && (row->rows[step][0] || row->rows[step][1]); step++) {
        struct run r;
        run_init(&r, &p, step, how & FAST);
        assert_ok(tape_run(r.tape, b, &e), e);
        remember(&p, &r);
        if (how & CHECK)
            check_run(&p, &r, b->name, how & FAST && ((struct cpu *)b)->k->bf16.gemm);
        buf_append(results, r.out->data, tensor_size(r.out));
        tape_free(r.tape);
    }
    play_release(&p);
}

static void test_row(const struct attend_row *row, const char *isa, unsigned how)
{
    struct buf one, more;
    buf_init(&one, (size_t)1 << 30);
    buf_init(&more, (size_t)1 << 30);
    for (int threads = 1; threads <= 3; threads += 2) {
        struct backend *b;
        struct err e = {0};
        assert_ok(cpu_backend_new(&b, threads, isa, &e), e);
        play(row, b, threads == 1 ? how | CHECK : how, threads == 1 ? &one : &more);
        backend_free(b);
    }
    assert_int_equal(one.len, more.len);
    assert_memory_equal(one.data, more.data, one.len);
    buf_release(&one);
    buf_release(&more);
}

/* Each table; more threads give the same bits. */
static void test_against_reference(void **state)
{
    (void)state;
    for (int i = 0; kernels_at(i); i++)
        for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
            test_row(&rows[r], kernels_at(i)->name, 0);
            if (kernels_at(i)->bf16.gemm)
                test_row(&rows[r], kernels_at(i)->name, FAST);
        }
}

/* What is read back is what quant.h rounds to. */
static void test_read_back(void **state)
{
    static const enum dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_Q8_0, DTYPE_Q4_0};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct attend_row row = {.type = types[i], 2, 2, 72, 40};
        struct play p;
        float x[144], want[144], got[144];
        play_init(&p, &row);
        for (int slot = 0; slot < KV_BLOCK; slot++) {
            for (int j = 0; j < 144; j++)
                x[j] = value((uint64_t)slot, j);
            round_heads(types[i], x, want, 2, 72);
            for (int h = 0; h < 2; h++) {
                kv_write_k(&p.cache, 3, slot, h, x + 72 * h);
                kv_read_k(&p.cache, 3, slot, h, got + 72 * h);
            }
            assert_memory_equal(got, want, 144 * sizeof(float));
            round_heads(types[i], x, want, 2, 40);
            for (int h = 0; h < 2; h++) {
                kv_write_v(&p.cache, 3, slot, h, x + 40 * h);
                kv_read_v(&p.cache, 3, slot, h, got + 40 * h);
            }
            assert_memory_equal(got, want, 80 * sizeof(float));
        }
        play_release(&p);
    }
    struct kv_layer odd = {DTYPE_BF16, 1, 4, 4, NULL, NULL};
    assert_false(kv_can(odd.type));
}

/* Shapes and types that do not fit are refused while recording, rows beyond the batch in a run. */
static void test_misfits(void **state)
{
    struct kv_layer l = {DTYPE_F16, 2, 4, 4, NULL, NULL}, odd = {DTYPE_BF16, 2, 4, 4, NULL, NULL};
    struct kv_seq seq = {1, 3, 0, NULL};
    struct kv_batch batch = {1, &seq};
    const struct kv_layer *caches[] = {&l, &l, &l, &odd};
    const int heads[] = {4, 3, 4, 4}, keys[] = {8, 8, 9, 8};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct tape *t = tape_new(DTYPE_F32);
        struct err e = {0};
        struct tensor *q = tape_input(t, DTYPE_F32, "q", 2, (int64_t[]){3, heads[i] * 4});
        struct tensor *k = tape_input(t, DTYPE_F32, "k", 2, (int64_t[]){3, keys[i]});
        op_attend(t, q, k, k, (struct attend){caches[i], &batch, heads[i], 1, 0, 0, NULL});
        assert_int_equal(tape_plan(t, &e), i ? ERR_FORMAT : 0);
        if (i == 0) {
            struct backend *b;
            assert_ok(cpu_backend_new(&b, 1, NULL, &e), e);
            assert_int_equal(tape_run(t, b, &e), ERR_ARG);
            assert_err(e, ERR_ARG, "sequence 0 has rows beyond the batch");
            backend_free(b);
        }
        tape_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_reference),
        cmocka_unit_test(test_read_back),
        cmocka_unit_test(test_misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
