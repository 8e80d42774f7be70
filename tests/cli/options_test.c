/* options_test.c - the command line against the table: every option, every sentence. */
#include "cli/options.h"

#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Parses "lar" and up to eight words. */
static int parse(struct options *o, struct err *e, const char *const *words)
{
    char *argv[10] = {(char *)"lar"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    *e = (struct err){0};
    return options_parse(o, argc, argv, e);
}

#define PARSE(o, e, ...) parse(o, e, (const char *const[]){__VA_ARGS__, NULL})

static void fails(const char *sentence, const char *const *words)
{
    struct options o;
    struct err e;
    assert_int_equal(parse(&o, &e, words), ERR_ARG);
    if (strcmp(e.text, sentence) != 0)
        fail_msg("wanted: %s\ngot:    %s", sentence, e.text);
    options_release(&o);
}

#define FAILS(sentence, ...) fails(sentence, (const char *const[]){__VA_ARGS__, NULL})

static void test_forms(void **state)
{
    (void)state;
    struct options o;
    struct err e;
    assert_ok(PARSE(&o, &e, "draw", "-n3", "a", "--size=768x512", "-", "-qs", "7", "b"), e);
    assert_int_equal(o.command, COMMAND_DRAW);
    assert_int_equal(o.value[OPTION_NUMBER].whole, 3);
    assert_int_equal(o.value[OPTION_SIZE].width, 768);
    assert_int_equal(o.value[OPTION_SIZE].height, 512);
    assert_int_equal(o.value[OPTION_SEED].whole, 7);
    assert_true(o.value[OPTION_QUIET].given && !o.value[OPTION_JSON].given);
    assert_int_equal(o.n_operands, 3);
    assert_string_equal(o.operands[1], "-");
    options_release(&o);
    assert_ok(PARSE(&o, &e, "draw", "--", "-n", "--json"), e);
    assert_int_equal(o.n_operands, 2);
    assert_false(o.value[OPTION_JSON].given);
    options_release(&o);
    assert_ok(PARSE(&o, &e, "draw", "--guidance=1", "--guidance", "2.5", "--negative="), e);
    assert_true(o.value[OPTION_GUIDANCE].number == 2.5);
    assert_string_equal(o.value[OPTION_NEGATIVE].text, "");
    options_release(&o);
}

static void test_help_and_version(void **state)
{
    (void)state;
    static const char *const help[][3] = {{NULL}, {"--help"}, {"-h"}, {"help"}};
    static const char *const draw[][3] = {{"draw", "-h"}, {"draw", "--help"}, {"help", "draw"}};
    struct options o;
    struct err e;
    for (int i = 0; i < 4; i++) {
        assert_ok(parse(&o, &e, help[i]), e);
        assert_int_equal(o.command, COMMAND_HELP);
        assert_int_equal(o.n_operands, 0);
        options_release(&o);
    }
    for (int i = 0; i < 3; i++) {
        assert_ok(parse(&o, &e, (const char *const[]){draw[i][0], draw[i][1], NULL}), e);
        assert_int_equal(o.command, COMMAND_HELP);
        assert_int_equal(o.n_operands, 1);
        assert_string_equal(o.operands[0], "draw");
        options_release(&o);
    }
    assert_ok(PARSE(&o, &e, "--version"), e);
    assert_int_equal(o.command, COMMAND_VERSION);
    options_release(&o);
}

/* Does an option of this name or letter belong to the command? Letters mean different things. */
static bool has(int command, const char *name, char letter)
{
    for (int i = 0; i < N_OPTION; i++) {
        const struct option_row *row = &option_rows[i];
        bool same = letter ? row->letter == letter : strcmp(row->name, name) == 0;
        if (same && (row->commands & (1u << command)))
            return true;
    }
    return false;
}

/* Any option of any command, with a good value, long and short. */
static void test_every_option(void **state)
{
    (void)state;
    static const char *const good[] = {
        [KIND_TEXT] = "x", [KIND_WHOLE] = "1", [KIND_NUMBER] = "0.5", [KIND_SIZE] = "64x64",
        [KIND_SEED] = "0", [KIND_LIST] = "x",  [KIND_FLAG] = NULL};
    for (int i = 0; i < N_OPTION; i++) {
        const struct option_row *row = &option_rows[i];
        char *name = mem_printf("--%s", row->name), letter[] = {'-', row->letter, '\0'};
        char *choice = mem_strndup(row->value, strcspn(row->value, "|")); /* the first one */
        const char *value = row->kind == KIND_CHOICE ? choice : good[row->kind];
        for (int c = 0; c < N_COMMAND; c++) {
            bool belongs = row->commands & (1u << c);
            for (int form = 0; form < (row->letter ? 2 : 1); form++) {
                const char *words[8] = {command_rows[c].name, form ? letter : name},
                           **w = words + 2;
                struct options o;
                struct err e;
                if (value)
                    *w++ = value;
                for (int k = 0; k < command_rows[c].least; k++)
                    *w++ = "x";
                if (!belongs && has(c, row->name, form ? row->letter : '\0'))
                    continue;
                int rc = parse(&o, &e, words);
                if (rc != (belongs ? 0 : ERR_ARG))
                    fail_msg("lar %s %s: %d %s", words[0], words[1], rc, e.text);
                if (belongs && i != OPTION_HELP)
                    assert_true(o.value[i].given);
                options_release(&o);
            }
        }
        free(name);
        free(choice);
    }
}

static void test_lists(void **state)
{
    (void)state;
    static const struct {
        const char *text, *left;
        double weight;
    } rows[] = {{"a:b.png:0.5", "a:b.png", 0.5},
                {"a:-1", "a", -1},
                {"a", "a", 7},
                {"a:", "a:", 7},
                {"a:b", "a:b", 7},
                {"a:1:", "a:1:", 7},
                {"a:nan", "a:nan", 7},
                {"a: 1", "a: 1", 7}};
    struct options o;
    struct err e;
    assert_ok(PARSE(&o, &e, "draw", "--control", "a=b", "x", "--control=c=d:1"), e);
    assert_int_equal(o.value[OPTION_CONTROL].n, 2);
    assert_string_equal(o.value[OPTION_CONTROL].list[0], "a=b");
    assert_string_equal(o.value[OPTION_CONTROL].list[1], "c=d:1");
    options_release(&o);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double weight = 7;
        char *text = mem_strdup(rows[i].text);
        assert_true(options_cut_weight(text, &weight) == (rows[i].weight != 7));
        assert_string_equal(text, rows[i].left);
        assert_true(weight == rows[i].weight);
        free(text);
    }
}

static void test_sentences(void **state)
{
    (void)state;
    FAILS("drwa: no such command; did you mean lar draw?", "drwa");
    FAILS("dance: no such command; `lar help` lists them", "dance");
    FAILS("--sed: lar draw has no such option; did you mean --seed?", "draw", "--sed=1");
    FAILS("--guid: lar draw has no such option; did you mean --guidance?", "draw", "--guid", "1");
    FAILS("--quantum: lar draw has no such option; `lar help draw` lists them", "draw",
          "--quantum");
    FAILS("--steps: lar inspect has no such option; `lar help inspect` lists them", "inspect",
          "--steps=1");
    FAILS("-z: lar draw has no option -z; an argument that begins with - belongs behind --", "draw",
          "-z");
    FAILS("--steps: its value is missing; write --steps N", "draw", "x", "--steps");
    FAILS("-n: its value is missing; write -n N", "draw", "-n");
    FAILS("--json: takes no value; leave out =yes", "draw", "--json=yes");
    FAILS("--steps 0: wants a whole number from 1 to 1000", "draw", "--steps=0");
    FAILS("--steps 2.5: wants a whole number from 1 to 1000", "draw", "--steps", "2.5");
    FAILS("--steps 99999999999999999999: wants a whole number from 1 to 1000", "draw",
          "--steps=99999999999999999999");
    FAILS("-n -1: wants a whole number from 1 to 10000", "draw", "-n", "-1");
    FAILS("--guidance nan: wants a number from 0 to 1000", "draw", "--guidance=nan");
    FAILS("-g 7,5: wants a number from 0 to 1000", "draw", "-g7,5");
    FAILS("--guidance : wants a number from 0 to 1000", "draw", "--guidance=");
    FAILS(
        "--seed -1: wants whole numbers from 0 to 2^64 - 1, such as 7, 1-9 or 5,8,13; leave it out "
        "for a random one",
        "draw", "--seed", "-1");
    FAILS("--seed 18446744073709551616: wants whole numbers from 0 to 2^64 - 1, such as 7, 1-9 or "
          "5,8,13; leave it out for a random one",
          "draw", "--seed=18446744073709551616");
    FAILS("--size 512: wants width x height in pixels, such as 768x512", "draw", "--size=512");
    FAILS("--size 512x: wants width x height in pixels, such as 768x512", "draw", "--size=512x");
    FAILS("--size 1x1x1: wants width x height in pixels, such as 768x512", "draw", "--size=1x1x1");
    FAILS("--size 0x64: width and height may be 1 to 1000000 pixels", "draw", "--size=0x64");
    FAILS("--size 64x99999999999999999999: width and height may be 1 to 1000000 pixels", "draw",
          "--size=64x99999999999999999999");
    FAILS("--precision f16: wants one of f32|bf16", "draw", "--precision=f16");
    FAILS("--precision f: wants one of f32|bf16", "draw", "--precision=f");
    FAILS("b: lar inspect takes no more than 1 argument", "inspect", "a", "b");
    FAILS("c: lar convert takes no more than 2 arguments", "convert", "a", "b", "c");
    FAILS("lar convert wants IN OUT; `lar help convert` explains", "convert", "a");
    FAILS("x: lar version takes no arguments", "version", "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_every_option), cmocka_unit_test(test_lists),
        cmocka_unit_test(test_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
