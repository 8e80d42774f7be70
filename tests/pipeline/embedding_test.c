/* embedding_test.c - textual inversions: prompt embeddings against diffusers'
 * load_textual_inversion() (tools/reference/embeddings.py), and files that do not fit.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "pipeline/condition.h"
#include "pipeline/embedding.h"
#include "pipeline/image_model.h"
#include "support/model.h"
#include "support/stages.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STRIDE 3

static struct image_model *sd15, *sdxl;
static struct backend *cpu;

static struct image_model *open_model(const char *name)
{
    struct err e = {0};
    struct image_model *m;
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *path = model_write(name, name, o, false);
    assert_ok(image_model_open(&m, path, &e), e);
    free(path);
    return m;
}

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    sd15 = open_model("sd15");
    sdxl = open_model("sdxl");
    return cpu_backend_new(&cpu, 2, NULL, &e);
}

static int teardown(void **state)
{
    (void)state;
    image_model_close(sd15);
    image_model_close(sdxl);
    backend_free(cpu);
    return 0;
}

static char *data_file(const char *name)
{
    char *relative = mem_printf("embeddings/%s", name), *path = test_data(relative);
    free(relative);
    return path;
}

static struct condition make(struct image_model *m, const char *prompt, const char *negative,
                             const char *const *files, int n)
{
    struct err e = {0};
    struct condition c;
    struct embeddings own;
    char *paths[4];
    for (int i = 0; i < n; i++)
        paths[i] = data_file(files[i]);
    assert_ok(embeddings_open(&own, m, (const char *const *)paths, n, &e), e);
    const struct condition_request r = {.prompt = prompt,
                                        .negative = negative,
                                        .guided = true,
                                        .clip_skip = 1,
                                        .width = 64,
                                        .height = 64,
                                        .precision = DTYPE_F32,
                                        .embeddings = &own};
    assert_ok(condition_cut(&c, m, &r, &e), e);
    embeddings_close(&own);
    assert_ok(condition_encode(&c, m, cpu, &r, &e), e);
    for (int i = 0; i < n; i++)
        free(paths[i]);
    return c;
}

static void compare(const struct ckpt_tensor *want, const float *got, size_t stride)
{
    const float *x = want->data;
    double worst = 0, most = 0;
    for (size_t i = 0; i < want->size / sizeof(*x); i++) {
        worst = fmax(worst, fabs((double)got[i * stride] - (double)x[i]));
        most = fmax(most, fabs((double)x[i]));
    }
    if (!(worst <= 1e-4 * most))
        fail_msg("%s differs by %.3g of %.3g", want->name, worst, most);
}

static void embeddings_of_diffusers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *files[2];
        int n;
    } cases[] = {{"toy", {"toy.safetensors"}, 1},
                 {"one", {"toy-1d.bin"}, 1},
                 {"style", {"style.pt"}, 1},
                 {"both", {"toy.safetensors", "plain.safetensors"}, 2},
                 {"pair", {"pair.safetensors"}, 1}};
    char *path = data_file("expected.safetensors");
    struct checkpoint *ref = model_open(path);
    json_t *prompts = json_loads(checkpoint_meta(ref, "prompts"), 0, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        bool xl = strcmp(cases[i].name, "pair") == 0;
        const char *prompt = json_string_value(json_object_get(prompts, cases[i].name));
        char *negative = mem_printf("%s not", prompt);
        struct condition c = make(xl ? sdxl : sd15, prompt, negative, cases[i].files, cases[i].n);
        compare(stages_tensor(ref, cases[i].name), c.context, STRIDE);
        const struct ckpt_tensor *pooled = xl ? stages_tensor(ref, "pair.pooled") : NULL;
        for (int row = 0; pooled && row < 2; row++)
            for (int64_t k = 0; k < pooled->dim[1]; k++)
                assert_true(fabsf(c.add[row * sdxl->unet.n_add + k] -
                                  ((const float *)pooled->data)[row * pooled->dim[1] + k]) < 1e-4f);
        condition_release(&c);
        free(negative);
    }
    json_decref(prompts);
    checkpoint_close(ref);
    free(path);
}

/* A file that no prompt names changes nothing, and what is remembered of one is not another's. */
static void only_where_it_is_named(void **state)
{
    (void)state;
    const char *const toy[] = {"toy.safetensors"}, *const style[] = {"style.pt"};
    size_t size = 2 * 77 * (size_t)sd15->unet.n_context * sizeof(float);
    struct condition with = make(sd15, "a cat", NULL, toy, 1),
                     none = make(sd15, "a cat", NULL, toy, 0);
    assert_memory_equal(with.context, none.context, size);
    struct condition a = make(sd15, "style toy", NULL, toy, 1);
    struct condition b = make(sd15, "style toy", NULL, style, 1);
    assert_memory_not_equal(a.context, b.context, size);
    struct condition again = make(sd15, "style toy", NULL, toy, 1);
    assert_memory_equal(a.context, again.context, size);
    condition_release(&with);
    condition_release(&none);
    condition_release(&a);
    condition_release(&b);
    condition_release(&again);
}

/* Writes a safetensors file of the header and n floats. */
static char *write_file(const char *header, const float *data, size_t n)
{
    struct err e = {0};
    struct file_writer w;
    char *dir = test_temp_dir(), *path = file_join(dir, "x.safetensors");
    uint64_t length = strlen(header);
    assert_ok(file_writer_open(&w, path, &e), e);
    file_writer_write(&w, &length, sizeof(length));
    file_writer_write(&w, header, length);
    file_writer_write(&w, data, n * sizeof(*data));
    assert_ok(file_writer_commit(&w, &e), e);
    free(dir);
    return path;
}

static void refuse(const struct image_model *m, char *path, const char *why)
{
    struct err e = {0};
    struct embeddings s;
    const char *const paths[] = {path};
    assert_int_equal(embeddings_open(&s, m, paths, 1, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, why);
    assert_non_null(strstr(e.text, path));
    assert_null(s.items);
    free(path);
}

static void refuses(void **state)
{
    (void)state;
    const float zeros[96] = {0}, nan[] = {1, NAN};
    refuse(sd15, data_file("pair.safetensors"), "for SDXL, which this model is not");
    refuse(sdxl, data_file("toy.safetensors"), "for SD 1 or 2; SDXL's have clip_l and clip_g");
    refuse(sd15, data_file("expected.safetensors"), "no textual inversion: one tensor of vectors");
    refuse(sd15,
           write_file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,48],\"data_offsets\":[0,384]}}",
                      zeros, 96),
           "its vectors have 48 numbers");
    refuse(
        sd15,
        write_file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,2],\"data_offsets\":[0,8]}}", nan, 2),
        "a is no list of vectors");
    refuse(sd15, write_file("{}", NULL, 0), "no textual inversion");
    size_t n = (size_t)sd15->text[0].encoder.n_embd;
    float *many = mem_alloc(76 * n * sizeof(*many));
    char *header = mem_printf(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[76,%zu],\"data_offsets\":[0,%zu]}}", n, 76 * n * 4);
    refuse(sd15, write_file(header, many, 76 * n), "a chunk of the prompt has no room for them");
    free(header);
    header = mem_printf("{\"a\":{\"dtype\":\"F32\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}", n,
                        n * 4);
    many[n - 1] = NAN;
    refuse(sd15, write_file(header, many, n), "a holds NaN or infinity");
    free(header);
    free(many);
}

static void memory_runs_out(void **state)
{
    (void)state;
    struct embeddings s;
    struct embedding_words w;
    char *path = data_file("toy.safetensors");
    const char *const paths[] = {path};
    struct err e = {0};
    long failed = 0;
    for (int rc = ERR_NOMEM; rc; failed++) {
        mem_fail_nth(failed + 1);
        rc = embeddings_open(&s, sd15, paths, 1, &e);
        if (!rc)
            rc = embedding_words_make(&w, &s, sd15, 0, &e);
        mem_fail_nth(0);
        embeddings_close(&s);
        if (rc)
            assert_int_equal(rc, ERR_NOMEM);
    }
    assert_true(failed > 4);
    embedding_words_release(&w);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embeddings_of_diffusers),
        cmocka_unit_test(only_where_it_is_named),
        cmocka_unit_test(refuses),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
