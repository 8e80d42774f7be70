/* language_names.c - see language_names.h. */
#include "format/language_names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* X(model_type, architecture) */
#define TYPES(X)               \
    X("llama", "llama")        \
    X("mistral", "llama")      \
    X("mixtral", "llama")      \
    X("qwen2", "qwen2")        \
    X("qwen3", "qwen3")        \
    X("qwen3_moe", "qwen3moe") \
    X("gemma2", "gemma2")      \
    X("gemma3", "gemma3")      \
    X("gemma3_text", "gemma3") \
    X("phi3", "phi3")          \
    X("smollm3", "smollm3")    \
    X("olmo2", "olmo2")        \
    X("gpt_oss", "gpt-oss")    \
    X("bert", "bert")          \
    X("nomic_bert", "nomic-bert")

static const struct type {
    const char *type, *arch;
} types[] = {
#define X(type, arch) {type, arch},
    TYPES(X)
#undef X
};

const char *language_names_arch(const char *model_type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i].type, model_type) == 0)
            return types[i].arch;
    return NULL;
}

const char *language_names_types(void)
{
#define X(type, arch) ", " type
    static const char all[] = TYPES(X);
#undef X
    return all + 2;
}

/* '#' is a number, '*' the rest. Rows with an architecture stand before those for all. */
static const struct rule {
    const char *from, *to, *arch;
    enum language_kind_of_name kind;
} rules[] = {
    /* Encoders; nomic-bert has transformers' names and those of the model's own code. */
    {"embeddings.word_embeddings.*", "token_embd.*", NULL, LANGUAGE_PLAIN},
    {"embeddings.position_embeddings.*", "position_embd.*", NULL, LANGUAGE_PLAIN},
    {"embeddings.token_type_embeddings.*", "token_types.*", NULL, LANGUAGE_PLAIN},
    {"embeddings.LayerNorm.*", "token_embd_norm.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layer.#.attention.self.query.*", "blk.#.attn_q.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layer.#.attention.self.key.*", "blk.#.attn_k.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layer.#.attention.self.value.*", "blk.#.attn_v.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layer.#.attention.output.dense.*", "blk.#.attn_output.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layer.#.attention.output.LayerNorm.*", "blk.#.attn_output_norm.*", NULL,
     LANGUAGE_PLAIN},
    {"encoder.layer.#.intermediate.dense.*", "blk.#.ffn_up.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layer.#.output.dense.*", "blk.#.ffn_down.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layer.#.output.LayerNorm.*", "blk.#.layer_output_norm.*", NULL, LANGUAGE_PLAIN},
    {"emb_ln.*", "token_embd_norm.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layers.#.attn.Wqkv.*", "blk.#.attn_qkv.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layers.#.attn.out_proj.*", "blk.#.attn_output.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layers.#.norm1.*", "blk.#.attn_output_norm.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layers.#.norm2.*", "blk.#.layer_output_norm.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layers.#.mlp.fc11.*", "blk.#.ffn_up.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layers.#.mlp.fc12.*", "blk.#.ffn_gate.*", NULL, LANGUAGE_PLAIN},
    {"encoder.layers.#.mlp.fc2.*", "blk.#.ffn_down.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.post_attention_layernorm.*", "blk.#.attn_output_norm.*", "nomic-bert",
     LANGUAGE_PLAIN},
    {"layers.#.post_mlp_layernorm.*", "blk.#.layer_output_norm.*", "nomic-bert", LANGUAGE_PLAIN},
    {"embed_tokens.*", "token_embd.*", NULL, LANGUAGE_PLAIN},
    {"norm.*", "output_norm.*", NULL, LANGUAGE_PLAIN},
    {"lm_head.*", "output.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.self_attn.q_proj.*", "blk.#.attn_q.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.self_attn.k_proj.*", "blk.#.attn_k.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.self_attn.v_proj.*", "blk.#.attn_v.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.self_attn.qkv_proj.*", "blk.#.attn_qkv.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.self_attn.o_proj.*", "blk.#.attn_output.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.self_attn.q_norm.*", "blk.#.attn_q_norm.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.self_attn.k_norm.*", "blk.#.attn_k_norm.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.self_attn.sinks", "blk.#.attn_sinks.weight", NULL, LANGUAGE_PLAIN},
    {"layers.#.input_layernorm.*", "blk.#.attn_norm.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.post_attention_layernorm.*", "blk.#.post_attention_norm.*", "gemma2",
     LANGUAGE_PLAIN},
    {"layers.#.post_attention_layernorm.*", "blk.#.post_attention_norm.*", "gemma3",
     LANGUAGE_PLAIN},
    {"layers.#.post_attention_layernorm.*", "blk.#.post_attention_norm.*", "olmo2", LANGUAGE_PLAIN},
    {"layers.#.post_attention_layernorm.*", "blk.#.post_attention_norm.*", "gpt-oss",
     LANGUAGE_PLAIN}, /* GGUF's name for what it is not */
    {"layers.#.post_attention_layernorm.*", "blk.#.ffn_norm.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.pre_feedforward_layernorm.*", "blk.#.ffn_norm.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.post_feedforward_layernorm.*", "blk.#.post_ffw_norm.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.gate_proj.*", "blk.#.ffn_gate.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.up_proj.*", "blk.#.ffn_up.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.gate_up_proj.*", "blk.#.ffn_up.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.down_proj.*", "blk.#.ffn_down.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.block_sparse_moe.gate.*", "blk.#.ffn_gate_inp.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.block_sparse_moe.experts.#.w1.*", "blk.#.ffn_gate.#.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.block_sparse_moe.experts.#.w2.*", "blk.#.ffn_down.#.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.block_sparse_moe.experts.#.w3.*", "blk.#.ffn_up.#.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.gate.*", "blk.#.ffn_gate_inp.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.router.*", "blk.#.ffn_gate_inp.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.experts.#.gate_proj.*", "blk.#.ffn_gate.#.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.experts.#.down_proj.*", "blk.#.ffn_down.#.*", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.experts.#.up_proj.*", "blk.#.ffn_up.#.*", NULL, LANGUAGE_PLAIN},
    /* gpt-oss has rows of gate and up in turn; nn/experts.c takes them apart. */
    {"layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_gate_up_exps.weight", NULL,
     LANGUAGE_TRANSPOSED},
    {"layers.#.mlp.experts.gate_up_proj_bias", "blk.#.ffn_gate_up_exps.bias", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.experts.gate_up_proj_blocks", "blk.#.ffn_gate_up_exps.blocks", NULL,
     LANGUAGE_PLAIN},
    {"layers.#.mlp.experts.gate_up_proj_scales", "blk.#.ffn_gate_up_exps.scales", NULL,
     LANGUAGE_PLAIN},
    {"layers.#.mlp.experts.down_proj", "blk.#.ffn_down_exps.weight", NULL, LANGUAGE_TRANSPOSED},
    {"layers.#.mlp.experts.down_proj_bias", "blk.#.ffn_down_exps.bias", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.experts.down_proj_blocks", "blk.#.ffn_down_exps.blocks", NULL, LANGUAGE_PLAIN},
    {"layers.#.mlp.experts.down_proj_scales", "blk.#.ffn_down_exps.scales", NULL, LANGUAGE_PLAIN},
};

/* Does the name fit? Notes where its numbers begin and where what the star stands for does. */
static bool fits(const char *rule, const char *name, const char *number[2], const char **rest)
{
    int n = 0;
    for (; *rule && *rule != '*'; rule++) {
        if (*rule != '#') {
            if (*name++ != *rule)
                return false;
            continue;
        }
        number[n++] = name;
        if (!isdigit((unsigned char)*name))
            return false;
        while (isdigit((unsigned char)*name))
            name++;
    }
    *rest = name;
    return *rule ? *name != 0 : *name == 0;
}

static void append(char out[LANGUAGE_NAME_MAX], const char *s, size_t n)
{
    size_t have = strlen(out), room = LANGUAGE_NAME_MAX - 1 - have;
    snprintf(out + have, room + 1, "%.*s", (int)(n < room ? n : room), s);
}

enum language_kind_of_name language_names_map(const char *arch, const char *name,
                                              char out[LANGUAGE_NAME_MAX])
{
    /* Of the modules around the decoder; models that also see have one more. */
    static const char *const outer[] = {"language_model.model.",
                                        "model.language_model.",
                                        "language_model.",
                                        "model.",
                                        "bert.",
                                        "nomic_bert."};
    const char *number[2] = {name, name}, *rest;
    if (strlen(name) >= LANGUAGE_NAME_MAX)
        return LANGUAGE_UNKNOWN; /* none of these; whatever is mapped is no longer than it was */
    for (size_t i = 0; i < sizeof(outer) / sizeof(outer[0]); i++)
        if (strncmp(name, outer[i], strlen(outer[i])) == 0) {
            name += strlen(outer[i]);
            break;
        }
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const struct rule *r = &rules[i];
        int n = 0;
        if ((r->arch && strcmp(r->arch, arch) != 0) || !fits(r->from, name, number, &rest))
            continue;
        out[0] = 0;
        for (const char *c = r->to; *c; c++) {
            if (*c == '#' && n < 2) {
                append(out, number[n], strspn(number[n], "0123456789"));
                n++;
            } else {
                append(out, *c == '*' ? rest : c, *c == '*' ? strlen(rest) : 1);
            }
        }
        return r->kind;
    }
    return LANGUAGE_UNKNOWN;
}
