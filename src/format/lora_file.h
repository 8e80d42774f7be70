/* lora_file.h - what a LoRA file holds: for each module of a model the parts of an addition to its
 * weight, whatever program wrote the file.
 *
 *     lora_unet_mid_block_attentions_0_proj_in.lora_down.weight      kohya, A1111
 *     unet.mid_block.attentions.0.proj_in.lora_A.weight              peft, diffusers
 *     mid_block.attentions.0.proj_in.lora.down.weight                older diffusers
 *         --> module "unet_mid_block_attentions_0_proj_in", part LORA_DOWN
 *
 * kohya writes underscores for the dots between modules, so module names are kept in that form:
 * which module of the model one is follows from the model (models/lora.h).
 *
 *     LoRA, LoCon    up mid? down                                    arXiv:2106.09685, LyCORIS
 *     LoHa           (w1_a w1_b) o (w2_a w2_b)                       arXiv:2108.06098
 *     LoKr           w1 (x) w2, each whole or a product              LyCORIS
 *     DoRA           a magnitude for each row of the changed weight  arXiv:2402.09353
 *     full           diff: the whole difference
 */
#ifndef LAR_FORMAT_LORA_FILE_H
#define LAR_FORMAT_LORA_FILE_H

#include "base/arena.h"
#include "base/map.h"
#include "format/weights.h"

#include <stdbool.h>
#include <stddef.h>

struct err;
struct json_t;

enum lora_part {
    LORA_DOWN,  /* [r, in] or [r, in, kh, kw] */
    LORA_UP,    /* [out, r] */
    LORA_MID,   /* [r, r, kh, kw]; down is [r, in] then */
    LORA_ALPHA, /* a scalar: the product is scaled by alpha / r */
    LORA_MAGNITUDE,
    LORA_HADA_W1_A, /* [out, r], with a middle [r, out] */
    LORA_HADA_W1_B, /* [r, in kh kw] or [r, in] */
    LORA_HADA_W2_A,
    LORA_HADA_W2_B,
    LORA_HADA_T1, /* [r, r, kh, kw] */
    LORA_HADA_T2,
    LORA_KRON_W1, /* [a, b] */
    LORA_KRON_W1_A,
    LORA_KRON_W1_B,
    LORA_KRON_W2, /* [c, d] or [c, d, kh, kw]; a c = out, b d = in */
    LORA_KRON_W2_A,
    LORA_KRON_W2_B,
    LORA_KRON_T2,
    LORA_DIFF, /* the weight's shape */
    LORA_DIFF_B,
    N_LORA_PART
};

/* Borrowed from the file's tensors; NULL: not there. */
struct lora_module {
    char *name; /* "unet_mid_block_attentions_0_proj_in", or "unet:12" of cloneofsimo's files, which
                   number the modules */
    const struct file_tensor *part[N_LORA_PART];
};

struct lora_file {
    struct weights weights;
    struct arena arena;
    struct lora_module *modules; /* in the order of the file; owned */
    size_t n_modules;
    struct map by_name;       /* -> index + 1 */
    const struct map *meta;   /* __metadata__: key -> char *; borrowed, or NULL */
    struct json_t *diffusers; /* its lora_adapter_metadata; owned, or NULL */
    const char **others;      /* tensors that are no part of an addition; owned array */
    size_t n_others;
};

/* Opens a safetensors file. ERR_FORMAT with the file's name and what to do when it holds no
 * additions at all, or two tensors for one part. */
int lora_file_open(struct lora_file *f, const char *path, struct err *e);
void lora_file_close(struct lora_file *f); /* a zeroed one is fine */

/* The same for tensors that are already parsed. `meta` may be NULL. */
int lora_file_read(struct lora_file *f, const struct file_tensor *tensors, size_t n,
                   const struct map *meta, struct err *e);

const char *lora_file_path(const struct lora_file *f);
const char *lora_file_meta(const struct lora_file *f, const char *key); /* or NULL */

/* The id that kohya and AUTOMATIC1111 show: the first 12 hexadecimal digits of the SHA-256 of the
 * tensors without the header, from the metadata where that says it. */
#define LORA_FILE_HASH 13
int lora_file_hash(const struct lora_file *f, char out[LORA_FILE_HASH], struct err *e);

/* What alpha is where the module has no such tensor: the rank, which means a scale of 1, unless the
 * metadata of diffusers says otherwise. */
double lora_file_alpha(const struct lora_file *f, const struct lora_module *m, int64_t rank);

/* Reads a number from a scalar tensor of any float type; false when it is none. */
bool lora_file_scalar(const struct file_tensor *t, double *value);

#define LORA_NAME_MAX 256
/* Splits a tensor's name into module and part. False when it is no part of an addition. */
bool lora_name_split(const char *tensor, char module[LORA_NAME_MAX], enum lora_part *part);

#endif
