/* file_tensor.h - a tensor as the parsers of weight files see it. */
#ifndef LAR_FORMAT_FILE_TENSOR_H
#define LAR_FORMAT_FILE_TENSOR_H

#include "tensor/dtype.h"

#include <stddef.h>
#include <stdint.h>

#define FILE_TENSOR_MAX_DIM 8

/* Pointers are borrowed from the parsed file. The bytes data..data + size lie inside the file;
 * no two tensors overlap, but for PyTorch's tied ones; for a known type size is what the dimensions
 * need. */
struct file_tensor {
    const char *name;
    enum dtype type;
    const char *type_name; /* as the format writes it */
    int n_dim;
    int64_t dim[FILE_TENSOR_MAX_DIM]; /* PyTorch order, row major */
    const unsigned char *data;
    size_t size;
};

#endif
