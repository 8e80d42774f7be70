/* show_test.c - pictures in terminals of several kinds. */
#include "support/pictures.h"
#include "support/pty.h"
#include "support/test.h"

#include "cli/show.h"

#include <stdlib.h>
#include <string.h>

struct job {
    struct picture p;
    bool shown;
};

static void show(int fd, void *ctx)
{
    struct job *job = ctx;
    job->shown = show_picture(&job->p, fd);
}

static struct buf run(const char *name, int columns, int rows)
{
    struct job job = {.p = test_picture(name, NULL)};
    struct buf b = test_pty_run(columns, rows, show, &job);
    picture_release(&job.p);
    if (!job.shown) {
        buf_release(&b);
        test_skip("built without chafa");
    }
    return b;
}

static void blocks_in_a_plain_terminal(void **state)
{
    (void)state;
    static const char *const names[] = {"upright.png", "alpha.png"};
    test_terminal("xterm-256color", "C.UTF-8", NULL);
    setenv("COLORTERM", "truecolor", 1);
    for (int i = 0; i < 2; i++) {
        struct buf b = run(names[i], 30, 12);
        struct screen s = test_screen(&b);
        assert_true(s.columns >= 10 && s.columns <= 30);
        assert_true(s.lines >= 5 && s.lines <= 11); /* room for a prompt */
        assert_true(s.n_colours > 20);
        assert_true(s.ends_clean);
        buf_release(&b);
    }
}

static void tiny_windows(void **state)
{
    (void)state;
    test_terminal("xterm-256color", "C.UTF-8", NULL);
    for (int size = 1; size < 6; size++) {
        struct buf b = run("upright.png", size, size);
        assert_true(test_screen(&b).columns <= size);
        buf_release(&b);
    }
}

static void no_color_means_no_colours(void **state)
{
    (void)state;
    test_terminal("xterm-256color", "C", "1");
    struct buf b = run("upright.png", 60, 20);
    assert_int_equal(test_screen(&b).n_colours, 0);
    for (size_t i = 0; i < b.len; i++)
        assert_true((unsigned char)b.data[i] < 0x80); /* LANG=C: no box characters */
    buf_release(&b);
}

static void graphics_where_they_exist(void **state)
{
    (void)state;
    static const struct {
        const char *term, *program, *starts;
    } rows[] = {
        {"xterm-kitty", NULL, "\033_G"},
        {"xterm-256color", "iTerm.app", "\033]1337;File="},
        {"foot", NULL, "\033P"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_terminal(rows[i].term, "C.UTF-8", NULL);
        if (rows[i].program)
            setenv("TERM_PROGRAM", rows[i].program, 1);
        struct buf b = run("upright.png", 80, 24);
        if (!strstr(buf_str(&b), rows[i].starts) || b.data[b.len - 1] != '\n')
            fail_msg("%s: begins with ESC%.12s", rows[i].term, buf_str(&b) + 1);
        buf_release(&b);
    }
}

static void nothing_elsewhere(void **state)
{
    (void)state;
    struct job job = {.p = test_picture("upright.png", NULL), .shown = true};
    test_terminal("xterm-kitty", "C.UTF-8", NULL);
    struct buf b = test_pipe_run(show, &job);
    assert_int_equal(b.len, 0);
    assert_false(job.shown);
    buf_release(&b);
    test_terminal("dumb", "C.UTF-8", NULL);
    job.shown = true;
    b = test_pty_run(80, 24, show, &job);
    assert_int_equal(b.len, 0);
    assert_false(job.shown);
    buf_release(&b);
    picture_release(&job.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_in_a_plain_terminal), cmocka_unit_test(tiny_windows),
        cmocka_unit_test(no_color_means_no_colours),  cmocka_unit_test(graphics_where_they_exist),
        cmocka_unit_test(nothing_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
