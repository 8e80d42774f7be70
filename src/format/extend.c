/* extend.c - see extend.h. */
#include "format/extend.h"

#include "base/err.h"
#include "base/hash.h"
#include "format/picture.h"

#include <stdio.h>
#include <string.h>

#define NOISE_REACH 64 /* pixels over which the noise grows */
#define NOISE_LEVEL 48 /* its greatest value, of 255 */

/* ---- margins ---- */

/* A decimal number up to EXTEND_MAX at *s, which moves behind it. */
static bool number(const char **s, int *v)
{
    const char *begin = *s;
    for (*v = 0; **s >= '0' && **s <= '9' && *v <= EXTEND_MAX; (*s)++)
        *v = *v * 10 + (**s - '0');
    return *s > begin && *v <= EXTEND_MAX;
}

static bool set_side(struct margins *m, const char *name, size_t n, int v)
{
    const struct {
        const char *name;
        int *side;
    } sides[] = {
        {"left", &m->left}, {"right", &m->right}, {"top", &m->top}, {"bottom", &m->bottom}};
    bool all = n == 3 && memcmp(name, "all", n) == 0, found = all;
    for (size_t i = 0; i < sizeof(sides) / sizeof(*sides); i++)
        if (all || (strlen(sides[i].name) == n && memcmp(name, sides[i].name, n) == 0)) {
            *sides[i].side = v;
            found = true;
        }
    return found;
}

static bool named(struct margins *m, const char *s)
{
    for (int v;; s++) {
        size_t n = strcspn(s, "=");
        const char *name = s;
        s += n + (s[n] == '=');
        if (!number(&s, &v) || !set_side(m, name, n, v))
            return false;
        if (*s != ',')
            return !*s;
    }
}

static bool in_order(struct margins *m, const char *s)
{
    int *sides[] = {&m->left, &m->right, &m->top, &m->bottom};
    for (int i = 0; i < 4; i++, s++)
        if (!number(&s, sides[i]) || *s != (i < 3 ? ',' : '\0'))
            return false;
    return true;
}

bool margins_parse(struct margins *m, const char *text)
{
    *m = (struct margins){0};
    bool fine = strchr(text, '=') ? named(m, text) : in_order(m, text);
    return fine && (m->left || m->right || m->top || m->bottom);
}

const char *margins_text(const struct margins *m, char out[MARGINS_TEXT])
{
    snprintf(out, MARGINS_TEXT, "%d,%d,%d,%d", m->left, m->right, m->top, m->bottom);
    return out;
}

void margins_round(struct margins *m, int width, int height, int factor)
{
    int x = (m->left + width + m->right) % factor, y = (m->top + height + m->bottom) % factor;
    *(m->left && !m->right ? &m->left : &m->right) += x ? factor - x : 0;
    *(m->top && !m->bottom ? &m->top : &m->bottom) += y ? factor - y : 0;
}

/* ---- pictures ---- */

static int clamp(int v, int most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

/* The same on every machine. */
static unsigned char noisy(unsigned char v, int distance, uint64_t at)
{
    int level = NOISE_LEVEL * clamp(distance, NOISE_REACH) / NOISE_REACH;
    int noise = (int)(hash_mix64(at * 0x9e3779b97f4a7c15u) >> 40) % (2 * level + 1) - level;
    return (unsigned char)clamp(v + noise, 255);
}

static void extend_pixel(const struct picture *in, int x, int y, unsigned char *out)
{
    int fx = clamp(x, in->width - 1), fy = clamp(y, in->height - 1);
    int dx = x < fx ? fx - x : x - fx, dy = y < fy ? fy - y : y - fy;
    const unsigned char *from = in->data + ((size_t)fy * (size_t)in->width + (size_t)fx) *
                                               (size_t)in->channels;
    for (int c = 0; c < in->channels; c++) {
        uint64_t at = ((uint64_t)(uint32_t)x << 32 ^ (uint64_t)(uint32_t)y << 2) + (uint64_t)c;
        out[c] = c < 3 ? noisy(from[c], dx > dy ? dx : dy, at) : from[c];
    }
}

int picture_extend(const struct picture *in, const struct margins *m, struct picture *out,
                   struct err *e)
{
    int rc = picture_alloc(out, m->left + in->width + m->right, m->top + in->height + m->bottom,
                           in->channels, "the extended picture", e);
    unsigned char *to = out->data;
    for (int y = 0; !rc && y < out->height; y++)
        for (int x = 0; x < out->width; x++, to += in->channels)
            extend_pixel(in, x - m->left, y - m->top, to);
    return rc;
}

/* Is the place, counted from one side, new or in the overlap? */
static bool beyond(int place, int margin, int overlap)
{
    return margin > 0 && place < margin + overlap;
}

int picture_extend_mask(const struct extend_mask *k, const struct margins *m, struct picture *out,
                        struct err *e)
{
    int rc = picture_alloc(out, m->left + k->width + m->right, m->top + k->height + m->bottom, 3,
                           "the extended mask", e);
    for (int y = 0; !rc && y < out->height; y++)
        for (int x = 0; x < out->width; x++) {
            unsigned char *to = out->data + ((size_t)y * (size_t)out->width + (size_t)x) * 3;
            int px = x - m->left, py = y - m->top;
            bool inside = px >= 0 && px < k->width && py >= 0 && py < k->height;
            if (beyond(x, m->left, k->overlap) || beyond(y, m->top, k->overlap) ||
                beyond(out->width - 1 - x, m->right, k->overlap) ||
                beyond(out->height - 1 - y, m->bottom, k->overlap))
                memset(to, 255, 3);
            else if (inside && k->inside)
                memcpy(to, k->inside->data + ((size_t)py * (size_t)k->width + (size_t)px) * 3, 3);
        }
    return rc;
}
