/* matmul.h - the product of activations and weights behind OP_LINEAR, for other ops of the backend
 * (experts, say), which use it once per matrix.
 */
#ifndef LAR_CPU_MATMUL_H
#define LAR_CPU_MATMUL_H

#include <stdbool.h>
#include <stdint.h>

struct cpu;
struct err;
struct tensor;

/* out[i] = x[rows[i]] w^T + bias + residual[i]. Only type, shape and data of the tensors are looked
 * at, so that a part of a tensor can be given as a tensor on the stack. */
struct matmul {
    const struct tensor *x;        /* [.., k] f32 or bf16 */
    const struct tensor *w;        /* [n, k], any type but I32 */
    const struct tensor *out;      /* [.., n] f32 or bf16; not x */
    const float *bias;             /* [n] or NULL */
    const struct tensor *residual; /* shaped like out, or one row per sample; or NULL */
    const int32_t *rows;           /* of x, one per row of out; NULL: row i */
    bool fast;                     /* activations may be rounded, as tape_set_fast() says */
};

/* Uses the whole pool and cpu_scratch(): what the caller got from there is lost. */
int cpu_matmul(struct cpu *c, const struct matmul *m, struct err *e);

#endif
