/* ldm_names.c - see ldm_names.h. The rules are tables of prefixes and what replaces them. */
#include "format/ldm_names.h"

#include <stdio.h>
#include <string.h>

/* A name that begins with `from` goes on with `to` instead. */
struct rule {
    const char *from, *to;
};

static const char unet[] = "model.diffusion_model.";

/* The places where each part of the model may stand in a file. */
static const struct component {
    const char *prefix, *to;
    enum { UNET, VAE, CLIP, OPENCLIP } kind;
} components[] = {
    {"model.diffusion_model.", "unet.", UNET},
    {"control_model.", "controlnet.", UNET},
    {"first_stage_model.", "vae.", VAE},
    {"cond_stage_model.transformer.", "text_encoder.", CLIP},
    {"cond_stage_model.model.", "text_encoder.", OPENCLIP},
    {"cond_stage_model.1.transformer.", "text_encoder_2.", CLIP},
    {"conditioner.embedders.0.transformer.", "text_encoder.", CLIP},
    {"conditioner.embedders.0.model.", "text_encoder_2.", OPENCLIP}, /* SDXL's refiner */
    {"conditioner.embedders.1.model.", "text_encoder_2.", OPENCLIP},
};

/* Tensors of training and schedules that checkpoints carry along. */
static const char *const ignored[] = {
    "model_ema.",
    "alphas_cumprod",
    "betas",
    "sqrt_",
    "log_one_minus_alphas_cumprod",
    "posterior_",
    "lvlb_weights",
    "logvar",
    "scale_factor",
    "denoiser.sigmas",
    "edm_mean",
    "edm_std",
    "first_stage_model.loss.",
    "first_stage_model.model_ema.",
    "first_stage_model.colorize",
};

static const struct rule unet_rules[] = {
    {"time_embed.0.", "time_embedding.linear_1."},
    {"time_embed.2.", "time_embedding.linear_2."},
    {"label_emb.0.0.", "add_embedding.linear_1."},
    {"label_emb.0.2.", "add_embedding.linear_2."},
    {"out.0.", "conv_norm_out."},
    {"out.2.", "conv_out."},
    /* ControlNets */
    {"middle_block_out.0.", "controlnet_mid_block."},
    {"input_hint_block.0.", "controlnet_cond_embedding.conv_in."},
    {"input_hint_block.2.", "controlnet_cond_embedding.blocks.0."},
    {"input_hint_block.4.", "controlnet_cond_embedding.blocks.1."},
    {"input_hint_block.6.", "controlnet_cond_embedding.blocks.2."},
    {"input_hint_block.8.", "controlnet_cond_embedding.blocks.3."},
    {"input_hint_block.10.", "controlnet_cond_embedding.blocks.4."},
    {"input_hint_block.12.", "controlnet_cond_embedding.blocks.5."},
    {"input_hint_block.14.", "controlnet_cond_embedding.conv_out."},
};

static const struct rule res_rules[] = {
    {"in_layers.0.", "norm1."},          {"in_layers.2.", "conv1."},
    {"emb_layers.1.", "time_emb_proj."}, {"out_layers.0.", "norm2."},
    {"out_layers.3.", "conv2."},         {"skip_connection.", "conv_shortcut."},
};

static const struct rule vae_rules[] = {
    {"quant_conv.", "quant_conv."},
    {"post_quant_conv.", "post_quant_conv."},
    {"encoder.conv_in.", "encoder.conv_in."},
    {"encoder.conv_out.", "encoder.conv_out."},
    {"encoder.norm_out.", "encoder.conv_norm_out."},
    {"decoder.conv_in.", "decoder.conv_in."},
    {"decoder.conv_out.", "decoder.conv_out."},
    {"decoder.norm_out.", "decoder.conv_norm_out."},
};

static const struct rule vae_res_rules[] = {
    {"norm1.", "norm1."},
    {"norm2.", "norm2."},
    {"conv1.", "conv1."},
    {"conv2.", "conv2."},
    {"nin_shortcut.", "conv_shortcut."},
};

static const struct rule vae_attn_rules[] = {
    {"norm.", "group_norm."},   {"q.", "to_q."}, {"k.", "to_k."}, {"v.", "to_v."},
    {"proj_out.", "to_out.0."},
};

static const struct rule old_vae_attn_rules[] = {
    {"query.", "to_q."},
    {"key.", "to_k."},
    {"value.", "to_v."},
    {"proj_attn.", "to_out.0."},
};

static const struct rule openclip_rules[] = {
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
    {"ln_final.", "text_model.final_layer_norm."},
};

static const struct rule resblock_rules[] = {
    {"ln_1.", "layer_norm1."},
    {"ln_2.", "layer_norm2."},
    {"attn.out_proj.", "self_attn.out_proj."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
    {"attn.in_proj_weight", "self_attn.?_proj.weight"},
    {"attn.in_proj_bias", "self_attn.?_proj.bias"},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool starts(const char **p, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(*p, prefix, n) != 0)
        return false;
    *p += n;
    return true;
}

/* A number of up to three digits and the dot after it. */
static bool number(const char **p, int *n)
{
    const char *s = *p;
    int v = 0;
    while (*s >= '0' && *s <= '9' && s - *p < 3)
        v = v * 10 + (*s++ - '0');
    if (s == *p || *s != '.')
        return false;
    *p = s + 1;
    *n = v;
    return true;
}

static bool write_name(char out[LDM_NAME_MAX], const char *a, const char *b, const char *c)
{
    int n = snprintf(out, LDM_NAME_MAX, "%s%s%s", a, b, c);
    return n > 0 && n < LDM_NAME_MAX;
}

/* head, then `rest` with its beginning replaced by the first rule that fits. */
static bool apply(const struct rule *rules, size_t n, const char *head, const char *rest, char *out)
{
    for (size_t i = 0; i < n; i++) {
        const char *p = rest;
        if (starts(&p, rules[i].from))
            return write_name(out, head, rules[i].to, p);
    }
    return false;
}

bool ldm_names_match(const char *name)
{
    for (size_t i = 0; i < COUNT(components); i++)
        if (strncmp(name, components[i].prefix, strlen(components[i].prefix)) == 0)
            return true;
    return false;
}

/* The place of a UNet tensor in its three rows of blocks. */
struct place {
    int row, block, part;
    const char *rest;
};

static bool find_place(const char *name, struct place *p)
{
    static const char *const rows[] = {"input_blocks.", "middle_block.", "output_blocks."};
    for (p->row = 0; p->row < 3; p->row++) {
        const char *s = name;
        if (!starts(&s, rows[p->row]))
            continue;
        p->block = 0;
        if (p->row != 1 && !number(&s, &p->block))
            return false;
        if (!number(&s, &p->part))
            return false;
        p->rest = s;
        return p->block < LDM_MAX_BLOCKS && p->part < LDM_MAX_PARTS;
    }
    return false;
}

static enum ldm_part part_of(const char *rest)
{
    if (starts(&rest, "in_layers.") || starts(&rest, "out_layers.") ||
        starts(&rest, "emb_layers.") || starts(&rest, "skip_connection."))
        return LDM_PART_RES;
    if (starts(&rest, "op.") || starts(&rest, "conv."))
        return LDM_PART_RESAMPLE;
    if (strcmp(rest, "weight") == 0 || strcmp(rest, "bias") == 0)
        return LDM_PART_CONV;
    return LDM_PART_ATTN;
}

void ldm_names_init(struct ldm_names *l)
{
    *l = (struct ldm_names){.last_layer = -1};
}

void ldm_names_scan(struct ldm_names *l, const char *name)
{
    struct place p;
    int n;
    if (starts(&name, unet) || starts(&name, "control_model.")) { /* alike where both are there */
        if (find_place(name, &p))
            l->part[p.row][p.block][p.part] = (unsigned char)part_of(p.rest);
    } else if (starts(&name, "first_stage_model.decoder.up.")) {
        if (number(&name, &n) && n >= l->n_up)
            l->n_up = n + 1;
    } else if (starts(&name, "cond_stage_model.model.transformer.resblocks.") ||
               starts(&name, "cond_stage_model.transformer.text_model.encoder.layers.")) {
        if (number(&name, &n) && n > l->last_layer)
            l->last_layer = n;
    } else if (strcmp(name, "cond_stage_model.model.text_projection") == 0 ||
               strcmp(name, "cond_stage_model.transformer.text_model.text_projection") == 0) {
        l->has_projection = true;
    }
}

/* A resampling part ends its level. */
void ldm_names_finish(struct ldm_names *l)
{
    for (int row = 0; row < 3; row++) {
        unsigned char level = 0, seen[5] = {0};
        for (int b = 0; b < LDM_MAX_BLOCKS; b++) {
            bool ends = false;
            l->level[row][b] = level;
            for (int k = 0; k < LDM_MAX_PARTS; k++) {
                int part = l->part[row][b][k];
                l->index[row][b][k] = seen[part]++;
                ends |= part == LDM_PART_RESAMPLE;
            }
            if (ends) {
                level++;
                memset(seen, 0, sizeof(seen));
            }
        }
    }
}

static bool map_block(const struct ldm_names *l, const char *to, const struct place *p, char *out)
{
    static const char *const rows[] = {"down_blocks.", "mid_block.", "up_blocks."};
    char head[96], level[8] = "";
    int index = l->index[p->row][p->block][p->part];
    const char *rest = p->rest;
    if (p->row != 1)
        snprintf(level, sizeof(level), "%d.", l->level[p->row][p->block]);
    switch (l->part[p->row][p->block][p->part]) {
    case LDM_PART_CONV:
        return p->row == 0 && p->block == 0 && write_name(out, to, "conv_in.", rest);
    case LDM_PART_RES:
        snprintf(head, sizeof(head), "%s%s%sresnets.%d.", to, rows[p->row], level, index);
        return apply(res_rules, COUNT(res_rules), head, rest, out);
    case LDM_PART_ATTN:
        snprintf(head, sizeof(head), "%s%s%sattentions.%d.", to, rows[p->row], level, index);
        return write_name(out, head, rest, "");
    case LDM_PART_RESAMPLE:
        snprintf(head, sizeof(head), "%s%s%s%s.0.conv.", to, rows[p->row], level,
                 p->row == 0 ? "downsamplers" : "upsamplers");
        return (starts(&rest, "op.") || starts(&rest, "conv.")) && write_name(out, head, rest, "");
    default:
        return false;
    }
}

/* `to` is "unet." or "controlnet.". */
static bool map_unet(const struct ldm_names *l, const char *to, const char *name, char *out)
{
    char head[64];
    struct place p;
    int n;
    if (find_place(name, &p))
        return map_block(l, to, &p, out);
    const char *rest = name;
    if (starts(&rest, "zero_convs.") && number(&rest, &n) && starts(&rest, "0.")) {
        snprintf(head, sizeof(head), "%scontrolnet_down_blocks.%d.", to, n);
        return write_name(out, head, rest, "");
    }
    return apply(unet_rules, COUNT(unet_rules), to, name, out);
}

/* encoder.down.I.block.J.REST, decoder.up.I.upsample.conv.REST and the like. */
static bool map_vae_level(const struct ldm_names *l, bool up, const char *s, char *out)
{
    char head[96];
    int level, index;
    if (!number(&s, &level) || (up && level >= l->n_up))
        return false;
    const char *side = up ? "decoder.up_blocks" : "encoder.down_blocks";
    level = up ? l->n_up - 1 - level : level;
    if (starts(&s, up ? "upsample.conv." : "downsample.conv.")) {
        snprintf(head, sizeof(head), "vae.%s.%d.%s.0.conv.", side, level,
                 up ? "upsamplers" : "downsamplers");
        return write_name(out, head, s, "");
    }
    if (!starts(&s, "block.") || !number(&s, &index))
        return false;
    snprintf(head, sizeof(head), "vae.%s.%d.resnets.%d.", side, level, index);
    return apply(vae_res_rules, COUNT(vae_res_rules), head, s, out);
}

static bool map_vae_mid(const char *side, const char *s, char *out)
{
    char head[96];
    bool first = starts(&s, "block_1.");
    if (first || starts(&s, "block_2.")) {
        snprintf(head, sizeof(head), "vae.%smid_block.resnets.%d.", side, first ? 0 : 1);
        return apply(vae_res_rules, COUNT(vae_res_rules), head, s, out);
    }
    snprintf(head, sizeof(head), "vae.%smid_block.attentions.0.", side);
    return starts(&s, "attn_1.") && apply(vae_attn_rules, COUNT(vae_attn_rules), head, s, out);
}

static bool map_vae(const struct ldm_names *l, const char *name, char *out)
{
    const char *s = name;
    if (starts(&s, "encoder.down."))
        return map_vae_level(l, false, s, out);
    if (starts(&s, "decoder.up."))
        return map_vae_level(l, true, s, out);
    if (starts(&s, "encoder.mid."))
        return map_vae_mid("encoder.", s, out);
    if (starts(&s, "decoder.mid."))
        return map_vae_mid("decoder.", s, out);
    return apply(vae_rules, COUNT(vae_rules), "vae.", name, out);
}

/* SD2.x conditions on the layer before the last. Files that come from the original training still
 * hold the last one, together with the projection that nothing uses; diffusers drops both. `part`
 * is the name behind the component's prefix. */
static bool is_unused(const struct ldm_names *l, const struct component *c, const char *part)
{
    int n;
    if (strstr(part, "position_ids") || strcmp(part, "logit_scale") == 0 ||
        strcmp(part, "attn_mask") == 0)
        return true;
    if (strcmp(c->to, "text_encoder.") != 0 || !l->has_projection)
        return false;
    if (starts(&part, "transformer.resblocks.") || starts(&part, "text_model.encoder.layers."))
        return number(&part, &n) && n == l->last_layer;
    return strcmp(part, "text_projection") == 0 || strcmp(part, "text_model.text_projection") == 0;
}

static enum ldm_kind map_clip(const char *to, const char *name, char *out)
{
    const char *s = name;
    if (strcmp(name, "text_model.text_projection") == 0)
        return write_name(out, to, "text_projection.weight", "") ? LDM_TRANSPOSED : LDM_UNKNOWN;
    if (!starts(&s, "text_model.") && strncmp(s, "embeddings.", 11) != 0 &&
        strncmp(s, "encoder.layers.", 15) != 0 && strncmp(s, "final_layer_norm.", 17) != 0)
        return write_name(out, to, name, "") ? LDM_PLAIN : LDM_UNKNOWN;
    return write_name(out, to, "text_model.", s) ? LDM_PLAIN : LDM_UNKNOWN;
}

static enum ldm_kind map_openclip(const struct component *c, const char *name, char *out)
{
    char head[96];
    int block;
    const char *s = name;
    if (strcmp(name, "text_projection") == 0)
        return write_name(out, c->to, "text_projection.weight", "") ? LDM_TRANSPOSED : LDM_UNKNOWN;
    if (starts(&s, "transformer.resblocks.") && number(&s, &block)) {
        snprintf(head, sizeof(head), "%stext_model.encoder.layers.%d.", c->to, block);
        if (!apply(resblock_rules, COUNT(resblock_rules), head, s, out))
            return LDM_UNKNOWN;
        return strchr(out, '?') ? LDM_QKV : LDM_PLAIN;
    }
    return apply(openclip_rules, COUNT(openclip_rules), c->to, name, out) ? LDM_PLAIN : LDM_UNKNOWN;
}

enum ldm_kind ldm_names_map(const struct ldm_names *l, const char *name, char out[LDM_NAME_MAX])
{
    for (size_t i = 0; i < COUNT(ignored); i++)
        if (strncmp(name, ignored[i], strlen(ignored[i])) == 0)
            return LDM_IGNORED;
    for (size_t i = 0; i < COUNT(components); i++) {
        const struct component *c = &components[i];
        const char *s = name;
        if (!starts(&s, c->prefix))
            continue;
        switch (c->kind) {
        case UNET:
            return map_unet(l, c->to, s, out) ? LDM_PLAIN : LDM_UNKNOWN;
        case VAE:
            return map_vae(l, s, out) ? LDM_PLAIN : LDM_UNKNOWN;
        case CLIP:
            return is_unused(l, c, s) ? LDM_IGNORED : map_clip(c->to, s, out);
        case OPENCLIP:
            return is_unused(l, c, s) ? LDM_IGNORED : map_openclip(c, s, out);
        }
    }
    return LDM_UNKNOWN;
}

bool ldm_names_map_taesd(bool decoder, const char *name, char out[LDM_NAME_MAX])
{
    char head[64];
    int layer;
    if (!number(&name, &layer) || (decoder && layer == 0))
        return false;
    snprintf(head, sizeof(head), "vae.%s.layers.%d.", decoder ? "decoder" : "encoder",
             layer - decoder);
    return write_name(out, head, name, "");
}

bool ldm_names_map_old_vae(const char *name, char out[LDM_NAME_MAX])
{
    char head[LDM_NAME_MAX];
    const char *s = strstr(name, ".attentions.");
    int index;
    if (strncmp(name, "vae.", 4) != 0 || !s)
        return false;
    s += strlen(".attentions.");
    if (!number(&s, &index) || (size_t)(s - name) >= sizeof(head))
        return false;
    memcpy(head, name, (size_t)(s - name));
    head[s - name] = 0;
    return apply(old_vae_attn_rules, COUNT(old_vae_attn_rules), head, s, out);
}
