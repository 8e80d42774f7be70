/* tamper.h - damages single tensors of a safetensors file, for tests of what happens then. */
#ifndef LAR_TESTS_SUPPORT_TAMPER_H
#define LAR_TESTS_SUPPORT_TAMPER_H

enum tamper {
    TAMPER_REMOVE,  /* the tensor is not in the header */
    TAMPER_RESHAPE, /* as many elements in dimensions that no layer takes */
    TAMPER_TYPE,    /* 16-bit integers instead of 16-bit floats */
};

/* Rewrites the file's header. A failure fails the running test. */
void tamper_tensor(const char *path, const char *tensor, enum tamper how);

/* Adds or replaces a text of the file's metadata. */
void tamper_metadata(const char *path, const char *key, const char *value);

/* Element `i` of an F16 tensor, or all of them for i < 0: times `factor` plus `offset`. */
void tamper_values(const char *path, const char *tensor, long i, double factor, double offset);

#endif
