/* source.c - see source.h. */
#include "cli/source.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/message.h"
#include "cli/options.h"
#include "format/mask.h"
#include "format/resize.h"
#include "pipeline/find_file.h"
#include "pipeline/imagine.h"
#include "pipeline/inpaint.h"
#include "pipeline/recipe.h"

#include <stdlib.h>
#include <string.h>

#define FROM_ALPHA "alpha"
#define EXTENDED   "extended" /* in place of a mask's name */

/* Other programs hash other bytes than the file's. */
static void compare(const struct recipe *from, const char *from_path, const char *path,
                    const char *was, const char *is)
{
    bool ours = from->version && strncmp(from->version, "lar ", 4) == 0;
    if (ours && !hash_agrees(was, is))
        message_warn("%s is not the picture that %s was drawn from", path, from_path);
}

/* ---- the picture ---- */

static int read_image(struct source *s, const struct options *o, const struct recipe *from,
                      const char *from_path, struct err *e)
{
    if (o->value[OPTION_IMAGE].given)
        s->path = mem_strdup(o->value[OPTION_IMAGE].text);
    else if (from_path && from->source)
        s->path = find_file_of_recipe(from->source, from_path);
    if (!s->path && (from->source || from->strength >= 0))
        return err_set(e, ERR_ARG, "%s was drawn from the picture %s; give that with --image",
                       from_path, from->source ? from->source : "(unknown)");
    if (!s->path && o->value[OPTION_STRENGTH].given)
        return err_set(e, ERR_ARG, "--strength %s: has no effect without --image; add it",
                       o->value[OPTION_STRENGTH].text);
    if (!s->path)
        return 0;
    int rc = file_hash(s->path, s->hash, e);
    if (!rc)
        rc = picture_read(s->path, &s->image, NULL, e);
    if (!rc)
        compare(from, from_path, s->path, from->source_hash, s->hash);
    return rc;
}

/* ---- its margins ---- */

static int read_margins(struct source *s, const struct options *o, const struct recipe *from,
                        const char *from_path, struct err *e)
{
    bool given = o->value[OPTION_EXTEND].given;
    const char *text = given ? o->value[OPTION_EXTEND].text : from->extend;
    if (!text)
        return 0;
    s->extends = margins_parse(&s->margins, text);
    if (!s->extends)
        return err_set(e, ERR_ARG,
                       "%s%s %s: wants pixels up to %d to the left, right, top and bottom, such as "
                       "64,64,0,0 or all=64",
                       given ? "" : from_path, given ? "--extend" : ": extend", text, EXTEND_MAX);
    return s->path
               ? 0
               : err_set(e, ERR_ARG, "--extend %s: has no effect without --image; add it", text);
}

/* ---- the mask ---- */

static void invert(struct picture *p)
{
    size_t c = (size_t)p->channels, n = (size_t)p->width * (size_t)p->height;
    for (size_t i = 0; i < n * c; i++)
        if (c == 3 || i % c < 3)
            p->data[i] = (unsigned char)(255 - p->data[i]);
}

static int read_alpha(struct source *s, struct err *e)
{
    struct mask m;
    int rc = mask_from_alpha(&m, &s->image, s->path, e);
    if (!rc)
        rc = mask_to_picture(&m, &s->mask, e);
    mask_release(&m);
    return rc;
}

static int read_file(struct source *s, const struct recipe *from, const char *from_path,
                     const char *path, struct err *e)
{
    char hash[MODEL_HASH_SIZE];
    int rc = file_hash(path, hash, e);
    if (!rc)
        rc = picture_read(path, &s->mask, NULL, e);
    if (rc)
        return rc;
    if (s->mask.channels == 4)
        picture_flatten(&s->mask);
    if (s->mask.width != s->image.width || s->mask.height != s->image.height)
        message_note("%s: %dx%d, is scaled to the picture's %dx%d", path, s->mask.width,
                     s->mask.height, s->image.width, s->image.height);
    compare(from, from_path, path, from->mask.hash, hash);
    recipe_set(&s->masked.hash, hash);
    return 0;
}

/* Options of a mask where there is none. */
static int refuse(const struct options *o, const char *needs, struct err *e)
{
    static const enum option ids[] = {OPTION_MASK, OPTION_MASK_INVERT, OPTION_MASK_SEAM,
                                      OPTION_MASK_AREA, OPTION_MASK_PADDING};
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
        if (o->value[ids[i]].given)
            return err_set(e, ERR_ARG, "--%s: has no effect without %s; add it",
                           option_rows[ids[i]].name, needs);
    return 0;
}

static void choose(struct source *s, const struct options *o, const struct recipe *from)
{
    const struct option_value *v = o->value;
    bool known = from->mask.name != NULL;
    s->masked.invert = v[OPTION_MASK_INVERT].given || (known && from->mask.invert);
    s->masked.seam = v[OPTION_MASK_SEAM].given ? (int)v[OPTION_MASK_SEAM].whole
                     : known                   ? from->mask.seam
                                               : INPAINT_SEAM;
    s->masked.area = v[OPTION_MASK_AREA].given || v[OPTION_MASK_PADDING].given ||
                     (known && from->mask.area);
    s->masked.padding = v[OPTION_MASK_PADDING].given ? (int)v[OPTION_MASK_PADDING].whole
                        : known && from->mask.area   ? from->mask.padding
                                                     : INPAINT_PADDING;
}

static int read_mask(struct source *s, const struct options *o, const struct recipe *from,
                     const char *from_path, struct err *e)
{
    const struct option_value *given = &o->value[OPTION_MASK];
    const char *name = given->given ? given->text : from->mask.name;
    if (!name && s->extends)
        name = EXTENDED;
    if (!s->path || !name)
        return refuse(o, s->path ? "--mask" : "--image", e);
    choose(s, o, from);
    recipe_set(&s->masked.name, file_base(name, NULL));
    int rc = 0;
    if (!given->given && strcmp(name, EXTENDED) == 0) {
        if (s->masked.invert)
            rc = err_set(e, ERR_ARG, "--mask-invert: has no effect without --mask; add it");
    } else if (strcmp(name, FROM_ALPHA) == 0) {
        rc = read_alpha(s, e);
    } else if (given->given) {
        rc = read_file(s, from, from_path, name, e);
    } else {
        char *path = find_file_of_recipe(name, from_path);
        rc = path ? read_file(s, from, from_path, path, e)
                  : err_set(e, ERR_ARG, "%s was drawn with the mask %s; give that with --mask",
                            from_path, name);
        free(path);
    }
    if (!rc && s->mask.data && s->masked.invert)
        invert(&s->mask);
    return rc;
}

/* ---- all ---- */

int source_read(struct source *s, const struct options *o, const struct recipe *from,
                const char *from_path, struct err *e)
{
    *s = (struct source){0};
    int rc = read_image(s, o, from, from_path, e);
    if (!rc)
        rc = read_margins(s, o, from, from_path, e);
    return rc ? rc : read_mask(s, o, from, from_path, e);
}

int source_extend(struct source *s, int factor, struct err *e)
{
    struct picture image = {0}, inside = {0}, mask = {0};
    int width = s->image.width, height = s->image.height, rc = 0;
    if (!s->extends)
        return 0;
    if (!s->masked.area)
        margins_round(&s->margins, width, height, factor);
    if (s->mask.data)
        rc = picture_resize(&s->mask, width, height, &inside, e);
    struct extend_mask x = {s->mask.data ? &inside : NULL, width, height, s->masked.seam};
    if (!rc)
        rc = picture_extend(&s->image, &s->margins, &image, e);
    if (!rc)
        rc = picture_extend_mask(&x, &s->margins, &mask, e);
    picture_release(&inside);
    picture_release(&s->image);
    picture_release(&s->mask);
    s->image = image;
    s->mask = mask;
    return rc;
}

void source_release(struct source *s)
{
    free(s->path);
    picture_release(&s->image);
    picture_release(&s->mask);
    recipe_mask_release(&s->masked);
    *s = (struct source){0};
}

void source_request(const struct source *s, struct imagine_request *r)
{
    r->image = s->path ? &s->image : NULL;
    if (!s->mask.data)
        return;
    r->mask = &s->mask;
    r->mask_seam = s->masked.seam;
    r->mask_area = s->masked.area;
    r->mask_padding = s->masked.padding;
}

void source_recipe(const struct source *s, const struct imagine_request *r, struct recipe *out)
{
    if (!s->path)
        return;
    recipe_set(&out->source, file_base(s->path, NULL));
    recipe_set(&out->source_hash, s->hash);
    out->strength = r->strength;
    if (s->extends) {
        char text[MARGINS_TEXT];
        recipe_set(&out->extend, margins_text(&s->margins, text));
    }
    if (!s->mask.data)
        return;
    out->mask = s->masked;
    out->mask.name = mem_strdup(s->masked.name);
    out->mask.hash = mem_strdup(s->masked.hash);
}
