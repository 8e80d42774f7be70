/* tensor.c - see tensor.h. */
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdio.h>

int64_t tensor_n(const struct tensor *x)
{
    int64_t n = 1;
    for (int i = 0; i < x->n_dim; i++)
        n *= x->dim[i];
    return n;
}

int64_t tensor_n_cols(const struct tensor *x)
{
    return x->dim[x->n_dim - 1];
}

int64_t tensor_n_rows(const struct tensor *x)
{
    return tensor_n(x) / tensor_n_cols(x);
}

size_t tensor_size(const struct tensor *x)
{
    return dtype_row_size(x->type, tensor_n(x));
}

bool tensor_same_shape(const struct tensor *a, const struct tensor *b)
{
    if (a->n_dim != b->n_dim)
        return false;
    for (int i = 0; i < a->n_dim; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

const char *tensor_shape_text(const struct tensor *x, char out[TENSOR_SHAPE_TEXT])
{
    size_t n = 0;
    for (int i = 0; i < x->n_dim; i++)
        n += (size_t)snprintf(out + n, TENSOR_SHAPE_TEXT - n, "%s%" PRId64, i ? ", " : "[",
                              x->dim[i]);
    snprintf(out + n, TENSOR_SHAPE_TEXT - n, "]");
    return out;
}
