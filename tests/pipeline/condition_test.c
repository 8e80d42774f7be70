/* condition_test.c - what the UNet is told, against diffusers' prompt embeddings (a sample of them
 * travels with every pipeline of tests/data/pipelines).
 */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "pipeline/condition.h"
#include "pipeline/image_model.h"
#include "support/model.h"
#include "support/stages.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct image_model *m;
    struct backend *b;
    struct condition_request r;
};

static void setup(struct fixture *f, const char *model)
{
    struct err e = {0};
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *path = model_write(model, model, o, false);
    assert_ok(image_model_open(&f->m, path, &e), e);
    assert_ok(cpu_backend_new(&f->b, 2, NULL, &e), e);
    f->r = (struct condition_request){.prompt = "a cat",
                                      .guided = true,
                                      .clip_skip = 1,
                                      .width = 64,
                                      .height = 96,
                                      .precision = DTYPE_F32};
    free(path);
}

static void teardown(struct fixture *f)
{
    image_model_close(f->m);
    backend_free(f->b);
}

static struct condition make(struct fixture *f)
{
    struct err e = {0};
    struct condition c;
    assert_ok(condition_cut(&c, f->m, &f->r, &e), e);
    assert_ok(condition_encode(&c, f->m, f->b, &f->r, &e), e);
    assert_int_equal(c.n, f->r.guided ? 2 : 1);
    assert_int_equal(c.n_ctx, 77 * c.n_chunks);
    return c;
}

/* n floats of a reference, every stride-th of `got`. */
static void compare(struct checkpoint *ref, const char *name, const float *got, size_t stride)
{
    const struct ckpt_tensor *t = stages_tensor(ref, name);
    const float *want = t ? t->data : NULL;
    double worst = 0, most = 0;
    if (!want)
        fail_msg("%s: no tensor %s", checkpoint_path(ref), name);
    for (size_t i = 0; i < t->size / sizeof(float); i++) {
        worst = fmax(worst, fabs((double)got[i * stride] - (double)want[i]));
        most = fmax(most, fabs((double)want[i]));
    }
    if (!(worst <= 1e-4 * most))
        fail_msg("%s: %s differs by %.3g of %.3g", checkpoint_path(ref), name, worst, most);
}

static void check_case(const char *name)
{
    struct err e = {0};
    struct fixture f;
    struct checkpoint *ref;
    char *data = mem_printf("pipelines/%s.safetensors", name), *path = test_data(data);
    assert_ok(checkpoint_open(&ref, path, &e), e);
    json_t *options = json_loads(checkpoint_meta(ref, "case"), 0, NULL);
    json_t *embeds = json_loads(checkpoint_meta(ref, "prompt_embeds"), 0, NULL);
    setup(&f, json_string_value(json_object_get(options, "manifest")));
    f.r.prompt = json_string_value(json_object_get(options, "prompt"));
    f.r.negative = json_string_value(json_object_get(options, "negative"));
    f.r.guided = json_number_value(json_object_get(options, "guidance")) > 1;
    f.r.width = (int)json_integer_value(json_object_get(options, "width"));
    f.r.height = (int)json_integer_value(json_object_get(options, "height"));
    struct condition c = make(&f);
    const struct ckpt_tensor *embeds_in = stages_tensor(ref, "prompt_embeds");
    int64_t stride = json_integer_value(json_object_get(embeds, "stride"));
    int64_t n = (c.n * c.n_ctx * f.m->unet.n_context + stride - 1) / stride;
    assert_int_equal(embeds_in->dim[0], n);
    compare(ref, "prompt_embeds", c.context, (size_t)stride);
    const struct ckpt_tensor *pooled = stages_tensor(ref, "pooled");
    assert_int_equal(pooled != NULL, c.add != NULL);
    for (int i = 0; pooled && i < c.n; i++) {
        const float *row = c.add + i * f.m->unet.n_add;
        for (int64_t j = 0; j < pooled->dim[1]; j++)
            assert_true(fabsf(row[j] - ((const float *)pooled->data)[i * pooled->dim[1] + j]) <
                        1e-4f);
    }
    condition_release(&c);
    teardown(&f);
    json_decref(options);
    json_decref(embeds);
    checkpoint_close(ref);
    free(path);
    free(data);
}

static void prompts_of_diffusers(void **state)
{
    (void)state;
    check_case("sd15-euler");
    check_case("sd15-lcm");
    check_case("sd21-euler-v");
    check_case("sdxl-euler");
    check_case("sdxl-dpmpp-2m-karras-no-negative");
    check_case("sd15-long");
    check_case("sdxl-long");
}

static size_t row_size(const struct fixture *f, const struct condition *c)
{
    return (size_t)(c->n_ctx * f->m->unet.n_context) * sizeof(float);
}

/* The prompt's row is the same with and without a negative one; none and "" are the same in SD 1.
 */
static void rows_are_independent(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, "sd15");
    struct condition both = make(&f);
    f.r.negative = "";
    struct condition empty = make(&f);
    assert_memory_equal(both.context, empty.context, 2 * row_size(&f, &both));
    f.r.guided = false;
    struct condition one = make(&f);
    assert_memory_equal(one.context, (const char *)both.context + row_size(&f, &both),
                        row_size(&f, &both));
    condition_release(&both);
    condition_release(&empty);
    condition_release(&one);
    teardown(&f);
}

/* SDXL: zeros without a negative prompt, the encoding of "" with an empty one. */
static void absent_negative_of_sdxl(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, "sdxl");
    struct condition absent = make(&f);
    for (size_t i = 0; i < row_size(&f, &absent) / sizeof(float); i++)
        assert_true(absent.context[i] == 0);
    assert_true(absent.add[0] == 0 && absent.add[f.m->unet.n_add] != 0);
    f.r.negative = "";
    struct condition empty = make(&f);
    assert_true(empty.context[1] != 0 && empty.add[0] != 0);
    /* Sizes stay: the last sinusoid is of the target's width, the third from the end of 0. */
    assert_true(absent.add[f.m->unet.n_add - 1] == empty.add[f.m->unet.n_add - 1]);
    condition_release(&absent);
    condition_release(&empty);
    teardown(&f);
}

static void clip_skip(void **state)
{
    (void)state;
    struct err e = {0};
    struct fixture f;
    struct condition c;
    setup(&f, "sd15");
    struct condition one = make(&f);
    f.r.clip_skip = 2;
    struct condition two = make(&f);
    assert_memory_not_equal(one.context, two.context, row_size(&f, &one));
    f.r.clip_skip = 4;
    assert_int_equal(condition_cut(&c, f.m, &f.r, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "clip skip 4: the text encoder has only 3 layers");
    condition_release(&one);
    condition_release(&two);
    teardown(&f);
}

/* What is written without weights, or with weights of 1, is the same to the bit; a chunk does not
 * depend on those beside it. */
static void chunks_are_independent(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, "sd15");
    struct condition plain = make(&f);
    f.r.prompt = "(a:1) cat BREAK a dog";
    struct condition two = make(&f);
    assert_int_equal(plain.n_chunks, 1);
    assert_int_equal(two.n_chunks, 2);
    size_t chunk = row_size(&f, &plain);
    const char *rows = (const char *)two.context;
    assert_memory_equal(rows + 2 * chunk, (const char *)plain.context + chunk, chunk);
    assert_memory_equal(rows, plain.context, chunk);
    assert_memory_equal(rows + chunk, rows, chunk); /* nothing, and once more nothing */
    condition_release(&plain);
    condition_release(&two);
    teardown(&f);
}

static unsigned long encoded(struct fixture *f, const char *prompt)
{
    unsigned long before = f->m->n_encoded;
    f->r.prompt = prompt;
    struct condition first = make(f);
    lru_release(&f->m->text_states); /* a fresh run must not differ from what was remembered */
    unsigned long n = f->m->n_encoded - before;
    struct condition fresh = make(f);
    assert_memory_equal(first.context, fresh.context, (size_t)first.n * row_size(f, &first));
    if (first.add)
        assert_memory_equal(first.add, fresh.add,
                            (size_t)(first.n * f->m->unet.n_add) * sizeof(float));
    condition_release(&first);
    condition_release(&fresh);
    return n;
}

/* Encoder runs are counted in chunks: "" stands for the absent negative prompt and the padding. */
static void chunks_are_remembered(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, "sd15");
    assert_int_equal(encoded(&f, "a cat"), 2);
    assert_int_equal(encoded(&f, "a cat"), 0);
    assert_int_equal(encoded(&f, "a (cat:1.3)"), 0); /* weights come after the encoder */
    assert_int_equal(encoded(&f, "a cat BREAK a cat BREAK a dog"), 1);
    f.r.clip_skip = 2;
    assert_int_equal(encoded(&f, "a dog"), 2);
    f.r.precision = DTYPE_BF16;
    assert_int_equal(encoded(&f, "a dog"), 2);
    f.r.guided = false;
    assert_int_equal(encoded(&f, "a dog"), 0);
    f.m->text_states.max = 0; /* no room at all changes nothing but the time */
    lru_release(&f.m->text_states);
    assert_int_equal(encoded(&f, "a dog BREAK a dog BREAK a cat"), 2);
    teardown(&f);
    setup(&f, "sdxl");
    assert_int_equal(encoded(&f, "a cat"), 4);
    assert_int_equal(encoded(&f, "a cat BREAK a dog"), 2);
    teardown(&f);
}

static void too_long(void **state)
{
    (void)state;
    struct err e = {0};
    struct fixture f;
    struct condition c;
    char prompt[64 * 6 + 1];
    for (int i = 0; i < 64; i++)
        memcpy(prompt + (size_t)i * 6, "BREAK ", 7);
    setup(&f, "sd15");
    f.r.prompt = prompt;
    struct condition most = make(&f);
    assert_int_equal(most.n_chunks, 64);
    assert_int_equal(f.m->n_encoded, 1);
    condition_release(&most);
    f.r.negative = mem_printf("%sBREAK", prompt);
    assert_int_equal(condition_cut(&c, f.m, &f.r, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "the prompt has more than 4800 tokens; shorten it");
    free((char *)f.r.negative);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_of_diffusers),
        cmocka_unit_test(rows_are_independent),
        cmocka_unit_test(absent_negative_of_sdxl),
        cmocka_unit_test(clip_skip),
        cmocka_unit_test(chunks_are_independent),
        cmocka_unit_test(chunks_are_remembered),
        cmocka_unit_test(too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
