/* mask.c - see mask.h. */
#include "format/mask.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int alloc(struct mask *m, int width, int height, struct err *e)
{
    *m = (struct mask){width, height, NULL};
    m->data = mem_try_array((size_t)width * (size_t)height, sizeof(float), "the mask", e);
    if (m->data)
        return 0;
    *m = (struct mask){0};
    return ERR_NOMEM;
}

static size_t n_pixels(const struct mask *m)
{
    return (size_t)m->width * (size_t)m->height;
}

int mask_from_picture(struct mask *m, const struct picture *p, struct err *e)
{
    int rc = alloc(m, p->width, p->height, e);
    for (size_t i = 0; !rc && i < n_pixels(m); i++) {
        const unsigned char *c = p->data + i * (size_t)p->channels;
        int alpha = p->channels == 4 ? c[3] : 255;
        int luma = (299 * c[0] + 587 * c[1] + 114 * c[2]) / 1000;
        m->data[i] = luma * alpha >= 255 * 128 ? 1 : 0;
    }
    return rc;
}

int mask_from_alpha(struct mask *m, const struct picture *p, const char *name, struct err *e)
{
    *m = (struct mask){0};
    if (p->channels != 4)
        return err_set(e, ERR_ARG, "%s: has no transparency to take the mask from; give a picture",
                       name);
    int rc = alloc(m, p->width, p->height, e);
    for (size_t i = 0; !rc && i < n_pixels(m); i++)
        m->data[i] = p->data[i * 4 + 3] < 128 ? 1 : 0;
    return rc;
}

int mask_to_picture(const struct mask *m, struct picture *p, struct err *e)
{
    int rc = picture_alloc(p, m->width, m->height, 3, "the mask", e);
    for (size_t i = 0; !rc && i < n_pixels(m); i++)
        memset(p->data + i * 3, (int)(m->data[i] * 255 + 0.5f), 3);
    return rc;
}

void mask_release(struct mask *m)
{
    free(m->data);
    *m = (struct mask){0};
}

struct mask_box mask_bounds(const struct mask *m)
{
    int left = m->width, right = -1, top = m->height, bottom = -1;
    for (int y = 0; y < m->height; y++)
        for (int x = 0; x < m->width; x++) {
            if (m->data[(size_t)y * (size_t)m->width + (size_t)x] <= 0)
                continue;
            left = x < left ? x : left;
            right = x > right ? x : right;
            top = y < top ? y : top;
            bottom = y;
        }
    if (right < 0)
        return (struct mask_box){0};
    return (struct mask_box){left, top, right - left + 1, bottom - top + 1};
}

/* Averages n values, `stride` apart, over 2 r + 1 of them; the ends are repeated. */
static void box_line(float *x, size_t n, size_t stride, int r, float *line)
{
    double sum = 0;
    long last = (long)n - 1;
    for (size_t i = 0; i < n; i++)
        line[i] = x[i * stride];
    for (long i = -r; i <= r; i++)
        sum += line[i < 0 ? 0 : i > last ? last : i];
    for (long i = 0; i <= last; i++) {
        x[(size_t)i * stride] = (float)(sum / (2 * r + 1));
        long in = i + r + 1, out = i - r;
        sum += (double)line[in > last ? last : in] - (double)line[out < 0 ? 0 : out];
    }
}

static int box_blur(struct mask *m, int r, struct err *e)
{
    size_t w = (size_t)m->width, h = (size_t)m->height;
    float *line = mem_try_array(w > h ? w : h, sizeof(float), "the mask", e);
    if (!line)
        return ERR_NOMEM;
    for (size_t y = 0; y < h; y++)
        box_line(m->data + y * w, w, 1, r, line);
    for (size_t x = 0; x < w; x++)
        box_line(m->data + x, h, w, r, line);
    free(line);
    return 0;
}

int mask_feather(struct mask *m, int width, struct err *e)
{
    if (width <= 0)
        return 0;
    struct mask hard;
    int rc = alloc(&hard, m->width, m->height, e);
    if (rc)
        return rc;
    memcpy(hard.data, m->data, n_pixels(m) * sizeof(float));
    /* Twice a box: a tent, which is 1/2 at a straight edge and 1 at `width` pixels inside. */
    for (int i = 0; i < 2 && !rc; i++)
        rc = box_blur(m, (width + 1) / 2, e);
    for (size_t i = 0; i < n_pixels(m); i++) {
        float inside = 2 * m->data[i] - 1;
        m->data[i] = hard.data[i] > 0 && inside > 0 ? (inside < 1 ? inside : 1) : 0;
    }
    mask_release(&hard);
    return rc;
}

void mask_shrink(const struct mask *m, int factor, float *out)
{
    int h = m->height / factor, w = m->width / factor;
    memset(out, 0, (size_t)h * (size_t)w * sizeof(*out));
    for (int y = 0; y < h * factor; y++)
        for (int x = 0; x < w * factor; x++)
            if (m->data[(size_t)y * (size_t)m->width + (size_t)x] > 0)
                out[(size_t)(y / factor) * (size_t)w + (size_t)(x / factor)] = 1;
}
