/* lora_place.h - one module of a LoRA file beside the weight it is an addition to: for lora.c,
 * which makes low-rank additions, and lora_dense.c, which makes whole weights.
 */
#ifndef LAR_MODELS_LORA_PLACE_H
#define LAR_MODELS_LORA_PLACE_H

#include "format/lora_file.h"
#include "tensor/tensor.h"

struct buf;
struct checkpoint;
struct ckpt_tensor;
struct err;

struct lora_place {
    const struct checkpoint *c;
    const struct lora_file *f;
    const struct lora_module *m;
    const struct ckpt_tensor *w;
    int64_t n_out, n_in, kh, kw; /* of the weight; kh = kw = 1 for a linear layer */
    double strength;
    struct err *e;
};

/* "; it was made for SDXL, and this.safetensors is SD 1.x" as far as that is known. */
void lora_place_families(struct buf *b, const struct checkpoint *c, const struct lora_file *f);

/* Dimension i of a part, 1 beyond the last. */
int64_t lora_place_dim(const struct file_tensor *t, int i);

/* A part as a tensor that borrows the mapping. Its shape must be d up to trailing ones, its type
 * one of floats; 1x1 windows are dropped. */
int lora_place_take(const struct lora_place *p, const struct file_tensor *t, const int64_t d[4],
                    struct tensor *out);

/* ERR_FORMAT: the module has no such part. */
int lora_place_lacks(const struct lora_place *p, const char *part);

/* alpha / rank */
int lora_place_scale(const struct lora_place *p, int64_t rank, double *scale);

#endif
