/* lora_file_test.c - names of every program's LoRA files, and what a file says of itself. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/map.h"
#include "format/checkpoint.h"
#include "format/convert.h"
#include "format/lora_file.h"
#include "support/lora_files.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *tensor, *module;
        enum lora_part part;
    } rows[] = {
        {"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight",
         "unet_mid_block_attentions_0_proj_in", LORA_DOWN},
        {"lora_unet_input_blocks_4_1_proj_in.alpha", "unet_input_blocks_4_1_proj_in", LORA_ALPHA},
        {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight",
         "text_encoder_text_model_encoder_layers_0_mlp_fc1", LORA_UP},
        {"lora_te1_text_model_encoder_layers_0_mlp_fc1.dora_scale",
         "text_encoder_text_model_encoder_layers_0_mlp_fc1", LORA_MAGNITUDE},
        {"lora_te2_text_projection.lora_mid.weight", "text_encoder_2_text_projection", LORA_MID},
        {"unet.mid_block.attentions.0.proj_in.lora_A.weight", "unet_mid_block_attentions_0_proj_in",
         LORA_DOWN},
        {"unet.mid_block.attentions.0.proj_in.lora_B.default.weight",
         "unet_mid_block_attentions_0_proj_in", LORA_UP},
        {"base_model.model.mid_block.attentions.0.proj_in.lora_B.weight",
         "unet_mid_block_attentions_0_proj_in", LORA_UP},
        {"unet.mid_block.attentions.0.proj_in.lora.down.weight",
         "unet_mid_block_attentions_0_proj_in", LORA_DOWN},
        {"mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight",
         "unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q", LORA_UP},
        {"unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.up.weight",
         "unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0", LORA_UP},
        {"text_encoder.text_model.encoder.layers.1.self_attn.to_out_lora.down.weight",
         "text_encoder_text_model_encoder_layers_1_self_attn_out_proj", LORA_DOWN},
        {"text_encoder.text_model.encoder.layers.1.self_attn.q_proj.lora_linear_layer.up.weight",
         "text_encoder_text_model_encoder_layers_1_self_attn_q_proj", LORA_UP},
        {"text_encoder_2.text_model.encoder.layers.1.self_attn.q_proj.lora_magnitude_vector",
         "text_encoder_2_text_model_encoder_layers_1_self_attn_q_proj", LORA_MAGNITUDE},
        {"text_model.encoder.layers.1.mlp.fc2.lora_A.weight",
         "text_encoder_text_model_encoder_layers_1_mlp_fc2", LORA_DOWN},
        {"diffusion_model.input_blocks.1.1.proj_in.lora_up.weight", "unet_input_blocks_1_1_proj_in",
         LORA_UP},
        {"unet:12:down", "unet:12", LORA_DOWN},
        {"text_encoder:3:up", "text_encoder:3", LORA_UP},
        {"lora_unet_conv_in.hada_w1_a", "unet_conv_in", LORA_HADA_W1_A},
        {"lora_unet_conv_in.hada_t2", "unet_conv_in", LORA_HADA_T2},
        {"lora_unet_conv_in.lokr_w2_b", "unet_conv_in", LORA_KRON_W2_B},
        {"lora_unet_conv_in.diff_b", "unet_conv_in", LORA_DIFF_B},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char module[LORA_NAME_MAX];
        enum lora_part part;
        if (!lora_name_split(rows[i].tensor, module, &part))
            fail_msg("%s is not recognised", rows[i].tensor);
        assert_string_equal(module, rows[i].module);
        assert_int_equal(part, rows[i].part);
    }
}

static void test_other_names(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "", "<s1>", "unet.conv_in.weight", "lora_unet_.alpha", ".lora_up.weight", "unet:.down"};
    char module[LORA_NAME_MAX], longest[400];
    enum lora_part part;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (lora_name_split(rows[i], module, &part))
            fail_msg("%s is no part of a LoRA", rows[i]);
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + 390, ".alpha", 7);
    assert_false(lora_name_split(longest, module, &part));
    assert_true(lora_name_split(longest + 200, module, &part));
}

static struct file_tensor scalar(const char *name, float *x)
{
    return (struct file_tensor){.name = name,
                                .type = DTYPE_F32,
                                .type_name = "F32",
                                .data = (unsigned char *)x,
                                .size = sizeof(*x)};
}

static void test_modules(void **state)
{
    (void)state;
    float x[4] = {1, 2, NAN, 4};
    struct file_tensor t[] = {scalar("lora_unet_a.alpha", &x[0]),
                              scalar("unet.a.lora_A.weight", &x[1]), scalar("<s1>", &x[2]),
                              scalar("unet.a.alpha", &x[3])};
    struct lora_file f = {0};
    struct err e = {0};
    double v;
    assert_ok(lora_file_read(&f, t, 3, NULL, &e), e);
    assert_int_equal(f.n_modules, 1);
    assert_ptr_equal(f.modules[0].part[LORA_DOWN], &t[1]);
    assert_int_equal(f.n_others, 1);
    assert_true(lora_file_scalar(&t[1], &v) && v == 2);
    assert_false(lora_file_scalar(&t[2], &v));
    lora_file_close(&f);
    assert_int_equal(lora_file_read(&f, t, 4, NULL, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "unet.a.alpha and lora_unet_a.alpha");
    lora_file_close(&f);
    e = (struct err){0};
    assert_int_equal(lora_file_read(&f, t + 2, 1, NULL, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "<s1>");
    lora_file_close(&f);
}

/* diffusers writes alpha into the metadata instead of tensors. */
static void test_alpha(void **state)
{
    (void)state;
    static char json[] = "{\"unet.lora_alpha\": 8, \"unet.alpha_pattern\": {\"attn1.to_q\": 2}, "
                         "\"text_encoder.lora_alpha\": 6, \"text_encoder.use_rslora\": true}";
    float x = 1;
    struct map meta = {0};
    struct file_tensor t[] = {scalar("unet.b.attn1.to_q.lora_A.weight", &x),
                              scalar("unet.b.attn1.to_k.lora_A.weight", &x),
                              scalar("text_encoder.c.lora_A.weight", &x),
                              scalar("text_encoder_2.c.lora_A.weight", &x)};
    struct lora_file f = {0};
    struct err e = {0};
    map_put(&meta, "lora_adapter_metadata", strlen("lora_adapter_metadata"), json);
    assert_ok(lora_file_read(&f, t, 4, &meta, &e), e);
    assert_true(lora_file_alpha(&f, &f.modules[0], 4) == 2);
    assert_true(lora_file_alpha(&f, &f.modules[1], 4) == 8);
    assert_true(lora_file_alpha(&f, &f.modules[2], 4) == 12);
    assert_true(lora_file_alpha(&f, &f.modules[3], 4) == 4); /* nothing is said: the rank */
    lora_file_close(&f);
    map_release(&meta);
}

/* The id is of the tensors alone: other metadata, same id. */
static void test_hash(void **state)
{
    (void)state;
    static const char *const meta[] = {"ss_output_name", "ink", NULL};
    static const char *const said[] = {"sshs_model_hash", "0123456789abcdef0123", NULL};
    char *dir = test_temp_dir(), *path = file_join(dir, "a.safetensors");
    json_t *tensors = json_pack("{s:[ii], s:f}", "unet.a.lora_A.weight", 2, 3, "unet.a.alpha", 2.0);
    char hash[3][LORA_FILE_HASH];
    const char *const *const metas[] = {NULL, meta, said};
    struct err e = {0};
    for (int i = 0; i < 3; i++) {
        struct lora_file f;
        lora_files_write(path, tensors, DTYPE_F16, metas[i]);
        assert_ok(lora_file_open(&f, path, &e), e);
        assert_ok(lora_file_hash(&f, hash[i], &e), e);
        lora_file_close(&f);
    }
    assert_int_equal(strlen(hash[0]), 12);
    assert_string_equal(hash[0], hash[1]);
    assert_string_equal(hash[2], "0123456789ab");
    /* Other kinds of files have no such header: the whole file counts. */
    char *gguf = file_join(dir, "a.gguf"), whole[LORA_FILE_HASH];
    struct convert_options o = {.type = DTYPE_OTHER};
    struct checkpoint *c;
    struct lora_file f;
    assert_ok(checkpoint_open(&c, path, &e), e);
    assert_ok(convert_checkpoint(c, gguf, &o, &e), e);
    checkpoint_close(c);
    assert_ok(lora_file_open(&f, gguf, &e), e);
    assert_int_equal(f.n_modules, 1);
    assert_ok(lora_file_hash(&f, whole, &e), e);
    assert_int_equal(strlen(whole), 12);
    assert_string_not_equal(whole, hash[0]);
    lora_file_close(&f);
    free(gguf);
    json_decref(tensors);
    free(path);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_other_names),
        cmocka_unit_test(test_modules), cmocka_unit_test(test_alpha), cmocka_unit_test(test_hash)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
