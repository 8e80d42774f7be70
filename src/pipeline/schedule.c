/* schedule.c - see schedule.h. */
#include "pipeline/schedule.h"

#include "base/err.h"
#include "base/mem.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define N_TRAIN_MAX 100000

/* The noise levels of training, [n_train], in single precision as diffusers holds them. */
struct table {
    int n;
    float *alpha_bar;
    float *sigma;
    float *log_sigma;
};

void schedule_params_default(struct schedule_params *p)
{
    *p = (struct schedule_params){
        .beta_start = 0.00085,
        .beta_end = 0.012,
        .scaled_linear = true,
        .n_train = 1000,
        .prediction = PREDICTION_EPSILON,
        .steps_offset = 1,
        .n_original_steps = 50,
        .timestep_scaling = 10,
    };
}

/* scheduler_config.json */

/* The member, or NULL where it is absent or null. */
static json_t *get(json_t *root, const char *key)
{
    json_t *v = json_object_get(root, key);
    return json_is_null(v) ? NULL : v;
}

static int wrong(const char *key, const char *want, struct err *e)
{
    return err_set(e, ERR_FORMAT, "scheduler_config.json: \"%s\" should be %s", key, want);
}

static int read_number(json_t *root, const char *key, double *v, struct err *e)
{
    json_t *j = get(root, key);
    if (j && !json_is_number(j))
        return wrong(key, "a number", e);
    if (j)
        *v = json_number_value(j);
    return 0;
}

static int read_int(json_t *root, const char *key, int *v, struct err *e)
{
    json_t *j = get(root, key);
    if (!j)
        return 0;
    json_int_t i = json_integer_value(j);
    if (!json_is_integer(j) || i < 0 || i > N_TRAIN_MAX)
        return wrong(key, "a whole number from 0 to 100000", e);
    *v = (int)i;
    return 0;
}

static int read_bool(json_t *root, const char *key, bool *v, struct err *e)
{
    json_t *j = get(root, key);
    if (j && !json_is_boolean(j))
        return wrong(key, "true or false", e);
    if (j)
        *v = json_is_true(j);
    return 0;
}

/* Which of the words (NULL ends them) the member is, counted from `first`. */
static int read_word(json_t *root, const char *key, const char *const *words, int first, int *v,
                     struct err *e)
{
    json_t *j = get(root, key);
    if (!j)
        return 0;
    const char *s = json_string_value(j);
    if (!s)
        return wrong(key, "a string", e);
    for (int i = 0; words[i]; i++) {
        if (!strcmp(s, words[i])) {
            *v = first + i;
            return 0;
        }
    }
    return err_set(e, ERR_UNSUPPORTED, "scheduler_config.json: %s \"%.40s\" is not supported", key,
                   s);
}

static int read_words(json_t *root, struct schedule_params *p, struct err *e)
{
    static const char *const betas[] = {"linear", "scaled_linear", NULL};
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample", NULL};
    static const char *const spacings[] = {"leading", "linspace", "trailing", NULL};
    static const char *const finals[] = {"zero", "sigma_min", NULL};
    int scaled = p->scaled_linear, prediction = (int)p->prediction, spacing = (int)p->spacing;
    int final = p->final_sigma_min;
    int rc = read_word(root, "beta_schedule", betas, 0, &scaled, e);
    if (!rc)
        rc = read_word(root, "prediction_type", predictions, PREDICTION_EPSILON, &prediction, e);
    if (!rc)
        rc = read_word(root, "timestep_spacing", spacings, SPACING_LEADING, &spacing, e);
    if (!rc)
        rc = read_word(root, "final_sigmas_type", finals, 0, &final, e);
    if (rc)
        return rc;
    p->scaled_linear = scaled;
    p->prediction = (enum prediction)prediction;
    p->spacing = (enum schedule_spacing)spacing;
    p->final_sigma_min = final;
    return 0;
}

static int read_values(json_t *root, struct schedule_params *p, struct err *e)
{
    const struct {
        const char *key;
        double *v;
    } numbers[] = {
        {"beta_start", &p->beta_start},
        {"beta_end", &p->beta_end},
        {"timestep_scaling", &p->timestep_scaling},
    };
    const struct {
        const char *key;
        int *v;
    } ints[] = {
        {"num_train_timesteps", &p->n_train},
        {"steps_offset", &p->steps_offset},
        {"original_inference_steps", &p->n_original_steps},
    };
    const struct {
        const char *key;
        bool *v;
    } bools[] = {
        {"rescale_betas_zero_snr", &p->zero_snr},
        {"use_karras_sigmas", &p->use_karras},
        {"set_alpha_to_one", &p->alpha_to_one},
    };
    int rc = 0;
    for (size_t i = 0; i < 3 && !rc; i++)
        rc = read_number(root, numbers[i].key, numbers[i].v, e);
    for (size_t i = 0; i < 3 && !rc; i++)
        rc = read_int(root, ints[i].key, ints[i].v, e);
    for (size_t i = 0; i < 3 && !rc; i++)
        rc = read_bool(root, bools[i].key, bools[i].v, e);
    return rc ? rc : read_words(root, p, e);
}

static int check(const struct schedule_params *p, struct err *e)
{
    if (!(p->beta_start > 0 && p->beta_end >= p->beta_start && p->beta_end < 1))
        return wrong("beta_start\" and \"beta_end", "0 < start <= end < 1", e);
    if (p->n_train < 2)
        return wrong("num_train_timesteps", "at least 2", e);
    if (p->steps_offset >= p->n_train)
        return wrong("steps_offset", "below num_train_timesteps", e);
    if (p->n_original_steps < 1 || p->n_original_steps > p->n_train)
        return wrong("original_inference_steps", "from 1 to num_train_timesteps", e);
    if (!(p->timestep_scaling > 0 && p->timestep_scaling < 1e6))
        return wrong("timestep_scaling", "above 0", e);
    return 0;
}

int schedule_params_parse(struct schedule_params *p, const char *json, size_t n, struct err *e)
{
    json_error_t where;
    json_t *root = json_loadb(json, n, 0, &where);
    int rc;
    schedule_params_default(p);
    p->steps_offset = 0;
    p->alpha_to_one = true;
    if (!json_is_object(root))
        rc = err_set(e, ERR_FORMAT, "scheduler_config.json: line %d: %s", where.line,
                     root ? "not an object" : where.text);
    else if (get(root, "trained_betas"))
        rc = err_set(e, ERR_UNSUPPORTED, "scheduler_config.json: trained_betas is not supported");
    else if (!(rc = read_values(root, p, e)))
        rc = check(p, e);
    json_decref(root);
    return rc;
}

/* Names */

static const struct {
    const char *name;
    enum schedule_kind kind;
} names[] = {
    {"model", SCHEDULE_MODEL},       {"normal", SCHEDULE_NORMAL},   {"karras", SCHEDULE_KARRAS},
    {"trailing", SCHEDULE_TRAILING}, {"leading", SCHEDULE_LEADING}, {"linspace", SCHEDULE_LINSPACE},
    {"default", SCHEDULE_MODEL},     {"automatic", SCHEDULE_MODEL}, {"uniform", SCHEDULE_NORMAL},
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
                   "schedule \"%.40s\" is unknown; choose model, normal, karras, trailing, leading "
                   "or linspace",
                   name);
}

const char *schedule_name(enum schedule_kind kind)
{
    return names[kind].name; /* the first rows are in the order of the enum */
}

/* The training table */

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
static bool table_grows(const struct table *t, bool zero_end)
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
static int table_init(struct table *t, const struct schedule_params *p, bool clamp, struct err *e)
{
    int n = p->n_train;
    float *v = mem_try_array(3 * (size_t)n, sizeof *v, "the noise schedule", e);
    if (!v)
        return ERR_NOMEM;
    *t = (struct table){.n = n, .alpha_bar = v, .sigma = v + n, .log_sigma = v + 2 * n};
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
static double table_timestep(const struct table *t, double sigma)
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

/* Building */

struct plan {
    const struct schedule_params *p;
    const struct table *table;
    enum schedule_kind kind;
    enum sampler_kind sampler;
    enum schedule_spacing spacing; /* SPACING_UNSET: LCM's own */
    int n;
};

static enum schedule_spacing effective_spacing(const struct schedule_params *p,
                                               enum schedule_kind kind, enum sampler_kind sampler)
{
    if (kind == SCHEDULE_TRAILING)
        return SPACING_TRAILING;
    if (kind == SCHEDULE_LEADING)
        return SPACING_LEADING;
    if (kind == SCHEDULE_LINSPACE)
        return SPACING_LINSPACE;
    if (sampler == SAMPLER_LCM)
        return SPACING_UNSET;
    if (p->spacing != SPACING_UNSET)
        return p->spacing;
    return sampler == SAMPLER_DDIM ? SPACING_LEADING : SPACING_LINSPACE;
}

/* Step i's t. The rounding, half to even, and the order of operations are NumPy's, which decide
 * where a t falls on one half. */
static double spaced_timestep(const struct plan *m, int i)
{
    int n = m->n, last = m->p->n_train - 1, n_train = m->p->n_train;
    bool dpm = m->sampler == SAMPLER_DPMPP_2M;
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
        return (dpm ? (n - i) * (n_train / (n + 1)) : (n - 1 - i) * (n_train / n)) +
               m->p->steps_offset;
    if (dpm)
        return rint((n - i) * ((double)last / n));
    double t = (n - 1 - i) * ((double)last / (n - 1));
    return m->sampler == SAMPLER_DDIM || m->sampler == SAMPLER_LCM ? rint(t) : (float)t;
}

/* Euler and DPM++ 2M hold sigmas in single precision; DDIM and LCM look alpha_bar up. */
static bool looks_up(enum sampler_kind sampler)
{
    return sampler == SAMPLER_DDIM || sampler == SAMPLER_LCM;
}

static double spaced_sigma(const struct plan *m, double t)
{
    if (!looks_up(m->sampler))
        return lerp(m->table->sigma, m->table->n, t);
    double a = m->table->alpha_bar[(int)fmin(t, m->table->n - 1)];
    return sqrt((1 - a) / a);
}

static void fill_karras(const struct plan *m, double from, double to, struct schedule_step *steps)
{
    const double rho = 7;
    double a = pow(from, 1 / rho), b = pow(to, 1 / rho);
    for (int i = 0; i < m->n; i++) {
        double ramp = m->n > 1 ? (double)i / (m->n - 1) : 0;
        steps[i].sigma = pow(a + ramp * (b - a), rho);
        steps[i].t = table_timestep(m->table, steps[i].sigma);
        if (m->sampler == SAMPLER_DPMPP_2M)
            steps[i].t = rint(steps[i].t);
    }
}

/* t and sigma of every step. */
static void fill_levels(const struct plan *m, struct schedule_step *steps)
{
    const struct table *table = m->table;
    int last = table->n - 1;
    if (m->kind == SCHEDULE_KARRAS) {
        fill_karras(m, table->sigma[last], table->sigma[0], steps);
        return;
    }
    for (int i = 0; i < m->n; i++) {
        struct schedule_step *s = &steps[i];
        if (m->kind == SCHEDULE_NORMAL) {
            s->t = m->n > 1 ? (m->n - 1 - i) * ((double)last / (m->n - 1)) : last;
            s->sigma = exp(lerp(table->log_sigma, table->n, s->t));
        } else {
            s->t = spaced_timestep(m, i);
            s->sigma = spaced_sigma(m, s->t);
        }
    }
    if (m->kind != SCHEDULE_MODEL || !m->p->use_karras)
        return;
    if (m->sampler == SAMPLER_EULER)
        fill_karras(m, steps[0].sigma, steps[m->n - 1].sigma, steps);
    else if (m->sampler == SAMPLER_DPMPP_2M)
        fill_karras(m, table->sigma[last], table->sigma[0], steps);
}

static bool by_timestep(enum schedule_kind kind)
{
    return kind != SCHEDULE_NORMAL && kind != SCHEDULE_KARRAS;
}

/* sigma_to of every step: the next sigma, and what the last step ends at. DDIM steps by a fixed
 * N / n, which is not always where the next step starts. */
static void fill_targets(const struct plan *m, struct schedule_step *steps)
{
    const struct schedule_params *p = m->p;
    int stride = p->n_train / m->n;
    for (int i = 0; i + 1 < m->n; i++)
        steps[i].sigma_to = steps[i + 1].sigma;
    steps[m->n - 1].sigma_to = 0;
    if (!by_timestep(m->kind))
        return;
    if ((m->sampler == SAMPLER_EULER || m->sampler == SAMPLER_DPMPP_2M) && p->final_sigma_min)
        steps[m->n - 1].sigma_to = m->table->sigma[0];
    for (int i = 0; i < m->n && m->sampler == SAMPLER_DDIM; i++) {
        double to = steps[i].t - stride;
        steps[i].sigma_to = to < 0 && p->alpha_to_one ? 0 : spaced_sigma(m, fmax(to, 0));
    }
}

static double init_scale(const struct plan *m, double sigma_max)
{
    if (m->sampler != SAMPLER_EULER && m->sampler != SAMPLER_EULER_A)
        return 1;
    bool leading = by_timestep(m->kind) && m->spacing == SPACING_LEADING;
    return leading ? sqrt(sigma_max * sigma_max + 1) : sigma_max;
}

int schedule_build(struct schedule *s, const struct schedule_params *p, enum schedule_kind kind,
                   enum sampler_kind sampler, int n, struct err *e)
{
    *s = (struct schedule){0};
    struct table table;
    struct plan m = {p, &table, kind, sampler, effective_spacing(p, kind, sampler), n};
    int most = m.spacing == SPACING_UNSET && by_timestep(kind) ? p->n_original_steps
                                                               : p->n_train - 1;
    if (n < 1 || n > most)
        return err_set(e, ERR_ARG, "%d steps: this sampler and model take 1 to %d", n, most);
    /* At zero SNR epsilon prediction says nothing of x0, so it needs the clamp in any case. */
    bool exact = looks_up(sampler) && by_timestep(kind) && p->prediction != PREDICTION_EPSILON;
    int rc = table_init(&table, p, !exact, e);
    if (rc)
        return rc;
    s->steps = mem_try_array((size_t)n, sizeof *s->steps, "the noise schedule", e);
    if (s->steps) {
        s->n = n;
        s->prediction = p->prediction;
        s->timestep_scaling = p->timestep_scaling;
        fill_levels(&m, s->steps);
        for (int i = 0; i < n && !looks_up(sampler); i++)
            s->steps[i].sigma = (float)s->steps[i].sigma;
        fill_targets(&m, s->steps);
        s->init_scale = init_scale(&m, s->steps[0].sigma);
    }
    free(table.alpha_bar);
    return s->steps ? 0 : ERR_NOMEM;
}

void schedule_release(struct schedule *s)
{
    free(s->steps);
    *s = (struct schedule){0};
}
