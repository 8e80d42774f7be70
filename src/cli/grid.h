/* grid.h - `lar draw --grid`: every combination of some values, one picture each.
 *
 *     lar draw "a {red|blue} boat" --grid prompt --grid steps=4,8 --grid "negative=fog|rain, snow"
 *
 * An axis is an option with values, parted by commas or, where there is one, by '|'; or
 * alternatives in braces in the prompt, with --grid prompt; or the seeds of --seed. The last axis
 * runs fastest.
 */
#ifndef LAR_CLI_GRID_H
#define LAR_CLI_GRID_H

#include "cli/options.h"

#include <stddef.h>

struct err;

#define GRID_MAX_AXES  16
#define GRID_MAX_CELLS 1000

struct grid_axis {
    enum option option; /* N_OPTION: a part of the prompt */
    size_t at, length;  /* of "{red|blue}" in the prompt */
    char **values;      /* owned, [n] */
    int n;
};

struct grid {
    struct grid_axis axes[GRID_MAX_AXES];
    int n_axes;
    int n_cells; /* 0: no grid wanted */
};

/* Reads --grid; checks every value as the option itself would. ERR_ARG says which is wrong. The
 * caller releases `g` in every case. */
int grid_read(struct grid *g, const struct options *o, const char *prompt, struct err *e);
void grid_release(struct grid *g);

/* Of the sheet: the last axis goes across; where there is only one, the cells make about a square.
 */
int grid_columns(const struct grid *g);

/* Sets the options of a cell. `o` is a copy that borrows from the real ones and from `g`. */
int grid_options(const struct grid *g, int cell, struct options *o, struct err *e);
/* Heap: the prompt of a cell. */
char *grid_prompt(const struct grid *g, int cell, const char *prompt);
/* Heap: what tells a cell from the others: "red, steps 4". */
char *grid_caption(const struct grid *g, int cell);

#endif
