/* pickle_fuzz.c - any bytes as a pickle: it is refused with a sentence, or it has a root. */
#include "base/err.h"
#include "format/pickle.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const globals[] = {"collections.OrderedDict", "torch.", NULL};
    struct pickle p;
    struct err e = {0};
    if (pickle_parse(&p, data, n, globals, &e) != 0) {
        if (!e.code || !e.text[0])
            abort();
        return 0;
    }
    if (!p.root || p.used > n)
        abort();
    pickle_release(&p);
    return 0;
}
