/* recipe.c - see recipe.h. */
#include "pipeline/recipe.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/picture.h"
#include "pipeline/hires.h"
#include "pipeline/infotext.h"
#include "pipeline/recipe_guides.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define MAX_SAFE ((uint64_t)1 << 53) /* JavaScript's integers are exact up to here */

void recipe_init(struct recipe *r)
{
    *r = (struct recipe){.guidance = -1,
                         .guidance_rescale = -1,
                         .eta = -1,
                         .upscale = -1,
                         .strength = -1,
                         .hires = -1,
                         .hires_strength = -1,
                         .variation_strength = -1};
}

void recipe_set(char **field, const char *value)
{
    char *copy = mem_strdup(value);
    free(*field);
    *field = copy;
}

void recipe_add_lora(struct recipe *r, const char *name, double weight, const char *hash)
{
    r->loras = mem_realloc(r->loras, ((size_t)r->n_loras + 1) * sizeof *r->loras);
    r->loras[r->n_loras++] = (struct recipe_lora){mem_strdup(name), mem_strdup(hash), weight,
                                                  weight};
}

void recipe_append_utf8(struct buf *b, const char *s)
{
    size_t taken;
    char out[4];
    for (size_t n = strlen(s), i = 0; i < n; i += taken)
        buf_append(b, out, utf8_encode(utf8_decode(s + i, n - i, &taken), out));
}

bool recipe_parse_seed(const char *s, uint64_t *v)
{
    char *end;
    if (*s < '0' || *s > '9')
        return false;
    errno = 0;
    unsigned long long x = strtoull(s, &end, 10);
    if (*end || errno)
        return false;
    *v = x;
    return true;
}

char *recipe_to_parameters(const struct recipe *r)
{
    return infotext_write(r);
}

int recipe_from_parameters(struct recipe *r, const char *text, struct err *e)
{
    recipe_init(r);
    if (strlen(text) > RECIPE_MAX_TEXT)
        return err_set(e, ERR_FORMAT, "the parameters text is longer than 4 MiB");
    infotext_read(r, text);
    return 0;
}

/* JSON */

/* Strings and counts by name, for both directions. */
struct fields {
    struct {
        const char *key;
        char **field;
    } strings[20];
    struct {
        const char *key;
        int *field;
    } counts[5];
    struct {
        const char *key;
        double *field, max;
    } numbers[8];
};

static struct fields fields_of(struct recipe *r)
{
    return (struct fields){
        .strings = {{"prompt", &r->prompt},
                    {"negative", &r->negative},
                    {"sampler", &r->sampler},
                    {"schedule", &r->schedule},
                    {"sigmas", &r->sigmas},
                    {"embeddings", &r->embeddings},
                    {"model", &r->model},
                    {"model_hash", &r->model_hash},
                    {"source", &r->source},
                    {"source_hash", &r->source_hash},
                    {"rng", &r->rng},
                    {"version", &r->version},
                    {"precision", &r->precision},
                    {"upscaler", &r->upscaler},
                    {"tileable", &r->tileable},
                    {"extend", &r->extend},
                    {"hires_upscaler", &r->hires_upscaler},
                    {"vae", &r->vae},
                    {"text_encoder", &r->text_encoder[0]},
                    {"text_encoder_2", &r->text_encoder[1]}},
        .counts = {{"steps", &r->steps},
                   {"width", &r->width},
                   {"height", &r->height},
                   {"clip_skip", &r->clip_skip},
                   {"hires_steps", &r->hires_steps}},
        .numbers = {{"guidance", &r->guidance, RECIPE_MAX_GUIDANCE},
                    {"guidance_rescale", &r->guidance_rescale, 1},
                    {"eta", &r->eta, 1},
                    {"strength", &r->strength, 1},
                    {"hires", &r->hires, HIRES_MAX_SCALE},
                    {"hires_strength", &r->hires_strength, 1},
                    {"upscale", &r->upscale, RECIPE_MAX_UPSCALE},
                    {"variation_strength", &r->variation_strength, 1}},
    };
}

#define N_OF(array) (sizeof(array) / sizeof *(array))

void recipe_release(struct recipe *r)
{
    struct fields f = fields_of(r);
    for (size_t i = 0; i < N_OF(f.strings); i++)
        free(*f.strings[i].field);
    for (int i = 0; i < r->n_loras; i++) {
        free(r->loras[i].name);
        free(r->loras[i].hash);
    }
    free(r->loras);
    recipe_mask_release(&r->mask);
    recipe_release_guides(r);
    recipe_init(r);
}

static void put_string(json_t *o, const char *key, const char *value)
{
    struct buf clean;
    if (!value)
        return;
    buf_init(&clean, 4 * RECIPE_MAX_TEXT);
    recipe_append_utf8(&clean, value);
    json_object_set_new(o, key, json_string(buf_str(&clean)));
    buf_release(&clean);
}

static void put_loras(json_t *o, const struct recipe *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_loras; i++) {
        json_t *lora = json_object();
        put_string(lora, "name", r->loras[i].name);
        json_object_set_new(lora, "weight", json_real(r->loras[i].weight));
        if (r->loras[i].text_weight != r->loras[i].weight)
            json_object_set_new(lora, "text_weight", json_real(r->loras[i].text_weight));
        put_string(lora, "hash", r->loras[i].hash);
        json_array_append_new(list, lora);
    }
    json_object_set_new(o, "loras", list);
}

static void put_seed(json_t *o, const char *key, uint64_t seed)
{
    json_object_set_new(o, key,
                        seed <= MAX_SAFE ? json_integer((json_int_t)seed)
                                         : json_sprintf("%llu", (unsigned long long)seed));
}

char *recipe_to_json(const struct recipe *r)
{
    struct recipe copy = *r; /* borrowed: only to take addresses without const */
    struct fields f = fields_of(&copy);
    json_t *o = json_object();
    for (size_t i = 0; i < N_OF(f.strings); i++)
        put_string(o, f.strings[i].key, *f.strings[i].field);
    for (size_t i = 0; i < N_OF(f.counts); i++)
        if (*f.counts[i].field >= 1)
            json_object_set_new(o, f.counts[i].key, json_integer(*f.counts[i].field));
    for (size_t i = 0; i < N_OF(f.numbers); i++)
        if (*f.numbers[i].field >= 0)
            json_object_set_new(o, f.numbers[i].key, json_real(*f.numbers[i].field));
    if (r->has_seed)
        put_seed(o, "seed", r->seed);
    if (r->variation_strength > 0)
        put_seed(o, "variation_seed", r->variation_seed);
    if (r->n_loras)
        put_loras(o, r);
    if (r->mask.name)
        json_object_set_new(o, "mask", recipe_mask_to_json(&r->mask));
    if (r->n_guides)
        json_object_set_new(o, "guides", recipe_guides_to_json(r));
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(o);
    return text ? text : mem_strdup("{}");
}

static int wrong(const char *key, const char *wanted, struct err *e)
{
    return err_set(e, ERR_FORMAT, "the recipe's \"%s\" is not %s", key, wanted);
}

static int read_seed(const json_t *o, const char *key, uint64_t *seed, struct err *e)
{
    const json_t *v = json_object_get(o, key);
    if (!v || (json_is_string(v) && recipe_parse_seed(json_string_value(v), seed)))
        return 0;
    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *seed = (uint64_t)json_integer_value(v);
        return 0;
    }
    return wrong(key, "a whole number from 0 to 2^64 - 1", e);
}

static int read_loras(struct recipe *r, const json_t *list, struct err *e)
{
    size_t i;
    json_t *v;
    if (list && !json_is_array(list))
        return wrong("loras", "a list", e);
    json_array_foreach(list, i, v)
    {
        const json_t *weight = json_object_get(v, "weight");
        const char *name = json_string_value(json_object_get(v, "name"));
        const json_t *text = json_object_get(v, "text_weight");
        if (!name || (weight && !json_is_number(weight)) || (text && !json_is_number(text)))
            return wrong("loras", "a list of objects with a name and a weight", e);
        recipe_add_lora(r, name, weight ? json_number_value(weight) : 1,
                        json_string_value(json_object_get(v, "hash")));
        if (text)
            r->loras[r->n_loras - 1].text_weight = json_number_value(text);
    }
    return 0;
}

static int from_object(struct recipe *r, const json_t *o, struct err *e)
{
    struct fields f = fields_of(r);
    for (size_t i = 0; i < N_OF(f.strings); i++) {
        const json_t *v = json_object_get(o, f.strings[i].key);
        if (v && !json_is_string(v))
            return wrong(f.strings[i].key, "a string", e);
        recipe_set(f.strings[i].field, json_string_value(v));
    }
    for (size_t i = 0; i < N_OF(f.counts); i++) {
        const json_t *v = json_object_get(o, f.counts[i].key);
        json_int_t n = json_integer_value(v);
        if (v && (!json_is_integer(v) || n < 1 || n > INT_MAX))
            return wrong(f.counts[i].key, "a whole number from 1 on", e);
        *f.counts[i].field = (int)n;
    }
    for (size_t i = 0; i < N_OF(f.numbers); i++) {
        const json_t *v = json_object_get(o, f.numbers[i].key);
        double x = v ? json_number_value(v) : -1;
        if (v && (!json_is_number(v) || x < 0 || x > f.numbers[i].max))
            return wrong(f.numbers[i].key, "a number in its range", e);
        *f.numbers[i].field = x;
    }
    r->has_seed = json_object_get(o, "seed") != NULL;
    int rc = read_seed(o, "seed", &r->seed, e);
    if (!rc)
        rc = read_seed(o, "variation_seed", &r->variation_seed, e);
    if (!rc)
        rc = recipe_mask_from_json(&r->mask, json_object_get(o, "mask"), e);
    rc = rc ? rc : read_loras(r, json_object_get(o, "loras"), e);
    return rc ? rc : recipe_guides_from_json(r, json_object_get(o, "guides"), e);
}

int recipe_from_json(struct recipe *r, const char *text, struct err *e)
{
    int rc;
    json_error_t where;
    recipe_init(r);
    if (strlen(text) > RECIPE_MAX_TEXT)
        return err_set(e, ERR_FORMAT, "the recipe is longer than 4 MiB");
    json_t *o = json_loads(text, 0, &where);
    if (!o)
        rc = err_set(e, ERR_FORMAT, "the recipe is not JSON: line %d, column %d: %s", where.line,
                     where.column, where.text);
    else if (!json_is_object(o))
        rc = err_set(e, ERR_FORMAT, "the recipe is not a JSON object");
    else
        rc = from_object(r, o, e);
    json_decref(o);
    if (rc)
        recipe_release(r);
    return rc;
}

/* Texts of a picture */

void recipe_to_text(const struct recipe *r, struct picture_text *t)
{
    char *parameters = recipe_to_parameters(r), *json = recipe_to_json(r);
    picture_text_add(t, "parameters", parameters);
    picture_text_add(t, "lar", json);
    free(parameters);
    free(json);
}

int recipe_from_text(struct recipe *r, const struct picture_text *t, const char *name,
                     struct err *e)
{
    const char *json = picture_text_get(t, "lar");
    const char *parameters = picture_text_get(t, "parameters");
    const char *comment = picture_text_get(t, "UserComment");
    struct err first = {0};
    if (json && recipe_from_json(r, json, &first) == 0)
        return 0;
    recipe_init(r);
    if (parameters && recipe_from_parameters(r, parameters, &first) == 0)
        return 0;
    if (comment && strlen(comment) <= RECIPE_MAX_TEXT && infotext_read(r, comment) > 0)
        return 0; /* a camera's comment has no settings */
    recipe_release(r);
    if (first.code)
        return err_set(e, first.code, "%s: %s", name, first.text);
    return err_set(e, ERR_NOT_FOUND,
                   "%s: has no recipe inside; only pictures saved by Lar, AUTOMATIC1111 and "
                   "compatible programs do",
                   name);
}
