/* canny.c - see canny.h. */
#include "format/canny.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/picture.h"

#include <stdint.h>
#include <stdlib.h>

struct gradient {
    int16_t dx, dy;
};

enum mark { NOTHING, WEAK, EDGE };

struct edges {
    int width, height;
    struct gradient *g;  /* [height, width] */
    unsigned char *mark; /* [height, width], enum mark */
    uint32_t *stack;     /* pixels whose neighbours are still to be looked at */
    size_t n_stack;
};

static int clamp(int i, int n)
{
    return i < 0 ? 0 : i < n ? i : n - 1;
}

static int steepness(struct gradient g)
{
    return abs(g.dx) + abs(g.dy);
}

/* |dx| + |dy|, nothing outside. */
static int at(const struct edges *x, int row, int col)
{
    if (row < 0 || col < 0 || row >= x->height || col >= x->width)
        return 0;
    return steepness(x->g[(size_t)row * (size_t)x->width + (size_t)col]);
}

/* Sobel of one pixel: the channel with the steepest slope, the first of equals. */
static struct gradient sobel(const struct picture *p, int row, int col)
{
    size_t stride = (size_t)p->width * 3, c = (size_t)col * 3;
    size_t l = (size_t)clamp(col - 1, p->width) * 3, r = (size_t)clamp(col + 1, p->width) * 3;
    const unsigned char *b = p->data + (size_t)row * stride;
    const unsigned char *a = p->data + (size_t)clamp(row - 1, p->height) * stride;
    const unsigned char *d = p->data + (size_t)clamp(row + 1, p->height) * stride;
    struct gradient best = {0};
    for (int k = 0; k < 3; k++, l++, c++, r++) {
        int dx = a[r] - a[l] + 2 * (b[r] - b[l]) + d[r] - d[l];
        int dy = d[l] - a[l] + 2 * (d[c] - a[c]) + d[r] - a[r];
        struct gradient g = {(int16_t)dx, (int16_t)dy};
        if (k == 0 || steepness(g) > steepness(best))
            best = g;
    }
    return best;
}

/* Is the pixel the ridge of its edge? Directions fall into four: across, down, and two diagonals,
 * parted at 22.5 and 67.5 degrees in fixed point. One of two equal neighbours stays. */
static bool is_ridge(const struct edges *x, int row, int col, struct gradient g)
{
    const int tan22 = 13573; /* of 22.5 degrees, times 2^15 */
    int m = steepness(g);
    int64_t dx = abs(g.dx), dy = (int64_t)abs(g.dy) << 15;
    if (dy < dx * tan22)
        return m > at(x, row, col - 1) && m >= at(x, row, col + 1);
    if (dy > dx * tan22 + (dx << 16))
        return m > at(x, row - 1, col) && m >= at(x, row + 1, col);
    int s = (g.dx ^ g.dy) < 0 ? -1 : 1;
    return m > at(x, row - 1, col - s) && m > at(x, row + 1, col + s);
}

static void push(struct edges *x, size_t i)
{
    x->mark[i] = EDGE;
    x->stack[x->n_stack++] = (uint32_t)i; /* every pixel at most once */
}

static void thin(struct edges *x, int low, int high)
{
    for (int row = 0; row < x->height; row++)
        for (int col = 0; col < x->width; col++) {
            size_t i = (size_t)row * (size_t)x->width + (size_t)col;
            int m = steepness(x->g[i]);
            if (m <= low || !is_ridge(x, row, col, x->g[i]))
                continue;
            if (m > high)
                push(x, i);
            else
                x->mark[i] = WEAK;
        }
}

/* Weak pixels beside edges become edges. */
static void follow(struct edges *x)
{
    while (x->n_stack) {
        uint32_t i = x->stack[--x->n_stack];
        int row = (int)(i / (uint32_t)x->width), col = (int)(i % (uint32_t)x->width);
        for (int r = row > 0 ? row - 1 : 0; r <= row + 1 && r < x->height; r++)
            for (int c = col > 0 ? col - 1 : 0; c <= col + 1 && c < x->width; c++) {
                size_t j = (size_t)r * (size_t)x->width + (size_t)c;
                if (x->mark[j] == WEAK)
                    push(x, j);
            }
    }
}

int picture_canny(struct picture *p, int low, int high, struct err *e)
{
    struct edges x = {.width = p->width, .height = p->height};
    size_t n = (size_t)p->width * (size_t)p->height; /* <= PICTURE_MAX_PIXELS */
    int rc = 0;
    x.g = mem_try_array(n, sizeof(*x.g), "the picture's edges", e);
    x.mark = x.g ? mem_try_array(n, 1, "the picture's edges", e) : NULL;
    x.stack = x.mark ? mem_try_array(n, sizeof(*x.stack), "the picture's edges", e) : NULL;
    if (!x.stack) {
        rc = ERR_NOMEM;
        goto done;
    }
    for (int row = 0; row < p->height; row++)
        for (int col = 0; col < p->width; col++)
            x.g[(size_t)row * (size_t)p->width + (size_t)col] = sobel(p, row, col);
    thin(&x, low, high);
    follow(&x);
    for (size_t i = 0; i < 3 * n; i++)
        p->data[i] = x.mark[i / 3] == EDGE ? 255 : 0;
done:
    free(x.g);
    free(x.mark);
    free(x.stack);
    return rc;
}
