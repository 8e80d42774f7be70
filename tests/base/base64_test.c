/* base64_test.c - the vectors of RFC 4648, section 10, and what is no base64. */
#include "support/test.h"

#include "base/base64.h"

#include <string.h>

static void vectors(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},           {"Zg==", "f"},         {"Zm8=", "fo"},         {"Zm9v", "foo"},
        {"Zm9vYg", "foob"}, {"Zm9vYmE=", "fooba"}, {"Zm9vYmFy", "foobar"}, {"+/+/", "\xfb\xff\xbf"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[16];
        assert_int_equal(base64_decode(rows[i][0], strlen(rows[i][0]), out), strlen(rows[i][1]));
        assert_memory_equal(out, rows[i][1], strlen(rows[i][1]));
    }
}

static void no_base64(void **state)
{
    (void)state;
    static const char *const rows[] = {"Z", "Zm9vY", "Zm 9v", "Zm9v!", "Z=m9"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[16];
        assert_true(base64_decode(rows[i], strlen(rows[i]), out) == SIZE_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(no_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
