/* checkpoint_test.c - every layout of a model opens to the same names, shapes and bytes; what is
 * wrong with a file is said.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/gguf.h"
#include "format/safetensors.h"
#include "support/hash_checkpoint.h"
#include "support/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void folders_open(void **state)
{
    static const struct {
        const char *model;
        enum dtype type;
        int shards;
    } rows[] = {{"sd15", DTYPE_F16, 1}, {"sd21", DTYPE_BF16, 3}, {"sdxl", DTYPE_F16, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hash_checkpoint_options o = {.type = rows[i].type, .n_shards = rows[i].shards};
        char *path = model_write(rows[i].model, rows[i].model, o, false);
        struct checkpoint *c = model_open(path);
        assert_int_equal(checkpoint_layout(c), CKPT_DIFFUSERS);
        model_check(c, rows[i].model, NULL);
        assert_non_null(strstr(checkpoint_config(c, "unet"), "UNet2DConditionModel"));
        assert_non_null(strstr(checkpoint_config(c, "model_index"), "_class_name"));
        assert_non_null(checkpoint_config(c, "scheduler"));
        assert_null(checkpoint_config(c, "transformer"));
        checkpoint_close(c);
        free(path);
    }
}

static void model_index_stands_for_its_folder(void **state)
{
    (void)state;
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    char *path = model_write("sd15", "sd15", o, false),
         *index = file_join(path, "model_index.json");
    struct checkpoint *c = model_open(index);
    assert_string_equal(checkpoint_path(c), path);
    checkpoint_close(c);
    free(index);
    free(path);
}

static void single_files_open(void **state)
{
    static const struct {
        const char *model;
        enum dtype type;
    } rows[] = {{"sd15", DTYPE_F16}, {"sd21", DTYPE_BF16}, {"sdxl", DTYPE_F32}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hash_checkpoint_options o = {.type = rows[i].type};
        char *path = model_write(rows[i].model, "m.safetensors", o, true);
        struct checkpoint *c = model_open(path);
        assert_int_equal(checkpoint_layout(c), CKPT_LDM);
        model_check(c, rows[i].model, NULL);
        checkpoint_close(c);
        free(path);
    }
}

/* A ControlNet's original names, with "control_model." in front of each and without. */
static void controlnets_open(void **state)
{
    static const char *const models[] = {"controlnet-sd15", "controlnet-sdxl"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct err e = {0};
        struct hash_checkpoint_options o = {.type = DTYPE_F16};
        char *manifest = model_manifest(models[i / 2], ".txt"), *text = NULL, *rest = NULL;
        char *map = model_manifest(models[i / 2], ".ldm.txt"), *dir = test_temp_dir();
        char *bare = file_join(dir, "map.txt"), *path = file_join(dir, "net.safetensors");
        assert_ok(file_read(map, 1 << 20, &text, NULL, &e), e);
        FILE *out = fopen(bare, "w");
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
            fprintf(out, "%s\n", strncmp(line, "control_model.", 14) == 0 ? line + 14 : line);
        fclose(out);
        o.map = i % 2 ? bare : map;
        assert_ok(hash_checkpoint_write(manifest, path, &o, &e), e);
        struct checkpoint *c = model_open(path);
        assert_int_equal(checkpoint_layout(c), CKPT_LDM);
        model_check(c, models[i / 2], NULL);
        checkpoint_close(c);
        free(manifest);
        free(text);
        free(map);
        free(dir);
        free(bare);
        free(path);
    }
}

static void components_open(void **state)
{
    static const char *const files[] = {"/unet", "/unet/diffusion_pytorch_model.safetensors"};
    (void)state;
    char *path = model_write("sd15", "sd15", (struct hash_checkpoint_options){.type = DTYPE_F16},
                             false);
    for (size_t i = 0; i < 2; i++) {
        char *unet = mem_printf("%s%s", path, files[i]);
        struct checkpoint *c = model_open(unet);
        model_check(c, "sd15", "unet");
        assert_int_equal(checkpoint_config(c, "unet") != NULL, i == 0);
        checkpoint_close(c);
        free(unet);
    }
    char *vae = file_join(path, "vae"), *text = file_join(path, "text_encoder");
    struct checkpoint *c = model_open(vae);
    model_check(c, "sd15", "vae");
    checkpoint_close(c);
    c = model_open(text);
    model_check(c, "sd15", "text_encoder");
    checkpoint_close(c);
    free(vae);
    free(text);
    free(path);
}

static void fp16_variant_is_used_when_alone(void **state)
{
    (void)state;
    char *path = model_write(
        "taesd", "taesd", (struct hash_checkpoint_options){.type = DTYPE_F16, .component = "vae"},
        false);
    char *from = file_join(path, "vae/diffusion_pytorch_model.safetensors");
    char *to = file_join(path, "vae/diffusion_pytorch_model.fp16.safetensors");
    char *vae = file_join(path, "vae");
    assert_int_equal(rename(from, to), 0);
    struct checkpoint *c = model_open(vae);
    model_check(c, "taesd", NULL);
    assert_string_equal(checkpoint_at(c, 0)->file, to);
    checkpoint_close(c);
    free(from);
    free(to);
    free(vae);
    free(path);
}

static void taesd_halves_open(void **state)
{
    static const char *const halves[] = {"encoder", "decoder"};
    (void)state;
    struct hash_manifest m;
    struct err e = {0};
    char *manifest = model_manifest("taesd", ".txt");
    assert_ok(hash_manifest_open(&m, manifest, &e), e);
    for (size_t i = 0; i < 2; i++) {
        char *name = mem_printf("taesd-%s", halves[i]), *map = model_manifest(name, ".ldm.txt");
        char *dir = test_temp_dir(), *path = file_join(dir, "half.safetensors");
        struct hash_checkpoint_options o = {.type = DTYPE_F16, .map = map};
        assert_ok(hash_checkpoint_write(manifest, path, &o, &e), e);
        struct checkpoint *c = model_open(path);
        assert_int_equal(checkpoint_layout(c), CKPT_TAESD);
        char *prefix = mem_printf("vae.%s.", halves[i]);
        for (size_t j = 0; j < checkpoint_n(c); j++) {
            const struct ckpt_tensor *t = checkpoint_at(c, j);
            const struct hash_tensor *want = hash_manifest_find(&m, t->name);
            assert_non_null(want);
            assert_memory_equal(t->name, prefix, strlen(prefix));
            model_check_tensor(t, want);
        }
        checkpoint_close(c);
        free(prefix);
        free(path);
        free(dir);
        free(map);
        free(name);
    }
    hash_manifest_close(&m);
    free(manifest);
}

static void trained_taesd_opens(void **state)
{
    (void)state;
    char *path = test_shared("weights/taesd/taesd_decoder.safetensors");
    if (!path)
        test_skip("the trained TAESD weights are absent");
    struct checkpoint *c = model_open(path);
    const struct ckpt_tensor *t = checkpoint_find(c, "vae.decoder.layers.18.weight");
    assert_non_null(t);
    assert_string_equal(t->file_name, "19.weight");
    assert_int_equal(t->dim[0], 3);
    assert_null(checkpoint_find_nonfinite(c));
    checkpoint_close(c);
    free(path);
}

/* A safetensors file of one or more 1-D F32 tensors named by the caller. */
static void write_tensors(const char *path, const char *const *names, const float *values,
                          const char *const *meta)
{
    struct file_tensor t[8] = {0};
    struct file_writer w;
    struct err e = {0};
    size_t n = 0;
    for (; names[n]; n++)
        t[n] = (struct file_tensor){.name = names[n],
                                    .type = DTYPE_F32,
                                    .type_name = "F32",
                                    .n_dim = 1,
                                    .dim = {4},
                                    .size = 16};
    assert_ok(file_writer_open(&w, path, &e), e);
    assert_ok(safetensors_write_header(&w, t, n, meta, &e), e);
    file_writer_write(&w, values, n * 16);
    assert_ok(file_writer_commit(&w, &e), e);
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char *path = file_join(dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(text, 1, strlen(text), f);
    fclose(f);
    free(path);
}

static void old_names_are_modernised(void **state)
{
    static const char *const names[] = {"encoder.down_blocks.0.resnets.0.norm1.bias",
                                        "encoder.mid_block.attentions.0.query.bias",
                                        "encoder.mid_block.attentions.0.proj_attn.bias", NULL};
    static const char *const meta[] = {"lar.config.vae", "{\"a\": 1}", "note", "x", NULL};
    static const float values[12] = {1};
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "vae.safetensors");
    write_tensors(path, names, values, meta);
    struct checkpoint *c = model_open(path);
    assert_non_null(checkpoint_find(c, "vae.encoder.mid_block.attentions.0.to_q.bias"));
    assert_non_null(checkpoint_find(c, "vae.encoder.mid_block.attentions.0.to_out.0.bias"));
    assert_string_equal(checkpoint_config(c, "vae"), "{\"a\": 1}");
    assert_string_equal(checkpoint_meta(c, "note"), "x");
    assert_null(checkpoint_meta(c, "absent"));
    checkpoint_close(c);
    free(path);
    free(dir);
}

static void clip_may_lack_its_outer_module(void **state)
{
    static const char *const names[] = {"encoder.layers.0.self_attn.q_proj.bias",
                                        "final_layer_norm.bias", "embeddings.position_ids", NULL};
    static const float values[12] = {1};
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "model.safetensors");
    write_tensors(path, names, values, NULL);
    struct checkpoint *c = model_open(dir);
    assert_non_null(
        checkpoint_find(c, "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.bias"));
    assert_non_null(checkpoint_find(c, "text_encoder.text_model.final_layer_norm.bias"));
    assert_int_equal(checkpoint_n(c), 2); /* positions are no weights */
    checkpoint_close(c);
    free(path);
    free(dir);
}

static void nan_is_found(void **state)
{
    static const char *const names[] = {"unet.a", "unet.b", NULL};
    static const float values[8] = {1, 2, 3, 4, 5, 6, -1.0f / 0.0f, 8};
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "m.safetensors");
    write_tensors(path, names, values, NULL);
    struct checkpoint *c = model_open(path);
    assert_string_equal(checkpoint_find_nonfinite(c)->name, "unet.b");
    checkpoint_close(c);
    free(path);
    free(dir);
}

static void hash_is_the_start_of_sha256(void **state)
{
    static const char *const names[] = {"unet.a", NULL};
    static const float values[4] = {0};
    char hash[11];
    struct err e = {0};
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "m.safetensors");
    write_tensors(path, names, values, NULL);
    struct checkpoint *c = model_open(path);
    assert_ok(checkpoint_hash(c, hash, &e), e);
    assert_string_equal(hash, "97402d0437");
    assert_ok(checkpoint_hash(c, hash, &e), e);
    assert_string_equal(hash, "97402d0437");
    checkpoint_close(c);
    free(path);
    free(dir);
}

static void open_fails(const char *path, int code, const char *part)
{
    struct checkpoint *c;
    struct err e = {0};
    checkpoint_open(&c, path, &e);
    assert_err(e, code, part);
    assert_null(c);
}

static void strangers_are_named(void **state)
{
    static const struct {
        const char *name, *content;
        int code;
        const char *part;
    } rows[] = {
        {"a.ckpt", "PK\3\4........", ERR_FORMAT, "the zip archive has no end"},
        {"a.pth", "\x80\2}q.", ERR_UNSUPPORTED, "pickle"},
        {"a.safetensors", "version https://git-lfs.github.com/spec/v1\n", ERR_UNSUPPORTED,
         "Git LFS pointer"},
        {"b.safetensors", "<!DOCTYPE html><html>", ERR_UNSUPPORTED, "web page"},
        {"c.safetensors", "", ERR_FORMAT, "an empty file"},
        {"d.safetensors", "abc", ERR_FORMAT, "only 3 bytes"},
        {"a.txt", "hello, this is not a model", ERR_FORMAT, "neither safetensors nor GGUF"},
        {"a.gguf", "GGUF", ERR_FORMAT, "the file ends inside its header"},
        {"e.index.json", "{\"weight_map\": {\"a\": \"../x\"}}", ERR_FORMAT, "not a file of this"},
        {"f.index.json", "{\"weight_map\": {\"a\": \"x\"}}", ERR_NOT_FOUND, "/x: cannot open"},
        {"g.index.json", "{\"weight_map\": []}", ERR_FORMAT, "weight_map is missing"},
        {"h.index.json", "{\"weight_map\": {}}", ERR_FORMAT, "names no weight files"},
        {"i.index.json", "{\"weight_map\"", ERR_FORMAT, "line 1, column 13"},
    };
    (void)state;
    char *dir = test_temp_dir();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *path = file_join(dir, rows[i].name);
        write_text(dir, rows[i].name, rows[i].content);
        open_fails(path, rows[i].code, rows[i].part);
        free(path);
    }
    open_fails("/nonexistent/model", ERR_NOT_FOUND, "/nonexistent/model: cannot open");
    free(dir);
}

static void broken_folders_are_explained(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *unet = file_join(dir, "unet");
    open_fails(dir, ERR_NOT_FOUND, "no safetensors, GGUF or PyTorch file");
    write_text(dir, "model_index.json", "{\"unet\": [\"diffusers\", \"UNet2DConditionModel\"]}");
    open_fails(dir, ERR_NOT_FOUND, "unet: the folder of the component unet");
    mkdir(unet, 0777);
    open_fails(dir, ERR_NOT_FOUND, "unet: no safetensors, GGUF or PyTorch file");
    write_text(unet, "diffusion_pytorch_model.bin", "PK");
    open_fails(dir, ERR_FORMAT, "diffusion_pytorch_model.bin: not a model");
    write_text(unet, "a.safetensors", "x");
    write_text(unet, "b.safetensors", "x");
    open_fails(dir, ERR_ARG, "holds 2 models (a.safetensors, ...)");
    write_text(dir, "model_index.json", "{\"../x\": [\"a\", \"b\"]}");
    open_fails(dir, ERR_FORMAT, "\"../x\" cannot be a component");
    write_text(dir, "model_index.json", "[]");
    open_fails(dir, ERR_FORMAT, "not a JSON object");
    free(unet);
    free(dir);
}

static void index_must_be_true(void **state)
{
    static const char *const names[] = {"down_blocks.a", NULL};
    static const float values[4] = {0};
    (void)state;
    char *dir = test_temp_dir(), *shard = file_join(dir, "s.safetensors");
    char *index = file_join(dir, "m.safetensors.index.json");
    write_tensors(shard, names, values, NULL);
    write_text(dir, "m.safetensors.index.json",
               "{\"weight_map\": {\"down_blocks.a\": \"s.safetensors\"}}");
    checkpoint_close(model_open(index));
    write_text(dir, "m.safetensors.index.json",
               "{\"weight_map\": {\"down_blocks.b\": \"s.safetensors\"}}");
    open_fails(index, ERR_FORMAT, "tensor down_blocks.b should be in s.safetensors");
    free(index);
    free(shard);
    free(dir);
}

static void double_and_indivisible_tensors_fail(void **state)
{
    static const char *const twice[] = {
        "model.diffusion_model.input_blocks.0.0.bias", "unet.conv_in.bias",
        "cond_stage_model.transformer.embeddings.x",
        "cond_stage_model.transformer.text_model.embeddings.x", NULL};
    static const char *const qkv[] = {
        "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias", NULL};
    static const float values[16] = {0};
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "m.safetensors");
    write_tensors(path, twice, values, NULL);
    open_fails(path, ERR_FORMAT, "are both unet.conv_in.bias");
    write_tensors(path, qkv, values, NULL);
    open_fails(path, ERR_FORMAT, "cannot be divided into q, k and v");
    free(path);
    free(dir);
}

static void vocabulary_comes_from_the_folder(void **state)
{
    static const char vocab[] = "{\"a\": 0, \"b\": 1, \"ab</w>\": 2, \"<|startoftext|>\": 3, "
                                "\"<|endoftext|>\": 4}";
    (void)state;
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    char *path = model_write("sdxl", "sdxl", o, false);
    char *first = file_join(path, "tokenizer"), *second = file_join(path, "tokenizer_2");
    mkdir(first, 0777);
    mkdir(second, 0777);
    write_text(first, "vocab.json", vocab);
    write_text(first, "merges.txt", "#version: 0.2\r\na b</w>\r\n# x\n");
    write_text(first, "special_tokens_map.json",
               "{\"bos_token\": {\"content\": \"<|startoftext|>\"}, \"pad_token\": \"b\"}");
    write_text(second, "tokenizer.json",
               "{\"model\": {\"vocab\": {\"a\": 0, \"b</w>\": 1}, \"merges\": [[\"a\", \"b\"], "
               "\"c d\"]}}");
    struct checkpoint *c = model_open(path);
    const struct ckpt_vocab *v = checkpoint_vocab(c, "tokenizer");
    assert_non_null(v);
    assert_int_equal(v->n_tokens, 5);
    assert_string_equal(v->tokens[2], "ab</w>");
    assert_int_equal(v->n_merges, 2);
    assert_string_equal(v->merges[0], "a b</w>");
    assert_string_equal(v->merges[1], "# x");
    assert_int_equal(v->bos, 3);
    assert_int_equal(v->eos, 4);
    assert_int_equal(v->pad, 1);
    v = checkpoint_vocab(c, "tokenizer_2");
    assert_non_null(v);
    assert_int_equal(v->n_merges, 2);
    assert_string_equal(v->merges[0], "a b");
    assert_int_equal(v->bos, -1);
    assert_null(checkpoint_vocab(c, "scheduler"));
    checkpoint_close(c);
    write_text(first, "vocab.json", "{\"a\": 0, \"b\": 0}");
    open_fails(path, ERR_FORMAT, "token \"b\": its id is not one of 0 to 1");
    write_text(first, "vocab.json", vocab);
    write_text(first, "merges.txt", "a b c\n");
    open_fails(path, ERR_FORMAT, "merge 1 is not two tokens");
    free(first);
    free(second);
    free(path);
}

/* Every allocation that the size of a file decides may fail without a leak or a crash. */
static void allocations_may_fail(void **state)
{
    (void)state;
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    char *path = model_write("sd15", "sd15", o, false);
    long n = 0;
    for (int rc = ERR_NOMEM; rc; n++) {
        struct checkpoint *c;
        struct err e = {0};
        mem_fail_nth(n + 1);
        rc = checkpoint_open(&c, path, &e);
        mem_fail_nth(0);
        if (rc) {
            assert_err(e, ERR_NOMEM, "not enough memory");
            assert_null(c);
        }
        checkpoint_close(c);
    }
    assert_true(n > 5);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_open),
        cmocka_unit_test(model_index_stands_for_its_folder),
        cmocka_unit_test(single_files_open),
        cmocka_unit_test(controlnets_open),
        cmocka_unit_test(components_open),
        cmocka_unit_test(fp16_variant_is_used_when_alone),
        cmocka_unit_test(taesd_halves_open),
        cmocka_unit_test(trained_taesd_opens),
        cmocka_unit_test(old_names_are_modernised),
        cmocka_unit_test(clip_may_lack_its_outer_module),
        cmocka_unit_test(nan_is_found),
        cmocka_unit_test(hash_is_the_start_of_sha256),
        cmocka_unit_test(strangers_are_named),
        cmocka_unit_test(broken_folders_are_explained),
        cmocka_unit_test(index_must_be_true),
        cmocka_unit_test(double_and_indivisible_tensors_fail),
        cmocka_unit_test(vocabulary_comes_from_the_folder),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
