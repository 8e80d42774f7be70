/* bert_test.c - tiny encoders of hash weights against transformers; what is wrong is named. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/convert.h"
#include "models/bert.h"
#include "support/hash_checkpoint.h"
#include "support/stages.h"
#include "tensor/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-4 /* sums of some hundred products in f32, a few layers deep */

/* The case's folder; heap. */
static char *write_case(const char *name, enum dtype type)
{
    struct hash_checkpoint_options o = {.type = type};
    struct err e = {0};
    char *dir = test_temp_dir(), path[64];
    snprintf(path, sizeof(path), "manifests/encoder-%s.txt", name);
    char *manifest = test_data(path), *folder = file_join(dir, "language");
    assert_ok(hash_checkpoint_write(manifest, dir, &o, &e), e);
    free(manifest);
    free(dir);
    return folder;
}

/* The folder as a GGUF file. */
static void convert(struct checkpoint **file)
{
    struct err e = {0};
    char *dir = test_temp_dir(), *path = file_join(dir, "m.gguf");
    assert_ok(convert_checkpoint(*file, path, &(struct convert_options){.type = DTYPE_F16}, &e), e);
    checkpoint_close(*file);
    assert_ok(checkpoint_open(file, path, &e), e);
    free(path);
    free(dir);
}

static void check_case(const char *name, bool gguf)
{
    char variant[64], *folder = write_case(name, DTYPE_F16);
    struct checkpoint *file;
    struct bert *m;
    struct backend *b;
    struct err e = {0};
    snprintf(variant, sizeof(variant), "encoder-%s", name);
    struct checkpoint *ref = stages_open(variant);
    assert_ok(checkpoint_open(&file, folder, &e), e);
    if (gguf)
        convert(&file);
    assert_ok(bert_open(&m, file, &e), e);
    assert_ok(cpu_backend_new(&b, 2, NULL, &e), e);
    struct tape *t = tape_new(DTYPE_F32);
    struct tensor *ids = stages_input(t, ref, "input.ids"); /* [3, 17] */
    int64_t n = ids->dim[0], length = ids->dim[1];
    struct tensor *positions = tape_input(t, DTYPE_I32, "positions", 1, (int64_t[]){n * length});
    struct tensor *hidden = tape_keep(t, bert_forward(t, m, ids, positions));
    assert_ok(tape_plan(t, &e), e);
    stages_fill(ids, ref, "input.ids");
    for (int64_t i = 0; i < n * length; i++)
        ((int32_t *)positions->data)[i] = (int32_t)(i % length);
    assert_ok(tape_run(t, b, &e), e);
    stages_compare(hidden, ref, "output.hidden", TOLERANCE);
    assert_int_equal(bert_params(m)->n_layer, 3);
    assert_int_equal(bert_params(m)->n_ctx, 64);
    assert_int_equal(bert_params(m)->pooling, BERT_MEAN);
    tape_free(t);
    backend_free(b);
    bert_close(m);
    checkpoint_close(file);
    checkpoint_close(ref);
    free(folder);
}

static void encoders_equal_transformers(void **state)
{
    (void)state;
    for (int gguf = 0; gguf < 2; gguf++) {
        check_case("bert", gguf);
        check_case("nomic-bert", gguf);
        check_case("nomic-bert-own", gguf);
    }
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char *path = file_join(folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(path);
}

static void fails(const char *folder, int code, const char *part)
{
    struct checkpoint *file;
    struct bert *m;
    struct err e = {0};
    assert_ok(checkpoint_open(&file, folder, &e), e);
    bert_open(&m, file, &e);
    assert_err(e, code, part);
    assert_null(m);
    checkpoint_close(file);
}

static void wrong_configurations_are_named(void **state)
{
    char *folder = write_case("bert", DTYPE_F16);
    (void)state;
    write_text(folder, "config.json", "{\"model_type\": \"bert\", \"num_attention_heads\": 5}");
    fails(folder, ERR_FORMAT, "5 attention heads do not divide a width of 64");
    write_text(folder, "config.json",
               "{\"model_type\": \"bert\", \"num_attention_heads\": 4, \"hidden_act\": \"relu\"}");
    fails(folder, ERR_FORMAT, "hidden_act \"relu\" is not supported");
    write_text(folder, "config.json", "{\"model_type\": \"bert\", \"num_attention_heads\": 4}");
    write_text(folder, "modules.json",
               "[{\"type\": \"sentence_transformers.models.Pooling\"},"
               "{\"type\": \"sentence_transformers.models.Dense\"}]");
    fails(folder, ERR_UNSUPPORTED, "a module of type sentence_transformers.models.Dense");
    write_text(folder, "config.json", "{\"model_type\": \"llama\", \"num_attention_heads\": 4}");
    fails(folder, ERR_UNSUPPORTED, "not a model for embeddings; bert and nomic-bert can be used");
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoders_equal_transformers),
        cmocka_unit_test(wrong_configurations_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
