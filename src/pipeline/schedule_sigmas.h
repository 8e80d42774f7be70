/* schedule_sigmas.h - noise levels by formula: n of them, falling, without the 0 at the end. */
#ifndef LAR_PIPELINE_SCHEDULE_SIGMAS_H
#define LAR_PIPELINE_SCHEDULE_SIGMAS_H

#include <stdbool.h>

/* Karras et al., "Elucidating the design space" (2022), eq. 5 with rho 7. */
void schedule_sigmas_karras(double from, double to, int n, double *sigmas);
/* Evenly in log sigma. */
void schedule_sigmas_exponential(double from, double to, int n, double *sigmas);
/* Lee et al., "Beta sampling is all you need" (2024) as diffusers and AUTOMATIC1111 have it:
 * quantiles of Beta(0.6, 0.6) stretched over the sigmas. */
void schedule_sigmas_beta(double from, double to, int n, double *sigmas);
/* Sabour et al., "Align your steps" (2024): the table for SD 1.5 or for SDXL at 10 steps, else
 * interpolated in log sigma to n + 1 levels of which the last is 0, as its authors and ComfyUI do.
 * (AUTOMATIC1111 puts a further 0 behind the table, so its 10 steps are other ones.) */
void schedule_sigmas_ays(bool xl, int n, double *sigmas);

#endif
