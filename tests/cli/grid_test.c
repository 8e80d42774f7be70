/* grid_test.c - what --grid makes of its words; the pictures are in draw_test.c. */
#include "support/test.h"

#include "base/err.h"
#include "cli/grid.h"

#include <stdlib.h>
#include <string.h>

#define MAX_WORDS 20

/* `lar draw` with these options; --grid of a word without dashes. */
static void parse(struct options *o, const char *const *words)
{
    char *argv[2 * MAX_WORDS] = {(char *)"lar", (char *)"draw", (char *)"x"};
    int argc = 3;
    struct err e = {0};
    for (; *words; words++) {
        if (**words != '-')
            argv[argc++] = (char *)"--grid";
        argv[argc++] = (char *)(uintptr_t)*words;
    }
    assert_ok(options_parse(o, argc, argv, &e), e);
}

#define PARSE(o, ...) parse(o, (const char *const[]){__VA_ARGS__, NULL})

static void check_cell(const struct grid *g, int cell, const char *prompt, const char *caption)
{
    char *p = grid_prompt(g, cell, "a {red|blue} {x} boat {|far} off}"), *c = grid_caption(g, cell);
    assert_string_equal(p, prompt);
    assert_string_equal(c, caption);
    free(p);
    free(c);
}

static void combinations(void **state)
{
    (void)state;
    struct options o, cell;
    struct grid g;
    struct err e = {0};
    PARSE(&o, "steps=4,8", "prompt", "negative=fog|rain, snow", "--seed=7-8");
    assert_ok(grid_read(&g, &o, "a {red|blue} {x} boat {|far} off}", &e), e);
    assert_int_equal(g.n_cells, 32);
    assert_int_equal(grid_columns(&g), 2);
    check_cell(&g, 0, "a red {x} boat  off}", "steps 4, red, , negative fog, seed 7");
    check_cell(&g, 1, "a red {x} boat  off}", "steps 4, red, , negative fog, seed 8");
    check_cell(&g, 30, "a blue {x} boat far off}",
               "steps 8, blue, far, negative rain, snow, seed 7");
    cell = o;
    assert_ok(grid_options(&g, 30, &cell, &e), e);
    assert_int_equal(cell.value[OPTION_STEPS].whole, 8);
    assert_int_equal(cell.value[OPTION_SEED].whole, 7);
    assert_string_equal(cell.value[OPTION_NEGATIVE].text, "rain, snow");
    assert_false(o.value[OPTION_STEPS].given);
    grid_release(&g);
    options_release(&o);
}

static void one_axis_is_a_square(void **state)
{
    (void)state;
    struct options o;
    struct grid g;
    struct err e = {0};
    PARSE(&o, "seed=1-5,9");
    assert_ok(grid_read(&g, &o, "x", &e), e);
    assert_int_equal(g.n_cells, 6);
    assert_int_equal(grid_columns(&g), 3);
    grid_release(&g);
    options_release(&o);
    PARSE(&o, "-n3");
    assert_ok(grid_read(&g, &o, "x {a|b}", &e), e);
    assert_int_equal(g.n_cells, 0);
    grid_release(&g);
    options_release(&o);
}

static void refuses(void **state)
{
    static const struct {
        const char *words[4], *says;
    } rows[] = {
        {{"steps"}, "--grid steps: wants NAME=VALUE,VALUE"},
        {{"output=a,b"}, "names are steps, guidance,"},
        {{"=4"}, "wants NAME=VALUE"},
        {{"steps=4,x"}, "--grid: --steps x: wants a whole number"},
        {{"steps=4,,8"}, "--grid: --steps : wants a whole number"},
        {{"steps=4", "steps=8"}, "steps is named twice"},
        {{"prompt"}, "the prompt has no alternatives"},
        {{"seed=1-x"}, "--grid: --seed 1-x: wants whole numbers"},
        {{"seed=1,2", "--seed=5-6"}, "seed is named twice"},
        {{"seed=1-1000", "steps=1,2"}, "more than 1000 pictures"},
        {{"steps=1,2", "-n2"}, "-n: has no meaning with --grid"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct options o;
        struct grid g;
        struct err e = {0};
        parse(&o, rows[i].words);
        assert_int_equal(grid_read(&g, &o, "a {boat} {", &e), ERR_ARG);
        assert_err(e, ERR_ARG, rows[i].says);
        grid_release(&g);
        options_release(&o);
    }
    struct options o;
    struct grid g;
    struct err e = {0};
    PARSE(&o, "prompt", "prompt");
    assert_int_equal(grid_read(&g, &o, "{a|b}", &e), ERR_ARG);
    assert_err(e, ERR_ARG, "prompt is named twice");
    grid_release(&g);
    options_release(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(combinations),
                                       cmocka_unit_test(one_axis_is_a_square),
                                       cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
