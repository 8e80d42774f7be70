/* language_params_test.c - what is wrong with a language model's files is said by name. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/gguf.h"
#include "models/language.h"
#include "support/hash_checkpoint.h"
#include "support/language_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_file(const char *path, const char *text, size_t n)
{
    struct file_writer f;
    struct err e = {0};
    assert_ok(file_writer_open(&f, path, &e), e);
    file_writer_write(&f, text, n);
    assert_ok(file_writer_commit(&f, &e), e);
}

/* A manifest of tests/data with its first `from` replaced: the model's folder, on the heap. */
static char *changed_folder(const char *name, const char *from, const char *to)
{
    char *path = test_data(name), *dir = test_temp_dir(), *text;
    char *manifest = file_join(dir, "manifest.txt"), *folder = file_join(dir, "language");
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    struct err e = {0};
    size_t n;
    assert_ok(file_read(path, 1 << 20, &text, &n, &e), e);
    char *at = strstr(text, from);
    if (!at)
        fail_msg("%s has no %s", name, from);
    char *all = mem_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    write_file(manifest, all, strlen(all));
    assert_ok(hash_checkpoint_write(manifest, dir, &o, &e), e);
    free(all);
    free(text);
    free(manifest);
    free(path);
    free(dir);
    return folder;
}

/* Opens the folder, or what becomes of it as GGUF. */
static int open_model(const char *folder, bool gguf, struct err *e)
{
    struct checkpoint *c;
    struct language_model *m;
    int rc = checkpoint_open(&c, folder, e);
    if (!rc && gguf) {
        char *path = mem_printf("%s.gguf", folder);
        rc = language_gguf_write(c, path, e);
        checkpoint_close(c);
        if (!rc)
            rc = checkpoint_open(&c, path, e);
        free(path);
    }
    if (!rc) {
        rc = language_open(&m, c, e);
        assert_true(rc ? m == NULL : m != NULL);
        language_close(m);
        checkpoint_close(c);
    }
    return rc;
}

#define LLAMA   "manifests/language-llama.txt"
#define MIXTRAL "manifests/language-mixtral.txt"

static void test_folder_errors(void **state)
{
    static const struct {
        const char *manifest, *from, *to;
        int code;
        const char *says;
    } rows[] = {
        {LLAMA, "\"model_type\":\"llama\"", "\"model_type\":\"lama\"", ERR_UNSUPPORTED,
         "the model type \"lama\" is not supported; known are llama, mistral, mixtral"},
        {LLAMA, "\"num_hidden_layers\":3,", "", ERR_FORMAT,
         "config.json: the key num_hidden_layers is missing"},
        {LLAMA, "\"num_attention_heads\":4", "\"num_attention_heads\":0", ERR_FORMAT,
         "num_attention_heads: not a number from 1"},
        {LLAMA, "\"rms_norm_eps\":1e-06", "\"rms_norm_eps\":\"small\"", ERR_FORMAT, "rms_norm_eps"},
        {LLAMA, "\"num_key_value_heads\":2", "\"num_key_value_heads\":3", ERR_FORMAT,
         "4 heads of queries do not fit 3"},
        {LLAMA, "\"num_hidden_layers\":3", "\"num_hidden_layers\":4", ERR_FORMAT,
         "tensor blk.3.attn_q.weight is missing"},
        {LLAMA, "\"rope_type\":\"default\"", "\"rope_type\":\"dynamic\"", ERR_UNSUPPORTED,
         "rope scaling \"dynamic\""},
        {LLAMA, "\"rope_type\":\"default\"", "\"rope_type\":\"longrope\"", ERR_FORMAT,
         "short_factor: not a list of 8 factors"},
        {LLAMA, "layers.1.self_attn.k_proj.weight 32 64", "layers.1.self_attn.k.weight 32 64",
         ERR_FORMAT, "tensor blk.1.attn_k.weight is missing"},
        {LLAMA, "layers.1.self_attn.k_proj.weight 32 64", "layers.1.self_attn.k_proj.weight 16 64",
         ERR_FORMAT,
         "tensor blk.1.attn_k.weight: has shape [16, 64], but the model needs [32, 64]"},
        {LLAMA, "model.embed_tokens.weight", "model.embed.weight", ERR_FORMAT,
         "tensor token_embd.weight is missing"},
        {LLAMA, "lm_head.weight", "head.weight", ERR_FORMAT, "tensor output.weight is missing"},
        {MIXTRAL, "\"num_experts_per_tok\":2", "\"num_experts_per_tok\":5", ERR_FORMAT,
         "5 of 4 experts"},
        {MIXTRAL, "layers.1.block_sparse_moe.experts.2.w1.weight", "layers.1.lost", ERR_FORMAT,
         "tensor blk.1.ffn_gate.2.weight is missing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err e = {0};
        char *folder = changed_folder(rows[i].manifest, rows[i].from, rows[i].to);
        assert_int_not_equal(open_model(folder, false, &e), 0);
        assert_err(e, rows[i].code, rows[i].says);
        assert_non_null(strstr(e.text, folder));
        free(folder);
    }
}

/* Keys that a GGUF file may have otherwise than a folder. */
static void test_gguf_errors(void **state)
{
    static const struct {
        const char *from, *to, *says;
    } rows[] = {
        {"\"num_hidden_layers\":3,", "", "the key llama.block_count is missing"},
        {"\"num_attention_heads\":4", "\"num_attention_heads\":70000",
         "llama.attention.head_count: not a number from 1 to 65536"},
        {"\"head_dim\":16", "\"head_dim\":15", "blk.0.attn_k.weight: its rows are no heads of 15"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err e = {0};
        char *folder = changed_folder(LLAMA, rows[i].from, rows[i].to);
        assert_int_not_equal(open_model(folder, true, &e), 0);
        assert_err(e, ERR_FORMAT, rows[i].says);
        free(folder);
    }
}

/* A GGUF file with this architecture and one tensor. */
static void check_arch(const char *arch, const char *tensor, const char *says)
{
    char *dir = test_temp_dir(), *path = file_join(dir, "x.gguf");
    static const float zero[4];
    struct file_tensor t = {.name = tensor,
                            .type = DTYPE_F32,
                            .type_name = "F32",
                            .n_dim = 2,
                            .dim = {2, 2},
                            .size = sizeof(zero)};
    struct gguf_writer w;
    struct file_writer f;
    struct err e = {0};
    gguf_writer_init(&w);
    gguf_put_str(&w, "general.architecture", arch);
    assert_ok(gguf_put_tensor(&w, &t, &e), e);
    assert_ok(file_writer_open(&f, path, &e), e);
    assert_ok(gguf_write_header(&w, &f, &e), e);
    gguf_write(&w, &f, zero, sizeof(zero));
    gguf_write_end(&w, &f);
    assert_ok(file_writer_commit(&f, &e), e);
    assert_int_not_equal(open_model(path, false, &e), 0);
    assert_err(e, ERR_UNSUPPORTED, says);
    gguf_writer_release(&w);
    free(path);
    free(dir);
}

static void test_architecture(void **state)
{
    (void)state;
    check_arch("mamba", "token_embd.weight",
               "the architecture \"mamba\" is not supported; known are llama, qwen2");
    check_arch("clip", "v.patch_embd.weight", "no language model");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder_errors),
        cmocka_unit_test(test_gguf_errors),
        cmocka_unit_test(test_architecture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
