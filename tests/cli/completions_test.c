/* completions_test.c - a real bash completes by the script; zsh and fish read theirs, where they
 * are installed.
 */
#include "cli/completions.h"

#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/options.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SCRIPT (1u << 20)

static char *folder;

static int setup(void **state)
{
    (void)state;
    folder = test_temp_dir();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(folder);
    return 0;
}

static bool installed(const char *shell)
{
    char *command = mem_printf("command -v %s >/dev/null 2>&1", shell);
    bool there = system(command) == 0; /* NOLINT(cert-env33-c): a test runs shells */
    free(command);
    return there;
}

/* Writes the script for a shell and `more` behind it to a file; its path. */
static char *write_script(const char *shell, const char *more)
{
    struct buf b;
    struct err e = {0};
    struct file_writer w;
    char *path = file_join(folder, shell);
    buf_init(&b, MAX_SCRIPT);
    completions(&b, shell);
    buf_append_str(&b, more);
    assert_ok(file_writer_open(&w, path, &e), e);
    file_writer_write(&w, buf_str(&b), b.len);
    assert_ok(file_writer_commit(&w, &e), e);
    buf_release(&b);
    return path;
}

/* What `command` prints; heap. */
static char *output_of(const char *command, int *status)
{
    struct buf b;
    char chunk[512];
    size_t n;
    FILE *f = popen(command, "r"); /* NOLINT(cert-env33-c): a test runs shells */
    assert_non_null(f);
    buf_init(&b, MAX_SCRIPT);
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
        buf_append(&b, chunk, n);
    *status = pclose(f);
    char *text = mem_strdup(buf_str(&b));
    buf_release(&b);
    return text;
}

/* What bash proposes for words, the last of which is being typed; blanks between. */
static void expect(const char *words, const char *want)
{
    int status;
    char *more = mem_printf("COMP_WORDS=(%s)\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_lar\n"
                            "echo \"${COMPREPLY[*]}\"\n",
                            words);
    char *path = write_script("bash", more), *command = mem_printf("bash %s", path);
    char *got = output_of(command, &status);
    got[strcspn(got, "\n")] = '\0';
    if (status || strcmp(got, want) != 0)
        fail_msg("%s: bash proposes \"%s\", wanted \"%s\"", words, got, want);
    free(got);
    free(command);
    free(path);
    free(more);
}

static void bash_completes(void **state)
{
    (void)state;
    if (!installed("bash"))
        test_skip("bash is not installed");
    expect("lar in", "inspect");
    expect("lar draw --prec", "--precision");
    expect("lar draw a boat --cl", "--clip-skip");
    expect("lar draw --precision ''", "f32 bf16");
    expect("lar draw --precision =", "f32 bf16");
    expect("lar draw --precision = b", "bf16");
    expect("lar draw --sampler euler_", "euler_a euler_cfg_pp");
    expect("lar draw --rng ph", "philox");
    expect("lar inspect --prec", "");
    expect("lar inspect --ha", "--hash");
    expect("lar draw --steps ''", "");
    expect("lar draw bo", "");
    expect("lar help con", "convert");
    expect("lar help --completions ''", "bash zsh fish");
}

/* Every option and command is in every script. */
static void nothing_is_missing(void **state)
{
    (void)state;
    static const char *const shells[] = {"bash", "zsh", "fish"};
    static const char *const forms[] = {"--%s", "--%s", " -l %s "};
    for (int s = 0; s < 3; s++) {
        struct buf b;
        buf_init(&b, MAX_SCRIPT);
        completions(&b, shells[s]);
        assert_false(buf_failed(&b));
        for (int i = 0; i < N_OPTION + N_COMMAND; i++) {
            char word[64];
            if (i < N_OPTION)
                snprintf(word, sizeof(word), forms[s], option_rows[i].name); /* NOLINT */
            else
                snprintf(word, sizeof(word), "%s", command_rows[i - N_OPTION].name);
            if (!strstr(buf_str(&b), word))
                fail_msg("the script for %s lacks %s", shells[s], word);
        }
        buf_release(&b);
    }
}

static void check_syntax(const char *shell, const char *flag)
{
    int status;
    if (!installed(shell))
        test_skip("the shell is not installed");
    char *path = write_script(shell, ""), *command = mem_printf("%s %s %s 2>&1", shell, flag, path);
    char *said = output_of(command, &status);
    if (status)
        fail_msg("%s: %s", shell, said);
    free(said);
    free(command);
    free(path);
}

static void zsh_reads_it(void **state)
{
    (void)state;
    check_syntax("zsh", "-n");
}

static void fish_reads_it(void **state)
{
    (void)state;
    check_syntax("fish", "--no-execute");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bash_completes),
        cmocka_unit_test(nothing_is_missing),
        cmocka_unit_test(zsh_reads_it),
        cmocka_unit_test(fish_reads_it),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
