/* schedule_params.c - see schedule_params.h. */
#include "pipeline/schedule_params.h"

#include "base/err.h"

#include <jansson.h>
#include <string.h>

#define N_TRAIN_MAX 100000

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
