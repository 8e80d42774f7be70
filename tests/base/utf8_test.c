/* utf8_test.c - the decoder against Python's decode(errors="replace"). */
#include "support/test.h"

#include "base/utf8.h"

#include <string.h>

static void as_python_decodes(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        uint32_t cps[6]; /* ends with 0 */
    } rows[] = {
        {"\x61", {0x61}},
        {"\xc3\xa9", {0xe9}},
        {"\xe2\x82\xac", {0x20ac}},
        {"\xf0\x9f\x98\x80", {0x1f600}},
        {"\x80", {0xfffd}},
        {"\xbf\x80", {0xfffd, 0xfffd}},
        {"\xc0\x80", {0xfffd, 0xfffd}},
        {"\xc1\xbf", {0xfffd, 0xfffd}},
        {"\xc2", {0xfffd}},
        {"\xc2\x61", {0xfffd, 0x61}},
        {"\xe0\x80\x80", {0xfffd, 0xfffd, 0xfffd}},
        {"\xe0\x9f\xbf", {0xfffd, 0xfffd, 0xfffd}},
        {"\xe0\xa0\x80", {0x800}},
        {"\xe2\x82", {0xfffd}},
        {"\xe2\x82\x61", {0xfffd, 0x61}},
        {"\xe2\x61", {0xfffd, 0x61}},
        {"\xed\x9f\xbf", {0xd7ff}},
        {"\xed\xa0\x80", {0xfffd, 0xfffd, 0xfffd}},
        {"\xed\xbf\xbf", {0xfffd, 0xfffd, 0xfffd}},
        {"\xee\x80\x80", {0xe000}},
        {"\xef\xbf\xbd", {0xfffd}},
        {"\xef\xbf\xbf", {0xffff}},
        {"\xf0\x80\x80\x80", {0xfffd, 0xfffd, 0xfffd, 0xfffd}},
        {"\xf0\x8f\xbf\xbf", {0xfffd, 0xfffd, 0xfffd, 0xfffd}},
        {"\xf0\x90\x80\x80", {0x10000}},
        {"\xf0\x9f\x98", {0xfffd}},
        {"\xf0\x9f\x98\x61", {0xfffd, 0x61}},
        {"\xf0\x9f", {0xfffd}},
        {"\xf0\x9f\x61", {0xfffd, 0x61}},
        {"\xf4\x8f\xbf\xbf", {0x10ffff}},
        {"\xf4\x90\x80\x80", {0xfffd, 0xfffd, 0xfffd, 0xfffd}},
        {"\xf5\x80\x80\x80", {0xfffd, 0xfffd, 0xfffd, 0xfffd}},
        {"\xf8\x88\x80\x80\x80", {0xfffd, 0xfffd, 0xfffd, 0xfffd, 0xfffd}},
        {"\xfe\xff", {0xfffd, 0xfffd}},
        {"\xe2\x82\xe2\x82\xac", {0xfffd, 0x20ac}},
        {"\xf0\x9f\x98\xf0\x9f\x98\x80", {0xfffd, 0x1f600}},
        {"\xc3\xc3\xa9", {0xfffd, 0xe9}},
    };
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        const char *p = rows[r].bytes;
        size_t n = strlen(p), taken, k = 0;
        for (; n > 0; p += taken, n -= taken)
            assert_int_equal(utf8_decode(p, n, &taken), rows[r].cps[k++]);
        assert_int_equal(rows[r].cps[k], 0);
    }
}

/* FNV-1a over the decoded code points of every sequence of one of the first bytes and three of the
 * others, which include both ends of every range RFC 3629 names. Python:
 *     for s in itertools.product(first, other, other, other): bytes(s).decode(errors="replace") */
static void all_combinations(void **state)
{
    (void)state;
    static const unsigned char first[] = "\x41\x80\xbf\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1"
                                         "\xf3\xf4\xf5\xff";
    static const unsigned char other[] = "\x41\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc2\xe1\xf1";
    uint64_t hash = 0xcbf29ce484222325u;
    size_t n_cps = 0;
    for (size_t i = 0; i < 18 * 12 * 12 * 12; i++) {
        const char s[4] = {(char)first[i / 1728], (char)other[i / 144 % 12],
                           (char)other[i / 12 % 12], (char)other[i % 12]};
        for (size_t at = 0, taken; at < 4; at += taken, n_cps++) {
            uint32_t cp = utf8_decode(s + at, 4 - at, &taken);
            for (int k = 0; k < 4; k++)
                hash = (hash ^ (cp >> 8 * k & 0xff)) * 0x100000001b3u;
        }
    }
    assert_int_equal(n_cps, 102600);
    assert_int_equal(hash, 0xd4b48d62a3cb9b7du);
}

static void every_code_point_round_trips(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        char bytes[4];
        size_t taken, n;
        if (cp >= 0xd800 && cp <= 0xdfff)
            continue;
        n = utf8_encode(cp, bytes);
        if (utf8_decode(bytes, n, &taken) != cp || taken != n)
            fail_msg("U+%04X does not come back", cp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_python_decodes),
        cmocka_unit_test(all_combinations),
        cmocka_unit_test(every_code_point_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
