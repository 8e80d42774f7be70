/* model.h - checkpoints of hash weights for tests: written from tests/data/manifests, opened, and
 * compared tensor by tensor. Failures fail the running test.
 */
#ifndef LAR_TESTS_SUPPORT_MODEL_H
#define LAR_TESTS_SUPPORT_MODEL_H

#include "support/hash_checkpoint.h"

#include <stdbool.h>

struct checkpoint;
struct ckpt_tensor;

/* Path of manifests/<model><end>, end being ".txt" or ".ldm.txt"; heap. */
char *model_manifest(const char *model, const char *end);

/* Writes the model to the file or folder `out` of a fresh folder, with the single-file names if
 * `ldm`; returns its path; heap. o.map is ignored. */
char *model_write(const char *model, const char *out, struct hash_checkpoint_options o, bool ldm);

struct checkpoint *model_open(const char *path);
/* Writes the model in F16 and opens one of its components. */
struct checkpoint *model_open_part(const char *model, const char *part);

/* The tensor has this shape, but for trailing dimensions of 1, and the hash weights of this name.
 */
void model_check_tensor(const struct ckpt_tensor *t, const struct hash_tensor *want);

/* The checkpoint holds exactly the manifest's tensors (of one component, or all for NULL). */
void model_check(const struct checkpoint *c, const char *model, const char *component);

#endif
