/* base64.c - see base64.h. */
#include "base/base64.h"

#include <stdint.h>

static int value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t base64_decode(const char *text, size_t n, void *out)
{
    unsigned char *p = out;
    uint32_t bits = 0;
    size_t n_digits = 0, n_out = 0;
    while (n > 0 && text[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        int v = value(text[i]);
        if (v < 0)
            return SIZE_MAX;
        bits = bits << 6 | (uint32_t)v;
        if (++n_digits % 4 != 1)
            p[n_out++] = (unsigned char)(bits >> (6 - 2 * ((n_digits - 1) % 4)));
    }
    return n_digits % 4 == 1 ? SIZE_MAX : n_out;
}
