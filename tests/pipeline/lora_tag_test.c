/* lora_tag_test.c - tags leave the prompt with their weights, everything else stays. */
#include "support/test.h"

#include "base/mem.h"
#include "pipeline/lora_tag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Appends "name text unet;" */
static void note(const struct lora_tag *tag, void *ctx)
{
    char *out = ctx;
    size_t n = strlen(out);
    snprintf(out + n, 400 - n, "%s %g %g;", tag->name, tag->text, tag->unet);
}

static void test_prompts(void **state)
{
    (void)state;
    static const struct {
        const char *prompt, *rest, *tags;
    } rows[] = {
        {"", "", ""},
        {"a cat", "a cat", ""},
        {"<lora:ink>", "", "ink 1 1;"},
        {"a  <lora:ink:0.8> cat", "a cat", "ink 0.8 0.8;"},
        {"a cat<lora:x y:.5:-1><lora:b.c:1e-1>", "a cat", "x y 0.5 -1;b.c 0.1 0.1;"},
        {"<lora:a:te=0.5:unet=2> b", " b", "a 0.5 2;"},
        {"<lora:a:unet=2>", "", "a 1 2;"},
        {"<lora:a:0.5:unet=2>", "", "a 0.5 2;"},
        {"<lora:\xe5\xa2\xa8:1>", "", "\xe5\xa2\xa8 1 1;"},
        {"<lora:a:b> <lora::1> <lora:a <lora:a:1:2:3> <lora:a:nan> <lora:a: 1>",
         "<lora:a:b> <lora::1> <lora:a <lora:a:1:2:3> <lora:a:nan> <lora:a: 1>", ""},
        {"<lora:a:1e999> <lora:a:>", "<lora:a:1e999> <lora:a:>", ""},
        {"<<lora:a>>", "<>", "a 1 1;"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *prompt = mem_strdup(rows[i].prompt), tags[400] = "";
        lora_tags_take(prompt, note, tags);
        assert_string_equal(prompt, rows[i].rest);
        assert_string_equal(tags, rows[i].tags);
        free(prompt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_prompts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
