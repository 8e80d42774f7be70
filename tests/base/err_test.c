/* err_test.c - the error record and its table. */
#include "support/test.h"

#include "base/err.h"

#include <string.h>

static void first_error_wins(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_FORMAT, "%s: bad", "x.gguf"), ERR_FORMAT);
    assert_int_equal(err_set(&e, ERR_IO, "later"), ERR_FORMAT);
    err_prefix(&e, "layer %d", 3);
    assert_string_equal(e.text, "layer 3: x.gguf: bad");
    assert_int_equal(err_http_status(ERR_NOT_FOUND), 404);
    assert_string_equal(err_name(-12345), "ERR_UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_error_wins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
