/* program.c - see program.h. */
#include "support/program.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define LAR      TEST_BINARY_DIR "/lar"
#define MAX_TEXT (16u << 20)

const char *program_home(void)
{
    static char home[256];
    if (!*home) {
        char *dir = test_temp_dir();
        snprintf(home, sizeof(home), "%s", dir);
        free(dir);
        setenv("HOME", home, 1);
        unsetenv("XDG_CONFIG_HOME");
        unsetenv("XDG_CACHE_HOME");
        unsetenv("LAR_MODEL");
        unsetenv("LAR_LOG");
        unsetenv("NO_COLOR");
    }
    return home;
}

void program_start(struct program *p, const char *const *args)
{
    static int n;
    char *argv[64] = {(char *)"lar"};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none;
    for (int i = 0; args[i]; i++)
        argv[i + 1] = (char *)(uintptr_t)args[i];
    for (int i = 0; i < 2; i++)
        p->files[i] = mem_printf("%s/program-%d.%s", program_home(), n, i ? "err" : "out");
    n++;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, p->input ? p->input : "/dev/null", O_RDONLY, 0);
    if (p->out)
        posix_spawn_file_actions_adddup2(&files, p->out, 1);
    else
        posix_spawn_file_actions_addopen(&files, 1, p->files[0], O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&files, 2, p->files[1], O_WRONLY | O_CREAT, 0600);
    if (p->dir)
        posix_spawn_file_actions_addchdir_np(&files, p->dir);
    /* Whoever runs the tests may have set signals aside. */
    posix_spawnattr_init(&how);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&how, &none);
    sigaddset(&none, SIGINT);
    sigaddset(&none, SIGTERM);
    posix_spawnattr_setsigdefault(&how, &none);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawn(&p->pid, p->exe ? p->exe : LAR, &files, &how, argv, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    if (rc)
        fail_msg("%s: %s", p->exe ? p->exe : LAR, strerror(rc));
}

static char *read_all(const char *path)
{
    char *text = NULL;
    return file_read(path, MAX_TEXT, &text, NULL, NULL) ? mem_strdup("") : text;
}

char *program_errors(const struct program *p)
{
    return read_all(p->files[1]);
}

void program_wait(struct program *p)
{
    int status;
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    p->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    p->text = read_all(p->files[0]);
    p->errors = read_all(p->files[1]);
}

void program_release(struct program *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->files[i])
            remove(p->files[i]);
        free(p->files[i]);
    }
    free(p->text);
    free(p->errors);
    *p = (struct program){.exe = p->exe, .dir = p->dir, .input = p->input, .out = p->out};
}

void program_run(struct program *p, const char *const *args, int code, const char *part)
{
    program_release(p);
    program_start(p, args);
    program_wait(p);
    if (p->code != code || !strstr(code ? p->errors : p->text, part))
        fail_msg("wanted %d and \"%s\", got %d\n%s%s", code, part, p->code, p->text, p->errors);
    /* One sentence, behind whatever progress there was. */
    if (code && !p->exe && (strncmp(p->errors, "lar: ", 5) != 0 && !strstr(p->errors, "\nlar: ")))
        fail_msg("not a sentence of lar: %s", p->errors);
}
