/* clip_text_test.c - normalization and words; what they give in ids is tested with the tokenizer.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/utf8.h"
#include "text/clip_text.h"

#include <string.h>

/* The words of a text in UTF-8, each followed by '|'. */
static const char *words(const char *text, char *out)
{
    struct clip_text t;
    struct err e = {0};
    size_t begin = 0, end, limit = 0, n = 0;
    clip_text_init(&t);
    assert_ok(clip_text_normalize(&t, text, strlen(text), &e), e);
    for (; (end = clip_text_word(t.cps, t.n, &begin, &limit)) > begin; begin = end) {
        for (size_t i = begin; i < end; i++)
            n += utf8_encode(t.cps[i], out + n);
        out[n++] = '|';
    }
    out[n] = '\0';
    clip_text_release(&t);
    return out;
}

static void word_rules(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {" \t\n", ""},
        {"A Cat, a DOG!", "a|cat|,|a|dog|!|"},
        {"it's we'll O'Neill ''s", "it|'s|we|'ll|o|'|neill|''|s|"},
        {"x12 \xc2\xbd", "x|1|2|\xc2\xbd|"},
        {"e\xcc\x81", "\xc3\xa9|"},             /* composed: a letter */
        {"q\xcc\x81", "q|\xcc\x81|"},           /* a mark is no letter */
        {"s\xcc\x87\xcc\xa3", "\xe1\xb9\xa9|"}, /* marks are put in order */
        {"\xc4\xb0", "i|\xcc\x87|"},            /* capital I with dot */
        {"\xce\xa3", "\xcf\x83|"},              /* never the final sigma */
        {"a\xc2\x85"
         "b\xe3\x80\x80"
         "c\x1c"
         "d",
         "a|b|c|\x1c|d|"}, /* white space of Unicode */
        {"\xff", "\xef\xbf\xbd|"},
        {"<|ENDOFTEXT|>!!", "<||endoftext||>|!!|"},
        {"!<|endoftext|>!!", "!<||endoftext||>!!|"},
    };
    char out[256];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(words(rows[i][0], out), rows[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(word_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
