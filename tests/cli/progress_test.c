/* progress_test.c - progress on a terminal and elsewhere. */
#include "support/pty.h"
#include "support/test.h"

#include "cli/progress.h"

#include <string.h>

/* Steps that take the given time each. */
struct job {
    int total;
    double seconds;
    bool end;
};

static void work(int fd, void *ctx)
{
    const struct job *job = ctx;
    struct progress p;
    progress_begin(&p, fd, "step");
    for (int i = 0; i <= job->total; i++)
        progress_step_at(&p, i, job->total, p.start + i * job->seconds);
    if (job->end)
        progress_end(&p);
}

static void plain_lines_elsewhere(void **state)
{
    (void)state;
    struct job job = {3, 1.2, true};
    test_terminal("xterm-256color", "en_US.UTF-8", NULL);
    struct buf b = test_pipe_run(work, &job);
    assert_string_equal(buf_str(&b), "step 0/3\n"
                                     "step 1/3  1.2 s/step  2.4 s left\n"
                                     "step 2/3  1.2 s/step  1.2 s left\n"
                                     "step 3/3  1.2 s/step  3.6 s\n");
    buf_release(&b);

    test_terminal("dumb", "C", NULL);
    struct buf dumb = test_pty_run(80, 24, work, &job);
    assert_null(strpbrk(buf_str(&dumb), "\r\033"));
    assert_int_equal(test_screen(&dumb).lines, 4);
    buf_release(&dumb);
}

static void fetch(int fd, void *ctx)
{
    struct progress p;
    (void)ctx;
    progress_begin_bytes(&p, fd);
    progress_step_at(&p, 100, 500, p.start + 1); /* came earlier */
    progress_step_at(&p, 200, 500, p.start + 4);
    progress_step_at(&p, 500, 500, p.start + 8);
    progress_end(&p);
}

static void bytes_have_a_rate(void **state)
{
    (void)state;
    struct buf b = test_pipe_run(fetch, NULL);
    assert_string_equal(buf_str(&b), "MB 100/500\n"
                                     "MB 200/500  25 MB/s  12 s left\n"
                                     "MB 500/500  50 MB/s  8.0 s\n");
    buf_release(&b);
}

static void lines_are_throttled(void **state)
{
    (void)state;
    struct job job = {1000, 0.01, true};
    struct buf b = test_pipe_run(work, &job);
    struct screen s = test_screen(&b);
    assert_true(s.lines >= 10 && s.lines <= 12); /* ten seconds */
    assert_non_null(strstr(buf_str(&b), "step 1000/1000"));
    buf_release(&b);
}

static void a_bar_on_a_terminal(void **state)
{
    (void)state;
    struct job job = {20, 1.2, true};
    test_terminal("xterm", "C", NULL);
    struct buf b = test_pty_run(80, 24, work, &job);
    assert_non_null(strstr(buf_str(&b), "\rstep  8/20 [============                  ]"
                                        "  1.2 s/step  14 s left\033[K"));
    struct screen s = test_screen(&b);
    assert_true(s.columns < 80 && s.ends_clean);
    assert_int_equal(s.lines, 0);
    assert_int_equal(s.n_escapes, 22); /* 21 steps and the end */
    buf_release(&b);

    test_terminal("xterm", "pt_BR.UTF-8", NULL);
    b = test_pty_run(80, 24, work, &job);
    assert_non_null(strstr(buf_str(&b), "\rstep 10/20 \u2501\u2501"));
    assert_true(test_screen(&b).columns < 80);
    buf_release(&b);
}

static void no_color_means_no_escapes(void **state)
{
    (void)state;
    struct job job = {12, 30, true};
    test_terminal("xterm", "C", "1");
    struct buf b = test_pty_run(80, 24, work, &job);
    assert_null(strchr(buf_str(&b), '\033'));
    assert_true(test_screen(&b).ends_clean);
    assert_int_equal(test_screen(&b).lines, 0);
    buf_release(&b);

    job.end = false;
    b = test_pty_run(80, 24, work, &job);
    assert_false(test_screen(&b).ends_clean); /* or the check above says nothing */
    buf_release(&b);
}

static void fits_every_window(void **state)
{
    (void)state;
    struct job job = {100, 61.7, true};
    for (int no_color = 0; no_color < 2; no_color++)
        for (int columns = 1; columns < 120; columns += columns < 60 ? 1 : 13) {
            test_terminal("xterm", columns % 2 ? "C" : "C.UTF-8", no_color ? "1" : NULL);
            struct buf b = test_pty_run(columns, 24, work, &job);
            struct screen s = test_screen(&b);
            if (s.columns > (columns > 1 ? columns - 1 : 1) || !s.ends_clean)
                fail_msg("%d columns: %d drawn, clean %d", columns, s.columns, s.ends_clean);
            buf_release(&b);
        }
}

static void redraws_are_throttled(void **state)
{
    (void)state;
    struct job job = {1000, 0.001, true};
    test_terminal("xterm", "C", NULL);
    struct buf b = test_pty_run(80, 24, work, &job);
    struct screen s = test_screen(&b);
    assert_true(s.n_escapes >= 9 && s.n_escapes <= 13); /* one second, and the end */
    assert_non_null(strstr(buf_str(&b), "step 1000/1000"));
    buf_release(&b);
}

/* The first call tells, whatever the time. */
static void half(int fd, void *ctx)
{
    struct progress p;
    progress_begin(&p, fd, "step");
    progress_step_at(&p, 1, 2, p.start + *(const double *)ctx);
}

static void tells_long_times(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *says;
    } rows[] = {
        {0.0123, "12 ms/step  12 ms left"}, {0.9999, "1.0 s/step  1.0 s left"},
        {9.96, "10 s/step  10 s left"},     {100, "1 min 40 s/step"},
        {3599.7, "1 h 00 min/step"},        {7500, "2 h 05 min/step"},
        {1e7, "days/step  days left"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double seconds = rows[i].seconds;
        struct buf b = test_pipe_run(half, &seconds);
        if (!strstr(buf_str(&b), rows[i].says))
            fail_msg("%g: %s", seconds, buf_str(&b));
        buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines_elsewhere),     cmocka_unit_test(bytes_have_a_rate),
        cmocka_unit_test(lines_are_throttled),       cmocka_unit_test(a_bar_on_a_terminal),
        cmocka_unit_test(no_color_means_no_escapes), cmocka_unit_test(fits_every_window),
        cmocka_unit_test(redraws_are_throttled),     cmocka_unit_test(tells_long_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
