/* parts.c - see parts.h. */
#include "cli/parts.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/message.h"
#include "cli/options.h"
#include "pipeline/find_file.h"
#include "pipeline/image_model.h"
#include "pipeline/recipe.h"

#include <stdlib.h>

static const char *const endings[] = {".safetensors", ".gguf", ".pth", ".pt",
                                      ".ckpt",        ".bin",  NULL};

/* One kind of part: what messages and folders call it. */
struct kind {
    const char *what, *folder;
};
static const struct kind vae = {"VAE", "vae"}, text = {"text encoder", "text_encoders"};

static int find(const struct kind *k, const char *name, const char *model, char **path,
                struct err *e)
{
    const struct find_file f = {name, k->what, k->folder, model, endings};
    if (!file_is_dir(name))
        return find_file(&f, path, e);
    *path = mem_strdup(name); /* the folder of a component */
    return 0;
}

/* What the recipe names; without it the model's own is used. */
static void find_old(const struct kind *k, const char *name, const char *from_path,
                     const char *model, char **path)
{
    struct err e = {0};
    if (name && find(k, name, model, path, &e))
        message_warn("%s: its %s %s is left out, the picture will differ: %s", from_path, k->what,
                     name, e.text);
}

int parts_find(struct parts *p, const struct options *o, const struct recipe *from,
               const char *from_path, const char *model, struct err *e)
{
    const struct option_value *v = &o->value[OPTION_VAE], *t = &o->value[OPTION_TEXT_ENCODER];
    int rc = 0;
    if (t->n > 2)
        return err_set(e, ERR_ARG, "--text-encoder %s: no model has more than two", t->list[2]);
    if (v->given)
        rc = find(&vae, v->text, model, &p->vae, e);
    else
        find_old(&vae, from->vae, from_path, model, &p->vae);
    for (int i = 0; i < 2 && !rc; i++) {
        if (i < t->n)
            rc = find(&text, t->list[i], model, &p->text_encoder[i], e);
        else if (!t->n)
            find_old(&text, from->text_encoder[i], from_path, model, &p->text_encoder[i]);
    }
    return rc;
}

void parts_release(struct parts *p)
{
    free(p->vae);
    free(p->text_encoder[0]);
    free(p->text_encoder[1]);
    *p = (struct parts){0};
}

void parts_files(const struct parts *p, struct image_files *f)
{
    f->vae = p->vae;
    f->text_encoder[0] = p->text_encoder[0] ? p->text_encoder[0] : p->text_encoder[1];
    f->text_encoder[1] = p->text_encoder[0] ? p->text_encoder[1] : NULL;
}

static void set_name(char **field, const char *path)
{
    char *name = path ? find_file_name(path, endings) : NULL;
    recipe_set(field, name);
    free(name);
}

void parts_recipe(const struct parts *p, struct recipe *r)
{
    set_name(&r->vae, p->vae);
    set_name(&r->text_encoder[0], p->text_encoder[0]);
    set_name(&r->text_encoder[1], p->text_encoder[1]);
}
