/* line.c - see line.h. Editing and history are libedit's, with the keys of the user's ~/.editrc. */
#include "cli/line.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#define MAX_HISTORY 1000
#define MAX_LINE    ((size_t)16 << 20) /* what is longer is cut */

struct line_reader {
    EditLine *edit; /* NULL where standard input or output is no terminal */
    History *history;
    char *path; /* of the history, or NULL */
    bool remember;
    const char *prompt; /* of the line being read */
    char *line;         /* owned: the last one */
};

static char *prompt_of(EditLine *edit)
{
    struct line_reader *r = NULL;
    el_get(edit, EL_CLIENTDATA, &r);
    return (char *)(uintptr_t)r->prompt; /* libedit does not write to it */
}

/* One byte of standard input; 0 at its end, -1 once a signal came. It looks for that every tenth of
 * a second, for it may come between looking and waiting, or to another thread. */
static int read_byte(char *c)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    while (!atomic_load(interrupt_flag())) {
        int n = poll(&p, 1, 100);
        if (n > 0)
            return (int)read(STDIN_FILENO, c, 1);
        if (n < 0 && errno != EINTR)
            return 0;
    }
    return -1;
}

/* libedit's own function reads on after the first signal; this one ends the line. */
static int read_character(EditLine *edit, wchar_t *out)
{
    mbstate_t state = {0};
    (void)edit;
    for (;;) {
        char c;
        int n = read_byte(&c);
        if (n <= 0)
            return n;
        size_t m = mbrtowc(out, &c, 1, &state);
        if (m != (size_t)-2) { /* complete, or malformed: dropped */
            if (m != (size_t)-1)
                return 1;
            state = (mbstate_t){0};
        }
    }
}

static void open_editor(struct line_reader *r)
{
    HistEvent ev;
    setlocale(LC_CTYPE, ""); /* how libedit tells characters and their widths */
    r->edit = el_init("lar", stdin, stdout, stderr);
    r->history = history_init();
    if (!r->edit || !r->history)
        return;
    el_set(r->edit, EL_CLIENTDATA, r);
    el_set(r->edit, EL_PROMPT, prompt_of);
    el_set(r->edit, EL_EDITOR, "emacs");
    el_set(r->edit, EL_SIGNAL, 0);
    el_set(r->edit, EL_GETCFN, read_character);
    el_set(r->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    history(r->history, &ev, H_SETSIZE, MAX_HISTORY);
    history(r->history, &ev, H_SETUNIQUE, 1);
    el_set(r->edit, EL_HIST, history, r->history);
    el_source(r->edit, NULL);
    if (r->path)
        history(r->history, &ev, H_LOAD, r->path);
}

struct line_reader *line_reader_open(const char *path)
{
    struct line_reader *r = mem_alloc(sizeof(*r));
    r->path = path ? mem_strdup(path) : NULL;
    r->remember = true;
    if (isatty(STDIN_FILENO) && terminal_is_capable(STDOUT_FILENO))
        open_editor(r);
    return r;
}

void line_reader_close(struct line_reader *r)
{
    if (!r)
        return;
    if (r->history)
        history_end(r->history);
    if (r->edit)
        el_end(r->edit);
    free(r->path);
    free(r->line);
    free(r);
}

static enum line_event read_edited(struct line_reader *r, const char **line)
{
    int n = 0;
    el_resize(r->edit);
    const char *text = el_gets(r->edit, &n);
    if (!text || n <= 0)
        return atomic_load(interrupt_flag()) ? LINE_INTERRUPTED : LINE_END;
    free(r->line);
    r->line = mem_strndup(text, (size_t)n - (text[n - 1] == '\n'));
    *line = r->line;
    return LINE_TEXT;
}

static enum line_event read_plain(struct line_reader *r, const char **line)
{
    struct buf b;
    char c;
    int n;
    buf_init(&b, MAX_LINE);
    while ((n = read_byte(&c)) > 0 && c != '\n')
        buf_append_char(&b, c);
    bool nothing = n <= 0 && (n < 0 || b.len == 0);
    free(r->line);
    r->line = mem_strdup(buf_str(&b));
    buf_release(&b);
    *line = r->line;
    return nothing ? (n < 0 ? LINE_INTERRUPTED : LINE_END) : LINE_TEXT;
}

enum line_event line_read(struct line_reader *r, const char *prompt, const char **line)
{
    r->prompt = prompt;
    if (r->edit && r->history)
        return read_edited(r, line);
    if (isatty(STDIN_FILENO))
        terminal_write(STDOUT_FILENO, prompt, strlen(prompt));
    return read_plain(r, line);
}

/* An empty file of the owner's, and the folders it is in; what fails here fails in H_SAVE. */
static void make_private(const char *path)
{
    file_make_folders(path, 0700, NULL);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

void line_keep(struct line_reader *r, const char *line)
{
    HistEvent ev;
    if (!r->history || !r->remember || !*line)
        return;
    history(r->history, &ev, H_ENTER, line);
    if (!r->path)
        return;
    make_private(r->path);
    history(r->history, &ev, H_SAVE, r->path);
}

void line_remember(struct line_reader *r, bool on)
{
    r->remember = on;
}
