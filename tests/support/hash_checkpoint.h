/* hash_checkpoint.h - checkpoints of hash weights: a manifest (names and shapes as text) becomes a
 * diffusers folder or a single safetensors file, tiny or at a model's real size.
 *
 * Used by tests and by tools/random_checkpoint.c. A manifest has one line per tensor, slowest
 * dimension first, and the components' configurations; `#` starts a comment:
 *
 *     #config unet {"_class_name":"UNet2DConditionModel", ...}
 *     unet.conv_in.weight 320 4 3 3
 *
 * A map (`*.ldm.txt`) tells a single file's tensors, `name source [rule]`: no rule is the same
 * tensor under another name, `stack` the rows of `a,b,c`, `transpose` a 2-D tensor transposed,
 * `conv1x1` a matrix with two dimensions of 1 added; `extra DIMS` and `arange DIMS`, with `-` as
 * source, are tensors that only the single file has.
 */
#ifndef LAR_TESTS_SUPPORT_HASH_CHECKPOINT_H
#define LAR_TESTS_SUPPORT_HASH_CHECKPOINT_H

#include "base/map.h"
#include "support/hash_weights.h"

struct err;

struct hash_config {
    const char *component; /* "unet"; "model_index" for the pipeline itself */
    const char *json;
};

/* A manifest in memory; its strings live until hash_manifest_close(). */
struct hash_manifest {
    char *text;
    struct hash_tensor *tensors;
    size_t n_tensors;
    struct hash_config *configs;
    size_t n_configs;
    struct map by_name; /* -> struct hash_tensor */
};

int hash_manifest_open(struct hash_manifest *m, const char *path, struct err *e);
void hash_manifest_close(struct hash_manifest *m); /* a zeroed one is fine */
const struct hash_tensor *hash_manifest_find(const struct hash_manifest *m, const char *name);
const char *hash_manifest_config(const struct hash_manifest *m,
                                 const char *component); /* or NULL */

struct hash_checkpoint_options {
    enum dtype type;       /* F32, F16 or BF16 */
    const char *map;       /* path of a map: write one file; NULL: write a diffusers folder */
    const char *component; /* folder: write only this component; NULL: all */
    int n_shards;          /* folder: files per component, with an index from 2 on */
    int n_threads;         /* 0: one per processor */
};

/* Writes the manifest's checkpoint to `out`, a folder (made if absent) or a file. */
int hash_checkpoint_write(const char *manifest, const char *out,
                          const struct hash_checkpoint_options *o, struct err *e);

#endif
