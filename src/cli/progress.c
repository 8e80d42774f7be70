/* progress.c - see progress.h. */
#include "cli/progress.h"

#include "base/clock.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>

#define REDRAW_SECONDS 0.1 /* on a terminal */
#define LINE_SECONDS   1.0 /* elsewhere */
#define MAX_BAR        30  /* columns */
#define MIN_BAR        4   /* a shorter bar says nothing */
#define MAX_LINE       256 /* bytes */

void progress_begin(struct progress *p, int fd, const char *label)
{
    *p = (struct progress){.fd = fd, .label = label, .last_done = -1, .start = clock_seconds()};
    p->tty = terminal_is_capable(fd);
    p->escapes = p->tty && !terminal_no_color();
    p->utf8 = terminal_is_utf8();
}

void progress_begin_bytes(struct progress *p, int fd)
{
    progress_begin(p, fd, "MB");
    p->rate = true;
}

/* "850 ms", "1.2 s", "3 min 20 s", "2 h 05 min" */
static void format_seconds(char *out, size_t size, double s)
{
    if (s < 0.9995)
        snprintf(out, size, "%.0f ms", s * 1000);
    else if (s < 9.95)
        snprintf(out, size, "%.1f s", s);
    else if (s < 99.5)
        snprintf(out, size, "%.0f s", s);
    else if (s < 3570)
        snprintf(out, size, "%d min %02d s", (int)(s + 0.5) / 60, (int)(s + 0.5) % 60);
    else if (s < 360000)
        snprintf(out, size, "%d h %02d min", (int)(s / 60 + 0.5) / 60, (int)(s / 60 + 0.5) % 60);
    else
        snprintf(out, size, "days");
}

/* "  1.2 s/step  20 s left", as far as it is known. */
static void format_times(const struct progress *p, int done, int total, double now, char *out,
                         size_t size)
{
    char each[24], left[24];
    double elapsed = now - p->start, one = elapsed / (done - p->before);
    out[0] = '\0';
    if (done <= p->before || elapsed <= 0)
        return;
    format_seconds(each, sizeof each, one);
    format_seconds(left, sizeof left, done < total ? one * (total - done) : elapsed);
    if (p->rate)
        snprintf(each, sizeof each, "%.*f %s", one > 0.1 ? 1 : 0, 1 / one, p->label);
    snprintf(out, size, "  %s/%s  %s%s", each, p->rate ? "s" : p->label, left,
             done < total ? " left" : "");
}

/* Appends " [====    ]" of `width` columns to the line. */
static void append_bar(const struct progress *p, char *line, size_t size, int done, int total,
                       int width)
{
    int filled = total > 0 ? (int)((long)width * done / total) : 0;
    size_t n = strlen(line);
    n += (size_t)snprintf(line + n, size - n, " %s", p->utf8 ? "" : "[");
    for (int i = 0; i < width && n + 4 < size; i++) {
        const char *cell = p->utf8 ? (i < filled ? "━" : "╌") : (i < filled ? "=" : " ");
        n += (size_t)snprintf(line + n, size - n, "%s", cell);
    }
    snprintf(line + n, size - n, "%s", p->utf8 ? "" : "]");
}

/* Redraws the line in place. The last column stays free: some terminals wrap there. */
static void draw(struct progress *p, int done, int total, const char *times)
{
    char head[64], line[MAX_LINE + 64], number[16];
    int digits = snprintf(number, sizeof number, "%d", total);
    snprintf(head, sizeof head, "%.20s %*d/%d", p->label, digits, done, total);
    int columns = terminal_window(p->fd).columns - 1;
    int used = (int)(strlen(head) + strlen(times));
    int bar = columns - used - (p->utf8 ? 1 : 3);
    bar = bar > MAX_BAR ? MAX_BAR : bar;
    bool has_bar = bar >= MIN_BAR;
    bool has_times = used <= columns;
    snprintf(line, sizeof line, "\r%.*s", columns, head);
    if (has_bar)
        append_bar(p, line, sizeof line, done, total, bar);
    if (has_times)
        strncat(line, times, sizeof line - strlen(line) - 1);
    int drawn = has_bar ? used + bar + (p->utf8 ? 1 : 3) : has_times ? used : (int)strlen(head);
    drawn = drawn > columns ? columns : drawn;
    if (p->escapes)
        strncat(line, "\033[K", sizeof line - strlen(line) - 1);
    else
        for (int i = drawn; i < p->drawn; i++)
            strncat(line, " ", sizeof line - strlen(line) - 1);
    p->drawn = drawn;
    terminal_write(p->fd, line, strlen(line));
}

void progress_step_at(struct progress *p, int done, int total, double now)
{
    double pause = p->tty ? REDRAW_SECONDS : LINE_SECONDS;
    bool first = p->last_done < 0, last = done >= total && p->last_done < done;
    if (!first && !last && now - p->last < pause)
        return;
    if (first && p->rate)
        p->before = done;
    char times[80];
    format_times(p, done, total, now, times, sizeof times);
    if (p->tty) {
        draw(p, done, total, times);
    } else if (done != p->last_done) {
        char line[MAX_LINE];
        snprintf(line, sizeof line, "%.60s %d/%d%s\n", p->label, done, total, times);
        terminal_write(p->fd, line, strlen(line));
    }
    p->last_done = done;
    p->last = now;
}

void progress_step(struct progress *p, int done, int total)
{
    progress_step_at(p, done, total, clock_seconds());
}

void progress_end(struct progress *p)
{
    if (!p->tty || p->drawn == 0)
        return;
    if (p->escapes) {
        terminal_write(p->fd, "\r\033[K", 4);
    } else {
        char blank[MAX_LINE];
        int n = snprintf(blank, sizeof blank, "\r%*s\r", p->drawn, "");
        terminal_write(p->fd, blank, (size_t)n);
    }
    p->drawn = 0;
}
