/* show.c - see show.h. */
#include "cli/show.h"

#include "format/picture.h"

#ifdef LAR_HAVE_CHAFA

#include "cli/terminal.h"

#include <chafa.h>
#include <unistd.h>

/* Of the largest window that is filled. */
#define MAX_COLUMNS 400
#define MAX_ROWS    200

static ChafaPixelMode best_pixel_mode(const ChafaTermInfo *t)
{
    if (chafa_term_info_have_seq(t, CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1))
        return CHAFA_PIXEL_MODE_KITTY;
    if (chafa_term_info_have_seq(t, CHAFA_TERM_SEQ_BEGIN_ITERM2_IMAGE))
        return CHAFA_PIXEL_MODE_ITERM2;
    if (chafa_term_info_have_seq(t, CHAFA_TERM_SEQ_BEGIN_SIXELS))
        return CHAFA_PIXEL_MODE_SIXELS;
    return CHAFA_PIXEL_MODE_SYMBOLS;
}

static ChafaCanvasMode best_colours(const ChafaTermInfo *t)
{
    if (terminal_no_color())
        return CHAFA_CANVAS_MODE_FGBG;
    if (chafa_term_info_have_seq(t, CHAFA_TERM_SEQ_SET_COLOR_FGBG_DIRECT))
        return CHAFA_CANVAS_MODE_TRUECOLOR;
    if (chafa_term_info_have_seq(t, CHAFA_TERM_SEQ_SET_COLOR_FGBG_256))
        return CHAFA_CANVAS_MODE_INDEXED_240;
    if (chafa_term_info_have_seq(t, CHAFA_TERM_SEQ_SET_COLOR_FGBG_16))
        return CHAFA_CANVAS_MODE_INDEXED_16;
    return CHAFA_CANVAS_MODE_FGBG;
}

static ChafaCanvasConfig *configure(const struct picture *p, ChafaPixelMode mode,
                                    const ChafaTermInfo *term, int fd, int most)
{
    struct terminal_window w = terminal_window(fd);
    int columns = w.columns < MAX_COLUMNS ? w.columns : MAX_COLUMNS;
    int rows = w.rows < most ? w.rows : most;
    rows = rows > 2 ? rows - 2 : 1; /* leave room for a prompt */
    chafa_calc_canvas_geometry(p->width, p->height, &columns, &rows,
                               (float)w.cell_width / (float)w.cell_height, FALSE, FALSE);
    ChafaCanvasConfig *config = chafa_canvas_config_new();
    chafa_canvas_config_set_geometry(config, columns > 0 ? columns : 1, rows > 0 ? rows : 1);
    chafa_canvas_config_set_cell_geometry(config, w.cell_width, w.cell_height);
    chafa_canvas_config_set_pixel_mode(config, mode);
    chafa_canvas_config_set_canvas_mode(config, mode == CHAFA_PIXEL_MODE_SYMBOLS
                                                    ? best_colours(term)
                                                    : CHAFA_CANVAS_MODE_TRUECOLOR);
    ChafaSymbolMap *symbols = chafa_symbol_map_new();
    chafa_symbol_map_add_by_tags(symbols, terminal_is_utf8()
                                              ? CHAFA_SYMBOL_TAG_BLOCK | CHAFA_SYMBOL_TAG_SPACE
                                              : CHAFA_SYMBOL_TAG_ASCII);
    chafa_canvas_config_set_symbol_map(config, symbols);
    chafa_symbol_map_unref(symbols);
    return config;
}

/* Draws it, by the best means there are or as blocks; the rows it took. */
static int show(const struct picture *p, int fd, int most, bool blocks)
{
    if (!terminal_is_capable(fd))
        return 0;
    ChafaTermInfo *term = chafa_term_db_detect(chafa_term_db_get_default(), environ);
    ChafaPixelMode mode = blocks ? CHAFA_PIXEL_MODE_SYMBOLS : best_pixel_mode(term);
    ChafaCanvasConfig *config = configure(p, mode, term, fd, most);
    ChafaCanvas *canvas = chafa_canvas_new(config);
    int columns, rows;
    chafa_canvas_config_get_geometry(config, &columns, &rows);
    chafa_canvas_draw_all_pixels(
        canvas, p->channels == 4 ? CHAFA_PIXEL_RGBA8_UNASSOCIATED : CHAFA_PIXEL_RGB8, p->data,
        p->width, p->height, p->width * p->channels);
    GString *text = chafa_canvas_print(canvas, term);
    bool shown = terminal_write(fd, text->str, text->len) && terminal_write(fd, "\n", 1);
    g_string_free(text, TRUE);
    chafa_canvas_unref(canvas);
    chafa_canvas_config_unref(config);
    chafa_term_info_unref(term);
    return shown ? rows : 0;
}

bool show_picture(const struct picture *p, int fd)
{
    return show(p, fd, MAX_ROWS, false) > 0;
}

int show_blocks(const struct picture *p, int fd, int most)
{
    return show(p, fd, most, true);
}

#else

bool show_picture(const struct picture *p, int fd)
{
    (void)p, (void)fd;
    return false;
}

int show_blocks(const struct picture *p, int fd, int most)
{
    (void)p, (void)fd, (void)most;
    return 0;
}

#endif
