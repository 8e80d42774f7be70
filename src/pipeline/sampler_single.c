/* sampler_single.c - samplers that remember nothing beyond the step (sampler_move.h). */
#include "pipeline/sampler_move.h"

#include "pipeline/schedule.h"

#include <math.h>

struct sampler_level sampler_level(double sigma)
{
    if (isinf(sigma))
        return (struct sampler_level){0, 1};
    double signal = 1 / sqrt(1 + sigma * sigma);
    return (struct sampler_level){signal, sigma * signal};
}

/* The noise that leads from sigma_down up to sigma_to. */
static double fresh(const struct schedule_step *s)
{
    return sqrt((s->sigma_to - s->sigma_down) * (s->sigma_to + s->sigma_down));
}

/* dx/dsigma = (x - x0) / sigma, one Euler step down to sigma_down, then noise. */
struct sampler_move sampler_euler(const struct sampler_place *p)
{
    double r = p->step->sigma_down / p->step->sigma;
    return (struct sampler_move){.x = r, .x0 = 1 - r, .noise = fresh(p->step)};
}

/* Chung et al., "CFG++" (2024), algorithm 2 in sigma: the noise that stays is the unconditional
 * one. */
struct sampler_move sampler_euler_cfg_pp(const struct sampler_place *p)
{
    double r = p->step->sigma_to / p->step->sigma;
    return (struct sampler_move){.x = r, .x0 = 1, .x0_1 = -r};
}

/* Completes a step that Euler's method began at the level `from` and the state x0_2: from there
 * along w (x - x0) / sigma + (1 - w) (x0_2 - x0_1) / from to sigma_down, then noise. */
static struct sampler_move complete(const struct sampler_place *p, double w)
{
    const struct schedule_step *s = p->step;
    double from = s[-1].sigma;
    double here = w * (s->sigma_down - from) / s->sigma;
    double there = (1 - w) * (s->sigma_down - from) / from;
    return (struct sampler_move){
        .x = here, .x0 = -here, .x0_1 = -there, .x0_2 = 1 + there, .noise = fresh(s)};
}

/* The mean of the slopes at both ends (Karras et al., 2022, algorithm 1). */
struct sampler_move sampler_heun(const struct sampler_place *p)
{
    return p->step->second ? complete(p, 0.5) : sampler_euler(p);
}

/* The slope half way (Karras et al., 2022, algorithm 3; k-diffusion's sample_dpm_2). */
struct sampler_move sampler_dpm2(const struct sampler_place *p)
{
    return p->step->second ? complete(p, 1) : sampler_euler(p);
}

/* Song et al., "Denoising diffusion implicit models" (2021), eq. 12. With TCD's sigma_down also
 * strategic stochastic sampling, Zheng et al., "Trajectory consistency distillation" (2024). */
struct sampler_move sampler_ddim(const struct sampler_place *p)
{
    const struct schedule_step *s = p->step;
    struct sampler_level from = sampler_level(s->sigma), to = sampler_level(s->sigma_to);
    double r = to.signal * s->sigma_down / from.noise;
    return (struct sampler_move){
        .x = r, .x0 = to.signal - r * from.signal, .noise = to.signal * fresh(s)};
}

/* Luo et al., "Latent consistency models" (2023): the consistency function's boundary weights with
 * sigma_data 0.5, then noise to the next level. */
struct sampler_move sampler_lcm(const struct sampler_place *p)
{
    double t = p->step->t * p->schedule->timestep_scaling, norm = t * t + 0.25;
    struct sampler_level to = sampler_level(p->step->sigma_to);
    return (struct sampler_move){
        .x = to.signal * 0.25 / norm, .x0 = to.signal * t / sqrt(norm), .noise = to.noise};
}
