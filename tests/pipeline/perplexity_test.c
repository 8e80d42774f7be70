/* perplexity_test.c - the windows and tokens that count, against a plain computation. */
#include "pipeline/perplexity.h"

#include "support/tiny_language.h"

#include "base/err.h"
#include "base/hash.h"
#include "cpu/cpu.h"
#include "nn/kvcache.h"
#include "pipeline/evaluate.h"
#include "pipeline/text_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define N 70

static struct backend *cpu;
static struct text_model *model;
static struct evaluator *ev;
static int n_vocab;
static int32_t tokens[N];

/* Of the tokens from the middle of each window on, one at a time. */
static double plain(int n_ctx, int n_windows, int32_t bos)
{
    double sum = 0;
    int count = 0;
    for (int w = 0; w < n_windows; w++) {
        struct kvcache_seq s = {0};
        for (int t = 0; t + 1 < n_ctx; t++) {
            struct err e = {0};
            float *logits;
            double total = 0;
            int32_t id = t == 0 && bos >= 0 ? bos : tokens[w * n_ctx + t];
            struct evaluator_part part = {&s, &id, 1, 1};
            assert_ok(evaluate(ev, &part, 1, &logits, &e), e);
            for (int i = 0; i < n_vocab; i++)
                total += exp((double)logits[i]);
            if (t < n_ctx / 2)
                continue;
            sum += log(total) - (double)logits[tokens[w * n_ctx + t + 1]];
            count++;
        }
        kvcache_end(evaluator_cache(ev), &s);
    }
    return exp(sum / count);
}

static int stop_after_two(const struct perplexity *p, int n_windows, void *ctx)
{
    assert_int_equal(n_windows, *(int *)ctx);
    assert_true(p->value > 1);
    return p->n_windows == 2 ? ERR_CANCELLED : 0;
}

static void counts_like_llama_cpp(void **state)
{
    (void)state;
    static const int windows[] = {8, 17, 32};
    for (int i = 0; i < 6; i++) {
        struct perplexity p;
        struct err e = {0};
        int n_ctx = windows[i / 2], n = N / n_ctx;
        struct perplexity_request r = {
            .tokens = tokens, .n = N, .n_vocab = n_vocab, .n_ctx = n_ctx, .bos = i % 2 ? -1 : 3};
        assert_ok(perplexity(ev, &r, &p, &e), e);
        assert_int_equal(p.n_windows, n);
        assert_int_equal(p.n_tokens, n * (n_ctx - 1 - n_ctx / 2));
        double want = plain(n_ctx, n, r.bos);
        assert_true(fabs(p.value / want - 1) < 1e-4);
        assert_true(p.error > 0);
    }
}

static void limits(void **state)
{
    (void)state;
    struct perplexity p;
    struct err e = {0};
    int windows = 4;
    struct perplexity_request r = {
        .tokens = tokens, .n = N, .n_vocab = n_vocab, .n_ctx = 8, .n_windows = 4, .bos = -1};
    assert_ok(perplexity(ev, &r, &p, &e), e);
    assert_int_equal(p.n_windows, 4);
    r.on_window = stop_after_two;
    r.ctx = &windows;
    assert_int_equal(perplexity(ev, &r, &p, &e), ERR_CANCELLED);
    assert_int_equal(p.n_windows, 2);
    e = (struct err){0};
    r.n_ctx = 40;
    assert_int_equal(perplexity(ev, &r, &p, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "70 tokens: perplexity in windows of 40 needs 80");
    e = (struct err){0};
    r.n_ctx = 4;
    assert_int_equal(perplexity(ev, &r, &p, &e), ERR_ARG);
}

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    char *path = tiny_language_write("f32");
    assert_ok(text_model_open(&model, path, &e), e);
    assert_ok(cpu_backend_new(&cpu, 2, NULL, &e), e);
    n_vocab = language_params(model->language)->n_vocab;
    struct evaluator_options o = {.backend = cpu,
                                  .model = model->language,
                                  .cache_type = DTYPE_F32,
                                  .n_tokens = 64,
                                  .exact = true};
    assert_ok(evaluator_new(&ev, &o, &e), e);
    for (int t = 0; t < N; t++)
        tokens[t] = (int32_t)(hash_mix64((uint64_t)t) % 700);
    free(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    evaluator_free(ev);
    text_model_close(model);
    backend_free(cpu);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_like_llama_cpp),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
