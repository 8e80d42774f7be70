/* evaluate_test.c - logits of mixed batches are those of each sequence alone. */
#include "pipeline/evaluate.h"

#include "support/tiny_language.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "nn/kvcache.h"
#include "pipeline/text_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N_TOKENS 100

static struct backend *cpu;
static struct text_model *model;
static int n_vocab;
static int32_t tokens[3][N_TOKENS];
static float *want[3]; /* [N_TOKENS, n_vocab], one token at a time */

static struct evaluator *open_evaluator(int n_tokens, evaluate_stop *stop, void *ctx)
{
    struct evaluator *ev;
    struct err e = {0};
    struct evaluator_options o = {.backend = cpu,
                                  .model = model->language,
                                  .cache_type = DTYPE_F32,
                                  .n_tokens = n_tokens,
                                  .exact = true,
                                  .stop = stop,
                                  .ctx = ctx};
    assert_ok(evaluator_new(&ev, &o, &e), e);
    return ev;
}

/* Sums in another order differ in the last bits: 2 layers of 256 columns. */
static void assert_close(const float *a, const float *b)
{
    double most = 0, worst = 0;
    for (int i = 0; i < n_vocab; i++) {
        most = fmax(most, fabs((double)b[i]));
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    }
    if (!(worst <= 2e-4 * most))
        fail_msg("logits differ by %g of %g", worst, most);
}

static void run(struct evaluator *ev, const struct evaluator_part *parts, int n, float **logits)
{
    struct err e = {0};
    assert_ok(evaluate(ev, parts, n, logits, &e), e);
}

static void mixed_batches(void **state)
{
    (void)state;
    struct evaluator *ev = open_evaluator(3 * (N_TOKENS + KV_BLOCK), NULL, NULL);
    struct kvcache_seq s[3] = {0};
    float *logits;
    for (int round = 0; s[0].n_past + s[1].n_past + s[2].n_past < 3 * N_TOKENS; round++) {
        struct evaluator_part parts[3];
        int n = 0, who[3];
        for (int i = 0; i < 3; i++) {
            int left = N_TOKENS - s[i].n_past;
            int m = (int)(hash_mix64((uint64_t)(round * 3 + i)) % 40);
            m = m > left ? left : m;
            if (m == 0)
                continue;
            who[n] = i;
            parts[n++] = (struct evaluator_part){&s[i], tokens[i] + s[i].n_past, m,
                                                 round % 3 ? 1 : m};
        }
        if (n == 0)
            continue;
        run(ev, parts, n, &logits);
        for (int k = 0; k < n; k++)
            for (int t = parts[k].n_outputs; t > 0; t--, logits += n_vocab)
                assert_close(logits, want[who[k]] + (s[who[k]].n_past - t) * n_vocab);
    }
    for (int i = 0; i < 3; i++)
        kvcache_end(evaluator_cache(ev), &s[i]);
    evaluator_free(ev);
}

/* Stops at once as long as *ctx is not 0, and counts. */
static bool at_once(void *ctx)
{
    int *asked = ctx;
    *asked += *asked > 0;
    return *asked > 0;
}

static void failures_move_nothing(void **state)
{
    (void)state;
    int asked = 0;
    struct evaluator *ev = open_evaluator(64, at_once, &asked);
    struct kvcache_seq s[2] = {0};
    struct err e = {0};
    float *logits;
    struct evaluator_part both[] = {{&s[0], tokens[0], 40, 1}, {&s[1], tokens[1], 40, 1}};
    assert_int_equal(evaluate(ev, both, 2, &logits, &e), ERR_NOMEM);
    assert_err(e, ERR_NOMEM, "the cache of 64 tokens is full");
    assert_int_equal(s[0].n_past, 0);
    kvcache_rewind(evaluator_cache(ev), &s[0], 0);
    kvcache_rewind(evaluator_cache(ev), &s[1], 0);
    e = (struct err){0};
    asked = 1;
    assert_int_equal(evaluate(ev, &both[1], 1, &logits, &e), ERR_CANCELLED);
    assert_int_equal(asked, 2);
    asked = 0;
    assert_null(logits);
    assert_int_equal(s[1].n_past, 0);
    run(ev, &both[1], 1, &logits);
    assert_close(logits, want[1] + 39 * n_vocab);
    for (int i = 0; i < 2; i++)
        kvcache_end(evaluator_cache(ev), &s[i]);
    evaluator_free(ev);
}

static void one_at_a_time(int i)
{
    struct evaluator *ev = open_evaluator(N_TOKENS, NULL, NULL);
    struct kvcache_seq s = {0};
    float *logits;
    want[i] = mem_alloc(N_TOKENS * (size_t)n_vocab * sizeof(float));
    for (int t = 0; t < N_TOKENS; t++) {
        tokens[i][t] = (int32_t)(hash_mix64((uint64_t)(i * N_TOKENS + t)) % 700);
        run(ev, &(struct evaluator_part){&s, &tokens[i][t], 1, 1}, 1, &logits);
        memcpy(want[i] + t * n_vocab, logits, (size_t)n_vocab * sizeof(float));
    }
    kvcache_end(evaluator_cache(ev), &s);
    evaluator_free(ev);
}

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    char *path = tiny_language_write("f32");
    assert_ok(text_model_open(&model, path, &e), e);
    assert_ok(cpu_backend_new(&cpu, 2, NULL, &e), e);
    n_vocab = language_params(model->language)->n_vocab;
    for (int i = 0; i < 3; i++)
        one_at_a_time(i);
    free(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        free(want[i]);
    text_model_close(model);
    backend_free(cpu);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixed_batches),
        cmocka_unit_test(failures_move_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
