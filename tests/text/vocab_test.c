/* vocab_test.c - tokens by text and by id; limits. */
#include "support/test.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N 5000

static void found_by_text(void **state)
{
    (void)state;
    static char texts[N][16];
    static struct span tokens[N];
    struct vocab v;
    struct err e = {0};
    for (int i = 0; i < N; i++) {
        int n = snprintf(texts[i], sizeof(texts[i]), "%d token", i * 7919);
        tokens[i] = (struct span){texts[i], (size_t)n};
    }
    tokens[17].n = 0;           /* a hole */
    tokens[4000] = tokens[123]; /* the first counts */
    assert_ok(vocab_init(&v, tokens, N, &e), e);
    for (int i = 0; i < N; i++) {
        int32_t want = i == 17 ? -1 : i == 4000 ? 123 : i;
        assert_int_equal(vocab_find(&v, tokens[i].p, tokens[i].n), want);
        struct span text = vocab_text(&v, i);
        assert_int_equal(text.n, tokens[i].n);
        assert_memory_equal(text.p, tokens[i].p, text.n);
    }
    assert_int_equal(vocab_find(&v, "none", 4), -1);
    assert_int_equal(vocab_find(&v, texts[5], tokens[5].n - 1), -1);
    vocab_release(&v);
}

static void limits(void **state)
{
    (void)state;
    char *text = calloc(1, VOCAB_MAX_TOKEN + 1);
    struct span token = {text, VOCAB_MAX_TOKEN + 1};
    struct vocab v;
    struct err e = {0};
    assert_int_equal(vocab_init(&v, &token, 1, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "token 0");
    free(text);
    for (long nth = 1; nth <= 3; nth++) {
        struct err no_memory = {0};
        struct span one = {"a", 1};
        mem_fail_nth(nth);
        assert_int_equal(vocab_init(&v, &one, 1, &no_memory), ERR_NOMEM);
        mem_fail_nth(0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_text),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
