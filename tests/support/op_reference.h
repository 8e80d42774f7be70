/* op_reference.h - what each op must compute, in float64 and in the plainest way. */
#ifndef LAR_TESTS_SUPPORT_OP_REFERENCE_H
#define LAR_TESTS_SUPPORT_OP_REFERENCE_H

#include "support/op_rows.h"

/* NaN in an operand comes out as NaN wherever the formula uses it. */
struct op_reference {
    int64_t n;
    double *out;   /* [n], the result in float64 */
    double *slack; /* [n], the magnitudes that rounding errors are relative to */
};

void op_reference_init(struct op_reference *r, const struct op_case *c);
void op_reference_release(struct op_reference *r);

/* The largest error of element i that correct code may have. Sums in f32, in any order, are
 * within 1e-5 of the sum of magnitudes; 16-bit products and results round by half of 2^-7. */
double op_reference_tolerance(const struct op_reference *r, const struct op_case *c, int64_t i);

/* The elements of x as float64; heap. */
double *op_reference_values(const struct tensor *x);

#endif
