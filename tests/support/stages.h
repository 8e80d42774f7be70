/* stages.h - compares a model's activations with those of the reference implementation.
 *
 * tests/data/models/<variant>.safetensors holds inputs, outputs and a sample of every module's
 * activation; its metadata "stages" lists module path, shape and stride of each sample. Tape
 * results have the same names, so the first op whose result differs names the broken stage.
 */
#ifndef LAR_TESTS_SUPPORT_STAGES_H
#define LAR_TESTS_SUPPORT_STAGES_H

#include "tensor/tape.h"

struct checkpoint;
struct ckpt_tensor;

/* The reference data of a variant: fails the test when it cannot be read. */
struct checkpoint *stages_open(const char *variant);

/* A tensor of the reference by name: "input.sample". */
const struct ckpt_tensor *stages_tensor(struct checkpoint *ref, const char *name);

/* A tape input with the reference tensor's shape and, after tape_plan(), its values. */
struct tensor *stages_input(struct tape *t, struct checkpoint *ref, const char *name);
void stages_fill(struct tensor *x, struct checkpoint *ref, const char *name);

/* Runs the tape and compares every stage with its sample, relative to the stage's largest
 * magnitude. Fails the test naming the first stage beyond `tolerance` (with bf16 activations:
 * beyond both the tolerance and PyTorch's own error in bfloat16); returns how many stages were
 * compared. */
int stages_run(struct tape *t, struct backend *b, struct checkpoint *ref, double tolerance);

/* Compares a kept result with a whole reference tensor; returns the error relative to the largest
 * magnitude and fails beyond the tolerance. */
double stages_compare(const struct tensor *x, struct checkpoint *ref, const char *name,
                      double tolerance);

#endif
