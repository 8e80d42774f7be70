/* loras.c - see loras.h. */
#include "cli/loras.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/message.h"
#include "cli/model_hash.h"
#include "cli/options.h"
#include "format/lora_file.h"
#include "pipeline/find_file.h"
#include "pipeline/lora_tag.h"
#include "pipeline/recipe.h"

#include <stdlib.h>
#include <string.h>

static const char *const endings[] = {".safetensors", NULL};

/* The one of this name, new if there is none. Takes the name. */
static struct lora_choice *add(struct loras *l, const char *said, char *name)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->items[i].name, name) == 0) {
            free(name);
            return &l->items[i];
        }
    l->items = mem_realloc(l->items, ((size_t)l->n + 1) * sizeof(*l->items));
    l->items[l->n] = (struct lora_choice){.said = mem_strdup(said), .name = name};
    return &l->items[l->n++];
}

/* FILE or FILE:WEIGHT */
static int add_option(struct loras *l, const char *text, struct err *e)
{
    double weight = 1;
    char *said = mem_strdup(text);
    options_cut_weight(said, &weight);
    int rc = *said ? 0 : err_set(e, ERR_ARG, "--lora %s: names no file", text);
    if (!rc) {
        struct lora_choice *x = add(l, said, find_file_name(said, endings));
        recipe_set(&x->said, said);
        x->from_recipe = false;
        x->text = x->unet = weight;
    }
    free(said);
    return rc;
}

static void add_tag(const struct lora_tag *tag, void *ctx)
{
    struct lora_choice *x = add(ctx, tag->name, find_file_name(tag->name, endings));
    x->from_recipe = false;
    x->text = tag->text;
    x->unet = tag->unet;
}

int loras_read(struct loras *l, const struct options *o, const struct recipe *from, char *prompt,
               struct err *e)
{
    const struct option_value *v = &o->value[OPTION_LORA];
    int rc = 0;
    for (int i = 0; i < from->n_loras; i++) {
        const struct recipe_lora *r = &from->loras[i];
        struct lora_choice *x = add(l, r->name, mem_strdup(r->name));
        x->from_recipe = true;
        x->hash_wanted = r->hash;
        x->text = r->text_weight;
        x->unet = r->weight;
    }
    lora_tags_take(prompt, add_tag, l);
    for (int i = 0; i < v->n && !rc; i++)
        rc = add_option(l, v->list[i], e);
    return rc;
}

void loras_release(struct loras *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->items[i].said);
        free(l->items[i].name);
        free(l->items[i].path);
        free(l->items[i].hash);
    }
    free(l->items);
    free(l->request);
    *l = (struct loras){0};
}

/* The hash that A1111 and kohya show: of the tensors alone, so that metadata may change. Found once
 * for all pictures; NULL when it cannot be had. */
static const char *hash_of(struct lora_choice *x)
{
    struct lora_file f;
    char hash[LORA_FILE_HASH];
    struct err none = {0};
    if (x->hash || lora_file_open(&f, x->path, &none))
        return x->hash;
    if (lora_file_hash(&f, hash, &none) == 0)
        x->hash = mem_strdup(hash);
    lora_file_close(&f);
    return x->hash;
}

/* Recipes of other programs may have fewer digits, or hash the whole file. */
static void compare_hash(struct lora_choice *x, const char *from_path)
{
    if (x->hash_wanted && !hash_agrees(hash_of(x), x->hash_wanted))
        message_warn("%s is another LoRA than %s was drawn with: hash %s, not %s; the picture may "
                     "differ",
                     x->path, from_path, x->hash, x->hash_wanted);
}

static int find(struct lora_choice *x, const char *model, const char *from_path, struct err *e)
{
    struct err own = {0};
    const struct find_file f = {x->said, "LoRA", "loras", model, endings};
    int rc = find_file(&f, &x->path, x->from_recipe ? &own : e);
    if (rc && x->from_recipe) {
        message_warn("%s: its LoRA %s is left out, the picture will differ: %s", from_path, x->name,
                     own.text);
        return 0;
    }
    if (!rc && x->from_recipe)
        compare_hash(x, from_path);
    return rc;
}

int loras_find(struct loras *l, const char *model, const char *from_path, struct err *e)
{
    int rc = 0;
    l->request = mem_alloc((size_t)l->n * sizeof(*l->request));
    for (int i = 0; i < l->n && !rc; i++) {
        struct lora_choice *x = &l->items[i];
        if (x->text == 0 && x->unet == 0) /* NOLINT: exactly none */
            continue;
        rc = find(x, model, from_path, e);
        if (!rc && x->path)
            l->request[l->n_request++] = (struct imagine_lora){x->path, x->unet, x->text};
    }
    return rc;
}

void loras_to_recipe(const struct loras *l, struct recipe *r)
{
    for (int i = 0; i < l->n; i++) {
        struct lora_choice *x = &l->items[i];
        if (!x->path)
            continue;
        recipe_add_lora(r, x->name, x->unet, hash_of(x));
        r->loras[r->n_loras - 1].text_weight = x->text;
    }
}
