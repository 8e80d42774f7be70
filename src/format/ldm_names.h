/* ldm_names.h - from the tensor names of single-file checkpoints to diffusers' names.
 *
 * "LDM" is the code base (latent-diffusion, stable-diffusion, generative-models) whose names these
 * files keep. Its UNet numbers blocks in one row; how the row divides into levels is derived from
 * the tensors that are present, so one mapper serves SD1.x, SD2.x, SDXL and smaller kin:
 *
 *     input_blocks.0.0            conv_in                    output_blocks.0.0
 * up_blocks.0.resnets.0 input_blocks.1.0   down_blocks.0.resnets.0             output_blocks.0.1
 * ...attentions.0, or input_blocks.1.1   down_blocks.0.attentions.0              the upsampler, by
 * what it holds input_blocks.3.0   down_blocks.0.downsamplers.0  (.op)
 *
 * A ControlNet has the way down under `control_model`, with `input_hint_block`, `zero_convs` and
 * `middle_block_out` beside it.
 *
 * GGUF files of stable-diffusion.cpp use the same names, but for OpenCLIP's, which they write as
 * transformers does, under `cond_stage_model.transformer` (SD2.x) and `cond_stage_model.1` (SDXL).
 *
 * Source of the correspondence: diffusers' loaders/single_file_utils.py.
 */
#ifndef LAR_FORMAT_LDM_NAMES_H
#define LAR_FORMAT_LDM_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define LDM_NAME_MAX   256
#define LDM_MAX_BLOCKS 64
#define LDM_MAX_PARTS  4

/* What a place in a row of blocks holds. */
enum ldm_part { LDM_PART_NONE, LDM_PART_CONV, LDM_PART_RES, LDM_PART_ATTN, LDM_PART_RESAMPLE };

/* The structure of one file; see ldm_names_scan(). */
struct ldm_names {
    unsigned char part[3][LDM_MAX_BLOCKS][LDM_MAX_PARTS];  /* enum ldm_part: in, middle, out */
    unsigned char level[3][LDM_MAX_BLOCKS];                /* level of a block */
    unsigned char index[3][LDM_MAX_BLOCKS][LDM_MAX_PARTS]; /* among the level's resnets, ... */
    int n_up;            /* levels of the VAE's decoder, which counts them backwards */
    int last_layer;      /* of cond_stage_model's text encoder; -1 when there is none */
    bool has_projection; /* that encoder's text_projection is present */
};

enum ldm_kind {
    LDM_UNKNOWN,   /* no rule: the tensor keeps its name */
    LDM_PLAIN,     /* the same tensor under the new name */
    LDM_IGNORED,   /* not a weight of the model, or one the model does not use */
    LDM_QKV,       /* three tensors stacked by rows; '?' in the new name stands for q, k, v */
    LDM_TRANSPOSED /* stored [in, out] */
};

/* Does this name belong to such a file? */
bool ldm_names_match(const char *name);

void ldm_names_init(struct ldm_names *l);
void ldm_names_scan(struct ldm_names *l,
                    const char *name);      /* every name of the file, in any order */
void ldm_names_finish(struct ldm_names *l); /* then once */

/* Writes the diffusers name with its component ("unet.conv_in.weight") into out. */
enum ldm_kind ldm_names_map(const struct ldm_names *l, const char *name, char out[LDM_NAME_MAX]);

/* TAESD's own numbering ("1.weight", "3.conv.0.bias") to `vae.decoder.layers.0.weight`...; the
 * decoder's first module is a clamp without weights, so its numbers are one higher. */
bool ldm_names_map_taesd(bool decoder, const char *name, char out[LDM_NAME_MAX]);

/* Older diffusers names of the VAE's attention (query, key, value, proj_attn) to today's; `name`
 * has its component. False when nothing changes. */
bool ldm_names_map_old_vae(const char *name, char out[LDM_NAME_MAX]);

#endif
