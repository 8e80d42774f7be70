/* generate_test.c - answers of a tiny model: alone and in batches, from the cache and without it,
 * whole and in chunks; stop strings, limits, cancelling and faults.
 */
#include "pipeline/generate.h"

#include "support/tiny_language.h"

#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "nn/kvcache.h"
#include "pipeline/text_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PROMPT 70

static struct backend *cpu;
static struct text_model *model;

/* ---- support ---- */

static struct generator_options options(void)
{
    struct generator_options o;
    generator_options_init(&o, cpu, model);
    o.n_ctx = 256;
    o.cache_type = DTYPE_F32;
    o.exact = true;
    return o;
}

static struct generator *open_generator(const struct generator_options *o)
{
    struct generator *g;
    struct err e = {0};
    assert_ok(generator_new(&g, o, &e), e);
    return g;
}

/* Prompts that differ from the start on. */
static const int32_t *prompt(int which)
{
    static int32_t tokens[8][512];
    for (int i = 0; i < 512; i++)
        tokens[which][i] = (i * 37 + which * 101 + i * i % 11) % 500;
    return tokens[which];
}

static struct generate_request request(int which, struct tiny_answer *a)
{
    struct generate_request r;
    generate_request_init(&r, model);
    r.prompt = prompt(which);
    r.n_prompt = N_PROMPT;
    r.max_tokens = 24;
    r.sampler.temperature = 0;
    r.ignore_end = true;
    r.on_event = tiny_answer_event;
    r.ctx = a;
    *a = (struct tiny_answer){0};
    return r;
}

static int add(struct generator *g, const struct generate_request *r)
{
    struct err e = {0};
    int id = 0;
    assert_ok(generator_add(g, r, &id, &e), e);
    assert_true(id > 0);
    return id;
}

static int finish(struct generator *g)
{
    int steps = 1;
    while (generator_step(g) > 0)
        assert_true(++steps < 10000);
    struct kvcache_use use = generator_cache_use(g);
    assert_int_equal(use.n_held, 0);
    return steps;
}

static void answer(struct generator *g, const struct generate_request *r)
{
    add(g, r);
    finish(g);
    assert_true(((struct tiny_answer *)r->ctx)->ended);
}

/* A generator of its own for one request. */
static void answer_alone(const struct generate_request *r)
{
    struct generator_options o = options();
    struct generator *g = open_generator(&o);
    answer(g, r);
    generator_free(g);
}

static void assert_same(const struct tiny_answer *a, const struct tiny_answer *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->ids, b->ids, (size_t)a->n * sizeof(*a->ids));
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->finish, b->finish);
}

/* ---- tests ---- */

static void answers_and_reuses(void **state)
{
    (void)state;
    struct tiny_answer a, b, c;
    struct generator_options o = options();
    struct generator *g = open_generator(&o);
    struct generate_request r = request(0, &a);
    r.sampler.n_logprobs = 3;
    answer(g, &r);
    assert_int_equal(a.n, 24);
    assert_int_equal(a.n_events, 25);
    assert_int_equal(a.finish, GENERATE_LENGTH);
    assert_int_equal(a.timings.n_prompt, N_PROMPT);
    assert_int_equal(a.timings.n_cached, 0);
    assert_int_equal(a.timings.n_generated, 24);
    assert_true(a.timings.prompt > 0 && a.timings.generation > 0);
    for (int i = 0; i < a.n; i++)
        assert_true(a.logprobs[i] < 0);
    assert_true(a.n_text > 0);
    r = request(0, &b);
    answer(g, &r);
    assert_same(&a, &b);
    assert_int_equal(b.timings.n_cached, N_PROMPT - 1); /* the last token is evaluated */
    r = request(0, &c);
    r.n_prompt = 50;
    answer(g, &r);
    assert_int_equal(c.timings.n_cached, 49);
    generator_free(g);
}

static void chunks_are_the_whole(void **state)
{
    (void)state;
    static const int sizes[] = {1, 7, 32, 69, 512};
    struct tiny_answer want, a;
    struct generate_request r = request(1, &want);
    answer_alone(&r);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct generator_options o = options();
        o.n_batch = sizes[i];
        struct generator *g = open_generator(&o);
        r = request(1, &a);
        answer(g, &r);
        assert_same(&want, &a);
        generator_free(g);
    }
}

/* Four requests with sampling, one of them late, in rows of all mixtures. */
static void batches_are_their_sequences(void **state)
{
    (void)state;
    static struct tiny_answer alone[4], all[4];
    struct generator_options o = options();
    o.n_sequences = 3;
    o.n_chunk = 20;
    struct generator *g = open_generator(&o);
    for (int i = 0; i < 4; i++) {
        struct generate_request r = request(i, &alone[i]);
        r.sampler.temperature = 1;
        r.sampler.seed = 5 + (uint64_t)i;
        r.n_prompt = 20 + 30 * i;
        answer_alone(&r);
        r.ctx = &all[i];
        all[i] = (struct tiny_answer){0};
        add(g, &r);
        generator_step(g);
    }
    finish(g);
    for (int i = 0; i < 4; i++)
        assert_same(&alone[i], &all[i]);
    assert_memory_not_equal(all[0].ids, all[1].ids, 24 * sizeof(int32_t));
    assert_true(all[3].timings.waited > 0);
    generator_free(g);
}

/* Equal prompts that come together: the first is evaluated, the others take its blocks. */
static void equal_prompts_wait_for_each_other(void **state)
{
    (void)state;
    static struct tiny_answer a[3];
    struct generator_options o = options();
    o.n_sequences = 3;
    struct generator *g = open_generator(&o);
    for (int i = 0; i < 3; i++) {
        struct generate_request r = request(2, &a[i]);
        add(g, &r);
    }
    finish(g);
    for (int i = 1; i < 3; i++) {
        assert_same(&a[0], &a[i]);
        assert_int_equal(a[i].timings.n_cached, N_PROMPT / KV_BLOCK * KV_BLOCK);
    }
    generator_free(g);
}

static void seeds_repeat(void **state)
{
    (void)state;
    struct tiny_answer a, b, c;
    struct tiny_answer *all[] = {&a, &b, &c};
    for (int i = 0; i < 3; i++) {
        struct generate_request r = request(3, all[i]);
        r.sampler.temperature = 1.2f;
        r.sampler.top_k = 0;
        r.sampler.top_p = 1;
        r.sampler.seed = i == 2 ? 8 : 7;
        answer_alone(&r);
    }
    assert_same(&a, &b);
    assert_memory_not_equal(a.ids, c.ids, 24 * sizeof(int32_t));
}

/* Every piece of an answer's text as a stop string: what comes out is the text before it. */
static void stops_at_strings(void **state)
{
    (void)state;
    struct tiny_answer whole, a;
    struct generate_request r = request(4, &whole);
    r.special = true;
    answer_alone(&r);
    for (size_t at = 0; at + 5 < whole.n_text; at += 3) {
        char stop[16] = "", want[ANSWER_MAX];
        const char *strings[] = {"never in there", stop};
        if (((unsigned char)whole.text[at] & 0xc0) == 0x80 ||
            ((unsigned char)whole.text[at + 5] & 0xc0) == 0x80)
            continue; /* cuts a character */
        memcpy(stop, whole.text + at, 5);
        snprintf(want, sizeof(want), "%.*s", (int)(strstr(whole.text, stop) - whole.text),
                 whole.text);
        r = request(4, &a);
        r.special = true;
        r.stop = strings;
        r.n_stop = 2;
        answer_alone(&r);
        assert_string_equal(a.text, want);
        assert_string_equal(a.stop, stop);
        assert_int_equal(a.finish, GENERATE_STOP);
    }
}

static void ends_where_the_model_does(void **state)
{
    (void)state;
    struct tiny_answer a;
    struct token_bias bias = {tokenizer_eos(model->tokenizer), 1e6f};
    struct generate_request r = request(0, &a);
    r.sampler.bias = &bias;
    r.sampler.n_bias = 1;
    r.ignore_end = false;
    r.special = true;
    answer_alone(&r);
    assert_int_equal(a.finish, GENERATE_STOP);
    assert_int_equal(a.n, 0);
    assert_string_equal(a.text, "");
}

static void full_contexts(void **state)
{
    (void)state;
    struct tiny_answer a;
    struct generator_options o = options();
    o.n_ctx = 96;
    struct generator *g = open_generator(&o);
    struct generate_request r = request(0, &a);
    r.max_tokens = -1;
    answer(g, &r);
    assert_int_equal(a.n, 96 - N_PROMPT);
    assert_int_equal(a.finish, GENERATE_LENGTH);
    r = request(0, &a);
    r.max_tokens = 200;
    r.shift = true;
    r.n_keep = 4;
    answer(g, &r);
    assert_int_equal(a.n, 200);
    r = request(0, &a);
    r.max_tokens = 0; /* evaluates the prompt, for those to come */
    answer(g, &r);
    assert_int_equal(a.n, 0);
    assert_int_equal(a.finish, GENERATE_LENGTH);
    generator_free(g);
}

static void refused(struct generator *g, struct generate_request r, const char *part)
{
    struct err e = {0};
    int id = 0;
    assert_int_equal(generator_add(g, &r, &id, &e), ERR_ARG);
    assert_err(e, ERR_ARG, part);
    assert_int_equal(generator_step(g), 0);
}

static void refuses(void **state)
{
    (void)state;
    struct tiny_answer a;
    struct err e = {0};
    struct generator_options o = options();
    struct generator *g = open_generator(&o);
    const struct generate_request good = request(0, &a);
    struct generate_request r = good;
    const char *empty[] = {""};
    int32_t wrong[] = {1, 2, 1 << 20};
    r.n_prompt = 0;
    refused(g, r, "the prompt is empty");
    r = good, r.n_prompt = 256;
    refused(g, r, "the prompt has 256 tokens, and the context holds 256");
    r = good, r.prompt = wrong, r.n_prompt = 3;
    refused(g, r, "token 2 of the prompt is 1048576");
    r = good, r.stop = empty, r.n_stop = 1;
    refused(g, r, "stop string 1");
    r = good, r.sampler.top_p = 2;
    refused(g, r, "top_p");
    r = good, r.shift = true, r.n_keep = 200;
    refused(g, r, "200 tokens to keep");
    generator_free(g);
    o.n_cache = 64;
    g = open_generator(&o);
    refused(g, good, "the cache holds 64");
    generator_free(g);
    o = options(), o.n_ctx = 1;
    assert_int_equal(generator_new(&g, &o, &e), ERR_ARG);
    e = (struct err){0}, o = options(), o.n_sequences = 600;
    assert_int_equal(generator_new(&g, &o, &e), ERR_ARG);
    e = (struct err){0}, o = options(), o.cache_type = DTYPE_Q6_K;
    assert_int_equal(generator_new(&g, &o, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "a cache of type q6_k");
    e = (struct err){0}, o = options(), o.n_ctx = 1 << 29;
    assert_int_equal(generator_new(&g, &o, &e), ERR_NOMEM);
    assert_err(e, ERR_NOMEM, "a context of");
    assert_null(g);
}

/* ---- cancelling and faults ---- */

/* A backend that sets a flag, or fails, at one operation. */
struct watched {
    struct backend base;
    long n, at;
    bool fail;
    atomic_bool flag;
};

static int watched_run(struct backend *b, const struct op *op, struct err *e)
{
    struct watched *w = (struct watched *)b;
    if (++w->n == w->at) {
        if (w->fail)
            return err_set(e, ERR_INTERNAL, "broken on purpose");
        atomic_store(&w->flag, true);
    }
    return cpu->run(cpu, op, e);
}

static void watch(struct watched *w, long at, bool fail)
{
    *w = (struct watched){.base = {.name = "watched", .run = watched_run}, .at = at, .fail = fail};
}

static void stops_within_an_operation(void **state)
{
    (void)state;
    struct tiny_answer a, other;
    struct watched w;
    struct generator_options o = options();
    o.backend = &w.base;
    o.n_sequences = 2;
    for (int fail = 0; fail < 2; fail++)
        for (long at = 1; at < 200; at += 37) {
            watch(&w, at, fail);
            struct generator *g = open_generator(&o);
            struct generate_request r = request(0, &a);
            r.cancel = &w.flag;
            answer(g, &r);
            assert_int_equal(a.finish, fail ? GENERATE_ERROR : GENERATE_CANCELLED);
            assert_int_equal(a.error, fail ? ERR_INTERNAL : 0);
            assert_int_equal(w.n, at); /* at once */
            r = request(0, &other);
            answer(g, &r); /* and it still works */
            assert_int_equal(other.n, 24);
            generator_free(g);
        }
}

/* What an event may do. */
struct meddler {
    struct tiny_answer a;
    struct generator *g;
    int cancel, at;
    struct generate_request *more;
};

static void meddle(const struct generate_event *ev, void *ctx)
{
    struct meddler *m = ctx;
    tiny_answer_event(ev, &m->a);
    if (m->a.n_events == m->at && m->cancel)
        generator_cancel(m->g, m->cancel);
    if (m->a.n_events == m->at && m->more)
        add(m->g, m->more);
}

static void cancels_one_of_many(void **state)
{
    (void)state;
    static struct tiny_answer want, a, late;
    static struct meddler m;
    struct generate_request r = request(1, &want), more = request(3, &late);
    answer_alone(&r);
    struct generator_options o = options();
    o.n_sequences = 2;
    struct generator *g = open_generator(&o);
    r = request(0, &a);
    int id = add(g, &r);
    m = (struct meddler){.g = g, .cancel = id, .at = 5, .more = &more};
    r = request(1, &m.a);
    r.on_event = meddle;
    r.ctx = &m;
    add(g, &r);
    finish(g);
    assert_int_equal(a.finish, GENERATE_CANCELLED);
    assert_true(a.n >= 4 && a.n <= 6);
    assert_same(&want, &m.a);
    assert_int_equal(late.n, 24);
    generator_cancel(g, id);
    generator_cancel(g, 99);
    r = request(0, &a);
    add(g, &r);
    generator_free(g); /* with a request left */
    assert_false(a.ended);
}

/* Every allocation fails once: an error, and never a lost block. */
static void every_allocation_fails(void **state)
{
    (void)state;
    static struct tiny_answer a;
    long n = 0;
    int rc = -1;
    while (rc) {
        struct err e = {0};
        struct generator *g = NULL;
        struct generator_options o = options();
        struct generate_request r = request(0, &a);
        int id;
        mem_fail_nth(++n);
        rc = generator_new(&g, &o, &e);
        if (!rc)
            rc = generator_add(g, &r, &id, &e);
        if (!rc) {
            finish(g);
            rc = a.finish == GENERATE_ERROR ? a.error : 0;
        }
        mem_fail_nth(0);
        if (rc && rc != ERR_NOMEM)
            fail_msg("allocation %ld: %d: %s", n, rc, e.text);
        generator_free(g);
    }
    assert_int_equal(a.n, 24);
    assert_true(n > 15);
}

/* Rounded caches change the answer of random weights, but must work. */
static void every_type_of_cache(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_F16, DTYPE_Q8_0, DTYPE_Q4_0};
    for (int i = 0; i < 3; i++) {
        struct tiny_answer a, b;
        struct generator_options o = options();
        o.cache_type = types[i];
        o.exact = false;
        struct generator *g = open_generator(&o);
        struct generate_request r = request(0, &a);
        answer(g, &r);
        r = request(0, &b);
        answer(g, &r);
        assert_int_equal(a.n, 24);
        assert_int_equal(b.timings.n_cached, N_PROMPT - 1);
        generator_free(g);
    }
}

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    char *path = tiny_language_write("f32");
    assert_ok(text_model_open(&model, path, &e), e);
    assert_ok(cpu_backend_new(&cpu, 2, NULL, &e), e);
    free(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    text_model_close(model);
    backend_free(cpu);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_and_reuses),
        cmocka_unit_test(chunks_are_the_whole),
        cmocka_unit_test(batches_are_their_sequences),
        cmocka_unit_test(equal_prompts_wait_for_each_other),
        cmocka_unit_test(seeds_repeat),
        cmocka_unit_test(stops_at_strings),
        cmocka_unit_test(ends_where_the_model_does),
        cmocka_unit_test(full_contexts),
        cmocka_unit_test(refuses),
        cmocka_unit_test(stops_within_an_operation),
        cmocka_unit_test(cancels_one_of_many),
        cmocka_unit_test(every_allocation_fails),
        cmocka_unit_test(every_type_of_cache),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
