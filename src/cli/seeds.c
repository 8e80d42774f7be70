/* seeds.c - see seeds.h. */
#include "cli/seeds.h"

#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

/* A whole decimal number at *p, which moves behind it. */
static bool take(const char **p, uint64_t *v)
{
    char *end;
    if (!isdigit((unsigned char)**p))
        return false;
    errno = 0;
    *v = strtoull(*p, &end, 10);
    *p = end;
    return !errno;
}

/* A number or a range. */
static bool add(struct seeds *s, const char **p)
{
    uint64_t from, to;
    if (!take(p, &from))
        return false;
    to = from;
    if (**p == '-') {
        ++*p;
        if (!take(p, &to))
            return false;
    }
    if (to < from || to - from >= (uint64_t)(SEEDS_MAX - s->n))
        return false;
    int n = (int)(to - from) + 1;
    s->v = mem_realloc(s->v, (size_t)(s->n + n) * sizeof(*s->v));
    for (int i = 0; i < n; i++)
        s->v[s->n++] = from + (uint64_t)i;
    return true;
}

bool seeds_parse(struct seeds *s, const char *text)
{
    *s = (struct seeds){0};
    bool ok = add(s, &text);
    while (ok && *text == ',') {
        text++;
        ok = add(s, &text);
    }
    if (ok && !*text)
        return true;
    seeds_release(s);
    return false;
}

void seeds_release(struct seeds *s)
{
    free(s->v);
    *s = (struct seeds){0};
}

uint64_t seeds_random(void)
{
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = (uint32_t)getpid();
    return seed;
}
