/* live_test.c - pictures that replace each other in a terminal, and nothing elsewhere. */
#include "support/pictures.h"
#include "support/pty.h"
#include "support/test.h"

#include "cli/live.h"
#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shows three pictures and wipes the last. */
static void run(int fd, void *ctx)
{
    struct picture p = test_picture("upright.png", NULL);
    struct live l = {0};
    int *rows = ctx;
    for (int i = 0; i < 3; i++)
        live_show(&l, &p, fd);
    *rows = l.rows;
    live_end(&l, fd);
    live_end(&l, fd); /* once is enough */
    assert_int_equal(l.rows, 0);
    picture_release(&p);
}

static int count(const struct buf *b, const char *what)
{
    int n = 0;
    for (const char *p = buf_str(b); (p = strstr(p, what)); p++)
        n++;
    return n;
}

/* Lines written are lines gone back over: the cursor ends where it began. */
static void in_place(void **state)
{
    (void)state;
    int rows = 0;
    char up[32];
    test_terminal("xterm-kitty", "C.UTF-8", NULL); /* blocks even where there are graphics */
    struct buf b = test_pty_run(60, 20, run, &rows);
    if (rows == 0) {
        buf_release(&b);
        test_skip("built without chafa");
    }
    assert_true(rows > 2 && rows <= 20);
    snprintf(up, sizeof(up), "\r\033[%dA", rows);
    assert_int_equal(count(&b, up), 3);
    assert_int_equal(count(&b, "\n"), 3 * rows);
    assert_int_equal(count(&b, "\033_G"), 0);
    assert_int_equal(count(&b, "\033[J"), 1);
    buf_release(&b);
}

static void nothing_elsewhere(void **state)
{
    (void)state;
    int rows = 0;
    test_terminal("xterm-256color", "C.UTF-8", NULL);
    struct buf b = test_pipe_run(run, &rows);
    assert_int_equal(b.len, 0);
    buf_release(&b);
    test_terminal("dumb", "C.UTF-8", NULL);
    b = test_pty_run(60, 20, run, &rows);
    assert_int_equal(b.len, 0);
    buf_release(&b);
    test_terminal("xterm-256color", "C.UTF-8", "1");
    b = test_pty_run(60, 20, run, &rows);
    assert_int_equal(b.len, 0);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_place),
        cmocka_unit_test(nothing_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
