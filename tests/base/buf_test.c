/* buf_test.c - growth, the declared maximum, sticky failure, taking the bytes. */
#include "support/test.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

static void grows_and_ends_with_nul(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_string_equal(buf_str(&b), "");
    for (int i = 0; i < 10000; i++) {
        buf_printf(&b, "%d,", i);
        assert_int_equal(b.data[b.len], '\0');
    }
    buf_append_str(&b, "end");
    buf_append_char(&b, '!');
    buf_append(&b, NULL, 0);
    assert_false(buf_failed(&b));
    assert_int_equal(b.len, 48890 + 4);
    assert_memory_equal(b.data, "0,1,2,", 6);
    assert_string_equal(b.data + b.len - 9, "9999,end!");
    buf_release(&b);
    assert_int_equal(b.max, 1 << 20);
    assert_string_equal(buf_str(&b), "");
}

static void fails_for_good_beyond_the_maximum(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8);
    buf_append_str(&b, "12345678");
    assert_false(buf_failed(&b));
    buf_append_char(&b, '9');
    assert_true(buf_failed(&b));
    assert_string_equal(buf_str(&b), "12345678");
    buf_reset(&b);
    assert_false(buf_failed(&b));
    buf_printf(&b, "%s", "123456789");
    assert_true(buf_failed(&b));
    buf_append_char(&b, 'x'); /* would fit, but the text is no longer whole */
    assert_int_equal(b.len, 0);
    buf_reset(&b);
    buf_append(&b, "x", SIZE_MAX); /* must not wrap */
    assert_true(buf_failed(&b));
    buf_release(&b);
}

static void takes(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    char *empty = buf_take(&b);
    assert_string_equal(empty, "");
    buf_append(&b, "a\0b", 3);
    char *bytes = buf_take(&b);
    assert_memory_equal(bytes, "a\0b", 4);
    assert_int_equal(b.len, 0);
    buf_append_str(&b, "new");
    assert_string_equal(buf_str(&b), "new");
    buf_release(&b);
    free(empty);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_ends_with_nul),
        cmocka_unit_test(fails_for_good_beyond_the_maximum),
        cmocka_unit_test(takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
