/* lora.h - a LoRA file laid over a checkpoint: each of its modules becomes an addition to one
 * weight (nn/adapter.h).
 *
 *     LoRA, LoCon    up (mid (down x)), used where the file is mapped
 *     LoHa           (A1 B1) o (A2 B2) is a product of rank r1 r2: row (i, j) of its down is
 *                    B1_i o B2_j, column (i, j) of its up A1_i o A2_j (Khatri-Rao)
 *     LoKr, DoRA, full differences, and LoHas of a rank at which the product would cost more than
 * the layer itself: the changed weight, computed once (lora_dense.h)
 */
#ifndef LAR_MODELS_LORA_H
#define LAR_MODELS_LORA_H

struct adapters;
struct checkpoint;
struct err;
struct lora_file;

/* How strongly it acts; 1 is as trained, 0 leaves the weights alone. */
struct lora_strength {
    double unet, text;
};

/* Lays the file over the checkpoint. Both must outlive `a`. ERR_FORMAT names file and tensor when
 * it is damaged, and says for which kind of model it was made when most of it finds no place; a few
 * modules without one are only a warning. ERR_UNSUPPORTED for what cannot be computed, ERR_NOMEM.
 */
int lora_apply(struct adapters *a, const struct checkpoint *c, const struct lora_file *f,
               struct lora_strength strength, struct err *e);

/* The kind of model that a file was made for: "SD 1.x", "SD 2.x", "SDXL", "FLUX", or NULL when that
 * cannot be told. */
const char *lora_family(const struct lora_file *f);

#endif
