/* markdown.c - see markdown.h. */
#include "cli/markdown.h"

#include "base/buf.h"

#include <string.h>

enum { BOLD = 1, ITALIC = 2, CODE = 4, HEADING = 8, MARK = 16, FAINT = 32 };

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* Letters and digits; every byte beyond ASCII counts as a letter. */
static bool is_word(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x80 || (u >= '0' && u <= '9') || ((u | 32) >= 'a' && (u | 32) <= 'z');
}

static void new_line(struct markdown *m)
{
    m->started = m->heading = m->info = false;
    m->blank = m->only_fence = true;
    m->indent = 0;
    m->before = ' ';
}

void markdown_init(struct markdown *m, bool colour)
{
    *m = (struct markdown){.colour = colour};
    new_line(m);
}

static void show(struct markdown *m, int style, struct buf *out)
{
    if (!m->colour || style == m->style)
        return;
    m->style = style;
    buf_append_str(out, "\033[0");
    if (style & (BOLD | HEADING))
        buf_append_str(out, ";1");
    if (style & ITALIC)
        buf_append_str(out, ";3");
    if (style & FAINT)
        buf_append_str(out, ";2");
    if (style & HEADING)
        buf_append_str(out, ";34");
    else if (style & CODE)
        buf_append_str(out, ";36");
    else if (style & MARK)
        buf_append_str(out, ";33");
    buf_append_char(out, 'm');
}

static int current(const struct markdown *m)
{
    if (m->info)
        return FAINT;
    if (m->fence || m->code)
        return CODE;
    return (m->bold ? BOLD : 0) | (m->italic ? ITALIC : 0) | (m->heading ? HEADING : 0);
}

static void write_run(struct markdown *m, int style, char c, int n, struct buf *out)
{
    show(m, style, out);
    for (int i = 0; i < n; i++)
        buf_append_char(out, c);
    if (n > 0)
        m->before = c;
}

/* One kind of emphasis begins or ends at a run of `m->run`; true if it did. */
static bool toggle(struct markdown *m, bool *on, char *mark, bool opens, bool closes)
{
    if (*on && *mark == m->run && closes) {
        *on = false;
        return true;
    }
    if (*on || !opens)
        return false;
    *on = true;
    *mark = m->run;
    return true;
}

/* A run of * or _ before `next`: emphasis where its flanks allow it. */
static void emphasis(struct markdown *m, char next, struct buf *out)
{
    bool opens = !is_space(next), closes = !is_space(m->before);
    if (m->run == '_') {
        opens = opens && !is_word(m->before);
        closes = closes && !is_word(next);
    }
    int before = current(m), n = m->run_n;
    bool changed = false;
    if (n >= 2)
        changed = toggle(m, &m->bold, &m->marks[0], opens, closes);
    if (n != 2)
        changed = toggle(m, &m->italic, &m->marks[1], opens, closes) || changed;
    /* The markers belong to what they mark: shown in its style on both sides. */
    write_run(m, changed ? before | current(m) : before, m->run, n, out);
}

static void code_span(struct markdown *m, struct buf *out)
{
    bool closes = m->code == m->run_n;
    if (!m->code)
        m->code = m->run_n;
    write_run(m, current(m), '`', m->run_n, out);
    if (closes)
        m->code = 0;
}

/* A run at the beginning of a line: a fence, a heading or a list; false if it is neither. */
static bool line_marker(struct markdown *m, char next, struct buf *out)
{
    int n = m->run_n;
    if ((m->run == '`' || m->run == '~') && n >= 3) {
        m->fence = m->run;
        m->fence_n = n;
        m->info = true;
    } else if (m->run == '#' && n <= 6 && is_space(next)) {
        m->heading = true;
    } else if (n == 1 && is_space(next) && strchr("-+*", m->run)) {
        write_run(m, MARK, m->run, n, out);
        return true;
    } else {
        return false;
    }
    write_run(m, current(m), m->run, n, out);
    return true;
}

/* Writes the run that was held back, now that the next byte is known. */
static void settle(struct markdown *m, char next, struct buf *out)
{
    if (!m->run_n)
        return;
    bool first = !m->started && !m->code;
    if (m->fence) { /* this line began with what may be the closing fence */
        if (m->run_n >= m->fence_n && (next == '\n' || next == ' ')) {
            m->info = true;
            write_run(m, current(m), m->run, m->run_n, out);
            m->fence = 0;
        } else {
            write_run(m, CODE, m->run, m->run_n, out);
            m->only_fence = false;
        }
    } else if (first && m->indent < 4 && line_marker(m, next, out)) {
        ;
    } else if (m->run == '`') {
        code_span(m, out);
    } else if ((m->run == '*' || m->run == '_') && !m->code) {
        emphasis(m, next, out);
    } else {
        write_run(m, current(m), m->run, m->run_n, out);
    }
    m->started = true;
    m->run_n = 0;
}

/* Does what this byte means wait for the byte behind it? */
static bool waits(const struct markdown *m, char c)
{
    if (m->info)
        return false;
    if (m->fence)
        return m->only_fence && c == m->fence && m->indent < 4;
    if (m->code)
        return c == '`';
    if (m->before == '\\')
        return false;
    return c == '`' || c == '*' || c == '_' || (!m->started && strchr("#-+~", c));
}

static void put_byte(struct markdown *m, char c, struct buf *out)
{
    unsigned char u = (unsigned char)c;
    if ((u < 32 && c != '\n' && c != '\t') || u == 127)
        c = '?';
    if (c != '\0' && waits(m, c) && (!m->run_n || m->run == c)) {
        m->run = c;
        m->run_n++;
        m->blank = false;
        return;
    }
    settle(m, c, out);
    if (waits(m, c)) {
        m->run = c;
        m->run_n = 1;
        m->blank = false;
        return;
    }
    if (c == '\n') {
        if (m->blank) /* the end of a paragraph ends what it left open */
            m->bold = m->italic = false, m->code = 0;
        bool fence = m->fence;
        show(m, 0, out);
        buf_append_char(out, c);
        new_line(m);
        m->only_fence = fence;
        return;
    }
    bool quote = c == '>' && !m->started && !m->fence && m->indent < 4;
    show(m, quote ? MARK : current(m), out);
    buf_append_char(out, c);
    /* An escaped backslash escapes nothing. */
    m->before = c == '\\' && m->before == '\\' ? ' ' : c;
    if (is_space(c) && !m->started) {
        m->indent++;
    } else if (quote) {
        m->indent = 0;
        m->blank = false;
    } else {
        m->started = true;
        m->blank = m->only_fence = false;
    }
}

void markdown_put(struct markdown *m, const char *text, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++)
        put_byte(m, text[i], out);
}

void markdown_end(struct markdown *m, struct buf *out)
{
    settle(m, '\n', out);
    show(m, 0, out);
    markdown_init(m, m->colour);
}
