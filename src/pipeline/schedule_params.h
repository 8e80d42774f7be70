/* schedule_params.h - how a model was trained to remove noise: its scheduler_config.json. */
#ifndef LAR_PIPELINE_SCHEDULE_PARAMS_H
#define LAR_PIPELINE_SCHEDULE_PARAMS_H

#include <stdbool.h>
#include <stddef.h>

struct err;

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
    bool zero_snr;        /* rescale_betas_zero_snr */
    bool final_sigma_min; /* final_sigmas_type "sigma_min" (else "zero"), where the class has it */
    bool use_karras;      /* use_karras_sigmas, where the sampler's class has it */
    bool alpha_to_one;    /* set_alpha_to_one: DDIM ends at no noise, else at t = 0 */
    int n_original_steps; /* original_inference_steps: LCM, TCD */
    double timestep_scaling; /* LCM */
    bool xl;                 /* trained as SDXL, which has its own ays schedule; not in the file */
};

/* What every Stable Diffusion checkpoint without a scheduler file was trained with: 0.00085 to
 * 0.012 scaled linear, 1000 levels, epsilon; steps_offset 1 as in the published files. */
void schedule_params_default(struct schedule_params *p);

/* Reads the text of scheduler_config.json; keys that are absent get the value of diffusers' class
 * defaults (betas: those of schedule_params_default). ERR_FORMAT for malformed or nonsensical
 * values, ERR_UNSUPPORTED for other beta schedules or prediction types; the sentence names the key.
 * clip_sample and thresholding are for models that work on pixels and are ignored. */
int schedule_params_parse(struct schedule_params *p, const char *json, size_t n, struct err *e);

#endif
