/* recipe_mask.c - see recipe_mask.h. */
#include "pipeline/recipe_mask.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "pipeline/recipe.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

void recipe_mask_release(struct recipe_mask *m)
{
    free(m->name);
    free(m->hash);
    *m = (struct recipe_mask){0};
}

/* ---- JSON ---- */

static json_t *clean(const char *s)
{
    struct buf b;
    buf_init(&b, 4 * RECIPE_MAX_TEXT);
    recipe_append_utf8(&b, s);
    json_t *text = json_string(buf_str(&b));
    buf_release(&b);
    return text;
}

json_t *recipe_mask_to_json(const struct recipe_mask *m)
{
    if (!m->name)
        return NULL;
    json_t *o = json_object();
    json_object_set_new(o, "name", clean(m->name));
    if (m->hash)
        json_object_set_new(o, "hash", clean(m->hash));
    json_object_set_new(o, "invert", json_boolean(m->invert));
    json_object_set_new(o, "seam", json_integer(m->seam));
    if (m->area)
        json_object_set_new(o, "padding", json_integer(m->padding));
    return o;
}

/* A member in 0 .. INT_MAX, `usual` when it is absent; -1 when it is wrong. */
static int pixels(const json_t *o, const char *key, int usual)
{
    const json_t *v = json_object_get(o, key);
    json_int_t n = v ? json_integer_value(v) : usual;
    return (v && !json_is_integer(v)) || n < 0 || n > INT_MAX ? -1 : (int)n;
}

int recipe_mask_from_json(struct recipe_mask *m, const json_t *o, struct err *e)
{
    *m = (struct recipe_mask){0};
    if (!o)
        return 0;
    const char *name = json_string_value(json_object_get(o, "name"));
    int seam = pixels(o, "seam", 0), padding = pixels(o, "padding", 0);
    if (!name || seam < 0 || padding < 0)
        return err_set(e, ERR_FORMAT,
                       "the recipe's \"mask\" is not an object with a name, a seam and a padding");
    *m = (struct recipe_mask){.name = mem_strdup(name),
                              .hash = mem_strdup(json_string_value(json_object_get(o, "hash"))),
                              .invert = json_is_true(json_object_get(o, "invert")),
                              .area = json_object_get(o, "padding") != NULL,
                              .seam = seam,
                              .padding = padding};
    return 0;
}

/* ---- infotext ---- */

enum { BLUR, MODE, AREA, PADDING, IMAGE, HASH, N_PARAM };

static const char *const keys[N_PARAM] = {
    [BLUR] = "Mask blur",    [MODE] = "Mask mode",
    [AREA] = "Inpaint area", [PADDING] = "Masked area padding",
    [IMAGE] = "Mask image",  [HASH] = "Mask image hash"};

static bool says(const struct recipe_mask *m, int n)
{
    switch (n) {
    case MODE:
        return m->invert;
    case AREA:
    case PADDING:
        return m->area;
    case HASH:
        return m->hash != NULL;
    default:
        return true;
    }
}

static void append_value(const struct recipe_mask *m, int param, struct buf *value)
{
    if (param == BLUR || param == PADDING)
        buf_printf(value, "%d", param == BLUR ? m->seam : m->padding);
    else
        buf_append_str(value, param == MODE    ? "Inpaint not masked"
                              : param == AREA  ? "Only masked"
                              : param == IMAGE ? m->name
                                               : m->hash);
}

const char *recipe_mask_param(const struct recipe_mask *m, int n, struct buf *value)
{
    for (int i = 0; m->name && i < N_PARAM; i++)
        if (says(m, i) && n-- == 0) {
            append_value(m, i, value);
            return keys[i];
        }
    return NULL;
}

static void read_pixels(const char *value, int *out)
{
    uint64_t n;
    if (recipe_parse_seed(value, &n) && n <= INT_MAX)
        *out = (int)n;
}

void recipe_mask_read(struct recipe_mask *m, const char *key, const char *value)
{
    int i = 0;
    while (i < N_PARAM && strcmp(key, keys[i]) != 0)
        i++;
    if (i == BLUR)
        read_pixels(value, &m->seam);
    else if (i == PADDING)
        read_pixels(value, &m->padding);
    else if (i == MODE)
        m->invert = strcmp(value, "Inpaint not masked") == 0;
    else if (i == AREA)
        m->area = strcmp(value, "Only masked") == 0;
    else if (i == IMAGE)
        recipe_set(&m->name, value);
    else if (i == HASH)
        recipe_set(&m->hash, value);
}
