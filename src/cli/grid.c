/* grid.c - see grid.h. */
#include "cli/grid.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/seeds.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROMPT (1u << 20)

/* Options that can differ between pictures of one run. */
static const enum option usable[] = {
    OPTION_STEPS,   OPTION_GUIDANCE, OPTION_GUIDANCE_RESCALE, OPTION_SEED,      OPTION_VARIATION,
    OPTION_SAMPLER, OPTION_SCHEDULE, OPTION_SIGMAS,           OPTION_ETA,       OPTION_NEGATIVE,
    OPTION_SIZE,    OPTION_STRENGTH, OPTION_CLIP_SKIP,        OPTION_PRECISION, OPTION_RNG};
#define N_USABLE ((int)(sizeof(usable) / sizeof(*usable)))

/* NULL with ERR_ARG when there is one already, or there are too many. */
static struct grid_axis *add_axis(struct grid *g, enum option id, struct err *e)
{
    for (int i = 0; i < g->n_axes; i++)
        if (id != N_OPTION && g->axes[i].option == id) {
            err_set(e, ERR_ARG, "--grid: %s is named twice", option_rows[id].name);
            return NULL;
        }
    if (g->n_axes == GRID_MAX_AXES) {
        err_set(e, ERR_ARG, "--grid: there are more than %d things to vary", GRID_MAX_AXES);
        return NULL;
    }
    struct grid_axis *a = &g->axes[g->n_axes++];
    *a = (struct grid_axis){.option = id};
    return a;
}

static void add_value(struct grid_axis *a, const char *text, size_t n)
{
    a->values = mem_realloc(a->values, ((size_t)a->n + 1) * sizeof(*a->values));
    a->values[a->n++] = mem_strndup(text, n);
}

/* "a|b" or "a,b" up to `end`. */
static void add_values(struct grid_axis *a, const char *text, const char *end)
{
    char parting = memchr(text, '|', (size_t)(end - text)) ? '|' : ',';
    for (;;) {
        const char *stop = memchr(text, parting, (size_t)(end - text));
        add_value(a, text, (size_t)((stop ? stop : end) - text));
        if (!stop)
            return;
        text = stop + 1;
    }
}

/* "seed=1-3" is three values. */
static void add_seeds(struct grid_axis *a, const char *text)
{
    struct seeds s;
    if (!seeds_parse(&s, text))
        add_value(a, text, strlen(text)); /* the option's own check says why */
    for (int i = 0; i < s.n; i++) {
        char seed[24];
        add_value(a, seed, (size_t)snprintf(seed, sizeof(seed), "%" PRIu64, s.v[i]));
    }
    seeds_release(&s);
}

/* NAME=VALUES */
static int read_option(struct grid *g, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : 0;
    for (int i = 0; i < N_USABLE && n; i++) {
        const char *name = option_rows[usable[i]].name;
        if (strlen(name) != n || strncmp(name, text, n) != 0)
            continue;
        struct grid_axis *a = add_axis(g, usable[i], e);
        if (a && usable[i] == OPTION_SEED)
            add_seeds(a, equals + 1);
        else if (a)
            add_values(a, equals + 1, text + strlen(text));
        return a ? 0 : ERR_ARG;
    }
    struct buf names;
    buf_init(&names, 1024);
    for (int i = 0; i < N_USABLE; i++)
        buf_printf(&names, ", %s", option_rows[usable[i]].name);
    int rc = err_set(e, ERR_ARG,
                     "--grid %s: wants NAME=VALUE,VALUE,... or prompt for the {alternatives|in the "
                     "prompt}; names are %s",
                     text, buf_str(&names) + 2);
    buf_release(&names);
    return rc;
}

/* The alternatives in braces. Braces without a '|' inside are text. */
static int read_prompt(struct grid *g, const char *prompt, struct err *e)
{
    int before = g->n_axes;
    const char *open = prompt;
    for (int i = 0; i < before; i++)
        if (g->axes[i].option == N_OPTION)
            return err_set(e, ERR_ARG, "--grid: prompt is named twice");
    while ((open = strchr(open, '{')) != NULL) {
        const char *close = open + 1 + strcspn(open + 1, "{}");
        bool alternatives = *close == '}' && memchr(open, '|', (size_t)(close - open));
        if (!alternatives) {
            open++;
            continue;
        }
        struct grid_axis *a = add_axis(g, N_OPTION, e);
        if (!a)
            return ERR_ARG;
        a->at = (size_t)(open - prompt);
        a->length = (size_t)(close - open) + 1;
        add_values(a, open + 1, close);
        open = close;
    }
    if (g->n_axes == before)
        return err_set(e, ERR_ARG,
                       "--grid prompt: the prompt has no alternatives such as {red|blue|green}");
    return 0;
}

/* Multiplies up the cells and tries every value once. */
static int check(struct grid *g, const struct options *o, struct err *e)
{
    g->n_cells = 1;
    for (int i = 0; i < g->n_axes; i++) {
        const struct grid_axis *a = &g->axes[i];
        struct options trial = *o;
        if (a->n > GRID_MAX_CELLS / g->n_cells)
            return err_set(e, ERR_ARG, "--grid: these are more than %d pictures", GRID_MAX_CELLS);
        g->n_cells *= a->n;
        for (int k = 0; k < a->n && a->option != N_OPTION; k++)
            if (options_set(&trial, a->option, a->values[k], e)) {
                err_prefix(e, "--grid");
                return e->code;
            }
    }
    return 0;
}

int grid_read(struct grid *g, const struct options *o, const char *prompt, struct err *e)
{
    const struct option_value *v = &o->value[OPTION_GRID], *seed = &o->value[OPTION_SEED];
    int rc = 0;
    *g = (struct grid){0};
    if (!v->given)
        return 0;
    for (int i = 0; i < v->n && !rc; i++)
        rc = strcmp(v->list[i], "prompt") == 0 ? read_prompt(g, prompt, e)
                                               : read_option(g, v->list[i], e);
    if (!rc && seed->given && strpbrk(seed->text, ",-")) {
        struct grid_axis *a = add_axis(g, OPTION_SEED, e);
        if (a)
            add_seeds(a, seed->text);
        rc = a ? 0 : ERR_ARG;
    }
    if (!rc && o->value[OPTION_NUMBER].given)
        rc = err_set(
            e, ERR_ARG,
            "-n: has no meaning with --grid; to draw each combination more than once, give "
            "seeds, such as --seed 1-3");
    return rc ? rc : check(g, o, e);
}

void grid_release(struct grid *g)
{
    for (int i = 0; i < g->n_axes; i++) {
        for (int k = 0; k < g->axes[i].n; k++)
            free(g->axes[i].values[k]);
        free(g->axes[i].values);
    }
    *g = (struct grid){0};
}

int grid_columns(const struct grid *g)
{
    if (g->n_axes == 1)
        return (int)ceil(sqrt(g->n_cells));
    return g->axes[g->n_axes - 1].n;
}

/* The axis's value in a cell. */
static const char *value(const struct grid *g, int axis, int cell)
{
    for (int i = g->n_axes - 1; i > axis; i--)
        cell /= g->axes[i].n;
    return g->axes[axis].values[cell % g->axes[axis].n];
}

int grid_options(const struct grid *g, int cell, struct options *o, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < g->n_axes && !rc; i++)
        if (g->axes[i].option != N_OPTION)
            rc = options_set(o, g->axes[i].option, value(g, i, cell), e);
    return rc;
}

char *grid_prompt(const struct grid *g, int cell, const char *prompt)
{
    struct buf b;
    size_t done = 0;
    buf_init(&b, MAX_PROMPT);
    for (int i = 0; i < g->n_axes; i++) {
        const struct grid_axis *a = &g->axes[i];
        if (a->option != N_OPTION)
            continue;
        buf_append(&b, prompt + done, a->at - done);
        buf_append_str(&b, value(g, i, cell));
        done = a->at + a->length;
    }
    buf_append_str(&b, prompt + done);
    char *text = mem_strdup(buf_str(&b));
    buf_release(&b);
    return text;
}

char *grid_caption(const struct grid *g, int cell)
{
    struct buf b;
    buf_init(&b, MAX_PROMPT);
    for (int i = 0; i < g->n_axes; i++) {
        bool named = g->axes[i].option != N_OPTION;
        buf_printf(&b, "%s%s%s%s", i ? ", " : "", named ? option_rows[g->axes[i].option].name : "",
                   named ? " " : "", value(g, i, cell));
    }
    char *text = mem_strdup(buf_str(&b));
    buf_release(&b);
    return text;
}
