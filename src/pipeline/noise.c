/* noise.c - see noise.h. */
#include "pipeline/noise.h"

#include "base/err.h"
#include "base/mem.h"

#include <math.h>
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

static void seed_generator(struct noise *s, uint64_t seed)
{
    if (s->kind == NOISE_PHILOX)
        rng_philox_init(&s->rng.philox, seed);
    else
        rng_mt19937_init(&s->rng.mt19937, seed);
}

static void draw(struct noise *s, float *dst)
{
    if (s->kind == NOISE_PHILOX)
        rng_philox_normal(&s->rng.philox, dst, noise_size(s));
    else
        rng_mt19937_normal(&s->rng.mt19937, dst, noise_size(s));
}

int noise_init(struct noise *s, const struct noise_options *o, struct err *e)
{
    *s = (struct noise){.kind = o->kind, .h = o->h, .w = o->w, .c = o->c, .strength = o->strength};
    size_t row = sizeof *s->draft * (size_t)o->w, n_row = (size_t)o->h * (size_t)o->c;
    s->draft = mem_try_array(n_row, row, "the noise", e);
    if (s->draft && o->strength > 0)
        s->other = mem_try_array(n_row, row, "the noise", e);
    if (!s->draft || (o->strength > 0 && !s->other)) {
        noise_release(s);
        return ERR_NOMEM;
    }
    if (s->other) {
        seed_generator(s, o->variation);
        draw(s, s->other);
    }
    seed_generator(s, o->seed);
    return 0;
}

void noise_release(struct noise *s)
{
    free(s->draft);
    free(s->other);
    *s = (struct noise){0};
}

/* The cosine of the angle between the columns [h] at a and b, whose values are w apart. */
static double cosine(const struct noise *s, const float *a, const float *b)
{
    double aa = 0, bb = 0, ab = 0;
    for (int y = 0; y < s->h; y++, a += s->w, b += s->w) {
        aa += (double)*a * *a;
        bb += (double)*b * *b;
        ab += (double)*a * *b;
    }
    return fmin(fmax(ab / sqrt(aa * bb), -1), 1);
}

/* Turns every column of the draft towards that of `other`. Noise that is all but the same is mixed
 * in straight lines, with AUTOMATIC1111's exchanged weights. */
static void mix(struct noise *s)
{
    size_t plane = (size_t)s->h * (size_t)s->w;
    double mean = 0, n_columns = (double)s->c * s->w;
    for (int c = 0; c < s->c; c++)
        for (int x = 0; x < s->w; x++)
            mean += cosine(s, s->draft + (size_t)c * plane + x, s->other + (size_t)c * plane + x) /
                    n_columns;
    for (int c = 0; c < s->c; c++)
        for (int x = 0; x < s->w; x++) {
            float *a = s->draft + (size_t)c * plane + x, *b = s->other + (size_t)c * plane + x;
            double angle = acos(cosine(s, a, b)), of_a = s->strength, of_b = 1 - s->strength;
            if (!(mean > 0.9995) && sin(angle) > 0) {
                of_a = sin((1 - s->strength) * angle) / sin(angle);
                of_b = sin(s->strength * angle) / sin(angle);
            }
            for (int y = 0; y < s->h; y++, a += s->w, b += s->w)
                *a = (float)(of_a * *a + of_b * *b);
        }
}

size_t noise_size(const struct noise *s)
{
    return (size_t)s->h * (size_t)s->w * (size_t)s->c;
}

void noise_fill(struct noise *s, float *dst)
{
    size_t n_pixel = (size_t)s->h * (size_t)s->w;
    draw(s, s->draft);
    if (s->other) {
        mix(s);
        free(s->other);
        s->other = NULL;
    }
    for (size_t p = 0; p < n_pixel; p++)
        for (size_t c = 0; c < (size_t)s->c; c++)
            *dst++ = s->draft[c * n_pixel + p];
}
