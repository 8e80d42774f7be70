/* sampler.h - from noise to a latent, one model evaluation at a time.
 *
 * Knows numbers only: no tensors, no model. One struct sampler per picture; the pictures of a batch
 * share the schedule. Use:
 *
 *     sampler_init(&s, &options, e);
 *     sampler_start(&s, x);                 or sampler_start_image(&s, latent, strength, x, e)
 *     while (!sampler_done(&s)) {
 *         sampler_scale_input(&s, x, in);
 *         out = model(in, sampler_timestep(&s))          guidance included
 *         sampler_step(&s, x, out, NULL);
 *     }                                     x is the clean latent
 *
 * x is float [n] in any element order that the noise shares (NHWC here). Coefficients and the
 * arithmetic of a step are double, the state is float.
 *
 *   euler         Euler's method in sigma: EulerDiscreteScheduler (s_churn 0)
 *   euler a       ancestral Euler: EulerAncestralDiscreteScheduler
 *   euler cfg++   Euler that keeps the unconditional noise: ComfyUI's sample_euler_cfg_pp
 *   heun          Heun's method: HeunDiscreteScheduler
 *   dpm2          the midpoint method in log sigma: KDPM2DiscreteScheduler
 *   dpm2 a        its ancestral form: KDPM2AncestralDiscreteScheduler
 *   dpm++ 2m      DPM-Solver++(2M), midpoint: DPMSolverMultistepScheduler, lower_order_final
 *   dpm++ 2m sde  the same with sde-dpmsolver++
 *   dpm++ 3m sde  k-diffusion's sample_dpmpp_3m_sde
 *   unipc         order 2, bh2: UniPCMultistepScheduler
 *   ddim          DDIM, no clipping: DDIMScheduler
 *   lcm           multistep consistency sampling: LCMScheduler
 *   tcd           strategic stochastic sampling: TCDScheduler
 *
 * Euler, Heun and DPM2 keep x in the sigma parametrisation, the others variance preserving, as
 * diffusers does (schedule.h). Heun and DPM2 evaluate the model twice in every step but the last;
 * "step" below is one evaluation, and between the two of a pair x is a trial point.
 *
 * Fresh noise comes from the generator that made the initial noise: one draw of the latent's shape
 * at the end of every step that adds any, which is none that ends at no noise. So a seed means one
 * picture; k-diffusion's SDE samplers take theirs from a Brownian tree instead, so their pictures
 * differ in detail.
 */
#ifndef LAR_PIPELINE_SAMPLER_H
#define LAR_PIPELINE_SAMPLER_H

#include "pipeline/schedule.h"

struct err;
struct noise;

/* Any spelling of diffusers, AUTOMATIC1111 and ComfyUI: "euler", "Euler a", "euler_ancestral",
 * "k_euler_a", "dpmpp_2m", "DPM++ 2M", "DPM++ 2M Karras", "ddim", "lcm", "LCMScheduler"; case,
 * spaces, '-' and '_' do not matter. A name that ends in "Karras" or "Exponential" also sets
 * *schedule (may be NULL), which is untouched otherwise. ERR_ARG lists the names. */
int sampler_parse(const char *name, enum sampler_kind *kind, enum schedule_kind *schedule,
                  struct err *e);
const char *sampler_name(enum sampler_kind kind);  /* for options and JSON: "euler_a" */
const char *sampler_label(enum sampler_kind kind); /* for people, as AUTOMATIC1111: "Euler a" */
/* The weight of the guided output for a guidance scale as people give it. CFG++ wants 0 .. 1 where
 * others want 1 .. 12.5; AUTOMATIC1111 divides by that, so the same scale means about the same. */
double sampler_guidance(enum sampler_kind kind, double guidance);

struct sampler {
    enum sampler_kind kind;
    const struct schedule *schedule; /* borrowed for the sampler's life; built for the same kind */
    struct noise *noise;             /* borrowed for the sampler's life */
    size_t n;                        /* elements of x */
    int begin;                       /* first step taken: > 0 when starting from an image */
    int index;                       /* step to be taken next */
    float *x0;                       /* owned; [n] the latest estimate of the clean latent */
    float *x0_1, *x0_2;              /* owned; [n] the two before it */
    float *draw;                     /* owned; [n] fresh noise */
};

/* The noise's size is n. ERR_NOMEM. A zeroed sampler may be released. */
int sampler_init(struct sampler *s, enum sampler_kind kind, const struct schedule *schedule,
                 struct noise *noise, struct err *e);
void sampler_release(struct sampler *s);

/* Starts from pure noise: x = noise * schedule->init_scale, [n]. */
void sampler_start(struct sampler *s, float *x);

/* Starts from a picture's latent (already multiplied by the VAE's scaling factor): takes the last
 * min(int(n_steps * strength), n_steps) steps, at least one, and sets x to the latent with the
 * noise of the first of them, as diffusers' img2img pipelines do. ERR_ARG unless 0 < strength <= 1.
 */
int sampler_start_image(struct sampler *s, const float *latent, double strength, float *x,
                        struct err *e);

/* x = the clean latent with this noise, [n] each, at the level of the next evaluation; the latent
 * itself when all is done. */
void sampler_noised(const struct sampler *s, const float *latent, const float *noise, float *x);

bool sampler_done(const struct sampler *s);
int sampler_n_steps(const struct sampler *s);     /* model evaluations in all, from the start */
int sampler_n_done(const struct sampler *s);      /* of these, done */
double sampler_timestep(const struct sampler *s); /* of the next evaluation; may be fractional */

/* The model's input: in = x, scaled to unit variance where x is not. `in` may be x. */
void sampler_scale_input(const struct sampler *s, const float *x, float *in);

/* Takes the model's output for sampler_timestep() and moves x to the next noise level. Afterwards
 * s->x0 is the model's estimate of the clean latent, for previews. `negative` is the output without
 * guidance, for the negative prompt alone; only CFG++ reads it, and takes `out` for NULL. */
void sampler_step(struct sampler *s, float *x, const float *out, const float *negative);

#endif
