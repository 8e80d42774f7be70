/* recipe_guides.c - see recipe_guides.h. A1111's form is that of its ControlNet extension
 * (sd-webui-controlnet, scripts/infotext.py), which runs IP-Adapters too.
 */
#include "pipeline/recipe_guides.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "pipeline/infotext.h"
#include "pipeline/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CANNY_LIMIT 2040

static const char *const kinds[N_GUIDE] = {"control", "style", "face"};

const char *guide_kind_name(enum guide_kind k)
{
    return kinds[k];
}

void recipe_take_guide(struct recipe *r, struct recipe_guide g)
{
    r->guides = mem_realloc(r->guides, ((size_t)r->n_guides + 1) * sizeof(*r->guides));
    r->guides[r->n_guides++] = g;
}

void recipe_guide_release(struct recipe_guide *g)
{
    free(g->model);
    free(g->hash);
    free(g->encoder);
    free(g->picture);
    free(g->picture_hash);
}

void recipe_release_guides(struct recipe *r)
{
    for (int i = 0; i < r->n_guides; i++)
        recipe_guide_release(&r->guides[i]);
    free(r->guides);
}

/* JSON */

static const struct text_field {
    const char *key;
    size_t offset;
} texts[] = {
    {"model", offsetof(struct recipe_guide, model)},
    {"hash", offsetof(struct recipe_guide, hash)},
    {"encoder", offsetof(struct recipe_guide, encoder)},
    {"picture", offsetof(struct recipe_guide, picture)},
    {"picture_hash", offsetof(struct recipe_guide, picture_hash)},
};
#define N_TEXTS (sizeof(texts) / sizeof(texts[0]))

static char **text_of(struct recipe_guide *g, size_t i)
{
    return (char **)(void *)((char *)g + texts[i].offset);
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

json_t *recipe_guides_to_json(const struct recipe *r)
{
    json_t *list = r->n_guides ? json_array() : NULL;
    for (int i = 0; i < r->n_guides; i++) {
        struct recipe_guide *g = &r->guides[i];
        json_t *o = json_object();
        put_string(o, "kind", kinds[g->kind]);
        for (size_t j = 0; j < N_TEXTS; j++)
            put_string(o, texts[j].key, *text_of(g, j));
        json_object_set_new(o, "weight", json_real(g->weight));
        if (g->kind == GUIDE_CONTROL) {
            json_object_set_new(o, "start", json_real(g->start));
            json_object_set_new(o, "end", json_real(g->end));
        }
        if (g->canny)
            json_object_set_new(o, "canny", json_pack("[i, i]", g->low, g->high));
        json_array_append_new(list, o);
    }
    return list;
}

/* A number that may be missing. */
static bool read_number(const json_t *o, const char *key, double standard, double *v)
{
    const json_t *x = json_object_get(o, key);
    *v = x ? json_number_value(x) : standard;
    return !x || json_is_number(x);
}

static bool read_canny(const json_t *o, struct recipe_guide *g)
{
    const json_t *x = json_object_get(o, "canny");
    json_int_t low = json_integer_value(json_array_get(x, 0));
    json_int_t high = json_integer_value(json_array_get(x, 1));
    g->canny = x != NULL;
    g->low = x ? (int)low : 100;
    g->high = x ? (int)high : 200;
    return !x || (json_array_size(x) == 2 && low >= 0 && low <= high && high <= CANNY_LIMIT);
}

static bool read_kind(const json_t *o, struct recipe_guide *g)
{
    const char *name = json_string_value(json_object_get(o, "kind"));
    for (int k = 0; name && k < N_GUIDE; k++)
        if (strcmp(name, kinds[k]) == 0) {
            g->kind = (enum guide_kind)k;
            return true;
        }
    return false;
}

int recipe_guides_from_json(struct recipe *r, const json_t *list, struct err *e)
{
    size_t i;
    json_t *o;
    bool good = !list || json_is_array(list);
    json_array_foreach(list, i, o)
    {
        struct recipe_guide g = {0};
        good = good && read_kind(o, &g) && read_number(o, "weight", 1, &g.weight) &&
               read_number(o, "start", 0, &g.start) && read_number(o, "end", 1, &g.end) &&
               read_canny(o, &g) && g.start >= 0 && g.start <= 1 && g.end >= 0 && g.end <= 1;
        for (size_t j = 0; good && j < N_TEXTS; j++) {
            const json_t *x = json_object_get(o, texts[j].key);
            good = !x || json_is_string(x);
            *text_of(&g, j) = mem_strdup(json_string_value(x));
        }
        recipe_take_guide(r, g);
    }
    if (!good)
        return err_set(e, ERR_FORMAT,
                       "the recipe's \"guides\" is not a list of objects with a kind (control, "
                       "style or face), a model and a weight");
    return 0;
}

/* Infotext */

void recipe_guide_to_infotext(const struct recipe_guide *g, struct buf *out)
{
    bool control = g->kind == GUIDE_CONTROL;
    buf_printf(out, "Module: %s, Model: ",
               !control   ? "ip-adapter-auto"
               : g->canny ? "canny"
                          : "none");
    recipe_append_utf8(out, g->model ? g->model : "unknown");
    if (g->hash)
        buf_printf(out, " [%.8s]", g->hash);
    buf_append_str(out, ", Weight: ");
    infotext_append_number(out, g->weight);
    buf_append_str(out, ", Resize Mode: Crop and Resize");
    if (g->canny)
        buf_printf(out, ", Threshold A: %d, Threshold B: %d", g->low, g->high);
    buf_append_str(out, ", Guidance Start: ");
    infotext_append_number(out, control ? g->start : 0);
    buf_append_str(out, ", Guidance End: ");
    infotext_append_number(out, control ? g->end : 1);
    buf_append_str(out, ", Pixel Perfect: True, Control Mode: Balanced");
}

/* The value of a key in "Key: value, Key: value"; heap, or NULL. */
static char *find(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = text; p; p = strstr(p, ", ")) {
        p += p == text ? 0 : 2;
        if (strncmp(p, key, n) == 0 && p[n] == ':' && p[n + 1] == ' ') {
            const char *value = p + n + 2, *end = strstr(value, ", ");
            return mem_strndup(value, end ? (size_t)(end - value) : strlen(value));
        }
    }
    return NULL;
}

static double find_number(const char *text, const char *key, double least, double most,
                          double standard)
{
    char *value = find(text, key), *end = value;
    double v = value ? strtod(value, &end) : standard;
    bool good = value && end != value && !*end && v >= least && v <= most;
    free(value);
    return good ? v : standard;
}

/* "name [hash]" in two. */
static void split_model(struct recipe_guide *g, char *model)
{
    size_t n = strlen(model);
    char *open = strrchr(model, '[');
    if (open && open > model && open[-1] == ' ' && model[n - 1] == ']') {
        model[n - 1] = '\0';
        open[-1] = '\0';
        g->hash = mem_strdup(open + 1);
    }
    g->model = mem_strdup(model);
}

void recipe_guide_from_infotext(struct recipe *r, const char *text)
{
    struct recipe_guide g = {.weight = find_number(text, "Weight", -100, 100, 1),
                             .start = find_number(text, "Guidance Start", 0, 1, 0),
                             .end = find_number(text, "Guidance End", 0, 1, 1),
                             .low = (int)find_number(text, "Threshold A", 0, CANNY_LIMIT, 100),
                             .high = (int)find_number(text, "Threshold B", 0, CANNY_LIMIT, 200)};
    char *module = find(text, "Module"), *model = find(text, "Model");
    if (model)
        split_model(&g, model);
    g.canny = module && strcmp(module, "canny") == 0 && g.low <= g.high;
    if (module && strncmp(module, "ip-adapter", 10) == 0)
        g.kind = g.model && strstr(g.model, "face") ? GUIDE_FACE : GUIDE_STYLE;
    free(module);
    free(model);
    recipe_take_guide(r, g);
}
