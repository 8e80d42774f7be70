/* mix_test.c - the types of a whole model's tensors, counted, for every recipe. The counts were
 * taken from files that llama.cpp's llama-quantize made of the same shapes. */
#include "support/test.h"

#include "format/file_tensor.h"
#include "format/mix.h"

#include <stdio.h>
#include <string.h>

static struct file_tensor tensor(const char *name, int n_dim, int64_t columns)
{
    struct file_tensor t = {.name = name, .type = DTYPE_F16, .n_dim = n_dim};
    for (int i = 0; i < n_dim; i++)
        t.dim[i] = 8;
    t.dim[n_dim - 1] = columns;
    return t;
}

static void names_are_found(void **state)
{
    (void)state;
    assert_string_equal(mix_find("Q4_K_M")->name, "q4_k_m");
    assert_string_equal(mix_find("q4_k")->name, "q4_k_m");
    assert_string_equal(mix_find("q3_k")->name, "q3_k_m");
    assert_int_equal(mix_find("iq4_nl")->type, DTYPE_IQ4_NL);
    assert_null(mix_find("q4"));
    assert_null(mix_find("i32"));
    assert_string_equal(mix_of_type(DTYPE_Q4_K)->name, "q4_k_s");
    assert_int_equal(mix_of_type(DTYPE_Q8_0)->file_type, 7);
    assert_null(mix_of_type(DTYPE_OTHER));
    assert_null(mix_at(100));
}

static void only_matrices_are_taken(void **state)
{
    static const struct {
        const char *name;
        int n_dim;
        bool takes;
    } rows[] = {{"blk.0.attn_q.weight", 2, true},       {"blk.0.attn_q.bias", 1, false},
                {"blk.3.attn_norm.weight", 1, false},   {"blk.3.ffn_gate_inp.weight", 2, false},
                {"blk.3.ffn_up_exps.weight", 3, true},  {"token_embd.weight", 2, true},
                {"position_embd.weight", 2, false},     {"token_types.weight", 2, false},
                {"blk.3.attn_q_norm.weight", 2, false}, {"blk.3.attn_sinks", 2, false}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct file_tensor t = tensor(rows[i].name, rows[i].n_dim, 256);
        assert_int_equal(mix_takes(&t), rows[i].takes);
    }
    struct file_tensor t = tensor("blk.0.x.weight", 2, 256);
    t.type = DTYPE_I32;
    assert_false(mix_takes(&t));
}

#define LAYERS 16

/* One letter per layer: K Q6_K, 5 Q5_K, 4 Q4_K, 3 Q3_K, 2 Q2_K, N IQ4_NL, X IQ4_XS, 8 Q8_0, M
 * MXFP4, o Q4_0, p Q5_0. */
static char letter(enum dtype type)
{
    static const struct {
        enum dtype type;
        char letter;
    } rows[] = {{DTYPE_Q6_K, 'K'},  {DTYPE_Q5_K, '5'},   {DTYPE_Q4_K, '4'},   {DTYPE_Q3_K, '3'},
                {DTYPE_Q2_K, '2'},  {DTYPE_IQ4_NL, 'N'}, {DTYPE_IQ4_XS, 'X'}, {DTYPE_Q8_0, '8'},
                {DTYPE_MXFP4, 'M'}, {DTYPE_Q4_0, 'o'},   {DTYPE_Q5_0, 'p'}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].type == type)
            return rows[i].letter;
    return '?';
}

static void check(const char *mix, const struct mix_model *m, const char *part, const char *want)
{
    char have[LAYERS + 1] = {0}, name[64];
    for (int i = 0; i < LAYERS; i++) {
        snprintf(name, sizeof(name), "blk.%d.%s.weight", i, part);
        struct file_tensor t = tensor(name, 2, 512);
        have[i] = letter(mix_type(mix_find(mix), m, &t));
    }
    if (strcmp(have, want) != 0)
        fail_msg("%s, %s: %s, not %s", mix, part, have, want);
}

static void layers_get_what_llama_cpp_gives_them(void **state)
{
    static const struct {
        const char *mix, *attn_v, *ffn_down, *attn_output, *ffn_up;
    } rows[] = {
        {"q2_k", "4444444444444444", "3333333333333333", "3333333333333333", "2222222222222222"},
        {"q3_k_s", "3333333333333333", "3333333333333333", "3333333333333333", "3333333333333333"},
        {"q3_k_m", "5544444444444444", "5444444444444444", "4444444444444444", "3333333333333333"},
        {"q3_k_l", "5555555555555555", "5555555555555555", "5555555555555555", "3333333333333333"},
        {"q4_k_s", "5555444444444444", "5544444444444444", "4444444444444444", "4444444444444444"},
        {"q4_k_m", "KK44K44K44K44KKK", "KK44K44K44K44KKK", "4444444444444444", "4444444444444444"},
        {"q5_k_s", "5555555555555555", "5555555555555555", "5555555555555555", "5555555555555555"},
        {"q5_k_m", "KK55K55K55K55KKK", "KK55K55K55K55KKK", "5555555555555555", "5555555555555555"},
        {"q6_k", "KKKKKKKKKKKKKKKK", "KKKKKKKKKKKKKKKK", "KKKKKKKKKKKKKKKK", "KKKKKKKKKKKKKKKK"},
        {"iq4_nl", "5555555555555555", "55NNNNNNNNNNNNNN", "NNNNNNNNNNNNNNNN", "NNNNNNNNNNNNNNNN"},
        {"iq4_xs", "5555555555555555", "55XXXXXXXXXXXXXX", "XXXXXXXXXXXXXXXX", "XXXXXXXXXXXXXXXX"},
        {"q4_0", "oooooooooooooooo", "oooooooooooooooo", "oooooooooooooooo", "oooooooooooooooo"},
        {"q8_0", "8888888888888888", "8888888888888888", "8888888888888888", "8888888888888888"},
    };
    const struct mix_model m = {.n_layer = LAYERS, .n_head = 32, .n_head_kv = 8, .is_tied = true};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check(rows[i].mix, &m, "attn_v", rows[i].attn_v);
        check(rows[i].mix, &m, "ffn_down", rows[i].ffn_down);
        check(rows[i].mix, &m, "attn_output", rows[i].attn_output);
        check(rows[i].mix, &m, "ffn_up", rows[i].ffn_up);
    }
}

static void models_differ(void **state)
{
    struct mix_model eight = {.n_layer = LAYERS, .n_head = 8, .n_head_kv = 8, .n_expert = 8};
    struct mix_model full = {.n_layer = LAYERS, .n_head = 8, .n_head_kv = 8};
    struct mix_model falcon = {.n_layer = LAYERS, .is_falcon = true};
    (void)state;
    check("q4_k_m", &eight, "attn_v", "8888888888888888");
    check("q4_k_m", &eight, "attn_k", "8888888888888888");
    check("q4_k_m", &eight, "attn_output", "5555555555555555");
    check("q2_k", &full, "attn_v", "3333333333333333");
    check("iq4_nl", &full, "attn_v", "NNNNNNNNNNNNNNNN");
    check("q4_k_m", &falcon, "ffn_down", "K544544544544555");
    check("q4_k_m", &full, "attn_qkv", "KK44K44K44K44KKK");
}

static void output_and_shapes(void **state)
{
    struct mix_model tied = {.n_layer = 4, .is_tied = true}, own = {.n_layer = 4};
    struct file_tensor tokens = tensor("token_embd.weight", 2, 512);
    struct file_tensor output = tensor("output.weight", 2, 512);
    struct file_tensor small = tensor("blk.0.attn_q.weight", 2, 96);
    struct file_tensor odd = tensor("blk.0.attn_q.weight", 2, 50);
    struct file_tensor experts = tensor("blk.0.ffn_up_exps.weight", 3, 256);
    (void)state;
    assert_int_equal(mix_type(mix_find("q4_k_m"), &tied, &tokens), DTYPE_Q6_K);
    assert_int_equal(mix_type(mix_find("q4_k_m"), &own, &tokens), DTYPE_Q4_K);
    assert_int_equal(mix_type(mix_find("q4_0"), &own, &output), DTYPE_Q6_K);
    assert_int_equal(mix_type(mix_find("q8_0"), &own, &output), DTYPE_Q8_0);
    assert_int_equal(mix_type(mix_find("q4_k_s"), &own, &small), DTYPE_Q5_0);
    assert_int_equal(mix_type(mix_find("q2_k"), &own, &small), DTYPE_Q4_0);
    assert_int_equal(mix_type(mix_find("q4_k_s"), &own, &odd), DTYPE_F16);
    assert_int_equal(mix_type(mix_find("bf16"), &own, &odd), DTYPE_BF16);
    assert_int_equal(mix_type(mix_find("mxfp4"), &own, &experts), DTYPE_MXFP4);
    assert_int_equal(mix_type(mix_find("mxfp4"), &own, &small), DTYPE_Q8_0);
    output.dim[1] = 96; /* no whole block of Q4_K */
    assert_int_equal(mix_type(mix_find("q4_k_m"), &own, &output), DTYPE_Q8_0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(only_matrices_are_taken),
        cmocka_unit_test(layers_get_what_llama_cpp_gives_them),
        cmocka_unit_test(models_differ),
        cmocka_unit_test(output_and_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
