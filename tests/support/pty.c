/* pty.c - see pty.h. */
#include "support/pty.h"

#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

struct reader {
    int fd;
    struct buf bytes;
};

/* Reads until a zero byte, or until the other side is closed. What a pseudo-terminal still holds
 * when its slave is closed may be lost, so the end must be said. */
static void *read_all(void *ctx)
{
    struct reader *r = ctx;
    char chunk[4096];
    for (bool end = false; !end;) {
        ssize_t n = read(r->fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        end = chunk[n - 1] == '\0';
        buf_append(&r->bytes, chunk, (size_t)n - end);
    }
    return NULL;
}

static struct buf run(int read_fd, int write_fd, pty_fn *fn, void *ctx)
{
    struct reader r = {.fd = read_fd};
    pthread_t thread;
    buf_init(&r.bytes, 64 << 20);
    assert_int_equal(pthread_create(&thread, NULL, read_all, &r), 0);
    fn(write_fd, ctx);
    assert_int_equal(write(write_fd, "", 1), 1);
    pthread_join(thread, NULL);
    close(write_fd);
    close(read_fd);
    return r.bytes;
}

struct buf test_pty_run(int columns, int rows, pty_fn *fn, void *ctx)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    struct termios raw;
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    ioctl(slave, TIOCSWINSZ, &size);
    return run(master, slave, fn, ctx);
}

struct buf test_pipe_run(pty_fn *fn, void *ctx)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    return run(fds[0], fds[1], fn, ctx);
}

/* Takes an escape sequence; returns what follows it. */
static const char *take_escape(const char *p, struct screen *s, bool *erased)
{
    const char *begin = p;
    if (p[1] != '[')
        fail_msg("an escape sequence that is not CSI: %d", p[1]);
    p += 2;
    while (*p == '?' || *p == ';' || (*p >= '0' && *p <= '9'))
        p++;
    if (*p == 'm')
        s->n_colours += p - begin > 3; /* longer than a reset */
    else if (*p == 'K')
        *erased = true;
    else if (strncmp(begin, "\033[?25", 5) != 0 || !strchr("hl", *p))
        fail_msg("an unexpected escape sequence: %.*s", (int)(p - begin), begin + 1);
    s->n_escapes++;
    return p + 1;
}

#define MAX_COLUMNS 512

struct screen test_screen(const struct buf *written)
{
    struct screen s = {0};
    bool inked[MAX_COLUMNS] = {false}; /* the cells of the current line */
    int column = 0;
    for (const char *p = buf_str(written); *p; p++) {
        if (*p == '\033') {
            bool erased = false;
            p = take_escape(p, &s, &erased) - 1;
            if (erased)
                memset(inked + column, 0, (size_t)(MAX_COLUMNS - column));
        } else if (*p == '\r') {
            column = 0;
        } else if (*p == '\n') {
            s.lines++;
            column = 0;
            memset(inked, 0, sizeof inked);
        } else if ((unsigned char)*p < ' ' || *p == 0x7f || column == MAX_COLUMNS) {
            fail_msg("a control character or endless line: %d", *p);
        } else if ((*p & 0xc0) != 0x80) {
            inked[column++] = *p != ' ';
            s.columns = column > s.columns ? column : s.columns;
        }
    }
    s.ends_clean = column == 0 && !memchr(inked, true, sizeof inked);
    return s;
}

void test_terminal(const char *term, const char *lang, const char *no_color)
{
    static const char *const others[] = {"COLORTERM", "TERM_PROGRAM", "KITTY_WINDOW_ID",
                                         "LC_ALL",    "LC_CTYPE",     "VTE_VERSION",
                                         "TMUX",      "STY",          "LC_TERMINAL"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        unsetenv(others[i]);
    setenv("TERM", term, 1);
    setenv("LANG", lang, 1);
    if (no_color)
        setenv("NO_COLOR", no_color, 1);
    else
        unsetenv("NO_COLOR");
}
