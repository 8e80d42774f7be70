/* utf8_fuzz.c - the decoder on any bytes: it always advances, stays inside, and what it accepts is
 * what the encoder writes.
 */
#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *s = (const char *)data;
    for (size_t at = 0; at < size;) {
        size_t taken = 0;
        uint32_t cp = utf8_decode(s + at, size - at, &taken);
        if (taken == 0 || taken > 4 || taken > size - at)
            abort();
        if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
            abort();
        char back[4];
        size_t n = utf8_encode(cp, back);
        int same = n == taken && memcmp(back, s + at, n) == 0;
        if (!same && cp != UTF8_REPLACEMENT)
            abort();
        at += taken;
    }
    return 0;
}
