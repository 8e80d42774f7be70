/* faults_test.c - the whole pipeline when something goes wrong: memory, cancelling, damaged
 * weights, absurd requests. And what must not matter: threads, batches, what was drawn before.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/picture.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"
#include "support/model.h"
#include "support/tamper.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SHOTS 4
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRIDE 11 /* the many runs would take minutes */
#else
#define STRIDE 1
#endif

/* A backend that counts, and at op `at` cancels or fails. */
struct watched {
    struct backend base;
    struct backend *inner;
    long n, at;
    bool fail;
    atomic_bool cancel;
};

/* The pictures of a request. */
struct shots {
    struct picture p[MAX_SHOTS];
    uint64_t seed[MAX_SHOTS];
    int n;
};

static char *folder; /* the tiny SD 1.5, written once; not to be damaged */
static struct image_model *model;
static struct backend *cpu;

static int watched_run(struct backend *b, const struct op *op, struct err *e)
{
    struct watched *w = (struct watched *)b;
    if (++w->n == w->at && w->fail)
        return err_set(e, ERR_INTERNAL, "broken on purpose");
    if (w->n == w->at)
        atomic_store(&w->cancel, true);
    return w->inner->run(w->inner, op, e);
}

static struct watched watch(long at, bool fail)
{
    return (struct watched){
        .base = {.name = cpu->name, .run = watched_run}, .inner = cpu, .at = at, .fail = fail};
}

static int keep(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct shots *s = ctx;
    size_t size = (size_t)p->width * (size_t)p->height * 3;
    assert_int_equal(i, s->n);
    assert_true(s->n < MAX_SHOTS);
    s->p[i] = (struct picture){p->width, p->height, 3, mem_alloc(size)};
    memcpy(s->p[i].data, p->data, size);
    s->seed[i] = seed;
    s->n++;
    return 0;
}

static void release(struct shots *s)
{
    for (int i = 0; i < s->n; i++)
        picture_release(&s->p[i]);
    *s = (struct shots){0};
}

static struct imagine_request request(const struct image_model *m, struct shots *s)
{
    struct imagine_request r;
    imagine_init(&r, m, NULL);
    r.prompt = "a lighthouse";
    r.negative = "fog";
    r.width = r.height = 64;
    r.steps = 2;
    r.guidance = 5;
    r.seed = 11;
    r.on_picture = keep;
    r.ctx = s;
    return r;
}

static struct shots draw(struct image_model *m, struct backend *b, struct imagine_request r)
{
    struct shots s = {0};
    struct err e = {0};
    r.ctx = &s;
    assert_ok(imagine(m, b, &r, &e), e);
    assert_int_equal(s.n, r.n_pictures);
    return s;
}

static void assert_same(const struct picture *a, const struct picture *b)
{
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_memory_equal(a->data, b->data, (size_t)a->width * (size_t)a->height * 3);
}

/* The request must be refused before anything is computed. */
static void refused(struct imagine_request r, int code, const char *part)
{
    struct err e = {0};
    struct shots s = {0};
    struct watched w = watch(0, false);
    r.ctx = &s;
    assert_int_equal(imagine(model, &w.base, &r, &e), code);
    assert_err(e, code, part);
    assert_int_equal(w.n, 0);
    assert_int_equal(s.n, 0);
}

static void requests_out_of_range(void **state)
{
    (void)state;
    struct picture dot = {1, 1, 3, (unsigned char[3]){200, 100, 50}};
    const struct imagine_request good = request(model, NULL);
    struct imagine_request r = good;
    r.width = r.height = 65536;
    refused(r, ERR_NOMEM, "GiB");
    r.width = 65544;
    refused(r, ERR_ARG, "multiples of 8 up to 65536");
    r = good, r.height = 60;
    refused(r, ERR_ARG, "64x60: width and height must be multiples of 8");
    r = good, r.width = 0;
    refused(r, ERR_ARG, "multiples of 8");
    r = good, r.width = -64;
    refused(r, ERR_ARG, "multiples of 8");
    r = good, r.steps = 0;
    refused(r, ERR_ARG, "steps");
    r = good, r.steps = -3;
    refused(r, ERR_ARG, "steps");
    r = good, r.steps = 1000;
    refused(r, ERR_ARG, "1000 steps: this sampler and model take 1 to 999");
    r = good, r.guidance = (double)NAN;
    refused(r, ERR_ARG, "guidance");
    r = good, r.n_pictures = 0;
    refused(r, ERR_ARG, "0 pictures");
    r = good, r.clip_skip = 0;
    refused(r, ERR_ARG, "clip skip");
    r = good, r.clip_skip = 4;
    refused(r, ERR_ARG, "only 3 layers");
    r = good, r.guidance_rescale = 1.5;
    refused(r, ERR_ARG, "guidance rescale 1.5");
    r = good, r.variation_strength = -0.5;
    refused(r, ERR_ARG, "variation strength -0.5");
    r = good, r.sampler = SAMPLER_EULER, r.eta = 0.5;
    refused(r, ERR_ARG, "this sampler has none");
    static const double strengths[] = {0, -1, 1.001, (double)NAN};
    for (size_t i = 0; i < sizeof(strengths) / sizeof(strengths[0]); i++) {
        r = good, r.image = &dot, r.strength = strengths[i];
        refused(r, ERR_ARG, "strength");
    }
}

static int stop_at_first_step(const struct imagine_progress *p, void *ctx)
{
    (void)ctx;
    return p->phase == IMAGINE_STEP && p->step == 1 ? ERR_CANCELLED : 0;
}

static void as_many_steps_as_training_had(void **state)
{
    (void)state;
    struct err e = {0};
    struct imagine_request r = request(model, NULL);
    r.steps = 999;
    r.sampler = SAMPLER_EULER;
    r.schedule = SCHEDULE_MODEL;
    r.on_progress = stop_at_first_step;
    assert_int_equal(imagine(model, cpu, &r, &e), ERR_CANCELLED);
}

static void pictures_of_every_shape(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {400, 1}, {1, 300}, {64, 64}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct err e = {0};
        struct picture in = {0};
        assert_ok(picture_alloc(&in, sizes[i][0], sizes[i][1], i % 2 ? 4 : 3, "test", &e), e);
        struct imagine_request r = request(model, NULL);
        r.image = &in;
        r.strength = 0.5;
        struct shots s = draw(model, cpu, r);
        release(&s);
        picture_release(&in);
    }
}

/* Latents that do not halve evenly, and the smallest one. */
static void odd_sizes(void **state)
{
    (void)state;
    static const int sizes[][2] = {{72, 88}, {200, 136}, {8, 8}, {8, 104}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct imagine_request r = request(model, NULL);
        r.width = sizes[i][0];
        r.height = sizes[i][1];
        r.steps = 1;
        struct shots s = draw(model, cpu, r);
        assert_int_equal(s.p[0].width, r.width);
        assert_int_equal(s.p[0].height, r.height);
        release(&s);
    }
}

/* What a request's progress said. */
struct counted {
    struct shots shots;
    int next, n, stop_at; /* evaluations: the next to be told, all of them; where to cancel */
};

static int count(const struct imagine_progress *p, void *ctx)
{
    struct counted *c = ctx;
    if (p->phase != IMAGINE_STEP)
        return 0;
    assert_int_equal(p->step, c->next);
    assert_int_equal(p->n_steps, c->n);
    return c->next++ == c->stop_at ? ERR_CANCELLED : 0;
}

static int keep_counted(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct counted *c = ctx;
    return keep(p, i, seed, &c->shots);
}

/* Progress counts evaluations, of which Heun and DPM2 take two in every step but the last, also
 * from a picture; and any of them may be the last one. */
static void every_sampler_counts_and_stops(void **state)
{
    (void)state;
    struct picture dot = {1, 1, 3, (unsigned char[3]){200, 100, 50}};
    for (int k = 0; k < N_SAMPLER; k++) {
        struct imagine_request r = request(model, NULL);
        bool two = k == SAMPLER_HEUN || k == SAMPLER_DPM2 || k == SAMPLER_DPM2_A;
        r.sampler = (enum sampler_kind)k;
        r.schedule = SCHEDULE_MODEL;
        r.steps = 3;
        r.strength = 0.7; /* 2 of 3 steps */
        r.on_progress = count;
        r.on_picture = keep_counted;
        for (int from_picture = 0; from_picture < 2; from_picture++) {
            int steps = from_picture ? 2 : 3, n = two ? 2 * steps - 1 : steps;
            r.image = from_picture ? &dot : NULL;
            for (int stop_at = n + 1; stop_at >= 0; stop_at -= n / 2 + 1) {
                struct err e = {0};
                struct counted c = {.n = n, .stop_at = stop_at};
                r.ctx = &c;
                assert_int_equal(imagine(model, cpu, &r, &e), stop_at > n ? 0 : ERR_CANCELLED);
                assert_int_equal(c.shots.n, stop_at > n);
                assert_int_equal(c.next, stop_at > n ? n + 1 : stop_at + 1);
                release(&c.shots);
            }
        }
    }
}

/* Noise drawn on the way does not depend on the pictures before. */
static void every_sampler_draws_batches_as_singles(void **state)
{
    (void)state;
    static const uint64_t seeds[] = {7, 3};
    for (int k = 0; k < N_SAMPLER; k++) {
        struct imagine_request r = request(model, NULL);
        r.sampler = (enum sampler_kind)k;
        r.steps = 2;
        r.variation = 5;
        r.variation_strength = 0.3;
        r.guidance_rescale = 0.5;
        r.seeds = seeds;
        r.n_pictures = 2;
        struct shots all = draw(model, cpu, r);
        r.seeds = NULL;
        r.n_pictures = 1;
        r.seed = 3;
        struct shots one = draw(model, cpu, r);
        assert_same(&all.p[1], &one.p[0]);
        assert_int_equal(all.seed[0], 7);
        release(&one);
        release(&all);
    }
}

static void a_batch_is_its_pictures(void **state)
{
    (void)state;
    struct imagine_request r = request(model, NULL);
    r.sampler = SAMPLER_EULER_A; /* draws noise in every step */
    r.n_pictures = 3;
    struct shots all = draw(model, cpu, r);
    r.n_pictures = 1;
    for (int i = 0; i < 3; i++) {
        r.seed = 11 + (uint64_t)i;
        assert_int_equal(all.seed[i], r.seed);
        struct shots one = draw(model, cpu, r);
        assert_same(&all.p[i], &one.p[0]);
        release(&one);
    }
    assert_memory_not_equal(all.p[0].data, all.p[1].data, 64 * 64 * 3);
    release(&all);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    static const enum dtype types[] = {DTYPE_F32, DTYPE_BF16};
    for (size_t i = 0; i < 2; i++) {
        struct imagine_request r = request(model, NULL);
        r.precision = types[i];
        struct shots first = draw(model, cpu, r);
        for (int threads = 1; threads <= 3; threads++) {
            struct err e = {0};
            struct backend *b;
            assert_ok(cpu_backend_new(&b, threads, NULL, &e), e);
            struct shots s = draw(model, b, r);
            assert_same(&first.p[0], &s.p[0]);
            release(&s);
            backend_free(b);
        }
        release(&first);
    }
}

static void what_was_drawn_before_does_not_matter(void **state)
{
    (void)state;
    struct imagine_request r = request(model, NULL), other = request(model, NULL);
    other.prompt = "something else, larger";
    other.width = 128;
    other.sampler = SAMPLER_DPMPP_2M;
    struct shots first = draw(model, cpu, r), between = draw(model, cpu, other);
    struct shots again = draw(model, cpu, r);
    assert_same(&first.p[0], &again.p[0]);
    release(&first);
    release(&between);
    release(&again);
}

static void stops_at_any_op(void **state)
{
    (void)state;
    struct shots s = {0};
    struct imagine_request r = request(model, NULL);
    struct watched w = watch(0, false);
    s = draw(model, &w.base, r);
    long total = w.n;
    assert_true(total > 200);
    for (int fail = 0; fail < 2; fail++)
        for (long at = 1; at <= total; at += at < 4 ? 1 : 97) {
            struct err e = {0};
            struct shots none = {0};
            w = watch(at, fail);
            r.cancel = &w.cancel;
            r.ctx = &none;
            int want = fail ? ERR_INTERNAL : ERR_CANCELLED;
            assert_int_equal(imagine(model, &w.base, &r, &e), want);
            assert_err(e, want, fail ? "broken on purpose" : "");
            assert_int_equal(w.n, at); /* at once */
            assert_int_equal(none.n, 0);
        }
    r.cancel = NULL;
    struct shots again = draw(model, cpu, r);
    assert_same(&s.p[0], &again.p[0]);
    release(&s);
    release(&again);
}

/* One whole run: backend, model, picture. */
static int run_all(const char *path, struct shots *s, struct err *e)
{
    struct backend *b = NULL;
    struct image_model *m = NULL;
    int rc = cpu_backend_new(&b, 1, NULL, e);
    if (!rc)
        rc = image_model_open(&m, path, e);
    if (!rc) {
        struct imagine_request r = request(m, s);
        r.steps = 1;
        rc = imagine(m, b, &r, e);
    }
    image_model_close(m);
    backend_free(b);
    return rc;
}

/* Every single allocation of a run fails once (under a sanitizer, every STRIDE-th). */
static void every_allocation_fails(void **state)
{
    (void)state;
    struct shots s = {0}, want = {0};
    struct err e = {0};
    long n = 1 - STRIDE;
    int rc = -1;
    assert_ok(run_all(folder, &want, &e), e);
    while (rc) {
        e = (struct err){0};
        mem_fail_nth(n += STRIDE);
        rc = run_all(folder, &s, &e);
        if (!rc)
            break;
        mem_fail_nth(0);
        if (rc != ERR_NOMEM || !strstr(e.text, "memory") || s.n)
            fail_msg("allocation %ld: %d, \"%s\", %d pictures", n, rc, e.text, s.n);
    }
    /* The failure must be ahead still: had it been swallowed, these calls would succeed. */
    void *probe = NULL;
    for (int i = 0; i < STRIDE && (i == 0 || probe); i++) {
        free(probe);
        probe = mem_try_array(1, 1, "a probe", NULL);
    }
    assert_null(probe);
    print_message("about %ld allocations\n", n - 1);
    assert_true(n > 300);
    assert_same(&s.p[0], &want.p[0]);
    release(&s);
    release(&want);
}

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    folder = model_write("sd15", "sd15", o, false);
    assert_ok(image_model_open(&model, folder, &e), e);
    assert_ok(cpu_backend_new(&cpu, 2, NULL, &e), e);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    image_model_close(model);
    backend_free(cpu);
    free(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_out_of_range),
        cmocka_unit_test(as_many_steps_as_training_had),
        cmocka_unit_test(pictures_of_every_shape),
        cmocka_unit_test(odd_sizes),
        cmocka_unit_test(every_sampler_counts_and_stops),
        cmocka_unit_test(every_sampler_draws_batches_as_singles),
        cmocka_unit_test(a_batch_is_its_pictures),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(what_was_drawn_before_does_not_matter),
        cmocka_unit_test(stops_at_any_op),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
