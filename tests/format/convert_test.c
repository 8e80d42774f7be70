/* convert_test.c - what is converted opens again as the same model; what cannot be is explained and
 * leaves no file. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/convert.h"
#include "format/safetensors.h"
#include "support/model.h"
#include "tensor/quant.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char *convert(const struct checkpoint *c, const char *name, enum dtype type)
{
    struct convert_options o = {.type = type};
    struct err e = {0};
    char *dir = test_temp_dir(), *out = file_join(dir, name);
    assert_ok(convert_checkpoint(c, out, &o, &e), e);
    free(dir);
    return out;
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char *path = file_join(dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(path);
}

/* A tiny SDXL folder with two tokenizers that differ in their padding. */
static struct checkpoint *open_sdxl(void)
{
    char *path = model_write("sdxl", "tiny-xl", (struct hash_checkpoint_options){.type = DTYPE_F16},
                             false);
    for (int i = 0; i < 2; i++) {
        char *dir = file_join(path, i ? "tokenizer_2" : "tokenizer");
        mkdir(dir, 0777);
        write_text(dir, "vocab.json", "{\"!\": 0, \"\\u0120a\": 1, \"<|endoftext|>\": 2}");
        write_text(dir, "merges.txt", "#version: 0.2\n! a\n");
        write_text(dir, "special_tokens_map.json",
                   i ? "{\"pad_token\": \"!\"}" : "{\"pad_token\": \"<|endoftext|>\"}");
        free(dir);
    }
    struct checkpoint *c = model_open(path);
    free(path);
    return c;
}

static void same_text(const char *a, const char *b)
{
    assert_non_null(a);
    assert_non_null(b);
    assert_string_equal(a, b);
}

static void a_folder_becomes_one_file(void **state)
{
    static const char *const names[] = {"m.gguf", "m.safetensors"};
    static const char *const configs[] = {"model_index", "unet",         "vae",
                                          "scheduler",   "text_encoder", "text_encoder_2"};
    (void)state;
    struct checkpoint *c = open_sdxl();
    for (size_t i = 0; i < 2; i++) {
        char *out = convert(c, names[i], DTYPE_OTHER);
        struct checkpoint *d = model_open(out);
        model_check(d, "sdxl", NULL);
        assert_int_equal(checkpoint_layout(d), CKPT_DIFFUSERS);
        for (size_t k = 0; k < sizeof(configs) / sizeof(configs[0]); k++)
            same_text(checkpoint_config(d, configs[k]), checkpoint_config(c, configs[k]));
        const struct ckpt_vocab *v = checkpoint_vocab(d, "tokenizer");
        assert_non_null(v);
        assert_int_equal(v->n_tokens, 3);
        assert_string_equal(v->tokens[1], "\xc4\xa0"
                                          "a");
        assert_int_equal(v->n_merges, 1);
        assert_string_equal(v->merges[0], "! a");
        assert_int_equal(v->bos, -1);
        assert_int_equal(v->eos, 2);
        assert_int_equal(v->pad, 2);
        assert_int_equal(checkpoint_vocab(d, "tokenizer_2")->pad, 0);
        if (i == 0)
            same_text(checkpoint_meta(d, "general.name"), "tiny-xl");
        /* and once more, from file to file */
        char *again = convert(d, names[1 - i], DTYPE_OTHER);
        struct checkpoint *f = model_open(again);
        model_check(f, "sdxl", NULL);
        same_text(checkpoint_config(f, "unet"), checkpoint_config(c, "unet"));
        assert_int_equal(checkpoint_vocab(f, "tokenizer_2")->pad, 0);
        checkpoint_close(f);
        checkpoint_close(d);
        free(again);
        free(out);
    }
    checkpoint_close(c);
}

static void single_files_keep_their_names(void **state)
{
    (void)state;
    char *path = model_write("sd21", "m.safetensors",
                             (struct hash_checkpoint_options){.type = DTYPE_BF16}, true);
    struct checkpoint *c = model_open(path);
    char *out = convert(c, "m.gguf", DTYPE_OTHER);
    struct checkpoint *d = model_open(out);
    assert_int_equal(checkpoint_layout(d), CKPT_LDM);
    model_check(d, "sd21", NULL);
    assert_string_equal(checkpoint_find(d, "unet.conv_in.weight")->file_name,
                        "model.diffusion_model.input_blocks.0.0.weight");
    checkpoint_close(c);
    checkpoint_close(d);
    free(path);
    free(out);
}

/* Every tensor is what quant_from_f32() makes of the source, in the type the rule gives. */
static void check_types(const struct checkpoint *c, const struct checkpoint *d, enum dtype to)
{
    assert_int_equal(checkpoint_n(c), checkpoint_n(d));
    for (size_t i = 0; i < checkpoint_n(c); i++) {
        const struct ckpt_tensor *a = checkpoint_at(c, i);
        const struct ckpt_tensor *b = checkpoint_find(d, a->name);
        enum dtype type = convert_type(a->name, a->type, a->n_dim, a->dim, to);
        int64_t n = 1;
        for (int k = 0; k < a->n_dim; k++)
            n *= a->dim[k];
        assert_non_null(b);
        assert_int_equal(b->type, type);
        float *x = mem_alloc((size_t)n * sizeof(*x));
        unsigned char *bytes = mem_alloc((size_t)n * sizeof(*x));
        quant_to_f32(a->type, a->data, x, n);
        quant_from_f32(type, x, bytes, n);
        assert_int_equal(b->size, dtype_row_size(type, n));
        if (memcmp(b->data, bytes, b->size) != 0)
            fail_msg("%s: wrong values", a->name);
        free(x);
        free(bytes);
    }
}

static void types_are_converted(void **state)
{
    static const struct {
        const char *name;
        enum dtype type;
    } rows[] = {{"a.gguf", DTYPE_Q8_0},        {"b.gguf", DTYPE_F32},
                {"g.gguf", DTYPE_Q4_0},        {"h.gguf", DTYPE_Q5_K},
                {"c.gguf", DTYPE_BF16},        {"d.safetensors", DTYPE_F16},
                {"e.safetensors", DTYPE_BF16}, {"f.safetensors", DTYPE_F32}};
    (void)state;
    char *path = model_write("sd15", "m", (struct hash_checkpoint_options){.type = DTYPE_F32},
                             false);
    struct checkpoint *c = model_open(path);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *out = convert(c, rows[i].name, rows[i].type);
        struct checkpoint *d = model_open(out);
        check_types(c, d, rows[i].type);
        checkpoint_close(d);
        free(out);
    }
    checkpoint_close(c);
    free(path);
}

static void only_fitting_matrices_are_quantised(void **state)
{
    static const struct {
        enum dtype to;
        int64_t cols;
        enum dtype want;
    } blocks[] = {{DTYPE_Q4_0, 96, DTYPE_Q4_0},  {DTYPE_Q4_K, 512, DTYPE_Q4_K},
                  {DTYPE_Q4_K, 320, DTYPE_Q5_0}, {DTYPE_Q5_K, 320, DTYPE_Q5_1},
                  {DTYPE_Q6_K, 320, DTYPE_Q8_0}, {DTYPE_Q6_K, 40, DTYPE_F16}};
    static const struct {
        const char *name;
        enum dtype from;
        int n_dim;
        int64_t dim[4];
        enum dtype want;
    } rows[] = {
        {"unet.mid_block.attentions.0.proj_in.weight", DTYPE_F16, 2, {64, 64}, DTYPE_Q8_0},
        {"unet.conv_in.weight", DTYPE_F32, 4, {32, 4, 3, 3}, DTYPE_F16},
        {"unet.conv_in.weight", DTYPE_BF16, 4, {32, 4, 3, 3}, DTYPE_BF16},
        {"unet.conv_in.bias", DTYPE_F32, 1, {32}, DTYPE_F16},
        {"unet.odd.weight", DTYPE_F16, 2, {64, 40}, DTYPE_F16},
        {"text_encoder.text_model.embeddings.position_embedding.weight",
         DTYPE_F16,
         2,
         {77, 64},
         DTYPE_F16},
        {"cond_stage_model.model.text_projection", DTYPE_F16, 2, {64, 64}, DTYPE_F16},
        {"position_ids", DTYPE_I32, 2, {1, 64}, DTYPE_I32},
        {"betas", DTYPE_OTHER, 2, {64, 64}, DTYPE_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(
            convert_type(rows[i].name, rows[i].from, rows[i].n_dim, rows[i].dim, DTYPE_Q8_0),
            rows[i].want);
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
        assert_int_equal(convert_type("unet.x.weight", DTYPE_F32, 2, (int64_t[]){8, blocks[i].cols},
                                      blocks[i].to),
                         blocks[i].want);
}

/* A checkpoint of one F32 tensor [4]. */
static struct checkpoint *open_values(const float values[4])
{
    struct file_tensor t = {.name = "unet.x.bias",
                            .type = DTYPE_F32,
                            .type_name = "F32",
                            .n_dim = 1,
                            .dim = {4},
                            .size = 16};
    struct file_writer w;
    struct err e = {0};
    char *dir = test_temp_dir(), *path = file_join(dir, "x.safetensors");
    assert_ok(file_writer_open(&w, path, &e), e);
    assert_ok(safetensors_write_header(&w, &t, 1, NULL, &e), e);
    file_writer_write(&w, values, 16);
    assert_ok(file_writer_commit(&w, &e), e);
    struct checkpoint *c = model_open(path);
    free(path);
    free(dir);
    return c;
}

static int n_files(const char *dir)
{
    int n = -2; /* . and .. */
    DIR *d = opendir(dir);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static void fails(const struct checkpoint *c, const char *name, struct convert_options o, int code,
                  const char *part)
{
    struct err e = {0};
    char *dir = test_temp_dir(), *out = file_join(dir, name);
    convert_checkpoint(c, out, &o, &e);
    assert_err(e, code, part);
    assert_int_equal(n_files(dir), 0);
    free(out);
    free(dir);
}

static bool stop(void *ctx, uint64_t done, uint64_t total)
{
    assert_true(done > 0 && done <= total);
    return ++*(int *)ctx < 1;
}

static void failures_leave_nothing(void **state)
{
    static const float good[4] = {1, 2, 3, 4}, nan[4] = {1, NAN, 3, 4}, big[4] = {1, 1e6f, 3, 4};
    int calls = 0;
    (void)state;
    struct checkpoint *c = open_values(good);
    fails(c, "x.bin", (struct convert_options){.type = DTYPE_F16}, ERR_ARG,
          "ends in .gguf or .safetensors");
    fails(c, "x.safetensors", (struct convert_options){.type = DTYPE_Q8_0}, ERR_ARG,
          "safetensors has no type q8_0");
    fails(c, "x.gguf", (struct convert_options){.type = DTYPE_F16, .progress = stop, .ctx = &calls},
          ERR_CANCELLED, "cancelled");
    assert_int_equal(calls, 1);
    checkpoint_close(c);
    c = open_values(nan);
    fails(c, "x.gguf", (struct convert_options){.type = DTYPE_F16}, ERR_NUMERIC,
          "tensor unet.x.bias holds a NaN");
    checkpoint_close(c);
    c = open_values(big);
    fails(c, "x.gguf", (struct convert_options){.type = DTYPE_F16}, ERR_NUMERIC,
          "values up to 1e+06, beyond F16's range");
    fails(c, "no/folder.gguf", (struct convert_options){.type = DTYPE_F32}, ERR_IO,
          "cannot create it");
    checkpoint_close(c);
}

/* A limit on the size of files is a full disk without filling one. */
static void a_full_disk_leaves_nothing(void **state)
{
    struct rlimit old, small;
    (void)state;
    char *path = model_write("sd15", "m", (struct hash_checkpoint_options){.type = DTYPE_F16},
                             false);
    struct checkpoint *c = model_open(path);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_FSIZE, &small);
    fails(c, "x.gguf", (struct convert_options){.type = DTYPE_F32}, ERR_IO, "nothing was left");
    setrlimit(RLIMIT_FSIZE, &old);
    checkpoint_close(c);
    free(path);
}

static void allocations_may_fail(void **state)
{
    static const float good[4] = {1, 2, 3, 4};
    static const char *const names[] = {"x.gguf", "x.safetensors"};
    (void)state;
    struct checkpoint *c = open_values(good);
    for (int i = 0; i < 2; i++) {
        int rc = ERR_NOMEM;
        for (long n = 1; rc; n++) {
            struct err e = {0};
            char *dir = test_temp_dir(), *out = file_join(dir, names[i]);
            mem_fail_nth(n);
            rc = convert_checkpoint(c, out, &(struct convert_options){.type = DTYPE_F16}, &e);
            mem_fail_nth(0);
            assert_int_equal(rc, rc ? ERR_NOMEM : 0);
            assert_int_equal(n_files(dir), rc ? 0 : 1);
            free(out);
            free(dir);
        }
    }
    checkpoint_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_becomes_one_file),
        cmocka_unit_test(single_files_keep_their_names),
        cmocka_unit_test(types_are_converted),
        cmocka_unit_test(only_fitting_matrices_are_quantised),
        cmocka_unit_test(failures_leave_nothing),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
