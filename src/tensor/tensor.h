/* tensor.h - a typed, contiguous, row-major array that is either a weight or a step of a tape. */
#ifndef LAR_TENSOR_TENSOR_H
#define LAR_TENSOR_TENSOR_H

#include "tensor/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TENSOR_MAX_DIM 4

/* Shapes are written outermost first: [n, h, w, c]; the last dimension is contiguous. Blocks of
 * quantised types run through the elements in that order, over the ends of rows where these are no
 * multiple of a block. */
struct tensor {
    enum dtype type;
    int n_dim;                   /* 1 .. TENSOR_MAX_DIM */
    int64_t dim[TENSOR_MAX_DIM]; /* all >= 1; unused ones are 1 */
    void *data;                  /* weights: in the mapping, never written; activations: planned */
    const char *name; /* "down_blocks.0.resnets.0"; borrowed from the tape or the model */

    /* The rest belongs to the tape. */
    struct tensor *base;   /* a view shares the memory of this tensor; NULL for an owner */
    size_t offset;         /* of an owner, in the tape's activation memory */
    int first_op, last_op; /* lifetime of an owner: written by first_op, last read by last_op */
    bool planned;          /* lives in the tape's activation memory */
    bool kept;             /* readable after tape_run() */
    bool constant;         /* the same in every run until the next tape_plan() */
};

int64_t tensor_n(const struct tensor *x);      /* number of elements */
int64_t tensor_n_rows(const struct tensor *x); /* elements / last dimension */
int64_t tensor_n_cols(const struct tensor *x); /* last dimension */
size_t tensor_size(const struct tensor *x);    /* bytes */
bool tensor_same_shape(const struct tensor *a, const struct tensor *b);

/* "[2, 64, 64, 320]" into out; returns out. */
#define TENSOR_SHAPE_TEXT 96
const char *tensor_shape_text(const struct tensor *x, char out[TENSOR_SHAPE_TEXT]);

#endif
