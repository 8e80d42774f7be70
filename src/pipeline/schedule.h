/* schedule.h - which noise levels a sampler visits.
 *
 * A diffusion model was trained on noise levels t = 0 .. n_train - 1. With
 * alpha_bar(t) = prod(1 - beta), a noisy latent is
 *
 *     x = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise          variance preserving (VP), or
 *     x / sqrt(alpha_bar) = x0 + sigma noise,    sigma = sqrt((1 - alpha_bar) / alpha_bar)
 *
 * A schedule picks n of them, in falling order. By timestep, in diffusers' terms (N = n_train,
 * o = steps_offset):
 *
 *   model     X.from_config(scheduler_config.json), X the sampler's scheduler class (sampler.h):
 *             the file's timestep_spacing, use_karras_sigmas, final_sigmas_type. Where the file has
 *             no spacing, X's own default: linspace, for DDIM leading. LCM and TCD: every k-th of
 *             their n_original_steps.
 *   leading   t = i (N / n) + o                    multistep: (i + 1) (N / (n + 1)) + o
 *   linspace  t = N - 1 .. 0, fractional           multistep: n + 1 points, rounded, without the
 *             last (0); DDIM, LCM, TCD: rounded
 *   trailing  t = round(N - i N / n) - 1
 *             The three are the class with that timestep_spacing and no Karras sigmas; "multistep"
 *             are the DPM++ samplers and UniPC.
 *
 * By sigma, ending at 0, as k-diffusion, AUTOMATIC1111 and ComfyUI have them (t by interpolation in
 * log sigma):
 *
 *   normal       t = N - 1 .. 0 evenly, sigma interpolated in log sigma: get_sigmas(), "Uniform"
 *   sgm_uniform  the same with n + 1 points, without the last
 *   simple       every (N / n)-th level of the training table from the end
 *   karras, exponential, beta, ays    schedule_sigmas.h, between the ends of the training table
 *             karras is also EulerDiscreteScheduler and DPMSolverMultistepScheduler with
 *             use_karras_sigmas and linspace; t is rounded where that class does.
 *
 * Given sigmas take the place of all of these.
 *
 * One deliberate difference: with n = 1, diffusers' leading and linspace would start (and end) at
 * t = 0, where nothing can be drawn; ours starts at N - 1.
 *
 * The training table is in single precision, everything after it in double.
 */
#ifndef LAR_PIPELINE_SCHEDULE_H
#define LAR_PIPELINE_SCHEDULE_H

#include "pipeline/schedule_params.h"

/* See sampler.h. */
enum sampler_kind {
    SAMPLER_EULER,
    SAMPLER_EULER_A,
    SAMPLER_DPMPP_2M,
    SAMPLER_DDIM,
    SAMPLER_LCM,
    SAMPLER_HEUN,
    SAMPLER_DPM2,
    SAMPLER_DPM2_A,
    SAMPLER_DPMPP_2M_SDE,
    SAMPLER_DPMPP_3M_SDE,
    SAMPLER_UNIPC,
    SAMPLER_TCD,
    SAMPLER_EULER_CFG_PP,
    N_SAMPLER
};

enum schedule_kind {
    SCHEDULE_MODEL,
    SCHEDULE_NORMAL,
    SCHEDULE_KARRAS,
    SCHEDULE_TRAILING,
    SCHEDULE_LEADING,
    SCHEDULE_LINSPACE,
    SCHEDULE_EXPONENTIAL,
    SCHEDULE_SGM_UNIFORM,
    SCHEDULE_SIMPLE,
    SCHEDULE_BETA,
    SCHEDULE_AYS,
    N_SCHEDULE
};

/* The names of the enum in lower case, in any case; also "default" and "automatic" (model),
 * "uniform" (normal), "sgm uniform", "align your steps". ERR_ARG for another. */
int schedule_parse(const char *name, enum schedule_kind *kind, struct err *e);
const char *schedule_name(enum schedule_kind kind); /* "karras" */

#define SCHEDULE_MAX_STEPS 1000

/* "14.6,7.5,2.1,0": falling noise levels from at most 10000, a last 0 may be left out; without
 * that 0 into sigmas, whose number is *n. ERR_ARG says what is wrong. */
int schedule_parse_sigmas(const char *text, double sigmas[SCHEDULE_MAX_STEPS], int *n,
                          struct err *e);

struct schedule_request {
    enum schedule_kind kind;
    enum sampler_kind sampler;
    int n;                /* steps */
    const double *sigmas; /* [n], falling and above 0, in place of `kind`; or NULL; borrowed */
    double eta;           /* share of fresh noise in the samplers that draw some; < 0: the usual,
                           * 1 for the ancestral and SDE ones, 0.3 for TCD, 0 for DDIM */
};

/* One model evaluation and where it leads. */
struct schedule_step {
    double t;          /* what the model is told; may be fractional */
    double sigma;      /* noise level before; infinite at zero SNR */
    double sigma_to;   /* noise level after */
    double sigma_down; /* <= sigma_to: what is left of the old noise; fresh noise fills it up */
    bool second;       /* completes the step that the evaluation before it began */
};

struct schedule {
    int n;                       /* model evaluations */
    int n_per_step;              /* of a step: 2 for Heun and DPM2, whose last step has 1 */
    struct schedule_step *steps; /* owned, [n] */
    double init_scale;           /* of unit noise to start from, see sampler_start() */
    double eta;                  /* of the SDE samplers */
    enum prediction prediction;
    double timestep_scaling;
};

/* ERR_ARG when n is not in 1 .. n_train - 1 (LCM and TCD: n_original_steps) or an eta is given for
 * a sampler that draws no noise; ERR_FORMAT when the betas leave no signal or add no noise. A
 * zeroed schedule may be released. */
int schedule_build(struct schedule *s, const struct schedule_params *p,
                   const struct schedule_request *r, struct err *e);
void schedule_release(struct schedule *s);

#endif
