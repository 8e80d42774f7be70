/* text_options_test.c - options by name, from texts and from JSON. */
#include "pipeline/text_options.h"

#include "base/buf.h"
#include "base/err.h"
#include "support/test.h"

#include <jansson.h>
#include <string.h>

static struct text_options fresh(void)
{
    struct text_options o;
    text_options_init(&o, &TOKEN_SAMPLER_DEFAULTS);
    return o;
}

static void sets(void **state)
{
    (void)state;
    struct text_options o = fresh(), from = fresh();
    struct err e = {0};
    struct buf out;
    static const char *const pairs[][2] = {
        {"temperature", "0.25"}, {"top_k", "7"},      {"repeat_last_n", "-1"},
        {"num_predict", "12"},   {"num_ctx", "1024"}, {"seed", "18446744073709551615"},
        {"stop", "###"},         {"stop", "\n"},      {"mirostat", "2"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
        assert_ok(text_option_set(&o, pairs[i][0], pairs[i][1], &e), e);
    assert_true(o.sampler.temperature == 0.25F);
    assert_int_equal(o.sampler.top_k, 7);
    assert_int_equal(o.num_ctx, 1024);
    assert_true(o.seeded && o.sampler.seed == UINT64_MAX);
    assert_int_equal(o.n_stop, 2);
    buf_init(&out, 4096);
    text_options_show(&o, &from, &out);
    assert_string_equal(buf_str(&out), "temperature 0.25\ntop_k 7\nrepeat_last_n -1\nmirostat 2\n"
                                       "seed 18446744073709551615\nnum_predict 12\nnum_ctx 1024\n"
                                       "stop \"###\"\nstop \"\\n\"\n");
    buf_release(&out);
    assert_ok(text_option_set(&o, "stop", "", &e), e);
    assert_ok(text_option_set(&o, "seed", "-1", &e), e);
    assert_int_equal(o.n_stop, 0);
    assert_false(o.seeded);
    text_options_release(&o);
}

static void refuses(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"temprature", "1", "there is no option temprature; there are temperature, top_k,"},
        {"temperature", "warm", "temperature warm: it takes a number"},
        {"temperature", "", "it takes a number"},
        {"temperature", "1e99", "no finite number"},
        {"temperature", "nan", "no finite number"},
        {"top_k", "1.5", "no whole number"},
        {"top_k", "1e12", "no whole number"},
        {"seed", "x", "seed x: it takes a number"},
        {"seed", "18446744073709551616", "it takes a number"},
    };
    struct text_options o = fresh();
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct err e = {0};
        assert_int_equal(text_option_set(&o, rows[i][0], rows[i][1], &e), ERR_ARG);
        assert_err(e, ERR_ARG, rows[i][2]);
    }
    struct err e = {0};
    for (int i = 0; i < TEXT_OPTIONS_MAX_STOP; i++)
        assert_ok(text_option_set(&o, "stop", "x", &e), e);
    assert_int_equal(text_option_set(&o, "stop", "x", &e), ERR_ARG);
    text_options_release(&o);
}

static void from_json(void **state)
{
    (void)state;
    struct text_options o = fresh();
    json_t *all = json_loads("{\"temperature\":1,\"top_k\":3,\"seed\":-5,\"stop\":[\"a\",\"b\"],"
                             "\"num_ctx\":2048.0}",
                             0, NULL);
    const char *name;
    const json_t *value;
    struct err e = {0};
    json_object_foreach((json_t *)all, name, value)
        assert_ok(text_option_set_json(&o, name, value, &e), e);
    assert_true(o.sampler.temperature == 1 && o.sampler.top_k == 3 && !o.seeded);
    assert_int_equal(o.num_ctx, 2048);
    assert_int_equal(o.n_stop, 2);
    json_decref(all);
    static const char *const bad[][2] = {{"{\"top_k\":\"3\"}", "top_k: the value is no number"},
                                         {"{\"top_k\":1.5}", "no whole number"},
                                         {"{\"stop\":[1]}", "item 0 is no text"},
                                         {"{\"stop\":1}", "no text, nor a list"},
                                         {"{\"seed\":0.5}", "seed: the value is no number"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        all = json_loads(bad[i][0], 0, NULL);
        e = (struct err){0};
        json_object_foreach((json_t *)all, name, value)
            assert_int_equal(text_option_set_json(&o, name, value, &e), ERR_ARG);
        assert_err(e, ERR_ARG, bad[i][1]);
        json_decref(all);
    }
    text_options_release(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets),
        cmocka_unit_test(refuses),
        cmocka_unit_test(from_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
