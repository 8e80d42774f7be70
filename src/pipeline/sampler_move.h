/* sampler_move.h - the step functions of sampler.c: what each sampler makes of a step.
 *
 * With x0 the model's estimate of the clean latent, every sampler here moves along a line:
 *
 *     x' = a x + b x0 + c x0_1 + d x0_2 + e noise
 *
 * x0_1 and x0_2 are the estimates of the two evaluations before. Two samplers keep something else
 * there: for CFG++ x0_1 is the unconditional estimate of this evaluation; in the second evaluation
 * of a step x0_2 is the x that the first one started from.
 */
#ifndef LAR_PIPELINE_SAMPLER_MOVE_H
#define LAR_PIPELINE_SAMPLER_MOVE_H

#include <stdbool.h>

struct schedule;
struct schedule_step;

struct sampler_move {
    double x, x0, x0_1, x0_2, noise;
};

/* Where a step function is: it may read all of the schedule from `begin` on. */
struct sampler_place {
    const struct schedule *schedule;
    const struct schedule_step *step;
    int index, begin; /* of the step, and of the first one taken */
};

/* x = signal x0 + noise eps, the variance preserving weights of a sigma. */
struct sampler_level {
    double signal, noise;
};

struct sampler_level sampler_level(double sigma);

/* sampler_single.c: x in the sigma parametrisation */
struct sampler_move sampler_euler(const struct sampler_place *p);
struct sampler_move sampler_euler_cfg_pp(const struct sampler_place *p);
struct sampler_move sampler_heun(const struct sampler_place *p);
struct sampler_move sampler_dpm2(const struct sampler_place *p);

/* sampler_single.c: x variance preserving */
struct sampler_move sampler_ddim(const struct sampler_place *p);
struct sampler_move sampler_lcm(const struct sampler_place *p);

/* sampler_multistep.c: x variance preserving */
struct sampler_move sampler_dpmpp_2m(const struct sampler_place *p);
struct sampler_move sampler_dpmpp_2m_sde(const struct sampler_place *p);
struct sampler_move sampler_dpmpp_3m_sde(const struct sampler_place *p);
struct sampler_move sampler_unipc(const struct sampler_place *p);

#endif
