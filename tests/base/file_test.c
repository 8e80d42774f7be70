/* file_test.c - mapping and reading odd files, replacing files whole or not at all. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The number of entries of a folder, without "." and "..". */
static int count_entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = -2;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void put(const char *path, const char *text)
{
    struct file_writer w;
    struct err e = {0};
    assert_ok(file_writer_open(&w, path, &e), e);
    file_writer_write(&w, text, strlen(text));
    assert_ok(file_writer_commit(&w, &e), e);
}

static void assert_content(const char *path, const char *want)
{
    struct err e = {0};
    char *data;
    size_t size;
    assert_ok(file_read(path, 1000, &data, &size, &e), e);
    assert_string_equal(data, want);
    assert_int_equal(size, strlen(want));
    free(data);
}

static void maps(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "f"), *empty = file_join(dir, "empty");
    struct file_map m;
    struct err e = {0};
    put(path, "content");
    put(empty, "");
    assert_ok(file_map_open(&m, path, &e), e);
    assert_int_equal(m.size, 7);
    assert_memory_equal(m.data, "content", 7);
    put(path, "replaced while mapped");
    assert_memory_equal(m.data, "content", 7);
    file_map_close(&m);
    file_map_close(&m);
    assert_ok(file_map_open(&m, empty, &e), e);
    assert_null(m.data);
    assert_int_equal(m.size, 0);
    file_map_close(&m);
    free(path);
    free(empty);
    free(dir);
}

static void absent_and_odd_files(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *none = file_join(dir, "none"), *fifo = file_join(dir, "fifo");
    const struct {
        const char *path, *text;
        int code;
    } rows[] = {{none, none, ERR_NOT_FOUND},
                {dir, "not a regular file", ERR_IO},
                {fifo, "not a regular file", ERR_IO}, /* and does not wait for a writer */
                {"", "cannot open", ERR_NOT_FOUND}};
    assert_int_equal(mkfifo(fifo, 0600), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err e = {0};
        struct file_map m;
        char *data;
        assert_int_equal(file_map_open(&m, rows[i].path, &e), rows[i].code);
        assert_err(e, rows[i].code, rows[i].text);
        assert_null(m.data);
        e = (struct err){0};
        assert_int_equal(file_read(rows[i].path, 10, &data, NULL, &e), rows[i].code);
        assert_null(data);
    }
    assert_true(file_is_dir(dir));
    assert_false(file_is_dir(fifo));
    assert_true(file_exists(fifo));
    assert_false(file_exists(none));
    free(none);
    free(fifo);
    free(dir);
}

static void reads_up_to_a_limit(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "f"), *data;
    struct err e = {0};
    put(path, "12345");
    assert_content(path, "12345");
    assert_ok(file_read(path, 5, &data, NULL, &e), e);
    free(data);
    assert_int_equal(file_read(path, 4, &data, NULL, &e), ERR_FORMAT);
    assert_err(e, ERR_FORMAT, "5 bytes, more than the 4 allowed");
    assert_null(data);
    e = (struct err){0};
    mem_fail_nth(1);
    assert_int_equal(file_read(path, 5, &data, NULL, &e), ERR_NOMEM);
    mem_fail_nth(0);
    free(path);
    free(dir);
}

static void makes_folders(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "a/b/file"), *above = file_join(dir, "a/b");
    char *below = file_join(dir, "plain/x/file"), *plain = file_join(dir, "plain");
    struct err e = {0};
    assert_ok(file_make_folders(path, 0700, &e), e);
    assert_ok(file_make_folders(path, 0700, &e), e); /* they are there */
    assert_true(file_is_dir(above));
    assert_false(file_exists(path));
    put(plain, "");
    assert_int_equal(file_make_folders(below, 0700, &e), ERR_IO);
    assert_err(e, ERR_IO, "plain/x: cannot make this folder");
    assert_int_equal(file_make_folders("name", 0700, NULL), 0);
    free(plain);
    free(below);
    free(above);
    free(path);
    free(dir);
}

static void parts_of_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *base, *folder;
    } rows[] = {{"a/b/c.png", "c.png", "a/b"},
                {"c.png", "c.png", "."},
                {"a/b//", "b", "a"},
                {"/c", "c", "/"},
                {"", "", "."},
                {"/", "", "/"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n;
        const char *base = file_base(rows[i].path, &n);
        char *folder = file_folder(rows[i].path);
        assert_ptr_equal(base, file_base(rows[i].path, NULL));
        assert_int_equal(n, strlen(rows[i].base));
        assert_memory_equal(base, rows[i].base, n);
        assert_string_equal(folder, rows[i].folder);
        free(folder);
    }
}

static void joins(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "/b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < 4; i++) {
        char *path = file_join(rows[i][0], rows[i][1]);
        assert_string_equal(path, rows[i][2]);
        free(path);
    }
}

static void commit_replaces_abort_leaves(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "picture.png");
    struct file_writer w;
    struct err e = {0};
    put(path, "old");
    assert_ok(file_writer_open(&w, path, &e), e);
    file_writer_write(&w, "new", 3);
    assert_content(path, "old");
    file_writer_abort(&w);
    file_writer_abort(&w);
    assert_content(path, "old");
    assert_int_equal(count_entries(dir), 1);

    mode_t before = umask(027);
    put(path, "new");
    umask(before);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_content(path, "new");
    assert_int_equal(count_entries(dir), 1);
    free(path);
    free(dir);
}

static void unwritable_places(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *inside = file_join(dir, "none/f"), *fifo = file_join(dir, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const struct {
        const char *path, *text;
    } rows[] = {{dir, "a folder"}, {inside, "cannot create"}, {fifo, "not a regular file"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct file_writer w;
        struct err e = {0};
        assert_int_equal(file_writer_open(&w, rows[i].path, &e), ERR_IO);
        assert_err(e, ERR_IO, rows[i].text);
        assert_err(e, ERR_IO, rows[i].path);
        file_writer_abort(&w);
    }
    assert_int_equal(count_entries(dir), 1);
    free(inside);
    free(fifo);
    free(dir);
}

/* A limit on file sizes fails writes as a full disk does, early or only on the last flush. */
static void full_disk(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "f"), block[4096] = {0};
    struct rlimit old, small;
    put(path, "old");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 1000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (int n_blocks = 1; n_blocks <= 16; n_blocks += 15) {
        struct file_writer w;
        struct err e = {0};
        assert_ok(file_writer_open(&w, path, &e), e);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        for (int i = 0; i < n_blocks; i++)
            file_writer_write(&w, block, sizeof(block));
        int rc = file_writer_commit(&w, &e);
        setrlimit(RLIMIT_FSIZE, &old);
        assert_int_equal(rc, ERR_IO);
        assert_err(e, ERR_IO, "nothing was left behind");
        file_writer_abort(&w);
        assert_content(path, "old");
        assert_int_equal(count_entries(dir), 1);
    }
    signal(SIGXFSZ, handler);
    free(path);
    free(dir);
}

static void interrupted(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *a = file_join(dir, "a"), *b = file_join(dir, "b");
    struct file_writer wa, wb;
    struct err e = {0};
    assert_ok(file_writer_open(&wa, a, &e), e);
    assert_ok(file_writer_open(&wb, b, &e), e);
    assert_int_equal(count_entries(dir), 2);
    file_writer_unlink_all(); /* as the Ctrl-C handler does before it ends the process */
    assert_int_equal(count_entries(dir), 0);
    file_writer_abort(&wa);
    assert_int_equal(file_writer_commit(&wb, &e), ERR_IO);
    put(a, "done");
    file_writer_unlink_all(); /* finished files stay */
    assert_content(a, "done");
    free(a);
    free(b);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps),
        cmocka_unit_test(absent_and_odd_files),
        cmocka_unit_test(reads_up_to_a_limit),
        cmocka_unit_test(joins),
        cmocka_unit_test(parts_of_paths),
        cmocka_unit_test(makes_folders),
        cmocka_unit_test(commit_replaces_abort_leaves),
        cmocka_unit_test(unwritable_places),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
