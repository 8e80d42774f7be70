/* config_test.c - numbers of a component's configuration, and what is no configuration. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "models/config.h"
#include "support/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Path of a folder of one component whose config.json is `json`, or absent for NULL. */
static char *write_config(const char *json)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .component = "vae", .n_shards = 1};
    char *path = model_write("taesd", "model", o, false), *vae = mem_printf("%s/vae", path);
    char *file = mem_printf("%s/config.json", vae);
    assert_int_equal(remove(file), 0);
    if (json) {
        FILE *f = fopen(file, "w");
        assert_non_null(f);
        fputs(json, f);
        assert_int_equal(fclose(f), 0);
    }
    free(file);
    free(path);
    return vae;
}

static struct checkpoint *with_config(const char *json)
{
    char *path = write_config(json);
    struct checkpoint *c = model_open(path);
    free(path);
    return c;
}

static void values_and_defaults(void **state)
{
    (void)state;
    struct err e = {0};
    struct config c;
    struct checkpoint *file = with_config(
        "{\"n\": 7, \"large\": 5000000000, \"real\": 0.5, \"whole\": 3, \"yes\": true,"
        "\"text\": \"gelu\", \"null\": null, \"list\": [5, 10, 20], \"odd\": [1, \"x\"],"
        "\"empty\": []}");
    assert_ok(config_open(&c, file, "vae", &e), e);
    assert_int_equal(config_int(&c, "n", 1, 0, 10), 7);
    assert_int_equal(config_int(&c, "n", 1, 0, 6), 1);
    assert_int_equal(config_int(&c, "n", 1, 8, 10), 1);
    assert_int_equal(config_int(&c, "large", 1, 0, 10), 1);
    assert_int_equal(config_int(&c, "real", 1, 0, 10), 1);
    assert_int_equal(config_int(&c, "absent", 1, 0, 10), 1);
    assert_int_equal(config_int_at(&c, "n", 3, 1), 7);
    assert_int_equal(config_int_at(&c, "list", 1, 1), 10);
    assert_int_equal(config_int_at(&c, "list", 9, 1), 20);
    assert_int_equal(config_int_at(&c, "odd", 1, 4), 4);
    assert_int_equal(config_int_at(&c, "empty", 0, 4), 4);
    assert_true(config_real(&c, "real", 1) == 0.5);
    assert_true(config_real(&c, "whole", 1) == 3);
    assert_true(config_real(&c, "text", 1) == 1);
    assert_true(config_bool(&c, "yes", false));
    assert_true(config_bool(&c, "null", true));
    assert_string_equal(config_text(&c, "text", "x"), "gelu");
    assert_string_equal(config_text(&c, "n", "x"), "x");
    config_close(&c);
    checkpoint_close(file);
}

static void no_configuration(void **state)
{
    (void)state;
    struct err e = {0};
    struct config c;
    struct checkpoint *file = with_config(NULL);
    assert_ok(config_open(&c, file, "vae", &e), e);
    assert_null(c.root);
    assert_int_equal(config_int(&c, "n", 3, 0, 10), 3);
    assert_int_equal(config_int_at(&c, "n", 0, 3), 3);
    assert_null(config_text(&c, "n", NULL));
    config_close(&c);
    checkpoint_close(file);
}

static void not_an_object(void **state)
{
    (void)state;
    static const char *const texts[] = {"[1, 2]", "{\"n\": ", "7", ""};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct err e = {0};
        struct checkpoint *file;
        char *path = write_config(texts[i]);
        assert_int_equal(checkpoint_open(&file, path, &e), ERR_FORMAT);
        assert_err(e, ERR_FORMAT, "config.json");
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_defaults),
        cmocka_unit_test(no_configuration),
        cmocka_unit_test(not_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
