/* describe.h - what a checkpoint contains, in numbers and words: for `lar inspect` and model lists.
 */
#ifndef LAR_FORMAT_DESCRIBE_H
#define LAR_FORMAT_DESCRIBE_H

#include <stddef.h>
#include <stdint.h>

struct checkpoint;

#define DESCRIBE_MAX_TYPES 16

/* Tensors of one element type. */
struct type_count {
    const char *type; /* as the file writes it: "F16"; borrowed from the checkpoint */
    uint64_t n_tensors, parameters, bytes;
};

/* Tensors that belong together: "unet", "vae"; "" for what belongs to no component. */
struct part_summary {
    char *component;                             /* owned */
    struct type_count all;                       /* all.type is NULL */
    struct type_count types[DESCRIBE_MAX_TYPES]; /* most bytes first */
    size_t n_types;                              /* further types are counted in `all` only */
};

struct model_summary {
    char *architecture;         /* owned; "Stable Diffusion 1.x", "unknown architecture" */
    const char *layout;         /* static; "diffusers folder", "single file with LDM names", ... */
    const char *format;         /* static; "safetensors", "GGUF" or "PyTorch" */
    struct part_summary *parts; /* owned; sorted by component */
    size_t n_parts;
    struct part_summary total; /* component is NULL */
};

/* The structure and the strings in it end before the checkpoint. */
void model_summary_read(struct model_summary *s, const struct checkpoint *c);
void model_summary_release(struct model_summary *s);

#endif
