/* lora_files.h - LoRA files of hash weights for tests, described as JSON by
 * tools/reference/loras.py:
 *
 *     [{"type": "f16", "weight": 0.8, "tensors": {"lora_unet_....lora_down.weight": [4, 320],
 *                                                 "lora_unet_....alpha": 2.0}}, ...]
 */
#ifndef LAR_TESTS_SUPPORT_LORA_FILES_H
#define LAR_TESTS_SUPPORT_LORA_FILES_H

#include "nn/adapter.h"
#include "tensor/dtype.h"

struct checkpoint;
struct lora_file;

#define LORA_FILES_MAX 8

/* Files laid over a checkpoint, as a request would. */
struct lora_files {
    struct lora_file *files[LORA_FILES_MAX];
    int n;
    struct adapters adapters;
};

/* Writes and applies those that `json` lists; none for NULL. Failures fail the test. */
void lora_files_open(struct lora_files *l, const struct checkpoint *c, const char *json);
void lora_files_close(struct lora_files *l);

/* Writes a manifest's checkpoint without its weights: a file with holes, for names and shapes at a
 * model's real size. */
void lora_files_hollow_model(const char *manifest, const char *path);

/* Writes one file of such a list's "tensors", with metadata (pairs, NULL at the end; or NULL). */
struct json_t;
void lora_files_write(const char *path, const struct json_t *tensors, enum dtype type,
                      const char *const *meta);

#endif
