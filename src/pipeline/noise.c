/* noise.c - see noise.h. */
#include "pipeline/noise.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <strings.h>

static const struct {
    const char *name;
    enum noise_kind kind;
} names[] = {
    /* the first of a kind is its own name */
    {"philox", NOISE_PHILOX}, {"nv", NOISE_PHILOX},       {"cuda", NOISE_PHILOX},
    {"gpu", NOISE_PHILOX},    {"mt19937", NOISE_MT19937}, {"cpu", NOISE_MT19937},
    {"torch", NOISE_MT19937},
};

int noise_kind_parse(const char *name, enum noise_kind *kind, struct err *e)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcasecmp(name, names[i].name)) {
            *kind = names[i].kind;
            return 0;
        }
    }
    return err_set(e, ERR_ARG, "noise \"%s\" is unknown; choose philox or mt19937", name);
}

const char *noise_kind_name(enum noise_kind kind)
{
    return kind == NOISE_PHILOX ? "philox" : "mt19937";
}

int noise_init(struct noise *s, const struct noise_options *o, struct err *e)
{
    *s = (struct noise){.kind = o->kind, .h = o->h, .w = o->w, .c = o->c};
    size_t row = sizeof *s->draft * (size_t)o->w;
    if (o->kind == NOISE_PHILOX)
        rng_philox_init(&s->rng.philox, o->seed);
    else
        rng_mt19937_init(&s->rng.mt19937, o->seed);
    s->draft = mem_try_array((size_t)o->h * (size_t)o->c, row, "the noise", e);
    return s->draft ? 0 : ERR_NOMEM;
}

void noise_release(struct noise *s)
{
    free(s->draft);
    *s = (struct noise){0};
}

size_t noise_size(const struct noise *s)
{
    return (size_t)s->h * (size_t)s->w * (size_t)s->c;
}

void noise_fill(struct noise *s, float *dst)
{
    size_t n_pixel = (size_t)s->h * (size_t)s->w;
    if (s->kind == NOISE_PHILOX)
        rng_philox_normal(&s->rng.philox, s->draft, noise_size(s));
    else
        rng_mt19937_normal(&s->rng.mt19937, s->draft, noise_size(s));
    for (size_t p = 0; p < n_pixel; p++)
        for (size_t c = 0; c < (size_t)s->c; c++)
            *dst++ = s->draft[c * n_pixel + p];
}
