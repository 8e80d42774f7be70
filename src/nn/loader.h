/* loader.h - from a checkpoint's tensors to a model's fields.
 *
 * Big weights become tensors that point into the mapping, in their own type; vectors (biases,
 * norms) are small and become f32 copies. Names are given below nested scopes, as on the tape:
 *
 *     load_push(l, "down_blocks.%d", i);
 *     conv->w = load_weight(l, "conv.weight", 4, (int64_t[]){c_out, c_in, 3, 3});
 *     load_pop(l);
 *
 * Errors are sticky: the first missing or misshapen tensor is named in the error, later loads
 * return NULL, and load_done() reports.
 */
#ifndef LAR_NN_LOADER_H
#define LAR_NN_LOADER_H

#include "tensor/tensor.h"

struct arena;
struct checkpoint;
struct ckpt_tensor;
struct err;

#define LOAD_ANY ((int64_t)-1) /* a dimension that the file decides */

struct loader {
    const struct checkpoint *file;
    struct arena *arena; /* owns the tensors and copies */
    struct err *err;     /* borrowed; holds the first failure */
    int rc;
    char scope[192];
    size_t scope_len[12];
    int depth;
};

/* Starts at a component: "unet", "vae", "text_encoder"; "" for a language model. */
void load_start(struct loader *l, const struct checkpoint *file, struct arena *arena,
                const char *component, struct err *e);
void load_push(struct loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void load_pop(struct loader *l);
int load_done(const struct loader *l); /* 0 or the first failure */

/* Is there a tensor of this name below the scope? */
bool load_has(const struct loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Is there any tensor below this name? An optional part of which one tensor is lost is still there,
 * so that the loss is reported instead of the part being left out. */
bool load_has_any(const struct loader *l, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* One more than the highest i with a tensor below "<stem>.<i>": what is lost in between is missed
 * by name later. */
int load_count(const struct loader *l, const char *stem);
/* Dimension `axis` of a tensor, 0 when it is absent or has fewer. */
int64_t load_dim(const struct loader *l, const char *name, int axis);

/* A weight of this shape. Trailing dimensions of 1 in the file are dropped when n_dim is smaller
 * and added when it is larger, so that 1x1 convolutions and linear layers are one thing. */
struct tensor *load_weight(struct loader *l, const char *name, int n_dim, const int64_t *dim);
struct tensor *load_matrix(struct loader *l, const char *name, int64_t rows, int64_t cols);
/* The rows first .. first + n of a matrix with any number of rows. */
struct tensor *load_rows(struct loader *l, const char *name, int64_t first, int64_t n,
                         int64_t cols);
/* f32 copies: of this shape, of n values. */
struct tensor *load_floats(struct loader *l, const char *name, int n_dim, const int64_t *dim);
struct tensor *load_vector(struct loader *l, const char *name, int64_t n);
/* A tensor of any type and shape as it is in the file, or NULL after an error. */
const struct ckpt_tensor *load_raw(struct loader *l, const char *name);

/* Records a failure of the model itself ("%s needs ..."). */
void load_fail(struct loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
