/* repl_test.c - conversations as a person has them: the real program in a pseudo-terminal. */
#include "support/program.h"
#include "support/test.h"
#include "support/tiny_language.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define PATIENCE 120000 /* ms without a byte: it hangs */

/* A terminal with `lar run` in it, and all it has written. */
struct session {
    struct program p;
    int master, slave;
    struct buf seen;
    size_t read; /* of it, up to the last text that was waited for */
};

/* Reads what the program has written; fails when it writes nothing more. */
static void take(struct session *s, const char *wanted)
{
    struct pollfd p = {.fd = s->master, .events = POLLIN};
    char chunk[4096];
    if (poll(&p, 1, PATIENCE) <= 0)
        fail_msg("\"%s\" does not come, only: %s", wanted, buf_str(&s->seen) + s->read);
    ssize_t n = read(s->master, chunk, sizeof(chunk));
    if (n <= 0)
        fail_msg("the terminal ended before \"%s\"", wanted);
    buf_append(&s->seen, chunk, (size_t)n);
}

/* Waits until `text` comes, behind what was waited for before. */
static void expect(struct session *s, const char *text)
{
    const char *found;
    while (!(found = strstr(buf_str(&s->seen) + s->read, text)))
        take(s, text);
    s->read = (size_t)(found - s->seen.data) + strlen(text);
}

static void type(struct session *s, const char *text)
{
    assert_int_equal(write(s->master, text, strlen(text)), strlen(text));
}

/* What a line gives, up to the next prompt: checked for one text. */
static void ask(struct session *s, const char *line, const char *want)
{
    type(s, line);
    expect(s, want);
    expect(s, ">>> ");
}

static void start(struct session *s, const char *term)
{
    struct termios quiet;
    *s = (struct session){.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
    assert_true(s->master >= 0 && grantpt(s->master) == 0 && unlockpt(s->master) == 0);
    char *name = mem_strdup(ptsname(s->master));
    s->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(s->slave >= 0);
    tcgetattr(s->slave, &quiet);
    if (strcmp(term, "dumb") == 0)
        quiet.c_lflag &= ~(tcflag_t)ECHO; /* what is typed does not come back */
    tcsetattr(s->slave, TCSANOW, &quiet);
    buf_init(&s->seen, 16 << 20);
    setenv("TERM", term, 1);
    s->p = (struct program){.dir = tiny_dir, .input = name, .out = s->slave};
    program_start(&s->p, ARGS("run", tiny_model, "--num-ctx=100000", "-n8", "--temperature=0"));
    expect(s, ">>> ");
    free(name);
}

static void finish(struct session *s, int code)
{
    program_wait(&s->p);
    assert_int_equal(s->p.code, code);
    program_release(&s->p);
    buf_release(&s->seen);
    close(s->slave);
    close(s->master);
}

/* The last sentence on standard error. */
static void expect_error(struct session *s, const char *text)
{
    char *errors = program_errors(&s->p);
    if (!strstr(errors, text))
        fail_msg("wanted \"%s\" in: %s", text, errors);
    free(errors);
}

static void talks(void **state)
{
    (void)state;
    struct session s;
    start(&s, "dumb");
    ask(&s, "/help\n", "/show [WHAT]");
    ask(&s, "/show\n", "architecture  llama");
    ask(&s, "/show parameters\n", "temperature 0");
    ask(&s, "/set parameter top_k 5\n", "");
    ask(&s, "/show parameters\n", "top_k 5");
    ask(&s, "/system \"Be brief.\"\n", "");
    ask(&s, "/show system\n", "Be brief.");
    ask(&s, "a big dog\n", "");
    type(&s, "\"\"\"two\n");
    expect(&s, "... ");
    type(&s, "lines\"\"\"\n");
    expect(&s, ">>> ");
    type(&s, "three \\\n");
    expect(&s, "... ");
    type(&s, "more\n");
    expect(&s, ">>> ");
    ask(&s, "/show messages\n", "user: two\r\nlines\r\nassistant: ");
    ask(&s, "/show messages\n", "user: three \r\nmore\r\nassistant: ");
    ask(&s, "/save talk.json\n", "");
    ask(&s, "/clear\n", "");
    ask(&s, "/show messages\n", "system: Be brief.\r\n");
    ask(&s, "/load talk.json \n", "");
    ask(&s, "/show messages\n", "user: a big dog\r\nassistant: ");
    ask(&s, "/save talk.json\n", ""); /* its own file again */
    ask(&s, "/set parameter num_ctx 640\n", "");
    ask(&s, "/show info\n", "640 tokens");
    ask(&s, "/set format json\n", "");
    ask(&s, "a cat\n", "{");
    ask(&s, "/set format\n", "");
    ask(&s, "/set verbose\n", "");
    ask(&s, "/clear\n", "");
    ask(&s, "a cat\n", "");
    expect_error(&s, "tokens/s");
    type(&s, "/bye\n");
    finish(&s, 0);
}

static void refuses(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"/nonsense\n", "there is no /nonsense; /help lists"},
        {"/set nonsense\n", "there is no setting nonsense; /set lists"},
        {"/set parameter top_p\n", "top_p : it takes a number"},
        {"/set parameter warmth 1\n", "there is no option warmth"},
        {"/set parameter temperature -1\n", "temperature"},
        {"/show nothing\n", "/show nothing: there are info, system"},
        {"/set nothink\n", "cannot be told whether to think"},
        {"/set format none.json\n", "none.json"},
        {"/save\n", "needs the path"},
        {"/save other.txt\n", "it is not overwritten"},
        {"/load none.json\n", "none.json"},
        {"/load other.txt\n", "other.txt"},
        {"\xff\xfe\n", "is not UTF-8"},
    };
    struct session s;
    char *other = file_join(tiny_dir, "other.txt");
    struct file_writer w;
    struct err e = {0};
    assert_ok(file_writer_open(&w, other, &e), e);
    file_writer_write(&w, "{}", 2);
    assert_ok(file_writer_commit(&w, &e), e);
    free(other);
    start(&s, "dumb");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        ask(&s, rows[i][0], "");
        expect_error(&s, rows[i][1]);
    }
    ask(&s, "/show parameters\n", "temperature 0\r\n"); /* as it was */
    type(&s, "\004");
    finish(&s, 0);
}

/* Ctrl-C ends the answer; the conversation goes on. */
static void interrupted(void **state)
{
    (void)state;
    struct session s;
    start(&s, "dumb");
    ask(&s, "/set parameter num_predict -1\n", "");
    ask(&s, "/set parameter stop\n", "");
    type(&s, "a big dog\n");
    take(&s, "an answer");
    kill(s.p.pid, SIGINT);
    expect(&s, ">>> ");
    ask(&s, "/show messages\n", "assistant: ");
    kill(s.p.pid, SIGINT); /* at the prompt: forgets the line */
    expect(&s, ">>> ");
    kill(s.p.pid, SIGTERM);
    finish(&s, 143);
}

/* With a terminal that can do more, lines are edited and remembered. */
static void remembers(void **state)
{
    (void)state;
    struct session s;
    setenv("XDG_STATE_HOME", tiny_dir, 1);
    start(&s, "xterm");
    ask(&s, "/show parameters\n", "num_predict");
    ask(&s, "/set nohistory\n", "");
    ask(&s, "/show system\n", "there is none");
    type(&s, "/bye\n");
    finish(&s, 0);
    char *history = file_join(tiny_dir, "lar/history"), *text;
    struct stat st;
    struct err e = {0};
    assert_int_equal(stat(history, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_ok(file_read(history, 1 << 20, &text, NULL, &e), e);
    assert_non_null(strstr(text, "parameters"));
    assert_null(strstr(text, "system"));
    free(text);
    free(history);
    unsetenv("XDG_STATE_HOME");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(talks),
        cmocka_unit_test(refuses),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(remembers),
    };
    return cmocka_run_group_tests(tests, tiny_language_setup, tiny_language_teardown);
}
