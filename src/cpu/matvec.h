/* matvec.h - products of a few rows, straight from the weights' blocks; cpu_matmul() uses it. */
#ifndef LAR_CPU_MATVEC_H
#define LAR_CPU_MATVEC_H

#include "cpu/matmul.h"

/* Is this a product for cpu_matvec(): fast, and of so few rows that unpacking weights for the tiles
 * of gemm.c would take longer? */
bool cpu_matvec_fits(const struct cpu *c, const struct matmul *m);

/* Activations are rounded to bytes in groups of 32 where the weights are quantised, and stay f32
 * where they are not. A row's result does not depend on the number of threads, and on the other
 * rows only by the order of f32 sums. */
int cpu_matvec(struct cpu *c, const struct matmul *m, struct err *e);

#endif
