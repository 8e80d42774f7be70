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
#include "pipeline/find_file.h"
#include "pipeline/imagine.h"
#include "pipeline/recipe.h"

#include <stdlib.h>
#include <string.h>

/* ---- the options' text ---- */

/* The last part of a path; heap. */
static char *name_of(const char *path)
{
    size_t n;
    const char *base = file_base(path, &n);
    return mem_strndup(base, n);
}

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

/* ",LOW" or ",HIGH" at *p. */
static bool read_threshold(const char **p, int *v)
{
    char *end;
    if (**p != ',' || (*p)[1] < '0' || (*p)[1] > '9')
        return false;
    long n = strtol(*p + 1, &end, 10);
    *v = n < 1000000 ? (int)n : 1000000; /* too large is refused later */
    *p = end;
    return true;
}

/* Where the picture begins behind "canny:" or "canny,LOW,HIGH:"; `text` itself without them. */
static const char *read_canny(const char *text, struct recipe_guide *g)
{
    bool named = strncmp(text, "canny", 5) == 0;
    const char *p = named ? text + 5 : text;
    int low = 100, high = 200;
    g->canny = named && (*p == ':' || (read_threshold(&p, &low) && read_threshold(&p, &high))) &&
               *p == ':';
    g->low = g->canny ? low : 100;
    g->high = g->canny ? high : 200;
    return g->canny ? p + 1 : text;
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

/* PICTURE[:W] */
static int parse_reference(struct recipe_guide *g, enum guide_kind kind, const char *option,
                           struct err *e)
{
    *g = (struct recipe_guide){.kind = kind, .weight = 1, .end = 1, .low = 100, .high = 200};
    g->picture = mem_strdup(option);
    options_cut_weight(g->picture, &g->weight);
    if (!*g->picture)
        return err_set(e, ERR_ARG, "--%s %s: wants a picture, such as old-master.jpg:0.7",
                       guide_kind_name(kind), option);
    return 0;
}

/* The adapter for styles or faces among those given: names tell, unless there is only one. */
static int choose_adapter(struct recipe_guide *g, const struct option_value *adapters,
                          struct err *e)
{
    bool face = g->kind == GUIDE_FACE;
    const char *chosen = adapters->n == 1 ? adapters->list[0] : NULL;
    for (int i = 0; !chosen && i < adapters->n; i++) {
        char *name = name_of(adapters->list[i]);
        if ((strcasestr(name, "face") != NULL) == face)
            chosen = adapters->list[i];
        free(name);
    }
    g->model = mem_strdup(chosen);
    if (chosen)
        return 0;
    return err_set(e, ERR_ARG,
                   "--%s %s: name the IP-Adapter for it with --ip-adapter, such as "
                   "ip-adapter%s_sd15.safetensors",
                   guide_kind_name(g->kind), g->picture, face ? "-plus-face" : "");
}

/* ---- the recipe ---- */

static char *find(const char *name, const char *from_path)
{
    return name ? find_file_of_recipe(name, from_path) : NULL;
}

/* Is there room for one more ControlNet, or reference? */
static bool has_room(const struct guides *g, enum guide_kind kind)
{
    int n = 0;
    for (int i = 0; i < g->n; i++)
        n += (g->all[i].known.kind == GUIDE_CONTROL) == (kind == GUIDE_CONTROL);
    return n < (kind == GUIDE_CONTROL ? CONTROL_MAX : REFERENCE_MAX);
}

static void restore(struct guides *g, const struct recipe_guide *want,
                    const struct option_value *adapters, const char *from_path)
{
    struct recipe_guide known = *want;
    known.model = known.hash = known.encoder = known.picture_hash = NULL;
    known.picture = find(want->picture, from_path);
    if (want->kind == GUIDE_CONTROL || !adapters->given)
        known.model = find(want->model, from_path);
    else
        choose_adapter(&known, adapters, NULL);
    if (known.model && known.picture && has_room(g, known.kind)) {
        known.picture_hash = mem_strdup(want->picture_hash);
        g->all[g->n++].known = known;
        return;
    }
    const char *lost = known.model ? want->picture : want->model;
    message_warn("%s: its %s%s%s is left out, because %s%s is not found; the picture will differ",
                 from_path, guide_kind_name(want->kind), want->model ? " by " : "",
                 want->model ? want->model : "", known.model ? "the picture " : "",
                 lost ? lost : "(unknown)");
    recipe_guide_release(&known);
}

/* ---- both ---- */

static int open_file(struct guides *g, const char *path, struct guide_file **out, struct err *e)
{
    for (int i = 0; i < g->n_files; i++)
        if (strcmp(g->files[i].path, path) == 0) {
            *out = &g->files[i];
            return 0;
        }
    struct guide_file *f = *out = &g->files[g->n_files++];
    f->path = mem_strdup(path);
    return checkpoint_open(&f->file, path, e);
}

/* The image encoder that lies beside an adapter, as its authors publish it: in "image_encoder/" of
 * its own folder, or in that of the folder "models" next to it. */
static int find_encoder(struct guides *g, struct guide *x, struct err *e)
{
    static const char *const places[] = {"image_encoder", "../image_encoder",
                                         "../models/image_encoder"};
    const char *path = x->model->path;
    char *folder = file_folder(path);
    int rc = 0;
    for (size_t i = 0; !rc && !x->encoder && i < sizeof(places) / sizeof(places[0]); i++) {
        char *place = file_join(folder, places[i]);
        struct guide_file *f;
        if (file_exists(place)) {
            rc = open_file(g, place, &f, e);
            if (!rc && ip_adapter_fits(x->model->file, f->file))
                x->encoder = f;
        }
        free(place);
    }
    if (!rc && !x->encoder)
        rc = err_set(e, ERR_NOT_FOUND,
                     "%s: its image encoder is not beside it (%s/image_encoder); name it with "
                     "--image-encoder",
                     path, folder);
    free(folder);
    return rc;
}

static int open_encoder(struct guides *g, struct guide *x, const struct option_value *option,
                        struct err *e)
{
    struct ip_adapter probe; /* so that what is wrong with the adapter is said first */
    int rc = ip_adapter_open(&probe, x->model->file, e);
    if (rc)
        return rc;
    ip_adapter_close(&probe);
    rc = option->given ? open_file(g, option->text, &x->encoder, e) : find_encoder(g, x, e);
    if (!rc)
        x->known.encoder = mem_strdup(x->encoder->path);
    return rc;
}

/* Opens what the paths name. */
static int open_guide(struct guides *g, struct guide *x, const struct option_value *encoder,
                      const char *from_path, struct err *e)
{
    char hash[MODEL_HASH_SIZE];
    int rc = picture_read(x->known.picture, &x->picture, NULL, e);
    if (!rc)
        rc = file_hash(x->known.picture, hash, e);
    if (!rc)
        rc = open_file(g, x->known.model, &x->model, e);
    if (!rc && x->known.kind != GUIDE_CONTROL)
        rc = open_encoder(g, x, encoder, e);
    if (rc)
        return rc;
    if (from_path && !hash_agrees(x->known.picture_hash, hash))
        message_warn("%s is not the file that %s was drawn with", x->known.picture, from_path);
    free(x->known.picture_hash);
    x->known.picture_hash = mem_strdup(hash);
    return 0;
}

static int read_options(struct guides *g, const struct options *o, struct err *e)
{
    static const enum option ids[N_GUIDE] = {OPTION_CONTROL, OPTION_STYLE, OPTION_FACE};
    const struct option_value *adapters = &o->value[OPTION_IP_ADAPTER];
    int rc = 0;
    for (int k = 0; k < N_GUIDE; k++) {
        const struct option_value *v = &o->value[ids[k]];
        int most = k == GUIDE_CONTROL ? CONTROL_MAX : REFERENCE_MAX / 2;
        if (v->n > most)
            return err_set(e, ERR_ARG, "--%s is given %d times; at most %d work together",
                           guide_kind_name((enum guide_kind)k), v->n, most);
        for (int i = 0; !rc && i < v->n; i++) {
            struct recipe_guide *known = &g->all[g->n++].known;
            if (k == GUIDE_CONTROL)
                rc = parse_control(known, v->list[i], e);
            else
                rc = parse_reference(known, (enum guide_kind)k, v->list[i], e);
            if (!rc && k != GUIDE_CONTROL)
                rc = choose_adapter(known, adapters, e);
        }
    }
    return rc;
}

int guides_read(struct guides *g, const struct options *o, const struct recipe *from,
                const char *from_path, struct err *e)
{
    const struct option_value *v = o->value;
    bool references = v[OPTION_STYLE].given || v[OPTION_FACE].given;
    *g = (struct guides){0};
    int rc = read_options(g, o, e), n = g->n;
    for (int i = 0; !rc && from_path && i < from->n_guides; i++)
        if (!(from->guides[i].kind == GUIDE_CONTROL ? v[OPTION_CONTROL].given : references)) {
            restore(g, &from->guides[i], &v[OPTION_IP_ADAPTER], from_path);
        }
    bool any = false;
    for (int i = 0; i < g->n; i++)
        any |= g->all[i].known.kind != GUIDE_CONTROL;
    if (!rc && !any && v[OPTION_IP_ADAPTER].given)
        rc = err_set(e, ERR_ARG, "--ip-adapter %s: has no effect without --style or --face",
                     v[OPTION_IP_ADAPTER].text);
    for (int i = 0; !rc && i < g->n; i++)
        rc = open_guide(g, &g->all[i], &v[OPTION_IMAGE_ENCODER], i < n ? NULL : from_path, e);
    return rc;
}

void guides_release(struct guides *g)
{
    for (int i = 0; i < g->n; i++) {
        picture_release(&g->all[i].picture);
        recipe_guide_release(&g->all[i].known);
    }
    for (int i = 0; i < g->n_files; i++) {
        model_hash_end(g->files[i].hash);
        checkpoint_close(g->files[i].file);
        free(g->files[i].path);
    }
    *g = (struct guides){0};
}

void guides_request(struct guides *g, struct imagine_request *r)
{
    for (int i = 0; i < g->n; i++) {
        struct guide *x = &g->all[i];
        const struct recipe_guide *k = &x->known;
        if (!x->model->hash)
            x->model->hash = model_hash_begin(x->model->file);
        if (k->kind == GUIDE_CONTROL)
            g->controls[r->n_controls++] = (struct imagine_control){.file = x->model->file,
                                                                    .picture = &x->picture,
                                                                    .weight = k->weight,
                                                                    .start = k->start,
                                                                    .end = k->end,
                                                                    .canny = k->canny,
                                                                    .low = k->low,
                                                                    .high = k->high};
        else
            g->references[r->n_references++] = (struct imagine_reference){
                x->model->file, x->encoder->file, &x->picture, k->weight};
    }
    r->controls = g->controls;
    r->references = g->references;
}

void guides_recipe(const struct guides *g, struct recipe *out)
{
    for (int i = 0; i < g->n; i++) {
        const struct guide *x = &g->all[i];
        struct model_hash *hash = x->model->hash;
        struct recipe_guide named = x->known;
        named.model = name_of(x->known.model);
        named.picture = name_of(x->known.picture);
        named.picture_hash = mem_strdup(x->known.picture_hash);
        named.hash = mem_strdup(hash ? model_hash_wait(hash, interrupt_flag()) : NULL);
        named.encoder = x->encoder ? name_of(x->encoder->path) : NULL;
        recipe_take_guide(out, named);
    }
}
