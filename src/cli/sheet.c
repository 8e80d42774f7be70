/* sheet.c - see sheet.h. */
#include "cli/sheet.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "format/lettering.h"
#include "format/resize.h"

#include <stdlib.h>
#include <string.h>

#define GAP       8 /* pixels between pictures */
#define MAX_LINES 4

void sheet_init(struct sheet *s, int columns, int rows)
{
    *s = (struct sheet){.columns = columns, .rows = rows};
    s->cells = mem_alloc((size_t)columns * (size_t)rows * sizeof(*s->cells));
}

void sheet_release(struct sheet *s)
{
    for (int i = 0; i < s->n; i++) {
        picture_release(&s->cells[i].picture);
        free(s->cells[i].caption);
    }
    free(s->cells);
    *s = (struct sheet){0};
}

int sheet_add(struct sheet *s, const struct picture *p, const char *caption, struct err *e)
{
    struct sheet_cell *c = &s->cells[s->n];
    double across = (double)SHEET_MAX_SIDE / s->columns / p->width;
    double down = (double)SHEET_MAX_SIDE / s->rows / p->height;
    double scale = across < down ? across : down;
    scale = scale < 1 ? scale : 1;
    int width = (int)(p->width * scale), height = (int)(p->height * scale);
    int rc = picture_resize(p, width > 0 ? width : 1, height > 0 ? height : 1, &c->picture, e);
    if (rc)
        return rc;
    c->caption = mem_strdup(caption);
    s->n++;
    return 0;
}

/* The bytes of the first line of `text`, at most `most` characters: up to a space where it has to
 * be cut. */
static size_t line_length(const char *text, int most)
{
    size_t n = strlen(text), i = 0, space = 0, taken;
    for (int c = 0; i < n && c < most; c++, i += taken) {
        utf8_decode(text + i, n - i, &taken);
        if (text[i] == ' ')
            space = i;
    }
    return i < n && text[i] != ' ' && space ? space : i;
}

/* The lines of a caption; draws them where `out` is not NULL. */
static int letter(const char *text, int most, struct lettering_place at, struct picture *out)
{
    int n = 0;
    while (*text && n < MAX_LINES) {
        size_t length = line_length(text, most);
        if (out)
            lettering_draw(out, at, text, length);
        at.y += LETTERING_HEIGHT * at.scale;
        text += length;
        text += strspn(text, " ");
        n++;
    }
    return n;
}

/* Where everything goes, in pixels. */
struct layout {
    int width, height;  /* of a cell's picture */
    int scale, letters; /* of the font, per line */
    int caption;        /* height of the captions */
};

static struct layout lay_out(const struct sheet *s)
{
    struct layout l = {0};
    int lines = 0;
    for (int i = 0; i < s->n; i++) {
        const struct picture *p = &s->cells[i].picture;
        l.width = p->width > l.width ? p->width : l.width;
        l.height = p->height > l.height ? p->height : l.height;
    }
    l.scale = l.width >= 384 ? 2 : 1;
    l.letters = l.width / (LETTERING_WIDTH * l.scale);
    l.letters = l.letters > 0 ? l.letters : 1;
    for (int i = 0; i < s->n; i++) {
        int n = letter(s->cells[i].caption, l.letters, (struct lettering_place){0}, NULL);
        lines = n > lines ? n : lines;
    }
    l.caption = lines * LETTERING_HEIGHT * l.scale;
    return l;
}

int sheet_draw(const struct sheet *s, struct picture *out, struct err *e)
{
    struct layout l = lay_out(s);
    int step_x = l.width + GAP, step_y = l.caption + l.height + GAP;
    int rc = picture_alloc(out, s->columns * step_x + GAP, s->rows * step_y + GAP, 3, "the grid",
                           e);
    if (rc)
        return rc;
    memset(out->data, 0xff, (size_t)out->width * (size_t)out->height * 3);
    for (int i = 0; i < s->n; i++) {
        const struct picture *p = &s->cells[i].picture;
        int x = GAP + i % s->columns * step_x, y = GAP + i / s->columns * step_y;
        letter(s->cells[i].caption, l.letters, (struct lettering_place){x, y, l.scale}, out);
        for (int row = 0; row < p->height; row++)
            memcpy(out->data + ((size_t)(y + l.caption + row) * (size_t)out->width + (size_t)x) * 3,
                   p->data + (size_t)row * (size_t)p->width * 3, (size_t)p->width * 3);
    }
    return 0;
}
