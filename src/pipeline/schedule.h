/* schedule.h - which noise levels a sampler visits.
 *
 * A diffusion model was trained on noise levels t = 0 .. n_train - 1. With
 * alpha_bar(t) = prod(1 - beta), a noisy latent is
 *
 *     x = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise          variance preserving (VP), or
 *     x / sqrt(alpha_bar) = x0 + sigma noise,    sigma = sqrt((1 - alpha_bar) / alpha_bar)
 *
 * A schedule picks n of them, in falling order. What each kind equals, in diffusers' terms
 * (N = n_train, o = steps_offset):
 *
 *   model     X.from_config(scheduler_config.json), X the sampler's scheduler class (sampler.h):
 * the file's timestep_spacing, use_karras_sigmas, final_sigmas_type. Where the file has no spacing,
 * X's own default: linspace for Euler, Euler a and DPM++ 2M, leading for DDIM. LCM: every k-th of
 * its n_original_steps. leading, linspace, trailing   the same with timestep_spacing replaced and
 * no Karras sigmas: leading    t = i (N / n) + o            DPM++ 2M: (i + 1) (N / (n + 1)) + o
 *             linspace   t = N - 1 .. 0, fractional   DDIM: rounded; DPM++ 2M: n + 1 points,
 * rounded, without the last (0) trailing   t = round(N - i N / n) - 1 karras    sigmas of Karras et
 * al. (2022), eq. 5, rho 7, between the ends of the training table, then 0: EulerDiscreteScheduler
 * and DPMSolverMultistepScheduler with use_karras_sigmas and linspace; k-diffusion's and
 * AUTOMATIC1111's "Karras". t by interpolation in log sigma; rounded for DPM++ 2M as diffusers
 * does. normal    t = N - 1 .. 0 evenly, sigma interpolated in log sigma, then 0: k-diffusion's
 *             get_sigmas(), AUTOMATIC1111's "Automatic"/"Uniform", ComfyUI's "normal" (up to its
 *             handling of the last sigma).
 *
 * One deliberate difference: with n = 1, diffusers' leading and linspace would start (and end) at
 * t = 0, where nothing can be drawn; ours starts at N - 1.
 *
 * The table is computed in single precision where diffusers does (1 - alpha_bar(0) keeps 13 bits,
 * and that shows in the pictures), everything after it in double.
 */
#ifndef LAR_PIPELINE_SCHEDULE_H
#define LAR_PIPELINE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

struct err;

enum sampler_kind {
    SAMPLER_EULER,
    SAMPLER_EULER_A,
    SAMPLER_DPMPP_2M,
    SAMPLER_DDIM,
    SAMPLER_LCM,
    N_SAMPLER
};

enum schedule_kind {
    SCHEDULE_MODEL,
    SCHEDULE_NORMAL,
    SCHEDULE_KARRAS,
    SCHEDULE_TRAILING,
    SCHEDULE_LEADING,
    SCHEDULE_LINSPACE,
    N_SCHEDULE
};

/* What the model's output means. */
enum prediction {
    PREDICTION_EPSILON, /* the noise */
    PREDICTION_V,       /* sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x0 */
    PREDICTION_SAMPLE   /* x0 */
};

enum schedule_spacing { SPACING_UNSET, SPACING_LEADING, SPACING_LINSPACE, SPACING_TRAILING };

/* The values of scheduler_config.json, by its key names. */
struct schedule_params {
    double beta_start;
    double beta_end;
    bool scaled_linear;            /* beta_schedule: linear in sqrt(beta), or in beta */
    int n_train;                   /* num_train_timesteps */
    enum prediction prediction;    /* prediction_type */
    enum schedule_spacing spacing; /* timestep_spacing; SPACING_UNSET when the file has none */
    int steps_offset;
    bool zero_snr;           /* rescale_betas_zero_snr */
    bool final_sigma_min;    /* final_sigmas_type "sigma_min" (else "zero"): Euler and DPM++ 2M */
    bool use_karras;         /* use_karras_sigmas: Euler and DPM++ 2M */
    bool alpha_to_one;       /* set_alpha_to_one: DDIM ends at no noise, else at t = 0 */
    int n_original_steps;    /* original_inference_steps: LCM */
    double timestep_scaling; /* LCM */
};

/* What every Stable Diffusion checkpoint without a scheduler file was trained with: 0.00085 to
 * 0.012 scaled linear, 1000 levels, epsilon; steps_offset 1 as in the published files. */
void schedule_params_default(struct schedule_params *p);

/* Reads the text of scheduler_config.json; keys that are absent get the value of diffusers' class
 * defaults (betas: those of schedule_params_default). ERR_FORMAT for malformed or nonsensical
 * values, ERR_UNSUPPORTED for other beta schedules or prediction types; the sentence names the key.
 * clip_sample and thresholding are for models that work on pixels and are ignored. */
int schedule_params_parse(struct schedule_params *p, const char *json, size_t n, struct err *e);

/* Names in any case: "model" (also "default", "automatic"), "normal" (also "uniform"), "karras",
 * "trailing", "leading", "linspace". ERR_ARG for another. */
int schedule_parse(const char *name, enum schedule_kind *kind, struct err *e);
const char *schedule_name(enum schedule_kind kind); /* "karras" */

/* One model evaluation and where it leads. */
struct schedule_step {
    double t;        /* what the model is told; may be fractional */
    double sigma;    /* noise level before; infinite at zero SNR */
    double sigma_to; /* noise level after */
};

struct schedule {
    int n;
    struct schedule_step *steps; /* owned, [n] */
    double init_scale;           /* of unit noise to start from, see sampler_start() */
    enum prediction prediction;
    double timestep_scaling;
};

/* n steps of the given kind for the given sampler. ERR_ARG when n is not in 1 .. n_train - 1 (LCM:
 * n_original_steps); ERR_FORMAT when the betas leave no signal or add no noise. A zeroed schedule
 * may be released. */
int schedule_build(struct schedule *s, const struct schedule_params *p, enum schedule_kind kind,
                   enum sampler_kind sampler, int n, struct err *e);
void schedule_release(struct schedule *s);

#endif
