/* guides.c - see guides.h. */
#include "cli/guides.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cli/model_hash.h"
#include "cli/options.h"
#include "format/checkpoint.h"
#include "pipeline/imagine.h"
#include "pipeline/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the option's text ---- */

/* Cuts ":A-B" off the end. */
static bool cut_range(char *text, double *start, double *end)
{
    char *colon = strrchr(text, ':'), *stop;
    if (!colon || colon[1] < '0' || colon[1] > '9')
        return false;
    double a = strtod(colon + 1, &stop);
    if (*stop != '-' || stop[1] < '0' || stop[1] > '9')
        return false;
    double b = strtod(stop + 1, &stop);
    if (*stop)
        return false;
    *start = a;
    *end = b;
    *colon = '\0';
    return true;
}

/* Where the picture begins behind "canny:" or "canny,LOW,HIGH:"; `text` itself without them. */
static const char *read_canny(const char *text, struct recipe_guide *g)
{
    int n = 0;
    g->low = 100;
    g->high = 200;
    if (strncmp(text, "canny:", 6) == 0)
        n = 6;
    else if (sscanf(text, "canny,%5d,%5d:%n", &g->low, &g->high, &n) < 2)
        n = 0;
    g->canny = n > 0;
    return text + n;
}

/* NET=PICTURE[:W[:A-B]] */
static int parse_control(struct recipe_guide *g, const char *option, struct err *e)
{
    char *text = mem_strdup(option), *equals = strchr(text, '=');
    int rc = 0;
    *g = (struct recipe_guide){.kind = GUIDE_CONTROL, .weight = 1, .end = 1};
    if (!equals || equals == text || !equals[1]) {
        rc = err_set(e, ERR_ARG,
                     "--control %s: wants NET=PICTURE, such as "
                     "canny.safetensors=edges.png:0.8:0-0.5",
                     option);
    } else {
        *equals = '\0';
        cut_range(equals + 1, &g->start, &g->end);
        options_cut_weight(equals + 1, &g->weight);
        g->model = mem_strdup(text);
        g->picture = mem_strdup(read_canny(equals + 1, g));
        if (!(g->start < g->end && g->end <= 1))
            rc = err_set(e, ERR_ARG,
                         "--control %s: acts from %g to %g; both are parts of the steps from 0 to "
                         "1, such as 0-0.5",
                         option, g->start, g->end);
    }
    free(text);
    return rc;
}

/* ---- the recipe ---- */

/* A file that a recipe names without its folder: beside the picture, here, or where LAR_MODELS
 * says; NULL when there is none. */
static char *find(const char *from_path, const char *name)
{
    const char *slash = strrchr(from_path, '/'), *models = getenv("LAR_MODELS");
    char *beside = slash ? mem_strndup(from_path, (size_t)(slash - from_path) + 1) : NULL;
    const char *folders[] = {beside, ".", models};
    char *found = NULL;
    for (size_t i = 0; name && !found && i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (!folders[i] || !*folders[i])
            continue;
        char *path = file_join(folders[i], name);
        if (file_exists(path))
            found = path;
        else
            free(path);
    }
    free(beside);
    return found;
}

static void restore(struct guides *g, const struct recipe_guide *want, const char *from_path)
{
    char *model = find(from_path, want->model), *picture = find(from_path, want->picture);
    if (!model || !picture) {
        message_warn("%s: its %s by %s is left out, because %s%s is not found; the picture will "
                     "differ",
                     from_path, guide_kind_name(want->kind),
                     want->model ? want->model : "(unknown)", model ? "the picture " : "",
                     model ? (want->picture ? want->picture : "(unknown)") : "that");
        free(model);
        free(picture);
        return;
    }
    struct recipe_guide *known = &g->all[g->n++].known;
    *known = *want;
    known->model = model;
    known->picture = picture;
    known->hash = mem_strdup(want->hash);
    known->encoder = NULL;
    known->picture_hash = mem_strdup(want->picture_hash);
}

static void warn_of_change(const char *from_path, const char *name, const char *was, const char *is)
{
    if (was && is && strncmp(was, is, strlen(was) < strlen(is) ? strlen(was) : strlen(is)) != 0)
        message_warn("%s is not the file that %s was drawn with", name, from_path);
}

/* ---- both ---- */

/* Opens what the paths name. */
static int open_guide(struct guide *x, const char *from_path, struct err *e)
{
    char hash[MODEL_HASH_SIZE];
    int rc = picture_read(x->known.picture, &x->picture, NULL, e);
    if (!rc)
        rc = file_hash(x->known.picture, hash, e);
    if (!rc)
        rc = checkpoint_open(&x->file, x->known.model, e);
    if (rc)
        return rc;
    if (from_path)
        warn_of_change(from_path, x->known.picture, x->known.picture_hash, hash);
    free(x->known.picture_hash);
    x->known.picture_hash = mem_strdup(hash);
    return 0;
}

int guides_read(struct guides *g, const struct options *o, const struct recipe *from,
                const char *from_path, struct err *e)
{
    const struct option_value *control = &o->value[OPTION_CONTROL];
    bool restored = !control->given && from_path;
    int rc = 0;
    *g = (struct guides){0};
    if (control->n > GUIDES_MAX)
        return err_set(e, ERR_ARG, "--control is given %d times; at most %d work together",
                       control->n, GUIDES_MAX);
    for (int i = 0; !rc && i < control->n; i++)
        rc = parse_control(&g->all[g->n++].known, control->list[i], e);
    for (int i = 0; restored && i < from->n_guides && g->n < GUIDES_MAX; i++)
        if (from->guides[i].kind == GUIDE_CONTROL)
            restore(g, &from->guides[i], from_path);
    for (int i = 0; !rc && i < g->n; i++)
        rc = open_guide(&g->all[i], restored ? from_path : NULL, e);
    return rc;
}

void guides_release(struct guides *g)
{
    for (int i = 0; i < g->n; i++) {
        struct guide *x = &g->all[i];
        model_hash_end(x->hash);
        checkpoint_close(x->file);
        picture_release(&x->picture);
        recipe_guide_release(&x->known);
    }
    *g = (struct guides){0};
}

void guides_request(struct guides *g, struct imagine_request *r)
{
    g->n_controls = 0;
    for (int i = 0; i < g->n; i++) {
        struct guide *x = &g->all[i];
        const struct recipe_guide *k = &x->known;
        x->hash = model_hash_begin(x->file);
        g->controls[g->n_controls++] = (struct imagine_control){.file = x->file,
                                                                .picture = &x->picture,
                                                                .weight = k->weight,
                                                                .start = k->start,
                                                                .end = k->end,
                                                                .canny = k->canny,
                                                                .low = k->low,
                                                                .high = k->high};
    }
    r->controls = g->controls;
    r->n_controls = g->n_controls;
}

/* The last part of a path. */
static char *name_of(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t start = n;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return mem_strndup(path + start, n - start);
}

void guides_recipe(const struct guides *g, struct recipe *out)
{
    for (int i = 0; i < g->n; i++) {
        const struct guide *x = &g->all[i];
        struct recipe_guide named = x->known;
        const char *hash = x->hash ? model_hash_wait(x->hash, interrupt_flag()) : NULL;
        named.model = name_of(x->known.model);
        named.picture = name_of(x->known.picture);
        named.picture_hash = mem_strdup(x->known.picture_hash);
        named.hash = mem_strdup(hash);
        named.encoder = NULL;
        recipe_take_guide(out, named);
    }
}
