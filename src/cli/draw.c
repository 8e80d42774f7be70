/* draw.c - the command `lar draw`.
 *
 *     options, recipe, picture (settings.h) --> imagine() --> on_picture(): recipe inside, written,
 *                model hash in a thread (model_hash.h) ----------^          told, shown
 */
#include "cli/commands.h"

#include "base/clock.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/grid.h"
#include "cli/interrupt.h"
#include "cli/live.h"
#include "cli/message.h"
#include "cli/model_hash.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/settings.h"
#include "cli/sheet.h"
#include "cli/show.h"
#include "cli/terminal.h"
#include "cpu/cpu.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine_recipe.h"
#include "pipeline/preview.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define MAX_LINE      (1u << 20)
#define PREVIEW_SHARE 0.1 /* of the time may go into previews */

struct drawing {
    const struct options *o;
    struct settings s;
    struct output out;
    struct image_model *m;
    char *model_name; /* owned */
    struct backend *b;
    struct model_hash *hash;
    struct progress progress;
    struct live live;
    struct preview_decoder *decoder; /* owned; NULL: what the model has */
    json_t *results;                 /* array, with --json */
    double start;                    /* seconds, of the picture being drawn */
    bool hash_compared;
    struct grid grid;
    struct sheet sheet;
    struct picture_text sheet_text; /* the recipe of the first cell */
    int cell;                       /* being drawn */
    struct err *e;
};

static bool given(const struct drawing *d, enum option id)
{
    return d->o->value[id].given;
}

static int on_progress(const struct imagine_progress *p, void *ctx)
{
    struct drawing *d = ctx;
    if (given(d, OPTION_QUIET) || p->phase != IMAGINE_STEP)
        return 0;
    if (p->step == 0)
        progress_begin(&d->progress, STDERR_FILENO, "step");
    progress_step(&d->progress, p->step, p->n_steps);
    return 0;
}

static int on_preview(const struct picture *p, int step, void *ctx)
{
    struct drawing *d = ctx;
    (void)step;
    progress_end(&d->progress); /* the bar stands below the picture */
    live_show(&d->live, p, STDERR_FILENO);
    return 0;
}

/* Asks for previews where somebody can see them. */
static int open_previews(struct drawing *d)
{
    const struct option_value *file = &d->o->value[OPTION_PREVIEW_DECODER];
    if (!given(d, OPTION_PREVIEW) && !file->given)
        return 0;
    return preview_decoder_open(&d->decoder, d->m, file->given ? file->text : NULL, d->e);
}

/* The model's hash, NULL when there is none; warns when --from wants another model. */
static const char *model_hash(struct drawing *d)
{
    const char *hash = model_hash_wait(d->hash, interrupt_flag());
    const struct recipe *from = &d->s.from;
    if (!d->hash_compared && !hash_agrees(hash, from->model_hash))
        message_warn("%s was drawn with another model: %s%shash %s, this is %s, hash %s; the "
                     "picture will differ",
                     d->s.from_path, from->model ? from->model : "", from->model ? ", " : "",
                     from->model_hash, d->model_name, hash);
    d->hash_compared = true;
    return hash;
}

static void make_recipe(const struct drawing *d, int i, const char *hash, struct recipe *out)
{
    const struct imagine_request *r = &d->s.request;
    imagine_recipe(r, i, out);
    recipe_set(&out->model, d->model_name);
    recipe_set(&out->model_hash, hash);
    parts_recipe(&d->s.parts, out);
    loras_to_recipe(&d->s.loras, out);
    source_recipe(&d->s.source, r, out);
    recipe_set(&out->embeddings, d->s.embeddings.hashes);
    guides_recipe(&d->s.guides, out);
    enlarging_recipe(&d->s.enlarging, out);
}

/* The recipe as JSON, with what only this run knows. */
static json_t *result(const struct recipe *recipe, const struct drawing *d, const char *path)
{
    struct buf utf8;
    char *text = recipe_to_json(recipe);
    json_t *json = json_loads(text, 0, NULL), *root = json_object();
    buf_init(&utf8, MAX_LINE);
    recipe_append_utf8(&utf8, path);
    json_object_set_new(root, "path", json_string(buf_str(&utf8)));
    json_object_update(root, json);
    json_object_set_new(root, "backend", json_string(d->b->name));
    json_object_set_new(root, "seconds",
                        json_real((double)(long)((clock_seconds() - d->start) * 1e3) / 1e3));
    json_decref(json);
    buf_release(&utf8);
    free(text);
    return root;
}

/* Tells the user what was written. */
static int tell(struct drawing *d, const struct picture *p, const struct recipe *recipe,
                const char *path)
{
    if (d->results) {
        json_array_append_new(d->results, result(recipe, d, path));
        return 0;
    }
    char *line = mem_printf("%s  seed %" PRIu64 "\n", path, recipe->seed);
    int rc = message_out(line, strlen(line), d->e);
    free(line);
    if (!rc && !given(d, OPTION_QUIET) && isatty(STDOUT_FILENO))
        show_picture(p, STDOUT_FILENO);
    return rc;
}

/* Keeps the picture for the sheet, of the first one the recipe too. */
static int add_to_sheet(struct drawing *d, const struct picture *p, struct picture_text *text)
{
    char *caption = grid_caption(&d->grid, d->cell);
    int rc = sheet_add(&d->sheet, p, caption, d->e);
    free(caption);
    if (d->cell == 0) {
        d->sheet_text = *text;
        *text = (struct picture_text){0};
    }
    return rc;
}

static int on_picture(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct drawing *d = ctx;
    struct recipe recipe;
    struct picture_text text = {0};
    progress_end(&d->progress);
    live_end(&d->live, STDERR_FILENO);
    const char *hash = model_hash(d);
    if (atomic_load(interrupt_flag()))
        return ERR_CANCELLED;
    make_recipe(d, i, hash, &recipe);
    recipe_to_text(&recipe, &text);
    char *path = output_path(&d->out, d->s.request.prompt, seed, d->cell + i);
    int rc = picture_write(path, p, &text, (int)d->o->value[OPTION_QUALITY].whole, d->e);
    if (!rc)
        rc = tell(d, p, &recipe, path);
    if (!rc && d->grid.n_cells)
        rc = add_to_sheet(d, p, &text);
    free(path);
    picture_text_release(&text);
    recipe_release(&recipe);
    d->start = clock_seconds();
    return rc;
}

/* What was drawn, also when the drawing failed later. One picture is one object. */
static int print_results(const struct drawing *d, struct err *e)
{
    size_t n = json_array_size(d->results);
    if (n == 0)
        return 0;
    bool one = d->s.request.n_pictures == 1 && !d->grid.n_cells;
    const json_t *root = one ? json_array_get(d->results, 0) : d->results;
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    char *line = mem_printf("%s\n", text);
    int rc = message_out(line, strlen(line), e);
    free(line);
    free(text);
    return rc;
}

/* Draws what the request says now. */
static int draw_request(struct drawing *d)
{
    struct imagine_request *r = &d->s.request;
    r->on_progress = on_progress;
    r->on_picture = on_picture;
    r->ctx = d;
    r->cancel = interrupt_flag();
    bool previews = given(d, OPTION_PREVIEW) || given(d, OPTION_PREVIEW_DECODER);
    if (previews && !given(d, OPTION_QUIET) && terminal_is_capable(STDERR_FILENO)) {
        r->on_preview = on_preview;
        r->preview_share = PREVIEW_SHARE;
        r->preview_decoder = d->decoder ? &d->decoder->taesd : NULL;
    }
    int rc = imagine(d->m, d->b, r, d->e);
    progress_end(&d->progress);
    live_end(&d->live, STDERR_FILENO);
    return rc;
}

/* All pictures of the grid on one. */
static int write_sheet(struct drawing *d)
{
    struct picture p = {0};
    const struct imagine_request *r = &d->s.request;
    char *path = output_path(&d->out, d->s.prompt, r->seed, OUTPUT_SHEET);
    int rc = sheet_draw(&d->sheet, &p, d->e);
    if (!rc)
        rc = picture_write(path, &p, &d->sheet_text, (int)d->o->value[OPTION_QUALITY].whole, d->e);
    if (!rc && d->results) {
        json_array_append_new(d->results, json_pack("{s:s, s:b}", "path", path, "grid", 1));
    } else if (!rc) {
        char *line = mem_printf("%s  all %d\n", path, d->grid.n_cells);
        rc = message_out(line, strlen(line), d->e);
        free(line);
    }
    picture_release(&p);
    free(path);
    return rc;
}

/* Every combination, all from the same seed where none is an axis. */
static int draw_grid(struct drawing *d)
{
    char seed[24];
    int columns = grid_columns(&d->grid), n = d->grid.n_cells, rc = 0;
    struct options all = *d->o; /* borrows; only values without memory of their own change */
    snprintf(seed, sizeof(seed), "%" PRIu64, d->s.request.seed);
    if (!given(d, OPTION_SEED))
        rc = options_set(&all, OPTION_SEED, seed, d->e);
    sheet_init(&d->sheet, columns, (n + columns - 1) / columns);
    for (d->cell = 0; d->cell < n && !rc; d->cell++) {
        struct options o = all;
        char *prompt = grid_prompt(&d->grid, d->cell, d->s.prompt);
        rc = grid_options(&d->grid, d->cell, &o, d->e);
        if (!rc)
            rc = settings_vary(&d->s, &o, d->m, d->e);
        d->s.request.prompt = prompt;
        if (!rc)
            rc = draw_request(d);
        free(prompt);
    }
    return rc ? rc : write_sheet(d);
}

static int open_output(struct drawing *d)
{
    const struct option_value *v = d->o->value;
    int n = d->grid.n_cells ? d->grid.n_cells + 1 : sampling_n_pictures(&d->s.sampling, d->o);
    int rc = output_init(&d->out, v[OPTION_OUTPUT].given ? v[OPTION_OUTPUT].text : NULL, n, d->e);
    bool lossy = d->out.stem && strcasecmp(d->out.extension, ".png") != 0;
    if (!rc && v[OPTION_QUALITY].given && !lossy)
        rc = err_set(d->e, ERR_ARG,
                     "--quality %s: has no effect on a PNG; name a .jpg or .webp with -o",
                     v[OPTION_QUALITY].text);
    return rc;
}

static int draw(struct drawing *d)
{
    const struct options *o = d->o;
    const struct option_value *v = o->value;
    struct err *e = d->e;
    int rc = settings_read(&d->s, o, e);
    if (!rc)
        rc = grid_read(&d->grid, o, d->s.prompt, e);
    if (!rc)
        rc = open_output(d);
    if (!rc)
        rc = settings_open_model(&d->s, o, &d->m, e);
    if (!rc)
        rc = cpu_backend_new(&d->b, v[OPTION_THREADS].given ? (int)v[OPTION_THREADS].whole : 0,
                             NULL, e);
    if (!rc)
        rc = settings_request(&d->s, o, d->m, d->b, e);
    if (rc)
        return rc;
    d->model_name = image_model_name(d->m);
    d->hash = model_hash_begin(d->m->file);
    d->start = clock_seconds();
    rc = open_previews(d);
    if (rc)
        return rc;
    return d->grid.n_cells ? draw_grid(d) : draw_request(d);
}

int command_draw(const struct options *o, struct err *e)
{
    struct drawing d = {.o = o, .e = e};
    d.results = given(&d, OPTION_JSON) ? json_array() : NULL;
    int rc = draw(&d);
    int printed = d.results ? print_results(&d, rc ? NULL : e) : 0;
    json_decref(d.results);
    model_hash_end(d.hash);
    free(d.model_name);
    backend_free(d.b);
    preview_decoder_close(d.decoder);
    image_model_close(d.m);
    settings_release(&d.s);
    output_release(&d.out);
    grid_release(&d.grid);
    sheet_release(&d.sheet);
    picture_text_release(&d.sheet_text);
    return rc ? rc : printed;
}
