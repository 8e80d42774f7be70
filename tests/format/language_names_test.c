/* language_names_test.c - Hugging Face's names of language models and GGUF's. */
#include "support/test.h"

#include "format/language_names.h"

#include <string.h>

static void test_names(void **state)
{
    static const struct {
        const char *arch, *from, *to;
        enum language_kind_of_name kind;
    } rows[] = {
        {"llama", "model.embed_tokens.weight", "token_embd.weight", LANGUAGE_PLAIN},
        {"llama", "lm_head.weight", "output.weight", LANGUAGE_PLAIN},
        {"llama", "model.norm.weight", "output_norm.weight", LANGUAGE_PLAIN},
        {"llama", "model.layers.31.self_attn.q_proj.bias", "blk.31.attn_q.bias", LANGUAGE_PLAIN},
        {"llama", "model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight",
         LANGUAGE_PLAIN},
        {"olmo2", "model.layers.0.post_attention_layernorm.weight",
         "blk.0.post_attention_norm.weight", LANGUAGE_PLAIN},
        {"llama", "model.layers.2.block_sparse_moe.experts.7.w2.weight", "blk.2.ffn_down.7.weight",
         LANGUAGE_PLAIN},
        {"qwen3moe", "model.layers.2.mlp.experts.127.up_proj.weight", "blk.2.ffn_up.127.weight",
         LANGUAGE_PLAIN},
        {"gemma3", "language_model.model.layers.4.pre_feedforward_layernorm.weight",
         "blk.4.ffn_norm.weight", LANGUAGE_PLAIN},
        {"gemma3", "model.language_model.layers.4.self_attn.k_norm.weight",
         "blk.4.attn_k_norm.weight", LANGUAGE_PLAIN},
        {"gpt-oss", "model.layers.1.mlp.experts.gate_up_proj", "blk.1.ffn_gate_up_exps.weight",
         LANGUAGE_TRANSPOSED},
        {"gpt-oss", "model.layers.1.self_attn.sinks", "blk.1.attn_sinks.weight", LANGUAGE_PLAIN},
        {"gpt-oss", "model.layers.1.mlp.experts.down_proj_scales", "blk.1.ffn_down_exps.scales",
         LANGUAGE_PLAIN},
        {"llama", "model.layers.1.self_attn.rotary_emb.inv_freq", NULL, LANGUAGE_UNKNOWN},
        {"llama", "model.layers.x.self_attn.q_proj.weight", NULL, LANGUAGE_UNKNOWN},
        {"llama", "model.layers..self_attn.q_proj.weight", NULL, LANGUAGE_UNKNOWN},
        {"llama", "model.layers.1.self_attn.q_proj.", NULL, LANGUAGE_UNKNOWN},
        {"llama", "model.layers.1.self_attn.sinks.weight", NULL, LANGUAGE_UNKNOWN},
        {"llama", "model.", NULL, LANGUAGE_UNKNOWN},
        {"llama", "", NULL, LANGUAGE_UNKNOWN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[LANGUAGE_NAME_MAX];
        assert_int_equal(language_names_map(rows[i].arch, rows[i].from, out), rows[i].kind);
        if (rows[i].to)
            assert_string_equal(out, rows[i].to);
    }
}

/* Names of any length do no harm. */
static void test_long(void **state)
{
    char name[4000], out[LANGUAGE_NAME_MAX];
    (void)state;
    for (size_t n = 20; n < sizeof(name); n++) {
        memset(name, '7', sizeof(name));
        memcpy(name, "layers.", 7);
        memcpy(name + n - 13, ".mlp.router.w", 13);
        name[n < sizeof(name) ? n : n - 1] = 0;
        if (language_names_map("llama", name, out) != LANGUAGE_UNKNOWN)
            assert_true(strlen(out) < LANGUAGE_NAME_MAX && strncmp(out, "blk.7", 5) == 0);
    }
}

static void test_types(void **state)
{
    (void)state;
    assert_string_equal(language_names_arch("mistral"), "llama");
    assert_string_equal(language_names_arch("gpt_oss"), "gpt-oss");
    assert_null(language_names_arch("clip"));
    assert_null(language_names_arch(""));
    assert_non_null(strstr(language_names_types(), ", qwen3_moe, "));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
