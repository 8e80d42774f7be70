/* sampler.c - see sampler.h; the steps themselves are in sampler_single.c and sampler_multistep.c.
 */
#include "pipeline/sampler.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/noise.h"
#include "pipeline/sampler_move.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *label;
    const char *aliases; /* in lower case, without ' ', '-', '_', '+' as 'p', each after a space */
    struct sampler_move (*move)(const struct sampler_place *);
    bool in_sigma; /* x = x0 + sigma noise, else variance preserving */
} kinds[N_SAMPLER] = {
    [SAMPLER_EULER] = {"euler", "Euler", " euler keuler eulerdiscretescheduler ", sampler_euler,
                       true},
    [SAMPLER_EULER_A] = {"euler_a", "Euler a",
                         " eulera eulerancestral keulera keulerancestral "
                         "eulerancestraldiscretescheduler ",
                         sampler_euler, true},
    [SAMPLER_HEUN] = {"heun", "Heun", " heun kheun heundiscretescheduler ", sampler_heun, true},
    [SAMPLER_DPM2] = {"dpm2", "DPM2", " dpm2 kdpm2 kdpm2discretescheduler ", sampler_dpm2, true},
    [SAMPLER_DPM2_A] = {"dpm2_a", "DPM2 a",
                        " dpm2a kdpm2a dpm2ancestral kdpm2ancestral "
                        "kdpm2ancestraldiscretescheduler ",
                        sampler_dpm2, true},
    [SAMPLER_EULER_CFG_PP] = {"euler_cfg_pp", "Euler CFG++", " eulercfgpp ddimcfgpp ",
                              sampler_euler_cfg_pp, true},
    [SAMPLER_DPMPP_2M] = {"dpmpp_2m", "DPM++ 2M", " dpmpp2m kdpmpp2m dpmsolvermultistepscheduler ",
                          sampler_dpmpp_2m, false},
    [SAMPLER_DPMPP_2M_SDE] = {"dpmpp_2m_sde", "DPM++ 2M SDE",
                              " dpmpp2msde kdpmpp2msde dpmpp2msdegpu ", sampler_dpmpp_2m_sde,
                              false},
    [SAMPLER_DPMPP_3M_SDE] = {"dpmpp_3m_sde", "DPM++ 3M SDE",
                              " dpmpp3msde kdpmpp3msde dpmpp3msdegpu ", sampler_dpmpp_3m_sde,
                              false},
    [SAMPLER_UNIPC] = {"unipc", "UniPC", " unipc unipcmultistepscheduler unipcbh2 ", sampler_unipc,
                       false},
    [SAMPLER_DDIM] = {"ddim", "DDIM", " ddim ddimscheduler ", sampler_ddim, false},
    [SAMPLER_LCM] = {"lcm", "LCM", " lcm lcmscheduler ", sampler_lcm, false},
    [SAMPLER_TCD] = {"tcd", "TCD", " tcd tcdscheduler ", sampler_ddim, false},
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

/* Before version 1.9 AUTOMATIC1111 had no schedule type but samplers like "DPM++ 2M Karras". */
static const struct {
    const char *suffix; /* of a normalised name */
    enum schedule_kind schedule;
} suffixes[] = {{"karras ", SCHEDULE_KARRAS}, {"exponential ", SCHEDULE_EXPONENTIAL}};

/* Cuts a schedule off the normalised name; N_SCHEDULE when there is none. */
static enum schedule_kind cut_schedule(char *word)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t n = strlen(word), len = strlen(suffixes[i].suffix);
        if (n > len + 1 && !strcmp(word + n - len, suffixes[i].suffix)) {
            memcpy(word + n - len, " ", 2);
            return suffixes[i].schedule;
        }
    }
    return N_SCHEDULE;
}

int sampler_parse(const char *name, enum sampler_kind *kind, enum schedule_kind *schedule,
                  struct err *e)
{
    char word[48];
    bool ok = normalise(name, word, sizeof word);
    enum schedule_kind said = ok ? cut_schedule(word) : N_SCHEDULE;
    for (int k = 0; k < N_SAMPLER && ok; k++) {
        if (!strstr(kinds[k].aliases, word))
            continue;
        *kind = (enum sampler_kind)k;
        if (said != N_SCHEDULE && schedule)
            *schedule = said;
        return 0;
    }
    return err_set(e, ERR_ARG,
                   "sampler \"%.40s\" is unknown; choose euler, euler_a, heun, dpm2, dpm2_a, "
                   "dpmpp_2m, dpmpp_2m_sde, dpmpp_3m_sde, unipc, ddim, lcm, tcd or euler_cfg_pp",
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

double sampler_guidance(enum sampler_kind kind, double guidance)
{
    return kind == SAMPLER_EULER_CFG_PP ? guidance / 12.5 : guidance;
}

int sampler_init(struct sampler *s, enum sampler_kind kind, const struct schedule *schedule,
                 struct noise *noise, struct err *e)
{
    size_t n = noise_size(noise);
    *s = (struct sampler){.kind = kind, .schedule = schedule, .noise = noise, .n = n};
    s->x0 = mem_try_array(n, sizeof *s->x0, "the sampler", e);
    s->x0_1 = mem_try_array(n, sizeof *s->x0_1, "the sampler", e);
    s->x0_2 = mem_try_array(n, sizeof *s->x0_2, "the sampler", e);
    s->draw = mem_try_array(n, sizeof *s->draw, "the sampler", e);
    if (s->x0 && s->x0_1 && s->x0_2 && s->draw)
        return 0;
    sampler_release(s);
    return ERR_NOMEM;
}

void sampler_release(struct sampler *s)
{
    free(s->x0);
    free(s->x0_1);
    free(s->x0_2);
    free(s->draw);
    *s = (struct sampler){0};
}

/* A picture drawn before may have left infinities, which no zero coefficient would silence. */
static void rewind_to(struct sampler *s, int begin)
{
    s->begin = s->index = begin;
    memset(s->x0, 0, s->n * sizeof *s->x0);
    memset(s->x0_1, 0, s->n * sizeof *s->x0_1);
    memset(s->x0_2, 0, s->n * sizeof *s->x0_2);
}

void sampler_start(struct sampler *s, float *x)
{
    rewind_to(s, 0);
    noise_fill(s->noise, x);
    for (size_t i = 0; i < s->n; i++)
        x[i] = (float)(x[i] * s->schedule->init_scale);
}

void sampler_noised(const struct sampler *s, const float *latent, const float *noise, float *x)
{
    double sigma = sampler_done(s) ? 0 : s->schedule->steps[s->index].sigma;
    struct sampler_level at = kinds[s->kind].in_sigma ? (struct sampler_level){1, sigma}
                                                      : sampler_level(sigma);
    for (size_t i = 0; i < s->n; i++)
        x[i] = (float)(at.signal * latent[i] + at.noise * noise[i]);
}

int sampler_start_image(struct sampler *s, const float *latent, double strength, float *x,
                        struct err *e)
{
    int per_step = s->schedule->n_per_step, n = (s->schedule->n + per_step - 1) / per_step;
    if (!(strength > 0 && strength <= 1))
        return err_set(e, ERR_ARG, "strength %g: should be above 0 and at most 1", strength);
    int taken = (int)(n * strength);
    rewind_to(s, (n - (taken > 0 ? taken : 1)) * per_step);
    noise_fill(s->noise, s->draw);
    sampler_noised(s, latent, s->draw, x);
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
    double scale = kinds[s->kind].in_sigma
                       ? sampler_level(s->schedule->steps[s->index].sigma).signal
                       : 1;
    for (size_t i = 0; i < s->n; i++)
        in[i] = (float)(x[i] * scale);
}

/* x0 = a x + b out, by what the model predicts. */
static void estimate(const struct sampler *s, const float *x, const float *out, float *x0)
{
    struct sampler_level at = sampler_level(s->schedule->steps[s->index].sigma);
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
        x0[i] = (float)(a * x[i] + b * out[i]);
}

void sampler_step(struct sampler *s, float *x, const float *out, const float *negative)
{
    struct sampler_place place = {s->schedule, &s->schedule->steps[s->index], s->index, s->begin};
    float *recycled = s->x0_2;
    s->x0_2 = s->x0_1;
    s->x0_1 = s->x0;
    s->x0 = recycled;
    estimate(s, x, out, s->x0);
    if (s->kind == SAMPLER_EULER_CFG_PP)
        estimate(s, x, negative ? negative : out, s->x0_1);
    if (s->schedule->n_per_step == 2 && !place.step->second)
        memcpy(s->x0_1, x, s->n * sizeof *x); /* x0_2 of the second */
    struct sampler_move m = kinds[s->kind].move(&place);
    if (m.noise > 0)
        noise_fill(s->noise, s->draw);
    for (size_t i = 0; i < s->n; i++)
        x[i] = (float)(m.x * x[i] + m.x0 * s->x0[i] + m.x0_1 * s->x0_1[i] + m.x0_2 * s->x0_2[i] +
                       m.noise * s->draw[i]);
    s->index++;
}
