/* convert_test.c - the command around format/convert.c: types by name, cancelling, the result. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "cli/convert.h"
#include "format/checkpoint.h"
#include "support/model.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run(const struct convert_command *o, char **text, struct err *e)
{
    size_t n;
    FILE *out = open_memstream(text, &n);
    int rc = convert_run(o, out, e);
    fclose(out);
    return rc;
}

static void a_model_is_converted(void **state)
{
    struct err e = {0};
    char *text;
    (void)state;
    char *in = model_write("sd15", "m.safetensors",
                           (struct hash_checkpoint_options){.type = DTYPE_F16}, true);
    char *dir = test_temp_dir(), *out = file_join(dir, "m.gguf");
    struct convert_command o = {.in = in, .out = out, .type = "q8_0", .quiet = true, .json = true};
    assert_ok(run(&o, &text, &e), e);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "out")), out);
    assert_true(json_integer_value(json_object_get(root, "bytes")) > 1000000);
    json_decref(root);
    struct checkpoint *c = model_open(out);
    const struct ckpt_tensor *t = checkpoint_find(
        c, "text_encoder.text_model.encoder.layers.0.mlp.fc1.weight");
    assert_int_equal(t->type, DTYPE_Q8_0);
    checkpoint_close(c);
    free(text);
    assert_int_equal(run(&o, &text, &e), ERR_ARG);
    assert_err(e, ERR_ARG, "m.gguf: is there already; --force replaces it");
    free(text);
    o.force = true;
    e = (struct err){0};
    assert_ok(run(&o, &text, &e), e);
    free(text);
    free(out);
    free(dir);
    free(in);
}

static void failures_are_explained(void **state)
{
    atomic_bool cancel = true;
    struct err e[3] = {0};
    char *text;
    (void)state;
    char *in = model_write("sd15", "m.safetensors",
                           (struct hash_checkpoint_options){.type = DTYPE_F16}, true);
    char *dir = test_temp_dir(), *out = file_join(dir, "m.gguf");
    struct convert_command o = {.in = in, .out = out, .type = "iq2_xs", .quiet = true};
    assert_int_equal(run(&o, &text, &e[0]), ERR_ARG);
    assert_err(e[0], ERR_ARG, "type iq2_xs: not one of f32, f16, bf16, q8_0, q6_k, q5_k_m");
    assert_string_equal(text, "");
    free(text);
    o.type = NULL;
    o.cancel = &cancel;
    assert_int_equal(run(&o, &text, &e[1]), ERR_CANCELLED);
    assert_false(file_exists(out));
    free(text);
    o.in = "/nonexistent";
    assert_int_equal(run(&o, &text, &e[2]), ERR_NOT_FOUND);
    free(text);
    free(out);
    free(dir);
    free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_converted),
        cmocka_unit_test(failures_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
