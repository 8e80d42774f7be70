/* guidance.h - classifier-free guidance: one output from those for the negative and the prompt. */
#ifndef LAR_PIPELINE_GUIDANCE_H
#define LAR_PIPELINE_GUIDANCE_H

#include <stddef.h>

/* out = negative + scale (positive - negative), [n] each; out may be one of them. With 0 < rescale
 * <= 1 that share of out is brought to the standard deviation of `positive`: Lin et al., "Common
 * diffusion noise schedules and sample steps are flawed" (2023), section 3.4, diffusers'
 * rescale_noise_cfg(). */
void guidance_combine(const float *negative, const float *positive, double scale, double rescale,
                      float *out, size_t n);

#endif
