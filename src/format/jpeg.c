/* jpeg.c - see jpeg.h.
 *
 * libjpeg reports errors by a callback that must not return: everything it may fail in happens
 * below one setjmp, in decode_guarded() or encode_guarded(), whose state lives in the caller's
 * struct.
 */
#include "format/jpeg.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "format/exif.h"
#include "format/picture.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/* A progressive file has about ten scans; thousands of empty ones would take for ever. */
#define MAX_SCANS 100

#define MARKER_EXIF (JPEG_APP0 + 1)

/* The members libjpeg knows come first, so that its pointers to them lead back here. */
struct reader {
    struct jpeg_decompress_struct j;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    const unsigned char *data;
    size_t size;
    const char *name;
    struct picture *p;
    struct err *e;
    int rc;
    jmp_buf jump;
};

static void fail(struct reader *r)
{
    char message[JMSG_LENGTH_MAX];
    r->errors.format_message((j_common_ptr)&r->j, message);
    switch (r->errors.msg_code) {
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_NOT_COMPILED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_COMPONENT_COUNT:
        r->rc = err_set(r->e, ERR_UNSUPPORTED,
                        "%s: a JPEG of a kind that is not read: %s; save it "
                        "as PNG",
                        r->name, message);
        break;
    case JERR_OUT_OF_MEMORY:
        r->rc = err_set(r->e, ERR_NOMEM, "%s: not enough memory to read it", r->name);
        break;
    case JWRN_JPEG_EOF:
    case JERR_INPUT_EMPTY:
    case JERR_INPUT_EOF:
        r->rc = err_set(r->e, ERR_FORMAT, "%s: a truncated JPEG: the file ends too early", r->name);
        break;
    default:
        r->rc = err_set(r->e, ERR_FORMAT, "%s: a damaged JPEG: %s", r->name, message);
    }
    longjmp(r->jump, 1);
}

static void on_error(j_common_ptr j)
{
    fail((struct reader *)j);
}

/* libjpeg carries on after these with gray areas; we want to tell. Other warnings are about
 * oddities that leave the picture whole. */
static void on_message(j_common_ptr j, int level)
{
    struct reader *r = (struct reader *)j;
    if (level >= 0)
        return;
    switch (r->errors.msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
        fail(r);
    }
    char message[JMSG_LENGTH_MAX];
    r->errors.format_message(j, message);
    log_line(LOG_DEBUG, "libjpeg: %s", message);
}

static void on_progress(j_common_ptr j)
{
    struct reader *r = (struct reader *)j;
    if (r->j.input_scan_number > MAX_SCANS) {
        r->rc = err_set(r->e, ERR_FORMAT, "%s: a JPEG with more than %d scans", r->name, MAX_SCANS);
        longjmp(r->jump, 1);
    }
}

/* CMYK to RGB without a profile, as browsers do. Adobe's files hold inverted values. */
static void cmyk_to_rgb(const JSAMPLE *in, unsigned char *out, int width, bool inverted)
{
    for (int x = 0; x < width; x++, in += 4, out += 3) {
        int k = inverted ? in[3] : 255 - in[3];
        for (int c = 0; c < 3; c++)
            out[c] = (unsigned char)(((inverted ? in[c] : 255 - in[c]) * k + 127) / 255);
    }
}

static void read_rows(struct reader *r)
{
    struct jpeg_decompress_struct *j = &r->j;
    size_t stride = (size_t)r->p->width * 3;
    JSAMPARRAY cmyk = NULL;
    if (j->out_color_space == JCS_CMYK)
        cmyk = j->mem->alloc_sarray((j_common_ptr)j, JPOOL_IMAGE, j->output_width * 4, 1);
    while (j->output_scanline < j->output_height) {
        unsigned char *row = r->p->data + j->output_scanline * stride;
        if (cmyk) {
            jpeg_read_scanlines(j, cmyk, 1);
            cmyk_to_rgb(cmyk[0], row, r->p->width, j->saw_Adobe_marker);
        } else {
            jpeg_read_scanlines(j, &row, 1);
        }
    }
}

static int decode_guarded(struct reader *r)
{
    struct jpeg_decompress_struct *j = &r->j;
    if (setjmp(r->jump))
        return r->rc;
    jpeg_create_decompress(j);
    j->progress = &r->progress;
    jpeg_mem_src(j, r->data, r->size);
    jpeg_save_markers(j, MARKER_EXIF, 0xffff);
    jpeg_save_markers(j, JPEG_COM, 0xffff);
    jpeg_read_header(j, TRUE);
    bool cmyk = j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK;
    j->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    r->rc = picture_alloc(r->p, (int)j->image_width, (int)j->image_height, 3, r->name, r->e);
    if (r->rc)
        return r->rc;
    jpeg_start_decompress(j);
    read_rows(r);
    return 0;
}

/* The texts of the header; returns the orientation of the first EXIF block. */
static int read_markers(const struct reader *r, struct picture_text *text)
{
    int orientation = 0;
    for (jpeg_saved_marker_ptr m = r->j.marker_list; m; m = m->next) {
        if (m->marker == JPEG_COM)
            picture_text_add_coded(text, "Comment", m->data, m->data_length, PICTURE_UTF8);
        else if (!orientation && m->data_length >= 6 && !memcmp(m->data, "Exif\0\0", 6))
            orientation = exif_parse(m->data, m->data_length, text);
    }
    return orientation;
}

int jpeg_decode_picture(const void *data, size_t size, const char *name, struct picture *p,
                        struct picture_text *text, struct err *e)
{
    struct reader r = {.data = data, .size = size, .name = name, .p = p, .e = e};
    r.j.err = jpeg_std_error(&r.errors);
    r.errors.error_exit = on_error;
    r.errors.emit_message = on_message;
    r.progress.progress_monitor = on_progress;
    int rc = decode_guarded(&r);
    int orientation = rc ? 1 : read_markers(&r, text);
    jpeg_destroy_decompress(&r.j);
    return rc ? rc : picture_orient(p, orientation, name, e);
}

struct writer {
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr errors;
    const struct picture *p;
    const struct jpeg_options *o;
    unsigned char *data; /* of libjpeg's, freed with free() */
    unsigned long size;
    struct err *e;
    int rc;
    jmp_buf jump;
};

static void on_write_error(j_common_ptr j)
{
    struct writer *w = (struct writer *)j;
    char message[JMSG_LENGTH_MAX];
    w->errors.format_message(j, message);
    w->rc = w->errors.msg_code == JERR_OUT_OF_MEMORY
                ? err_set(w->e, ERR_NOMEM, "not enough memory to write a JPEG")
                : err_set(w->e, ERR_UNSUPPORTED, "this picture cannot be a JPEG: %s", message);
    longjmp(w->jump, 1);
}

static int encode_guarded(struct writer *w)
{
    struct jpeg_compress_struct *j = &w->j;
    const struct picture *p = w->p;
    if (setjmp(w->jump))
        return w->rc;
    jpeg_create_compress(j);
    jpeg_mem_dest(j, &w->data, &w->size);
    j->image_width = (JDIMENSION)p->width;
    j->image_height = (JDIMENSION)p->height;
    j->input_components = 3;
    j->in_color_space = JCS_RGB;
    jpeg_set_defaults(j);
    jpeg_set_quality(j, w->o->quality, TRUE);
    j->optimize_coding = TRUE;
    if (w->o->quality >= 90)
        j->comp_info[0].h_samp_factor = j->comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(j, TRUE);
    if (w->o->exif_size) {
        jpeg_write_m_header(j, MARKER_EXIF, (unsigned)w->o->exif_size + 6);
        for (size_t i = 0; i < 6; i++)
            jpeg_write_m_byte(j, "Exif\0"[i]);
        for (size_t i = 0; i < w->o->exif_size; i++)
            jpeg_write_m_byte(j, ((const unsigned char *)w->o->exif)[i]);
    }
    for (int y = 0; y < p->height; y++) {
        JSAMPROW row = p->data + (size_t)y * (size_t)p->width * 3;
        jpeg_write_scanlines(j, &row, 1);
    }
    jpeg_finish_compress(j);
    return 0;
}

int jpeg_encode_picture(const struct picture *p, const struct jpeg_options *o, struct buf *out,
                        struct err *e)
{
    struct writer w = {.p = p, .o = o, .e = e};
    w.j.err = jpeg_std_error(&w.errors);
    w.errors.error_exit = on_write_error;
    int rc = encode_guarded(&w);
    if (!rc)
        buf_append(out, w.data, w.size);
    jpeg_destroy_compress(&w.j);
    free(w.data);
    return rc;
}
