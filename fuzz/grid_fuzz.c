/* grid_fuzz.c - what people write behind --grid, --seed and --sigmas: the first line is a grid, the
 * rest its prompt, and a list of seeds and of sigmas. */
#include "base/err.h"
#include "base/mem.h"
#include "cli/grid.h"
#include "cli/seeds.h"
#include "pipeline/schedule.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void every_cell(const struct grid *g, const struct options *o, const char *prompt)
{
    for (int cell = 0; cell < g->n_cells; cell++) {
        struct options copy = *o;
        char *text = grid_prompt(g, cell, prompt), *caption = grid_caption(g, cell);
        if (grid_options(g, cell, &copy, NULL))
            abort(); /* every value was tried when it was read */
        free(text);
        free(caption);
    }
    if (g->n_cells && (grid_columns(g) < 1 || grid_columns(g) > g->n_cells))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static double sigmas[SCHEDULE_MAX_STEPS];
    char *text = mem_strndup((const char *)data, size), *rest = strchr(text, '\n');
    const char *prompt = rest ? rest + 1 : "", *list[2] = {text, "prompt"};
    struct options o = {.command = COMMAND_DRAW};
    struct grid g;
    struct seeds seeds;
    int n;
    if (rest)
        *rest = '\0';
    for (int k = 1; k <= 2; k++) {
        o.value[OPTION_GRID] = (struct option_value){.given = true, .list = list, .n = k};
        if (grid_read(&g, &o, prompt, NULL) == 0)
            every_cell(&g, &o, prompt);
        grid_release(&g);
    }
    seeds_parse(&seeds, prompt);
    seeds_release(&seeds);
    if (schedule_parse_sigmas(prompt, sigmas, &n, NULL) == 0 && !(sigmas[n - 1] > 0))
        abort();
    free(text);
    return 0;
}
