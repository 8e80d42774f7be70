/* ldm_names_test.c - the rules one by one; whole models are checkpoint_test.c's. */
#include "support/test.h"

#include "format/ldm_names.h"

#include <string.h>

/* An SD-like UNet with two levels: blocks 1-2 and 4-5, a downsampler between, and their mirror. */
static const char *const structure[] = {
    "model.diffusion_model.input_blocks.0.0.weight",
    "model.diffusion_model.input_blocks.1.0.in_layers.0.weight",
    "model.diffusion_model.input_blocks.1.1.norm.weight",
    "model.diffusion_model.input_blocks.2.0.in_layers.0.weight",
    "model.diffusion_model.input_blocks.2.1.norm.weight",
    "model.diffusion_model.input_blocks.3.0.op.weight",
    "model.diffusion_model.input_blocks.4.0.in_layers.0.weight",
    "model.diffusion_model.middle_block.0.in_layers.0.weight",
    "model.diffusion_model.middle_block.1.norm.weight",
    "model.diffusion_model.middle_block.2.in_layers.0.weight",
    "model.diffusion_model.output_blocks.0.0.in_layers.0.weight",
    "model.diffusion_model.output_blocks.1.0.in_layers.0.weight",
    "model.diffusion_model.output_blocks.1.1.conv.weight",
    "model.diffusion_model.output_blocks.2.0.in_layers.0.weight",
    "model.diffusion_model.output_blocks.2.1.norm.weight",
    "model.diffusion_model.output_blocks.2.2.conv.weight",
    "first_stage_model.decoder.up.0.block.0.norm1.weight",
    "first_stage_model.decoder.up.3.block.0.norm1.weight",
    "cond_stage_model.model.transformer.resblocks.0.ln_1.weight",
    "cond_stage_model.model.transformer.resblocks.23.ln_1.weight",
};

static void scan(struct ldm_names *l, const char *extra)
{
    ldm_names_init(l);
    for (size_t i = 0; i < sizeof(structure) / sizeof(structure[0]); i++)
        ldm_names_scan(l, structure[i]);
    if (extra)
        ldm_names_scan(l, extra);
    ldm_names_finish(l);
}

static void check(const struct ldm_names *l, const char *name, enum ldm_kind kind, const char *want)
{
    char out[LDM_NAME_MAX] = "";
    enum ldm_kind got = ldm_names_map(l, name, out);
    if (got != kind || (want && strcmp(out, want) != 0))
        fail_msg("%s: kind %d, %s", name, got, out);
}

static void names_are_mapped(void **state)
{
    static const struct {
        const char *name;
        enum ldm_kind kind;
        const char *want;
    } rows[] = {
#define U "model.diffusion_model."
        {U "input_blocks.0.0.weight", LDM_PLAIN, "unet.conv_in.weight"},
        {U "input_blocks.2.1.proj_in.bias", LDM_PLAIN,
         "unet.down_blocks.0.attentions.1.proj_in.bias"},
        {U "input_blocks.3.0.op.bias", LDM_PLAIN, "unet.down_blocks.0.downsamplers.0.conv.bias"},
        {U "input_blocks.4.0.emb_layers.1.weight", LDM_PLAIN,
         "unet.down_blocks.1.resnets.0.time_emb_proj.weight"},
        {U "middle_block.2.out_layers.3.bias", LDM_PLAIN, "unet.mid_block.resnets.1.conv2.bias"},
        {U "output_blocks.1.1.conv.weight", LDM_PLAIN, "unet.up_blocks.0.upsamplers.0.conv.weight"},
        {U "output_blocks.2.0.skip_connection.weight", LDM_PLAIN,
         "unet.up_blocks.1.resnets.0.conv_shortcut.weight"},
        {U "output_blocks.2.2.conv.bias", LDM_PLAIN, "unet.up_blocks.1.upsamplers.0.conv.bias"},
        {U "label_emb.0.2.bias", LDM_PLAIN, "unet.add_embedding.linear_2.bias"},
        {U "out.2.weight", LDM_PLAIN, "unet.conv_out.weight"},
        {"control_model.input_blocks.0.0.bias", LDM_PLAIN, "controlnet.conv_in.bias"},
        {"control_model.input_blocks.4.0.in_layers.2.bias", LDM_PLAIN,
         "controlnet.down_blocks.1.resnets.0.conv1.bias"},
        {"control_model.zero_convs.11.0.weight", LDM_PLAIN,
         "controlnet.controlnet_down_blocks.11.weight"},
        {"control_model.middle_block_out.0.bias", LDM_PLAIN,
         "controlnet.controlnet_mid_block.bias"},
        {"control_model.input_hint_block.12.bias", LDM_PLAIN,
         "controlnet.controlnet_cond_embedding.blocks.5.bias"},
        {"control_model.input_hint_block.16.bias", LDM_UNKNOWN, NULL},
        {"control_model.zero_convs.11.1.weight", LDM_UNKNOWN, NULL},
        {U "input_blocks.9.0.op.weight", LDM_UNKNOWN, NULL},
        {U "input_blocks.99.0.weight", LDM_UNKNOWN, NULL},
        {U "input_blocks.1.0.in_layers.7.weight", LDM_UNKNOWN, NULL},
        {"first_stage_model.decoder.up.3.block.0.nin_shortcut.bias", LDM_PLAIN,
         "vae.decoder.up_blocks.0.resnets.0.conv_shortcut.bias"},
        {"first_stage_model.decoder.up.1.upsample.conv.weight", LDM_PLAIN,
         "vae.decoder.up_blocks.2.upsamplers.0.conv.weight"},
        {"first_stage_model.encoder.mid.attn_1.proj_out.weight", LDM_PLAIN,
         "vae.encoder.mid_block.attentions.0.to_out.0.weight"},
        {"first_stage_model.post_quant_conv.bias", LDM_PLAIN, "vae.post_quant_conv.bias"},
        {"first_stage_model.loss.logvar", LDM_IGNORED, NULL},
        {"cond_stage_model.transformer.text_model.final_layer_norm.bias", LDM_PLAIN,
         "text_encoder.text_model.final_layer_norm.bias"},
        {"cond_stage_model.transformer.text_model.embeddings.position_ids", LDM_IGNORED, NULL},
        {"conditioner.embedders.1.model.transformer.resblocks.31.attn.in_proj_bias", LDM_QKV,
         "text_encoder_2.text_model.encoder.layers.31.self_attn.?_proj.bias"},
        {"conditioner.embedders.1.model.text_projection", LDM_TRANSPOSED,
         "text_encoder_2.text_projection.weight"},
        {"conditioner.embedders.0.model.positional_embedding", LDM_PLAIN,
         "text_encoder_2.text_model.embeddings.position_embedding.weight"},
        {"cond_stage_model.1.transformer.text_model.text_projection", LDM_TRANSPOSED,
         "text_encoder_2.text_projection.weight"},
        {"cond_stage_model.1.transformer.text_model.encoder.layers.31.mlp.fc1.bias", LDM_PLAIN,
         "text_encoder_2.text_model.encoder.layers.31.mlp.fc1.bias"},
        {"model_ema.decay", LDM_IGNORED, NULL},
        {"something.else", LDM_UNKNOWN, NULL},
    };
    struct ldm_names l;
    (void)state;
    scan(&l, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check(&l, rows[i].name, rows[i].kind, rows[i].want);
}

/* The last block counts as unused only in files that still have the projection. */
static void unused_layers_are_dropped(void **state)
{
    static const char last[] = "cond_stage_model.model.transformer.resblocks.23.ln_1.weight";
    static const char projection[] = "cond_stage_model.model.text_projection";
    static const char hf_layer[] =
        "cond_stage_model.transformer.text_model.encoder.layers.23.mlp.fc1.bias";
    static const char hf_projection[] = "cond_stage_model.transformer.text_model.text_projection";
    struct ldm_names l;
    (void)state;
    scan(&l, NULL);
    check(&l, last, LDM_PLAIN, "text_encoder.text_model.encoder.layers.23.layer_norm1.weight");
    scan(&l, projection);
    check(&l, last, LDM_IGNORED, NULL);
    check(&l, projection, LDM_IGNORED, NULL);
    check(&l, structure[18], LDM_PLAIN,
          "text_encoder.text_model.encoder.layers.0.layer_norm1.weight");
    scan(&l, hf_projection);
    check(&l, hf_layer, LDM_IGNORED, NULL);
    check(&l, hf_projection, LDM_IGNORED, NULL);
}

static void long_names_do_not_fit(void **state)
{
    char name[600] = "model.diffusion_model.input_blocks.1.1.";
    struct ldm_names l;
    (void)state;
    scan(&l, NULL);
    memset(name + strlen(name), 'x', 500);
    check(&l, name, LDM_UNKNOWN, NULL);
}

static void other_names_are_mapped(void **state)
{
    char out[LDM_NAME_MAX];
    (void)state;
    assert_true(ldm_names_map_taesd(true, "1.weight", out));
    assert_string_equal(out, "vae.decoder.layers.0.weight");
    assert_true(ldm_names_map_taesd(false, "3.conv.0.bias", out));
    assert_string_equal(out, "vae.encoder.layers.3.conv.0.bias");
    assert_false(ldm_names_map_taesd(true, "0.weight", out));
    assert_false(ldm_names_map_taesd(false, "conv.weight", out));
    assert_true(ldm_names_map_old_vae("vae.decoder.mid_block.attentions.0.key.weight", out));
    assert_string_equal(out, "vae.decoder.mid_block.attentions.0.to_k.weight");
    assert_false(ldm_names_map_old_vae("vae.decoder.mid_block.attentions.0.to_k.weight", out));
    assert_false(ldm_names_map_old_vae("unet.mid_block.attentions.0.key.weight", out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_mapped),
        cmocka_unit_test(unused_layers_are_dropped),
        cmocka_unit_test(long_names_do_not_fit),
        cmocka_unit_test(other_names_are_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
