/* output.c - see output.h. */
#include "cli/output.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/picture.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_SLUG 60 /* bytes */

static int check_folder(const char *folder, const char *option, struct err *e)
{
    const char *shown = option ? option : "the current folder";
    if (!file_is_dir(folder))
        return err_set(e, ERR_ARG, "--output %s: there is no folder %s; create it first", shown,
                       folder);
    /* Permissions do not tell enough (root, read-only and special file systems): try. */
    char *probe = file_join(folder, ".lar-XXXXXX");
    int fd = mkstemp(probe);
    int rc = fd >= 0
                 ? 0
                 : err_set(e, ERR_IO, "%s%s: cannot write there: %s; choose another place with -o",
                           option ? "--output " : "", shown, strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(probe);
    }
    free(probe);
    return rc;
}

/* `base` is the last part of the path. */
static int check_extension(const char *option, const char *base, struct err *e)
{
    const char *dot = strrchr(base, '.');
    if (dot && dot != base && picture_format_of(base) != N_PICTURE_FORMAT)
        return 0;
    if (!dot || dot == base)
        return err_set(e, ERR_ARG,
                       "--output %s: is no folder and has no extension; name a file that ends in "
                       ".png, .jpg or .webp",
                       option);
    return err_set(e, ERR_ARG,
                   "--output %s: Lar writes no %s; name a file that ends in .png, .jpg or .webp",
                   option, dot);
}

int output_init(struct output *o, const char *option, int n, struct err *e)
{
    *o = (struct output){.n = n};
    size_t length = option ? strlen(option) : 0;
    if (option && !length)
        return err_set(
            e, ERR_ARG,
            "--output: is empty; name a file that ends in .png, .jpg or .webp, or a folder");
    if (!option || option[length - 1] == '/' || file_is_dir(option)) {
        o->folder = mem_strdup(option ? option : ".");
        return check_folder(o->folder, option, e);
    }
    const char *base = file_base(option, NULL);
    o->folder = file_folder(option);
    const char *dot = strrchr(base, '.');
    o->stem = mem_strndup(option, dot ? (size_t)(dot - option) : length);
    snprintf(o->extension, sizeof(o->extension), "%s", option + strlen(o->stem));
    int rc = check_extension(option, base, e);
    return rc ? rc : check_folder(o->folder, option, e);
}

void output_release(struct output *o)
{
    free(o->folder);
    free(o->stem);
    *o = (struct output){0};
}

/* The prompt as a file name: letters and digits, everything else one '-'. */
static void append_slug(struct buf *b, const char *prompt)
{
    size_t n = strlen(prompt), taken, whole = 0;
    bool gap = false;
    for (size_t i = 0; i < n; i += taken) {
        uint32_t c = utf8_decode(prompt + i, n - i, &taken);
        /* Beyond ASCII: letters of any script, without punctuation, spaces and specials. */
        bool letter = c < 0x80 ? isalnum((int)c)
                               : c >= 0xc0 && !(c >= 0x2000 && c < 0x2c00) &&
                                     !(c >= 0x3000 && c < 0x3005) && c < 0xd800;
        if (!letter) {
            if (!gap)
                whole = b->len;
            gap = b->len > 0;
            continue;
        }
        if (b->len + gap + taken > MAX_SLUG) {
            if (!gap && whole)
                b->len = whole; /* not half a word */
            break;
        }
        if (gap)
            buf_append_char(b, '-');
        gap = false;
        char ascii = (char)tolower((int)c);
        buf_append(b, c < 0x80 ? &ascii : prompt + i, c < 0x80 ? 1 : taken);
    }
    if (b->len == 0)
        buf_append_str(b, "picture");
}

char *output_path(const struct output *o, const char *prompt, uint64_t seed, int i)
{
    const char *sheet = i == OUTPUT_SHEET ? "-grid" : "";
    if (o->stem && i == OUTPUT_SHEET)
        return mem_printf("%s%s%s", o->stem, sheet, o->extension);
    if (o->stem && o->n == 1)
        return mem_printf("%s%s", o->stem, o->extension);
    if (o->stem)
        return mem_printf("%s-%d%s", o->stem, i + 1, o->extension);
    struct buf slug;
    buf_init(&slug, MAX_SLUG + 1);
    append_slug(&slug, prompt);
    char *base = strcmp(o->folder, ".") == 0
                     ? mem_strndup(slug.data, slug.len)
                     : mem_printf("%s%s%.*s", o->folder,
                                  o->folder[strlen(o->folder) - 1] == '/' ? "" : "/", (int)slug.len,
                                  slug.data);
    char *path = mem_printf("%s%s-%" PRIu64 ".png", base, sheet, seed);
    for (int k = 2; file_exists(path); k++) {
        free(path);
        path = mem_printf("%s%s-%" PRIu64 "-%d.png", base, sheet, seed, k);
    }
    free(base);
    buf_release(&slug);
    return path;
}
