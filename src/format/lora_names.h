/* lora_names.h - which weight of a checkpoint a LoRA's module is an addition to.
 *
 *     unet_down_blocks_0_attentions_0_proj_in        diffusers' name with underscores
 *     unet_input_blocks_1_1_proj_in                  the original ("LDM") name of the same module
 *     unet:0                                         the UNet's first module of attention, in the
 *                                                    order of cloneofsimo's injection
 *
 * Underscores cannot be turned back into dots, so the table is made from the weights that the
 * checkpoint has. LDM numbers follow from how many resnets and samplers each block has.
 */
#ifndef LAR_FORMAT_LORA_NAMES_H
#define LAR_FORMAT_LORA_NAMES_H

#include "base/map.h"

struct checkpoint;
struct ckpt_tensor;

/* Borrows the checkpoint. A zeroed one is empty. */
struct lora_names {
    struct map weights; /* module -> const struct ckpt_tensor */
};

void lora_names_init(struct lora_names *n, const struct checkpoint *c);
void lora_names_release(struct lora_names *n);

/* The weight of the module of this name (lora_file.h); NULL when the model has none. */
const struct ckpt_tensor *lora_names_find(const struct lora_names *n, const char *module);

#endif
