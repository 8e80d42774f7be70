/* lora_stack.h - the LoRAs of one request: files opened, laid over the model, ready for its tapes.
 */
#ifndef LAR_PIPELINE_LORA_STACK_H
#define LAR_PIPELINE_LORA_STACK_H

#include "nn/adapter.h"

struct checkpoint;
struct err;
struct lora_file;

/* One LoRA and how strongly it acts on the UNet and on the text encoders: 1 is as trained, 0 not at
 * all, and less than 0 the other way. */
struct imagine_lora {
    const char *path; /* borrowed */
    double unet, text;
};

/* A zeroed one is empty. */
struct lora_stack {
    struct lora_file *files; /* owned; mapped while the adapters are in use */
    int n;
    struct adapters adapters;
    /* Owned; tells apart what the LoRAs make of the text encoders: files, their times and weights.
     * "" when nothing, NULL when it cannot be told. */
    char *text_id;
};

/* Opens the n files for this model; none of them is read but for its header. Errors as those of
 * lora_file_open() and lora_apply(); nothing is held then. */
int lora_stack_open(struct lora_stack *s, const struct checkpoint *model,
                    const struct imagine_lora *loras, int n, struct err *e);
void lora_stack_close(struct lora_stack *s);

#endif
