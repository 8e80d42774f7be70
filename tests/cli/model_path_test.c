/* model_path_test.c - which model is meant, in order, and what is said when there is none. */
#include "cli/model_path.h"

#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void finds(const struct model_places *p, const char *want)
{
    struct err e = {0};
    char *path;
    assert_ok(model_places_find(p, &path, &e), e);
    assert_string_equal(path, want);
    free(path);
}

static void fails(const struct model_places *p, const char *part)
{
    struct err e = {0};
    char *path;
    assert_int_equal(model_places_find(p, &path, &e), ERR_NOT_FOUND);
    assert_null(path);
    assert_err(e, ERR_NOT_FOUND, part);
}

static void test_order(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *config = file_join(dir, "model");
    char *a = file_join(dir, "a"), *b = file_join(dir, "b"), *c = file_join(dir, "c c");
    char *d = file_join(dir, "d"), *line = mem_printf(" %s \r\nsecond line\n", c);
    char *all[] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        write_text(all[i], "");
    write_text(config, line);
    struct model_places p = {.option = a, .environment = b, .config = config, .bundled = {NULL, d}};
    finds(&p, a);
    p.option = NULL;
    finds(&p, b);
    p.environment = "";
    finds(&p, c);
    write_text(config, " \n");
    finds(&p, d);
    setenv("HOME", dir, 1);
    write_text(config, "~/b\n");
    finds(&p, b);
    remove(config);
    finds(&p, d);
    p.bundled[1] = NULL;
    fails(&p, "no model: name one with -m FILE, LAR_MODEL=FILE, or in a line of ");
    fails(&p, config);
    p.environment = "no/such";
    fails(&p, "LAR_MODEL: there is no file or folder no/such");
    p.option = "nor/this";
    fails(&p, "--model: there is no file or folder nor/this");
    p.option = p.environment = NULL;
    write_text(config, "nothing");
    fails(&p, "/model: there is no file or folder nothing");
    for (int i = 0; i < 4; i++)
        free(all[i]);
    free(line), free(config), free(dir);
}

static void test_this_process(void **state)
{
    (void)state;
    struct model_places p;
    setenv("XDG_CONFIG_HOME", "/etc/xdg", 1);
    setenv("LAR_MODEL", "x", 1);
    model_places_init(&p, "y");
    assert_string_equal(p.option, "y");
    assert_string_equal(p.environment, "x");
    assert_string_equal(p.config, "/etc/xdg/lar/model");
    model_places_release(&p);
    setenv("XDG_CONFIG_HOME", "relative", 1); /* the specification: ignored */
    setenv("HOME", "/home/x", 1);
    model_places_init(&p, NULL);
    assert_string_equal(p.config, "/home/x/.config/lar/model");
    model_places_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
