/* lora_dense.h - LoRAs that are no product of small rank: the changed weight as a whole.
 *
 *     LoHa     (A1 B1) o (A2 B2); with a core T: B_i = sum over j of T_ij W_j
 *     LoKr     K1 (x) K2, row (a, c), column (b, d): K1[a][b] K2[c][d]
 *     full     the difference itself
 *     DoRA     m V / |V| with V = W + product; rows, or with m [1, n_in] columns, have the length m
 *
 * Each is W' = W + strength (f(W) - W). W' is stored as F32 where W is, as F16 else: not as BF16,
 * which would round small additions away.
 */
#ifndef LAR_MODELS_LORA_DENSE_H
#define LAR_MODELS_LORA_DENSE_H

#include "models/lora_place.h"

struct adapters;

/* Is this module of a kind that must be, or had better be computed so? */
bool lora_is_dense(const struct lora_place *p);

/* Replaces the weight. ERR_FORMAT, ERR_UNSUPPORTED, ERR_NOMEM. */
int lora_add_dense(struct adapters *a, const struct lora_place *p);

#endif
