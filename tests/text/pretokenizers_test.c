/* pretokenizers_test.c - the table compiles, and cuts as the models' own files do. */
#include "support/test.h"

#include "base/err.h"
#include "text/pretokenizers.h"
#include "text/regex.h"

#include <string.h>

#define MAX_PIECES 64

struct pieces {
    struct span list[MAX_PIECES];
    size_t n;
};

/* Cuts every piece at the matches of the pattern; both stay. */
static void cut(struct pieces *p, const char *pattern)
{
    struct pieces old = *p;
    struct regex *r;
    struct regex_scratch s = {0};
    struct err e = {0};
    assert_ok(regex_new(&r, (struct span){pattern, strlen(pattern)}, false, &e), e);
    p->n = 0;
    for (size_t i = 0; i < old.n; i++) {
        struct span text = old.list[i];
        struct regex_match m;
        size_t last = 0;
        while (regex_find(r, &s, text, last, &m, &e) == 1 && m.end > m.begin) {
            if (m.begin > last)
                p->list[p->n++] = (struct span){text.p + last, m.begin - last};
            p->list[p->n++] = (struct span){text.p + m.begin, m.end - m.begin};
            last = m.end;
        }
        if (last < text.n)
            p->list[p->n++] = (struct span){text.p + last, text.n - last};
    }
    assert_int_equal(e.code, 0);
    regex_scratch_release(&s);
    regex_free(r);
}

static void check(const char *name, const char *text, const char *want)
{
    const struct pretokenizer *pre = pretokenizer_find(name);
    struct pieces p = {{{text, strlen(text)}}, 1};
    char got[512] = "";
    assert_non_null(pre);
    for (size_t i = 0; i < PRETOKENIZER_MAX_PATTERNS && pre->patterns[i]; i++)
        cut(&p, pre->patterns[i]);
    for (size_t i = 0; i < p.n; i++) {
        strncat(got, i ? "|" : "", 2);
        strncat(got, p.list[i].p, p.list[i].n);
    }
    if (strcmp(got, want) != 0)
        fail_msg("%s: \"%s\": wanted %s, got %s", name, text, want, got);
}

static void known_cuts(void **state)
{
    (void)state;
    static const char text[] = "I'M helloWorld 12345, it's\n\n  ok!!";
    check("gpt-2", text, "I|'|M| helloWorld| 12345|,| it|'s|\n\n | ok|!!");
    check("llama-bpe", text, "I|'M| helloWorld| |123|45|,| it|'s|\n\n| | ok|!!");
    check("qwen2", text, "I|'M| helloWorld| |1|2|3|4|5|,| it|'s|\n\n| | ok|!!");
    check("gpt-4o", text, "I'M| hello|World| |123|45|,| it's|\n\n| | ok|!!");
    check("tekken", text, "I|'M| hello|World| |1|2|3|4|5|,| it|'s|\n\n| | ok|!!");
    check("starcoder", text, "I|'|M| helloWorld| |1|2|3|4|5|,| it|'s|\n\n | ok|!!");
    check("deepseek-v3", text, "I|'M| helloWorld| |123|45|,| it|'s|\n\n| | ok|!!");
    check("gemma4", "a b\n\nc", "a b|\n\n|c");
    check("superbpe", "a 1234567 b", "a |1|234|567| b");
    check("tiny_aya", "a 1234567 x12 123456ab", "a| |1|234|567| x|12| |123|456|ab");
    check("afmoe", "a12 1234", "a|12| |1|234");
    check("kimi-k2",
          "ab\xe4\xba\xba"
          "cd",
          "ab|\xe4\xba\xba|cd");
    check("falcon", "a=1234", "a|=|123|4");
    check("bloom", "one, two", "one|,| two");
}

/* Every pattern of the table compiles; every name of each row is found. */
static void all_compile(void **state)
{
    (void)state;
    static const char *const names[] = {
        "default",
        "llama3",
        "jina-v5-nano",
        "dbrx",
        "glm4",
        "minicpm5",
        "deepseek-r1-qwen",
        "qwen35",
        "laguna",
        "seed-coder",
        "bailingmoe2",
        "exaone-moe",
        "jais-2",
        "minimax-m2",
        "granite-embed-multi-97m",
        "tekken",
        "tiny_aya",
        "youtu",
        "kimi-k2",
        "deepseek-llm",
        "deepseek-coder",
        "joyai-llm",
        "afmoe",
        "superbpe",
        "falcon",
        "smollm",
        "exaone4",
        "poro-chat",
        "viking",
        "chameleon",
        "gemma4",
        "sarvam-moe",
        "roberta-bpe",
        "olmo",
        "stablelm2",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        check(names[i], "", "");
    assert_null(pretokenizer_find("gpt"));
    assert_null(pretokenizer_find(""));
    assert_null(pretokenizer_find("gpt-2 phi-2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_cuts),
        cmocka_unit_test(all_compile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
