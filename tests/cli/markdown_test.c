/* markdown_test.c - colours where CommonMark has meaning, and not a byte changed. */
#include "cli/markdown.h"

#include "base/buf.h"
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

static void colour(struct buf *out, const char *text, size_t piece)
{
    struct markdown m;
    buf_init(out, 1 << 20);
    markdown_init(&m, true);
    for (size_t n = strlen(text), i = 0; i < n; i += piece)
        markdown_put(&m, text + i, n - i < piece ? n - i : piece, out);
    markdown_end(&m, out);
}

/* "\033[0;1m" -> "<1>", "\033[0m" -> "<>": what the rows below are written in. */
static char *readable(const struct buf *b)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    for (const char *p = buf_str(b); *p; p++) {
        if (strncmp(p, "\033[0", 3) != 0) {
            buf_append_char(&out, *p);
            continue;
        }
        p += p[3] == ';' ? 4 : 3;
        buf_append_char(&out, '<');
        for (; *p != 'm'; p++)
            buf_append_char(&out, *p);
        buf_append_char(&out, '>');
    }
    return buf_take(&out);
}

static void colours(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"plain text\n", "plain text\n"},
        {"a **b** c", "a <1>**b**<> c"},
        {"a *b* _c_ d", "a <3>*b*<> <3>_c_<> d"},
        {"***b*** c", "<1;3>***b***<> c"},
        {"2 * 3 * 4, snake_case_name", "2 * 3 * 4, snake_case_name"},
        {"\\*no\\* `a*b*` c", "\\*no\\* <36>`a*b*`<> c"},
        {"``a`b`` c", "<36>``a`b``<> c"},
        {"# Head\ntext", "<1;34># Head<>\ntext"},
        {"#tag", "#tag"},
        {"- item\n  * other\n", "<33>-<> item\n  <33>*<> other\n"},
        {"> quote **b**\n", "<33>><> quote <1>**b**<>\n"},
        {"```c\nint *a;\n```\nb *c*", "<2>```c<>\n<36>int *a;<>\n<2>```<>\nb <3>*c*<>"},
        {"~~~~\n~~~\n```\n~~~~\nx", "<2>~~~~<>\n<36>~~~<>\n<36>```<>\n<2>~~~~<>\nx"},
        {"**open\n\nnext", "<1>**open<>\n\nnext"},
        {"`open\n\nnext", "<36>`open<>\n\nnext"},
        {"**two\nlines** x", "<1>**two<>\n<1>lines**<> x"},
        {"a\033]0;title\007b\r\n", "a?]0;title?b?\n"},
        {"**", "**"},
        {"-", "<33>-<>"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out;
        colour(&out, rows[i][0], 1000);
        char *got = readable(&out);
        if (strcmp(got, rows[i][1]) != 0)
            fail_msg("%s\nwanted %s\ngot    %s", rows[i][0], rows[i][1], got);
        free(got);
        buf_release(&out);
    }
}

/* However the text is cut, the result is one; without the colours it is the text. */
static void pieces_and_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = "ab *_`#->~\n\n\\ +1";
    unsigned seed = 1;
    for (int round = 0; round < 3000; round++) {
        char text[64], *at = text;
        size_t n = 1 + (size_t)round % 60;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            *at++ = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
        }
        *at = '\0';
        struct buf whole, cut;
        colour(&whole, text, sizeof(text));
        colour(&cut, text, 1 + (size_t)round % 5);
        assert_string_equal(buf_str(&whole), buf_str(&cut));
        const char *w = buf_str(&whole);
        for (const char *t = text; *t || *w;) {
            if (strncmp(w, "\033[", 2) == 0)
                w = strchr(w, 'm') + 1;
            else if (*t++ != *w++)
                fail_msg("%s became %s", text, buf_str(&whole));
        }
        buf_release(&whole);
        buf_release(&cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colours),
        cmocka_unit_test(pieces_and_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
