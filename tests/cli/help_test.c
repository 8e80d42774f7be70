/* help_test.c - help and manual say exactly what the table of options says, and so do the docs. */
#include "cli/help.h"

#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "cli/manual.h"
#include "support/program.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TEXT (1u << 20)

static char *read_doc(const char *name)
{
    struct err e = {0};
    char *path = file_join(TEST_SOURCE_DIR "/docs", name), *text = NULL;
    assert_ok(file_read(path, MAX_TEXT, &text, NULL, &e), e);
    free(path);
    return text;
}

/* Lines of at most 80 columns, each option of the command once, no option of others. */
static void check_page(const char *page, enum command command)
{
    for (const char *p = page; *p; p += strcspn(p, "\n") + 1)
        if (strcspn(p, "\n") > 80)
            fail_msg("too long: %.90s", p);
    for (int i = 0; i < N_OPTION; i++) {
        const struct option_row *r = &option_rows[i];
        char line[64], letter[] = {'-', r->letter, ',', '\0'};
        int n = 0;
        snprintf(line, sizeof(line), "\n  %s --%s ", r->letter ? letter : "   ", r->name);
        for (const char *at = page; (at = strstr(at, line)); at++)
            n++;
        if (n != !!(r->commands & (1u << command)))
            fail_msg("%s is %d times in the help of lar %s", line, n, command_rows[command].name);
    }
}

/* docs/cli.md holds every page as it is printed. */
static void test_pages(void **state)
{
    (void)state;
    char *doc = read_doc("cli.md");
    struct program p = {0};
    struct buf page;
    program_home();
    buf_init(&page, MAX_TEXT);
    for (int i = 0; i < N_COMMAND; i++) {
        buf_reset(&page);
        help_command(&page, (enum command)i);
        check_page(buf_str(&page), (enum command)i);
        program_run(&p, ARGS("help", command_rows[i].name), 0, buf_str(&page));
        program_run(&p, ARGS(command_rows[i].name, "--help"), 0, buf_str(&page));
        if (!strstr(doc, buf_str(&page)))
            fail_msg("docs/cli.md lacks what `lar help %s` says", command_rows[i].name);
    }
    buf_reset(&page);
    help_overview(&page);
    for (int i = 0; i < N_COMMAND; i++)
        assert_non_null(strstr(buf_str(&page), command_rows[i].summary));
    program_run(&p, ARGS("help"), 0, buf_str(&page));
    program_run(&p, ARGS("--help"), 0, buf_str(&page));
    program_run(&p, ARGS("--version"), 0, "lar " LAR_VERSION "\n");
    if (!strstr(doc, buf_str(&page)))
        fail_msg("docs/cli.md lacks what `lar help` says");
    program_run(&p, ARGS("help", "dance"), 2, "lar: dance: no such command");
    program_run(&p, ARGS("drwa"), 2, "lar: drwa: no such command; did you mean lar draw?");
    program_release(&p);
    buf_release(&page);
    free(doc);
}

static void test_manual(void **state)
{
    (void)state;
    char *doc = read_doc("lar.1");
    struct buf page;
    buf_init(&page, MAX_TEXT);
    manual_page(&page);
    if (strcmp(doc, buf_str(&page)) != 0)
        fail_msg("docs/lar.1 is old; run: lar help --man > docs/lar.1");
    for (int i = 0; i < N_OPTION; i++) {
        char name[64];
        size_t n = (size_t)snprintf(name, sizeof(name), "\\fB\\-\\-%s", option_rows[i].name);
        for (char *p = name + 9; (p = strchr(p, '-')); p += 2) {
            memmove(p + 1, p, strlen(p) + 1);
            *p = '\\';
            n++;
        }
        if (n >= sizeof(name) || !strstr(doc, name))
            fail_msg("docs/lar.1 lacks %s", name);
    }
    buf_release(&page);
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
