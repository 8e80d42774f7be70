/* recipe_test.c - recipes as JSON and inside pictures. The round trips are in infotext_test.c. */
#include "support/pictures.h"
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "pipeline/recipe.h"

#include <stdlib.h>
#include <string.h>

static void writes_json(void **state)
{
    (void)state;
    struct recipe r;
    recipe_init(&r);
    char *json = recipe_to_json(&r);
    assert_string_equal(json, "{}");
    free(json);
    recipe_set(&r.prompt, "a \"b\"\n");
    r.has_seed = true;
    r.seed = 9007199254740992u; /* 2^53 */
    json = recipe_to_json(&r);
    assert_string_equal(json, "{\"prompt\":\"a \\\"b\\\"\\n\",\"seed\":9007199254740992}");
    free(json);
    r.seed++;
    json = recipe_to_json(&r);
    assert_non_null(strstr(json, "\"seed\":\"9007199254740993\""));
    free(json);
    recipe_release(&r);
}

static void reads_json(void **state)
{
    (void)state;
    struct recipe r;
    struct err e = {0};
    assert_ok(recipe_from_json(&r,
                               "{\"future\": [1], \"seed\": \"18446744073709551615\", "
                               "\"guidance\": 0, \"loras\": [{\"name\": \"ink\"}]}",
                               &e),
              e);
    assert_true(r.has_seed && r.seed == UINT64_MAX);
    assert_true(r.guidance == 0 && r.strength < 0);
    assert_null(r.prompt);
    assert_int_equal(r.n_loras, 1);
    assert_true(r.loras[0].weight == 1);
    recipe_release(&r);
}

static void refuses_wrong_json(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } rows[] = {
        {"", "not JSON"},
        {"{\"prompt\": \"a\", }", "line 1"},
        {"[]", "object"},
        {"{\"prompt\": 1}", "prompt"},
        {"{\"steps\": 0}", "steps"},
        {"{\"steps\": 1.5}", "steps"},
        {"{\"width\": 4294967297}", "width"},
        {"{\"guidance\": -1}", "guidance"},
        {"{\"guidance\": \"7\"}", "guidance"},
        {"{\"strength\": 1.01}", "strength"},
        {"{\"seed\": -1}", "seed"},
        {"{\"seed\": \"18446744073709551616\"}", "seed"},
        {"{\"seed\": \"1 \"}", "seed"},
        {"{\"prompt\": \"a\", \"loras\": {}}", "loras"},
        {"{\"prompt\": \"a\", \"loras\": [1]}", "loras"},
        {"{\"loras\": [{\"name\": \"a\"}, {\"name\": \"a\", \"weight\": \"1\"}]}", "loras"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct recipe r;
        struct err e = {0};
        if (recipe_from_json(&r, rows[i].json, &e) != ERR_FORMAT || !strstr(e.text, rows[i].says))
            fail_msg("%s: %s", rows[i].json, e.text);
        assert_null(r.prompt);
        assert_int_equal(r.n_loras, 0);
    }
    char *deep = mem_alloc(200001);
    memset(deep, '[', 200000);
    struct recipe r;
    struct err e = {0};
    assert_int_equal(recipe_from_json(&r, deep, &e), ERR_FORMAT);
    free(deep);
    char *vast = mem_alloc(RECIPE_MAX_TEXT + 2);
    memset(vast, ' ', RECIPE_MAX_TEXT + 1);
    assert_int_equal(recipe_from_json(&r, vast, NULL), ERR_FORMAT);
    assert_int_equal(recipe_from_parameters(&r, vast, NULL), ERR_FORMAT);
    free(vast);
}

/* What Lar writes into a picture it reads back. */
static void travels_in_a_picture(void **state)
{
    (void)state;
    struct recipe r;
    struct err e = {0};
    struct picture p;
    struct picture_text t = {0};
    recipe_init(&r);
    recipe_set(&r.prompt, "um farol \U0001f5fc ");
    recipe_set(&r.sampler, "euler");
    r.steps = 4;
    r.seed = 7;
    r.has_seed = true;
    recipe_to_text(&r, &t);
    assert_ok(picture_alloc(&p, 8, 8, 3, "p", &e), e);
    for (int format = 0; format < N_PICTURE_FORMAT; format++) {
        struct buf file;
        struct picture q;
        struct picture_text found;
        struct recipe back;
        buf_init(&file, 1 << 20);
        struct picture_coding coding = {(enum picture_format)format, 0};
        assert_ok(picture_encode(&p, &t, coding, &file, &e), e);
        assert_ok(picture_decode(file.data, file.len, "p", &q, &found, &e), e);
        assert_ok(recipe_from_text(&back, &found, "p", &e), e);
        assert_string_equal(back.prompt, "um farol \U0001f5fc "); /* the blank only JSON keeps */
        assert_int_equal(back.seed, 7);
        recipe_release(&back);
        picture_release(&q);
        picture_text_release(&found);
        buf_release(&file);
    }
    recipe_release(&r);
    picture_release(&p);
    picture_text_release(&t);
}

static int from_file(const char *name, struct recipe *r, struct err *e)
{
    struct picture_text t;
    struct picture p = test_picture(name, &t);
    int rc = recipe_from_text(r, &t, name, e);
    picture_release(&p);
    picture_text_release(&t);
    return rc;
}

static void found_in_foreign_pictures(void **state)
{
    (void)state;
    static const char *const names[] = {"texts.png", "comment_ascii.webp"};
    struct recipe r;
    struct err e = {0};
    for (int i = 0; i < 2; i++) {
        assert_ok(from_file(names[i], &r, &e), e);
        assert_string_equal(r.prompt, "a lighthouse at dusk");
        assert_string_equal(r.negative, "fog");
        assert_string_equal(r.model, "v1-5-pruned-emaonly");
        assert_int_equal(r.steps, 20);
        recipe_release(&r);
    }
    assert_int_equal(from_file("comment_be.jpg", &r, &e), ERR_NOT_FOUND); /* just a comment */
    assert_err(e, ERR_NOT_FOUND, "comment_be.jpg");
    assert_null(r.prompt);
    e = (struct err){0};
    assert_int_equal(from_file("upright.png", &r, &e), ERR_NOT_FOUND);
}

static void falls_back_to_parameters(void **state)
{
    (void)state;
    struct picture_text t = {0};
    struct recipe r;
    struct err e = {0};
    picture_text_add(&t, "lar", "{\"prompt\": \"half\", \"steps\": -1}");
    assert_int_equal(recipe_from_text(&r, &t, "x.png", &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "x.png: the recipe's \"steps\"");
    picture_text_add(&t, "parameters", "whole\nSteps: 2, Seed: 3, Size: 8x16");
    e = (struct err){0};
    assert_ok(recipe_from_text(&r, &t, "x.png", &e), e);
    assert_string_equal(r.prompt, "whole");
    assert_int_equal(r.height, 16);
    recipe_release(&r);
    picture_text_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_json),
        cmocka_unit_test(reads_json),
        cmocka_unit_test(refuses_wrong_json),
        cmocka_unit_test(travels_in_a_picture),
        cmocka_unit_test(found_in_foreign_pictures),
        cmocka_unit_test(falls_back_to_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
