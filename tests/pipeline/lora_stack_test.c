/* lora_stack_test.c - whole pictures with LoRAs: strengths, order, and files that do not fit. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/picture.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"
#include "support/lora_files.h"
#include "support/model.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PIXELS (64 * 64 * 3)

static struct image_model *model;
static struct backend *backend;
static char *dir;
static char warning[1024];

static void on_log(enum log_level level, const char *line, void *ctx)
{
    (void)level, (void)ctx;
    snprintf(warning, sizeof(warning), "%s", line);
}

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    char *path = model_write("sd15", "tiny", (struct hash_checkpoint_options){.type = DTYPE_F16},
                             false);
    assert_ok(image_model_open(&model, path, &e), e);
    assert_ok(cpu_backend_new(&backend, 2, NULL, &e), e);
    dir = test_temp_dir();
    log_set_sink(on_log, NULL, LOG_WARN);
    free(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_set_sink(NULL, NULL, LOG_WARN);
    image_model_close(model);
    backend_free(backend);
    free(dir);
    return 0;
}

/* Writes a file from JSON; its path, on the heap. */
static char *file(const char *name, const char *json)
{
    json_error_t where;
    json_t *tensors = json_loads(json, 0, &where);
    char *path = file_join(dir, name);
    if (!tensors)
        fail_msg("%s: %s", json, where.text);
    lora_files_write(path, tensors, DTYPE_F16, NULL);
    json_decref(tensors);
    return path;
}

#define UNET "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_"
#define UNET_LORA                                                                \
    "\"" UNET "q.lora_down.weight\":[2,32],\"" UNET "q.lora_up.weight\":[32,2]," \
    "\"" UNET "k.lora_down.weight\":[2,128],\"" UNET "k.lora_up.weight\":[32,2]"
#define TEXT      "lora_te_text_model_encoder_layers_0_mlp_fc1"
#define TEXT_LORA "\"" TEXT ".lora_down.weight\":[2,128],\"" TEXT ".lora_up.weight\":[512,2]"

static int keep(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    (void)i, (void)seed;
    assert_int_equal(p->width * p->height * p->channels, N_PIXELS);
    memcpy(ctx, p->data, N_PIXELS);
    return 0;
}

static int draw(const struct imagine_lora *loras, int n, unsigned char *out, struct err *e)
{
    struct imagine_request r;
    imagine_init(&r, model, backend);
    r.prompt = "a boat";
    r.width = r.height = 64;
    r.steps = 2;
    r.seed = 3;
    r.precision = DTYPE_F32;
    r.loras = loras;
    r.n_loras = n;
    r.on_picture = keep;
    r.ctx = out;
    return imagine(model, backend, &r, e);
}

static int difference(const unsigned char *a, const unsigned char *b)
{
    int most = 0;
    for (int i = 0; i < N_PIXELS; i++)
        most = abs(a[i] - b[i]) > most ? abs(a[i] - b[i]) : most;
    return most;
}

/* 0 changes not a bit; each half of a LoRA acts through its own weight; the sign counts. */
static void test_strength(void **state)
{
    (void)state;
    static unsigned char plain[N_PIXELS], p[5][N_PIXELS];
    struct err e = {0};
    char *path = file("both.safetensors", "{" UNET_LORA "," TEXT_LORA "}");
    const struct imagine_lora l[] = {
        {path, 0, 0}, {path, 1, 0}, {path, 0, 1}, {path, 1, 1}, {path, -1, 1}};
    assert_ok(draw(NULL, 0, plain, &e), e);
    for (int i = 0; i < 5; i++)
        assert_ok(draw(&l[i], 1, p[i], &e), e);
    assert_memory_equal(p[0], plain, N_PIXELS);
    for (int i = 1; i < 5; i++)
        for (int k = 0; k < i; k++)
            assert_true(difference(p[i], p[k]) > 0);
    free(path);
}

/* Prompts encoded with a LoRA are remembered apart from those of other weights, files and contents;
 * one that leaves the text encoder alone changes nothing there. */
static void test_remembered(void **state)
{
    (void)state;
    static unsigned char first[N_PIXELS], p[N_PIXELS];
    struct err e = {0};
    char *path = file("text.safetensors", "{" UNET_LORA "," TEXT_LORA "}");
    const struct imagine_lora unet = {path, 1, 0}, whole = {path, 1, 1}, half = {path, 1, 0.5};
    assert_ok(draw(NULL, 0, p, &e), e);
    unsigned long n = model->n_encoded;
    assert_ok(draw(&unet, 1, p, &e), e);
    assert_int_equal(model->n_encoded, n);
    assert_ok(draw(&whole, 1, first, &e), e);
    assert_true(model->n_encoded > n);
    n = model->n_encoded;
    assert_ok(draw(&whole, 1, p, &e), e);
    assert_int_equal(model->n_encoded, n);
    assert_memory_equal(p, first, N_PIXELS);
    assert_ok(draw(&half, 1, p, &e), e);
    assert_true(model->n_encoded > n);
    n = model->n_encoded;
    free(file("text.safetensors", "{" TEXT_LORA "}")); /* another file of that name */
    assert_ok(draw(&whole, 1, p, &e), e);
    assert_true(model->n_encoded > n && difference(p, first) > 0);
    free(path);
}

/* The order changes roundings only; a file given twice at halves is the file. */
static void test_stack(void **state)
{
    (void)state;
    static unsigned char p[4][N_PIXELS];
    struct err e = {0};
    char *a = file("a.safetensors", "{" UNET_LORA "}");
    char *b = file("b.safetensors",
                   "{\"" UNET "q.hada_w1_a\":[32,2],\"" UNET "q.hada_w1_b\":[2,32],"
                   "\"" UNET "q.hada_w2_a\":[32,2],\"" UNET "q.hada_w2_b\":[2,32],"
                   "\"" UNET "q.alpha\":16.0," TEXT_LORA "}");
    const struct imagine_lora ab[] = {{a, 0.7, 1}, {b, 0.5, 0.5}}, ba[] = {ab[1], ab[0]};
    const struct imagine_lora once[] = {{a, 1, 1}}, twice[] = {{a, 0.5, 1}, {a, 0.5, 1}};
    assert_ok(draw(ab, 2, p[0], &e), e);
    assert_ok(draw(ba, 2, p[1], &e), e);
    assert_ok(draw(once, 1, p[2], &e), e);
    assert_ok(draw(twice, 2, p[3], &e), e);
    assert_true(difference(p[0], p[1]) <= 1);
    assert_true(difference(p[2], p[3]) <= 1);
    assert_true(difference(p[0], p[2]) > 1);
    free(a);
    free(b);
}

static void test_misfits(void **state)
{
    (void)state;
    static const struct {
        const char *json, *message;
        int code;
    } rows[] = {
        {"{\"lora_unet_x.lora_up.weight\":[2,2]}", "no place for 1 of its 1 modules: unet_x",
         ERR_FORMAT},
        {"{\"" UNET "k.lora_down.weight\":[2,2048],\"" UNET "k.lora_up.weight\":[32,2]}",
         "was made for SDXL", ERR_FORMAT},
        {"{\"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight\":[2,2]}", "for FLUX",
         ERR_FORMAT},
        {"{\"" UNET "q.lora_down.weight\":[2,33],\"" UNET "q.lora_up.weight\":[32,2]}",
         "q.lora_down.weight has shape [2, 33]", ERR_FORMAT},
        {"{\"" UNET "q.lora_down.weight\":[2,32],\"" UNET "q.lora_up.weight\":[32,3]}",
         "q.lora_up.weight has shape [32, 3]", ERR_FORMAT},
        {"{\"" UNET "q.lora_down.weight\":[2,32]}", "has no lora_up", ERR_FORMAT},
        {"{\"" UNET "q.lora_up.weight\":[2,32]}", "has no lora_down", ERR_FORMAT},
        {"{\"" UNET "q.alpha\":1.0}", "has no lora_down", ERR_FORMAT},
        {"{\"" UNET "q.hada_w1_a\":[32,2],\"" UNET "q.hada_w1_b\":[2,32]}", "no second factor",
         ERR_FORMAT},
        {"{" UNET_LORA ",\"" UNET "q.alpha\":[2]}", "q.alpha is not a finite number", ERR_FORMAT},
        {"{" UNET_LORA ",\"" UNET "q.diff_b\":[32]}", "biases", ERR_UNSUPPORTED},
        {"{\"" UNET "q.lokr_w1\":[4,4],\"" UNET "q.lokr_w2\":[8,9]}", "of another shape",
         ERR_FORMAT},
        {"{\"" UNET "q.lokr_w1\":[4,4]}", "has no lokr_w2", ERR_FORMAT},
        {"{\"" UNET "q.diff\":[32,31]}", "q.diff has shape [32, 31]", ERR_FORMAT},
        {"{" UNET_LORA ",\"" UNET "q.dora_scale\":[31,1]}", "q.dora_scale has shape", ERR_FORMAT},
        {"{\"unet.conv_in.weight\":[2,2]}", "holds no LoRA", ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static unsigned char pixels[N_PIXELS];
        struct err e = {0};
        char *path = file("misfit.safetensors", rows[i].json);
        int rc = draw(&(struct imagine_lora){path, 1, 1}, 1, pixels, &e);
        assert_int_equal(rc, rows[i].code);
        assert_err(e, rows[i].code, rows[i].message);
        if (!strstr(e.text, "misfit.safetensors"))
            fail_msg("row %zu does not name the file: %s", i, e.text);
        free(path);
    }
}

/* A few modules that the model does not have are left out with a warning. */
static void test_left_out(void **state)
{
    (void)state;
    static unsigned char p[2][N_PIXELS];
    struct err e = {0};
    char *a = file("a.safetensors", "{" UNET_LORA "}");
    char *b = file("b.safetensors", "{" UNET_LORA ",\"lora_unet_new.alpha\":1.0}");
    const struct imagine_lora la = {a, 1, 1}, lb = {b, 1, 1};
    *warning = '\0';
    assert_ok(draw(&la, 1, p[0], &e), e);
    assert_string_equal(warning, "");
    assert_ok(draw(&lb, 1, p[1], &e), e);
    assert_non_null(strstr(warning, "b.safetensors: 1 of its 3 modules"));
    assert_non_null(strstr(warning, "unet_new"));
    assert_memory_equal(p[0], p[1], N_PIXELS);
    free(a);
    free(b);
}

/* Every allocation may fail: an error, never a crash or a leak. */
static void test_memory(void **state)
{
    (void)state;
    struct err e = {0};
    char *a = file("a.safetensors", "{" UNET_LORA "}");
    char *b = file("b.safetensors", "{\"" UNET "q.lokr_w1\":[4,4],\"" UNET "q.lokr_w2\":[8,8],"
                                    "\"" UNET "q.lokr_w2\":[8,8]," TEXT_LORA "}");
    const struct imagine_lora l[] = {{a, 1, 1}, {a, 1, 1}, {b, 1, 1}};
    int rc = ERR_NOMEM;
    for (long n = 1; rc == ERR_NOMEM && n < 1000; n++) {
        struct lora_stack s;
        e = (struct err){0};
        mem_fail_nth(n);
        rc = lora_stack_open(&s, model->file, l, 3, &e);
        mem_fail_nth(0);
        if (rc)
            assert_err(e, ERR_NOMEM, "");
        else
            lora_stack_close(&s);
    }
    assert_ok(rc, e);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strength), cmocka_unit_test(test_remembered),
        cmocka_unit_test(test_stack),    cmocka_unit_test(test_misfits),
        cmocka_unit_test(test_left_out), cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
