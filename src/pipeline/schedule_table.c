/* schedule_table.c - see schedule_table.h. */
#include "pipeline/schedule_table.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/schedule_params.h"

#include <math.h>
#include <stdlib.h>

/* torch.linspace in single precision: from both ends, one rounding per value. */
static float linspace_f32(float a, float b, int n, int i)
{
    float step = (b - a) / (float)(n - 1);
    return i < n / 2 ? (float)(a + (double)step * i) : (float)(b - (double)step * (n - 1 - i));
}

/* alpha_bar = cumprod(alpha): accumulated in double, each product rounded. */
static void cumprod(float *v, int n)
{
    double product = 1;
    for (int i = 0; i < n; i++) {
        product *= v[i];
        v[i] = (float)product;
    }
}

/* Shifts and scales sqrt(alpha_bar) so that the last level is pure noise (Lin et al., "Common
 * diffusion noise schedules and sample steps are flawed", 2023, algorithm 1). */
static void rescale_zero_snr(float *alpha_bar, int n)
{
    float first = sqrtf(alpha_bar[0]), last = sqrtf(alpha_bar[n - 1]);
    float scale = first / (first - last), before = 1;
    for (int i = 0; i < n; i++) {
        float root = (sqrtf(alpha_bar[i]) - last) * scale;
        float square = root * root;
        float beta = 1 - square / before;
        before = square;
        alpha_bar[i] = 1 - beta;
    }
    cumprod(alpha_bar, n);
}

/* Noise must grow with t and stay finite, but for the end at an exact zero SNR. */
static bool table_grows(const struct schedule_table *t, bool zero_end)
{
    float before = 0;
    for (int i = 0; i < t->n; i++) {
        bool finite = isfinite(t->sigma[i]) || (zero_end && i == t->n - 1);
        if (!finite || !(t->sigma[i] > before))
            return false;
        before = t->sigma[i];
    }
    return true;
}

/* `clamp` keeps the last sigma of a zero SNR table finite, as diffusers' sigma schedulers do. */
int schedule_table_init(struct schedule_table *t, const struct schedule_params *p, bool clamp,
                        struct err *e)
{
    int n = p->n_train;
    float *v = mem_try_array(3 * (size_t)n, sizeof *v, "the noise schedule", e);
    if (!v)
        return ERR_NOMEM;
    *t = (struct schedule_table){.n = n, .alpha_bar = v, .sigma = v + n, .log_sigma = v + 2 * n};
    double a = p->beta_start, b = p->beta_end;
    if (p->scaled_linear) {
        a = sqrt(a);
        b = sqrt(b);
    }
    for (int i = 0; i < n; i++) {
        float beta = linspace_f32((float)a, (float)b, n, i);
        if (p->scaled_linear)
            beta *= beta;
        v[i] = 1 - beta;
    }
    cumprod(v, n);
    if (p->zero_snr)
        rescale_zero_snr(v, n);
    if (p->zero_snr && clamp)
        v[n - 1] = 0x1p-24f;
    for (int i = 0; i < n; i++) {
        t->sigma[i] = sqrtf((1 - v[i]) / v[i]);
        t->log_sigma[i] = (float)log((double)t->sigma[i]);
    }
    if (table_grows(t, p->zero_snr && !clamp))
        return 0;
    free(v);
    return err_set(e, ERR_FORMAT,
                   "scheduler_config.json: %d betas from %g to %g are no noise schedule: each "
                   "should add noise and the last should leave some signal",
                   n, p->beta_start, p->beta_end);
}

static double lerp(const float *v, int n, double at)
{
    int low = at < 0 ? 0 : at > n - 1 ? n - 1 : (int)at;
    int high = low < n - 1 ? low + 1 : low;
    return v[low] + (at > n - 1 ? 0 : (at - low) * ((double)v[high] - v[low]));
}

/* t of a sigma, by interpolation in log sigma. */
double schedule_table_timestep(const struct schedule_table *t, double sigma)
{
    double want = log(sigma);
    int low = 0, end = t->n - 1; /* log_sigma[low] <= want < log_sigma[end], or at an end */
    while (end - low > 1) {
        int mid = low + (end - low) / 2;
        if (t->log_sigma[mid] <= want)
            low = mid;
        else
            end = mid;
    }
    double w = (t->log_sigma[low] - want) / (double)(t->log_sigma[low] - t->log_sigma[low + 1]);
    return low + fmin(fmax(w, 0), 1);
}

double schedule_table_sigma(const struct schedule_table *t, double at)
{
    return lerp(t->sigma, t->n, at);
}

double schedule_table_log_sigma(const struct schedule_table *t, double at)
{
    return lerp(t->log_sigma, t->n, at);
}

double schedule_table_exact_sigma(const struct schedule_table *t, double at)
{
    double a = t->alpha_bar[(int)fmin(at, t->n - 1)];
    return sqrt((1 - a) / a);
}

void schedule_table_release(struct schedule_table *t)
{
    free(t->alpha_bar);
    *t = (struct schedule_table){0};
}
