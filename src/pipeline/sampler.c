/* sampler.c - see sampler.h.
 *
 * With x0 the model's estimate of the clean latent, every sampler here moves along a line:
 *
 *     x' = a x + b x0 + c x0_before + d noise
 *
 * so a sampler is a function that gives a, b, c, d for a step, and one loop does the rest.
 */
#include "pipeline/sampler.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/noise.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct move {
    double x, x0, x0_before, noise;
};

/* x = signal x0 + noise eps, the variance preserving weights of a sigma. */
struct level {
    double signal, noise;
};

static struct level level(double sigma)
{
    if (isinf(sigma))
        return (struct level){0, 1};
    double signal = 1 / sqrt(1 + sigma * sigma);
    return (struct level){signal, sigma * signal};
}

/* dx/dsigma = (x - x0) / sigma, one Euler step. */
static struct move euler(const struct sampler *s, const struct schedule_step *step)
{
    (void)s;
    double r = step->sigma_to / step->sigma;
    return (struct move){.x = r, .x0 = 1 - r};
}

/* Euler down to sigma_down, then noise up to sigma_to: sigma_down^2 + sigma_up^2 = sigma_to^2. */
static struct move euler_a(const struct sampler *s, const struct schedule_step *step)
{
    (void)s;
    double from = step->sigma, to = step->sigma_to;
    double down = to * to / from;
    double up = to * sqrt((from - to) * (from + to)) / from;
    return (struct move){.x = down / from, .x0 = 1 - down / from, .noise = up};
}

/* Lu et al., "DPM-Solver++" (2022), algorithm 2 with the midpoint rule; lambda = -log sigma. The
 * first and last steps are of first order, the last only in short schedules or when it ends at no
 * noise (lower_order_final). */
static struct move dpmpp_2m(const struct sampler *s, const struct schedule_step *step)
{
    struct level from = level(step->sigma), to = level(step->sigma_to);
    double b = to.signal * (1 - step->sigma_to / step->sigma);
    bool last = s->index == s->schedule->n - 1;
    struct move m = {.x = to.noise / from.noise, .x0 = b};
    if (s->index == s->begin || (last && (step->sigma_to == 0 || s->schedule->n < 15)))
        return m;
    double h = log(step->sigma / step->sigma_to), h_before = log(step[-1].sigma / step->sigma);
    m.x0_before = -b * h / h_before / 2;
    m.x0 -= m.x0_before;
    return m;
}

/* Song et al., "Denoising diffusion implicit models" (2021), eq. 12 with sigma_t = 0. */
static struct move ddim(const struct sampler *s, const struct schedule_step *step)
{
    (void)s;
    struct level from = level(step->sigma), to = level(step->sigma_to);
    double r = to.noise / from.noise;
    return (struct move){.x = r, .x0 = to.signal - r * from.signal};
}

/* Luo et al., "Latent consistency models" (2023): the consistency function's boundary weights with
 * sigma_data 0.5, then noise to the next level. */
static struct move lcm(const struct sampler *s, const struct schedule_step *step)
{
    double t = step->t * s->schedule->timestep_scaling, norm = t * t + 0.25;
    struct level to = level(step->sigma_to);
    return (struct move){
        .x = to.signal * 0.25 / norm, .x0 = to.signal * t / sqrt(norm), .noise = to.noise};
}

static const struct {
    const char *name, *label;
    const char *aliases; /* in lower case, without ' ', '-', '_', '+' as 'p', each after a space */
    struct move (*move)(const struct sampler *, const struct schedule_step *);
    bool in_sigma; /* x = x0 + sigma noise, else variance preserving */
    bool draws;
} kinds[N_SAMPLER] = {
    [SAMPLER_EULER] = {"euler", "Euler", " euler keuler eulerdiscretescheduler ", euler, true,
                       false},
    [SAMPLER_EULER_A] = {"euler_a", "Euler a",
                         " eulera eulerancestral keulera keulerancestral "
                         "eulerancestraldiscretescheduler ",
                         euler_a, true, true},
    [SAMPLER_DPMPP_2M] = {"dpmpp_2m", "DPM++ 2M", " dpmpp2m kdpmpp2m dpmsolvermultistepscheduler ",
                          dpmpp_2m, false, false},
    [SAMPLER_DDIM] = {"ddim", "DDIM", " ddim ddimscheduler ", ddim, false, false},
    [SAMPLER_LCM] = {"lcm", "LCM", " lcm lcmscheduler ", lcm, false, true},
};

/* " dpmpp2mkarras " for "DPM++ 2M Karras"; false when it does not fit, so is no name. */
static bool normalise(const char *name, char *out, size_t size)
{
    size_t n = 0;
    out[n++] = ' ';
    for (; *name; name++) {
        if (strchr(" -_", *name))
            continue;
        if (n + 3 > size)
            return false;
        out[n++] = *name == '+' ? 'p' : (char)tolower((unsigned char)*name);
    }
    out[n++] = ' ';
    out[n] = '\0';
    return n > 2;
}

int sampler_parse(const char *name, enum sampler_kind *kind, enum schedule_kind *schedule,
                  struct err *e)
{
    char word[48];
    bool ok = normalise(name, word, sizeof word);
    char *suffix = ok ? strstr(word, "karras ") : NULL;
    if (suffix)
        memcpy(suffix, " ", 2);
    for (int k = 0; k < N_SAMPLER && ok; k++) {
        if (!strstr(kinds[k].aliases, word))
            continue;
        *kind = (enum sampler_kind)k;
        if (suffix && schedule)
            *schedule = SCHEDULE_KARRAS;
        return 0;
    }
    return err_set(e, ERR_ARG,
                   "sampler \"%.40s\" is unknown; choose euler, euler_a, dpmpp_2m, ddim or lcm",
                   name);
}

const char *sampler_name(enum sampler_kind kind)
{
    return kinds[kind].name;
}

const char *sampler_label(enum sampler_kind kind)
{
    return kinds[kind].label;
}

int sampler_init(struct sampler *s, enum sampler_kind kind, const struct schedule *schedule,
                 struct noise *noise, struct err *e)
{
    size_t n = noise_size(noise);
    *s = (struct sampler){.kind = kind, .schedule = schedule, .noise = noise, .n = n};
    s->x0 = mem_try_array(n, sizeof *s->x0, "the sampler", e);
    s->x0_before = mem_try_array(n, sizeof *s->x0_before, "the sampler", e);
    s->draw = mem_try_array(n, sizeof *s->draw, "the sampler", e);
    if (s->x0 && s->x0_before && s->draw)
        return 0;
    sampler_release(s);
    return ERR_NOMEM;
}

void sampler_release(struct sampler *s)
{
    free(s->x0);
    free(s->x0_before);
    free(s->draw);
    *s = (struct sampler){0};
}

/* A picture drawn before may have left infinities, which no zero coefficient would silence. */
static void rewind_to(struct sampler *s, int begin)
{
    s->begin = s->index = begin;
    memset(s->x0, 0, s->n * sizeof *s->x0);
    memset(s->x0_before, 0, s->n * sizeof *s->x0_before);
}

void sampler_start(struct sampler *s, float *x)
{
    rewind_to(s, 0);
    noise_fill(s->noise, x);
    for (size_t i = 0; i < s->n; i++)
        x[i] = (float)(x[i] * s->schedule->init_scale);
}

int sampler_start_image(struct sampler *s, const float *latent, double strength, float *x,
                        struct err *e)
{
    int n = s->schedule->n;
    if (!(strength > 0 && strength <= 1))
        return err_set(e, ERR_ARG, "strength %g: should be above 0 and at most 1", strength);
    int taken = (int)(n * strength);
    rewind_to(s, n - (taken > 0 ? taken : 1));
    double sigma = s->schedule->steps[s->begin].sigma;
    struct level at = kinds[s->kind].in_sigma ? (struct level){1, sigma} : level(sigma);
    noise_fill(s->noise, s->draw);
    for (size_t i = 0; i < s->n; i++)
        x[i] = (float)(at.signal * latent[i] + at.noise * s->draw[i]);
    return 0;
}

bool sampler_done(const struct sampler *s)
{
    return s->index == s->schedule->n;
}

int sampler_n_steps(const struct sampler *s)
{
    return s->schedule->n - s->begin;
}

int sampler_n_done(const struct sampler *s)
{
    return s->index - s->begin;
}

double sampler_timestep(const struct sampler *s)
{
    return s->schedule->steps[s->index].t;
}

void sampler_scale_input(const struct sampler *s, const float *x, float *in)
{
    double scale = kinds[s->kind].in_sigma ? level(s->schedule->steps[s->index].sigma).signal : 1;
    for (size_t i = 0; i < s->n; i++)
        in[i] = (float)(x[i] * scale);
}

/* x0 = a x + b out, by what the model predicts. */
static void estimate(struct sampler *s, double sigma, const float *x, const float *out)
{
    struct level at = level(sigma);
    double a = 0, b = 1;
    if (s->schedule->prediction == PREDICTION_EPSILON) {
        a = 1 / at.signal;
        b = -at.noise / at.signal;
    } else if (s->schedule->prediction == PREDICTION_V) {
        a = at.signal;
        b = -at.noise;
    }
    if (kinds[s->kind].in_sigma)
        a *= at.signal;
    for (size_t i = 0; i < s->n; i++)
        s->x0[i] = (float)(a * x[i] + b * out[i]);
}

void sampler_step(struct sampler *s, float *x, const float *out)
{
    const struct schedule_step *step = &s->schedule->steps[s->index];
    float *recycled = s->x0_before;
    s->x0_before = s->x0;
    s->x0 = recycled;
    estimate(s, step->sigma, x, out);
    struct move m = kinds[s->kind].move(s, step);
    if (kinds[s->kind].draws && step->sigma_to > 0)
        noise_fill(s->noise, s->draw);
    for (size_t i = 0; i < s->n; i++)
        x[i] = (float)(m.x * x[i] + m.x0 * s->x0[i] + m.x0_before * s->x0_before[i] +
                       m.noise * s->draw[i]);
    s->index++;
}
