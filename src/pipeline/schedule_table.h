/* schedule_table.h - the noise levels t = 0 .. n - 1 that a model was trained on.
 *
 * In single precision, as diffusers holds them: 1 - alpha_bar(0) keeps 13 bits, and that shows in
 * the pictures.
 */
#ifndef LAR_PIPELINE_SCHEDULE_TABLE_H
#define LAR_PIPELINE_SCHEDULE_TABLE_H

#include <stdbool.h>

struct err;
struct schedule_params;

struct schedule_table {
    int n;
    float *alpha_bar; /* owned, [n]; falls */
    float *sigma;     /* in the same block; sqrt((1 - alpha_bar) / alpha_bar), grows */
    float *log_sigma; /* in the same block */
};

/* `clamp` keeps the last sigma of a zero SNR table finite, as diffusers' sigma schedulers do.
 * ERR_NOMEM; ERR_FORMAT when the betas leave no signal or add no noise. */
int schedule_table_init(struct schedule_table *t, const struct schedule_params *p, bool clamp,
                        struct err *e);
void schedule_table_release(struct schedule_table *t);

/* sigma at a fractional t, between its neighbours; and the same of log sigma. */
double schedule_table_sigma(const struct schedule_table *t, double at);
double schedule_table_log_sigma(const struct schedule_table *t, double at);
/* sigma of the whole t below, from alpha_bar in double; infinite at zero SNR. */
double schedule_table_exact_sigma(const struct schedule_table *t, double at);
/* t of a sigma, by interpolation in log sigma; 0 .. n - 1. */
double schedule_table_timestep(const struct schedule_table *t, double sigma);

#endif
