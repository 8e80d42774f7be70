/* log_test.c - levels, whole lines, no sink. */
#include "support/test.h"

#include "base/log.h"

#include <string.h>

struct seen {
    int n;
    enum log_level level;
    char line[2048];
};

static void sink(enum log_level level, const char *line, void *ctx)
{
    struct seen *s = ctx;
    s->n++;
    s->level = level;
    strncpy(s->line, line, sizeof(s->line) - 1);
}

static void lines_reach_the_sink(void **state)
{
    (void)state;
    struct seen s = {0};
    char wide[3000];
    log_line(LOG_WARN, "dropped");
    log_set_sink(sink, &s, LOG_INFO);
    log_line(LOG_DEBUG, "below the level");
    assert_int_equal(s.n, 0);
    log_line(LOG_WARN, "%s: %d odd tensors", "x.gguf", 2);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.level, LOG_WARN);
    assert_string_equal(s.line, "x.gguf: 2 odd tensors");
    memset(wide, 'w', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = '\0';
    log_line(LOG_INFO, "%s", wide);
    assert_int_equal(strlen(s.line), 1023);
    log_set_sink(NULL, NULL, LOG_DEBUG);
    log_line(LOG_WARN, "dropped");
    assert_int_equal(s.n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_reach_the_sink)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
