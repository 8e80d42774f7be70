/* schedule.c - see schedule.h. */
#include "pipeline/schedule.h"

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/schedule_sigmas.h"
#include "pipeline/schedule_table.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_SIGMA 10000

/* Names */

static const struct {
    const char *name;
    enum schedule_kind kind;
} names[] = {
    {"model", SCHEDULE_MODEL},
    {"normal", SCHEDULE_NORMAL},
    {"karras", SCHEDULE_KARRAS},
    {"trailing", SCHEDULE_TRAILING},
    {"leading", SCHEDULE_LEADING},
    {"linspace", SCHEDULE_LINSPACE},
    {"exponential", SCHEDULE_EXPONENTIAL},
    {"sgm_uniform", SCHEDULE_SGM_UNIFORM},
    {"simple", SCHEDULE_SIMPLE},
    {"beta", SCHEDULE_BETA},
    {"ays", SCHEDULE_AYS}, /* up to here in the order of the enum */
    {"default", SCHEDULE_MODEL},
    {"automatic", SCHEDULE_MODEL},
    {"uniform", SCHEDULE_NORMAL},
    {"sgm uniform", SCHEDULE_SGM_UNIFORM},
    {"align your steps", SCHEDULE_AYS},
    {"align_your_steps", SCHEDULE_AYS},
};

int schedule_parse(const char *name, enum schedule_kind *kind, struct err *e)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcasecmp(name, names[i].name)) {
            *kind = names[i].kind;
            return 0;
        }
    }
    return err_set(e, ERR_ARG,
                   "schedule \"%.40s\" is unknown; choose model, normal, karras, exponential, "
                   "sgm_uniform, simple, beta, ays, trailing, leading or linspace",
                   name);
}

const char *schedule_name(enum schedule_kind kind)
{
    return names[kind].name;
}

int schedule_parse_sigmas(const char *text, double sigmas[SCHEDULE_MAX_STEPS], int *n,
                          struct err *e)
{
    double before = MAX_SIGMA;
    *n = 0;
    for (const char *p = text;; p++) {
        char *end;
        double v = strtod(p, &end);
        if (end == p || isspace((unsigned char)*p) || (*end && *end != ','))
            return err_set(e, ERR_ARG,
                           "\"%.20s\" is no number; sigmas are noise levels such as "
                           "14.6,6.5,2.7,0.7,0",
                           p);
        bool last = !*end;
        if (v == 0 && last && *n > 0)
            return 0;
        if (!(v > 0) || v > before || (*n > 0 && v == before))
            return err_set(e, ERR_ARG,
                           "sigma %g: each must be below the one before it, from at most %d down "
                           "to 0",
                           v, MAX_SIGMA);
        if (*n == SCHEDULE_MAX_STEPS)
            return err_set(e, ERR_ARG, "there are more than %d sigmas", SCHEDULE_MAX_STEPS);
        sigmas[(*n)++] = before = v;
        if (last)
            return 0;
        p = end;
    }
}

/* Building */

/* How diffusers' scheduler classes pick timesteps. */
enum family {
    FAMILY_EULER,     /* x in the sigma parametrisation, sigmas in single precision */
    FAMILY_MULTISTEP, /* one point more, of which the last is left out */
    FAMILY_DDIM,      /* looks alpha_bar up, steps by a fixed N / n */
    FAMILY_DISTILLED  /* looks alpha_bar up, picks from the steps of the distillation */
};

struct habits {
    enum family family;
    bool two_evaluations;
    bool karras;       /* knows use_karras_sigmas */
    bool karras_whole; /* over the whole table, not from the first to the last t it picked */
    bool karras_round; /* and rounds t then */
    bool final_min;    /* knows final_sigmas_type */
    double eta;        /* the usual one; < 0: draws no noise, or always the same share */
};

static const struct habits habits[N_SAMPLER] = {
    [SAMPLER_EULER] = {FAMILY_EULER, false, true, false, false, true, -1},
    [SAMPLER_EULER_A] = {FAMILY_EULER, false, false, false, false, false, 1},
    [SAMPLER_EULER_CFG_PP] = {FAMILY_EULER, false, true, false, false, true, -1},
    [SAMPLER_HEUN] = {FAMILY_EULER, true, true, false, false, false, -1},
    [SAMPLER_DPM2] = {FAMILY_EULER, true, true, false, true, false, -1},
    [SAMPLER_DPM2_A] = {FAMILY_EULER, true, true, false, true, false, 1},
    [SAMPLER_DPMPP_2M] = {FAMILY_MULTISTEP, false, true, true, true, true, -1},
    [SAMPLER_DPMPP_2M_SDE] = {FAMILY_MULTISTEP, false, true, true, true, true, 1},
    [SAMPLER_DPMPP_3M_SDE] = {FAMILY_MULTISTEP, false, true, true, true, true, 1},
    [SAMPLER_UNIPC] = {FAMILY_MULTISTEP, false, true, true, true, true, -1},
    [SAMPLER_DDIM] = {FAMILY_DDIM, false, false, false, false, false, 0},
    [SAMPLER_LCM] = {FAMILY_DISTILLED, false, false, false, false, false, -1},
    [SAMPLER_TCD] = {FAMILY_DISTILLED, false, false, false, false, false, 0.3},
};

struct plan {
    const struct schedule_params *p;
    const struct schedule_request *r;
    const struct schedule_table *table;
    const struct habits *habits;
    enum schedule_spacing spacing; /* SPACING_UNSET: that of the distillation */
    bool by_timestep;
    double eta;
};

static enum schedule_spacing effective_spacing(const struct schedule_params *p,
                                               enum schedule_kind kind, enum family family)
{
    if (kind == SCHEDULE_TRAILING)
        return SPACING_TRAILING;
    if (kind == SCHEDULE_LEADING)
        return SPACING_LEADING;
    if (kind == SCHEDULE_LINSPACE)
        return SPACING_LINSPACE;
    if (family == FAMILY_DISTILLED)
        return SPACING_UNSET;
    if (p->spacing != SPACING_UNSET)
        return p->spacing;
    return family == FAMILY_DDIM ? SPACING_LEADING : SPACING_LINSPACE;
}

/* Step i's t. The rounding, half to even, and the order of operations are NumPy's, which decide
 * where a t falls on one half. */
static double spaced_timestep(const struct plan *m, int i)
{
    int n = m->r->n, last = m->p->n_train - 1, n_train = m->p->n_train;
    bool multistep = m->habits->family == FAMILY_MULTISTEP;
    if (m->spacing == SPACING_TRAILING) {
        double delta = (n_train - (double)n_train / n) - n_train;
        return rint(n_train + i * delta) - 1;
    }
    if (m->spacing == SPACING_UNSET) {
        double step = (double)m->p->n_original_steps / n;
        int skip = n_train / m->p->n_original_steps;
        return (m->p->n_original_steps - floor(i * step)) * skip - 1;
    }
    if (i == 0 && (n == 1 || m->spacing == SPACING_LINSPACE))
        return last;
    if (m->spacing == SPACING_LEADING)
        return (multistep ? (n - i) * (n_train / (n + 1)) : (n - 1 - i) * (n_train / n)) +
               m->p->steps_offset;
    if (multistep)
        return rint((n - i) * ((double)last / n));
    double t = (n - 1 - i) * ((double)last / (n - 1));
    return m->habits->family == FAMILY_EULER ? (float)t : rint(t);
}

/* DDIM, LCM and TCD look alpha_bar up, the others hold sigmas in single precision. */
static bool looks_up(enum family family)
{
    return family == FAMILY_DDIM || family == FAMILY_DISTILLED;
}

static double spaced_sigma(const struct plan *m, double t)
{
    return looks_up(m->habits->family) ? schedule_table_exact_sigma(m->table, t)
                                       : schedule_table_sigma(m->table, t);
}

static void set_karras(const struct plan *m, double from, double to, double *sigmas,
                       struct schedule_step *steps)
{
    schedule_sigmas_karras(from, to, m->r->n, sigmas);
    for (int i = 0; i < m->r->n; i++) {
        double t = schedule_table_timestep(m->table, sigmas[i]);
        steps[i].sigma = sigmas[i];
        steps[i].t = m->habits->karras_round ? rint(t) : t;
    }
}

/* t and sigma of every step, by timestep. `sigmas` is work space. */
static void fill_by_timestep(const struct plan *m, double *sigmas, struct schedule_step *steps)
{
    const struct schedule_table *table = m->table;
    int n = m->r->n;
    for (int i = 0; i < n; i++) {
        steps[i].t = spaced_timestep(m, i);
        steps[i].sigma = spaced_sigma(m, steps[i].t);
    }
    if (m->r->kind != SCHEDULE_MODEL || !m->p->use_karras || !m->habits->karras)
        return;
    if (m->habits->karras_whole)
        set_karras(m, table->sigma[table->n - 1], table->sigma[0], sigmas, steps);
    else
        set_karras(m, steps[0].sigma, steps[n - 1].sigma, sigmas, steps);
}

/* The schedules that are given as t, with sigmas interpolated in log sigma. */
static void fill_interpolated(const struct plan *m, struct schedule_step *steps)
{
    int n = m->r->n, last = m->table->n - 1;
    for (int i = 0; i < n; i++) {
        if (m->r->kind == SCHEDULE_SIMPLE)
            steps[i].t = last - (int)(i * ((double)m->table->n / n));
        else if (m->r->kind == SCHEDULE_SGM_UNIFORM)
            steps[i].t = (n - i) * ((double)last / n);
        else
            steps[i].t = n > 1 ? (n - 1 - i) * ((double)last / (n - 1)) : last;
        steps[i].sigma = exp(schedule_table_log_sigma(m->table, steps[i].t));
    }
}

/* The schedules that are given as sigmas. */
static void fill_by_sigma(const struct plan *m, double *sigmas, struct schedule_step *steps)
{
    const struct schedule_request *r = m->r;
    double from = m->table->sigma[m->table->n - 1], to = m->table->sigma[0];
    if (!r->sigmas && r->kind == SCHEDULE_KARRAS) {
        set_karras(m, from, to, sigmas, steps);
        return;
    }
    if (r->sigmas)
        memcpy(sigmas, r->sigmas, (size_t)r->n * sizeof *sigmas);
    else if (r->kind == SCHEDULE_EXPONENTIAL)
        schedule_sigmas_exponential(from, to, r->n, sigmas);
    else if (r->kind == SCHEDULE_BETA)
        schedule_sigmas_beta(from, to, r->n, sigmas);
    else
        schedule_sigmas_ays(m->p->xl, r->n, sigmas);
    for (int i = 0; i < r->n; i++) {
        steps[i].sigma = sigmas[i];
        steps[i].t = schedule_table_timestep(m->table, sigmas[i]);
    }
}

static void fill_levels(const struct plan *m, double *sigmas, struct schedule_step *steps)
{
    enum schedule_kind kind = m->r->kind;
    if (m->by_timestep)
        fill_by_timestep(m, sigmas, steps);
    else if (!m->r->sigmas &&
             (kind == SCHEDULE_NORMAL || kind == SCHEDULE_SGM_UNIFORM || kind == SCHEDULE_SIMPLE))
        fill_interpolated(m, steps);
    else
        fill_by_sigma(m, sigmas, steps);
    for (int i = 0; i < m->r->n && !looks_up(m->habits->family); i++)
        steps[i].sigma = (float)steps[i].sigma;
}

/* sigma_to of every step: the next sigma, and what the last step ends at. DDIM steps by a fixed
 * N / n, which is not always where the next step starts. */
static void fill_targets(const struct plan *m, struct schedule_step *steps)
{
    int n = m->r->n, stride = m->p->n_train / n;
    for (int i = 0; i + 1 < n; i++)
        steps[i].sigma_to = steps[i + 1].sigma;
    steps[n - 1].sigma_to = 0;
    if (!m->by_timestep)
        return;
    if (m->r->sampler == SAMPLER_TCD || (m->habits->final_min && m->p->final_sigma_min))
        steps[n - 1].sigma_to = spaced_sigma(m, 0);
    for (int i = 0; i < n && m->habits->family == FAMILY_DDIM; i++) {
        double to = steps[i].t - stride;
        steps[i].sigma_to = to < 0 && m->p->alpha_to_one ? 0 : spaced_sigma(m, fmax(to, 0));
    }
}

/* sigma_down of every step. Ancestral: what eta leaves of the old noise, k-diffusion's
 * get_ancestral_step(); for DDIM it is eq. 16 of Song et al. (2021). TCD: the level of a share
 * 1 - eta of the next step's t (Zheng et al., 2024, where eta is called gamma). */
static void fill_down(const struct plan *m, struct schedule_step *steps)
{
    bool ancestral = m->r->sampler == SAMPLER_EULER_A || m->r->sampler == SAMPLER_DPM2_A ||
                     m->r->sampler == SAMPLER_DDIM;
    for (int i = 0; i < m->r->n; i++) {
        struct schedule_step *s = &steps[i];
        double q = s->sigma_to / s->sigma;
        s->sigma_down = s->sigma_to;
        if (ancestral)
            s->sigma_down *= m->eta == 1 ? q : sqrt(fmax(1 - m->eta * m->eta * (1 - q * q), 0));
        if (m->r->sampler == SAMPLER_TCD) {
            double t_next = i + 1 < m->r->n ? steps[i + 1].t : 0;
            double t = floor((1 - m->eta) * t_next);
            s->sigma_down = fmin(schedule_table_exact_sigma(m->table, t), s->sigma_to);
        }
    }
}

/* Makes two evaluations of every step but one that ends at no noise, from the last backwards in
 * place. Heun's second is at the next level, DPM2's half way (in log sigma) to where it goes. */
static int split_steps(const struct plan *m, struct schedule_step *steps)
{
    int n = m->r->n;
    for (int i = n - 1; i >= 0; i--) {
        struct schedule_step s = steps[i], second = s;
        if (i < n - 1) {
            bool heun = m->r->sampler == SAMPLER_HEUN;
            second.sigma = heun ? s.sigma_to : sqrt(s.sigma * s.sigma_down);
            second.t = heun ? steps[2 * (i + 1)].t
                            : schedule_table_timestep(m->table, second.sigma);
            second.second = true;
            s.sigma_to = s.sigma_down = second.sigma;
            steps[2 * i + 1] = second;
        }
        steps[2 * i] = s;
    }
    return 2 * n - 1;
}

static double init_scale(const struct plan *m, double sigma_max)
{
    if (m->habits->family != FAMILY_EULER)
        return 1;
    bool leading = m->by_timestep && m->spacing == SPACING_LEADING;
    return leading ? sqrt(sigma_max * sigma_max + 1) : sigma_max;
}

static int check(const struct plan *m, struct err *e)
{
    bool distilled = m->spacing == SPACING_UNSET && m->by_timestep;
    int n = m->r->n, most = distilled ? m->p->n_original_steps : m->p->n_train - 1;
    if (n < 1 || n > most)
        return err_set(e, ERR_ARG, "%d steps: this sampler and model take 1 to %d", n, most);
    if (m->r->eta >= 0 && m->habits->eta < 0)
        return err_set(e, ERR_ARG, "eta %g: this sampler has none; leave it out", m->r->eta);
    if (m->r->eta > 1)
        return err_set(e, ERR_ARG, "eta %g: must be from 0 to 1", m->r->eta);
    return 0;
}

static void fill(struct schedule *s, const struct plan *m, double *sigmas)
{
    s->prediction = m->p->prediction;
    s->timestep_scaling = m->p->timestep_scaling;
    s->eta = m->eta;
    s->n = m->r->n;
    s->n_per_step = m->habits->two_evaluations ? 2 : 1;
    fill_levels(m, sigmas, s->steps);
    fill_targets(m, s->steps);
    fill_down(m, s->steps);
    s->init_scale = init_scale(m, s->steps[0].sigma);
    if (m->habits->two_evaluations)
        s->n = split_steps(m, s->steps);
}

int schedule_build(struct schedule *s, const struct schedule_params *p,
                   const struct schedule_request *r, struct err *e)
{
    *s = (struct schedule){0};
    struct schedule_table table = {0};
    const struct habits *h = &habits[r->sampler];
    bool by_timestep = !r->sigmas && (r->kind == SCHEDULE_MODEL || r->kind == SCHEDULE_TRAILING ||
                                      r->kind == SCHEDULE_LEADING || r->kind == SCHEDULE_LINSPACE);
    struct plan m = {p,
                     r,
                     &table,
                     h,
                     effective_spacing(p, r->kind, h->family),
                     by_timestep,
                     r->eta >= 0 ? r->eta : fmax(h->eta, 0)};
    int rc = check(&m, e);
    /* At zero SNR epsilon prediction says nothing of x0, so it needs the clamp in any case. */
    bool exact = looks_up(h->family) && by_timestep && p->prediction != PREDICTION_EPSILON;
    if (!rc)
        rc = schedule_table_init(&table, p, !exact, e);
    if (rc)
        return rc;
    double *sigmas = mem_try_array((size_t)r->n, sizeof *sigmas, "the noise schedule", e);
    s->steps = mem_try_array(2 * (size_t)r->n, sizeof *s->steps, "the noise schedule", e);
    if (s->steps && sigmas)
        fill(s, &m, sigmas);
    else
        rc = ERR_NOMEM;
    free(sigmas);
    schedule_table_release(&table);
    return rc;
}

void schedule_release(struct schedule *s)
{
    free(s->steps);
    *s = (struct schedule){0};
}
