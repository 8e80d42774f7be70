/* test.h - what every test includes: cmocka, data folders, skipping. */
#ifndef LAR_TESTS_SUPPORT_TEST_H
#define LAR_TESTS_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Path of a file below tests/data; heap, the caller frees. */
char *test_data(const char *name);

/* Path of a file of the shared test data (LAR_SHARED, else ../shared/data beside the source tree),
 * or NULL when it is absent. Heap. */
char *test_shared(const char *name);

/* A fresh empty folder for this test's files; heap, removed at exit. */
char *test_temp_dir(void);

/* Prints "skip: why" and marks the running test as skipped. */
#define test_skip(why)                    \
    do {                                  \
        print_message("skip: %s\n", why); \
        skip();                           \
    } while (0)

/* Fails with the error's sentence unless rc is 0. `e` is a struct err. */
#define assert_ok(rc, e)                                \
    do {                                                \
        if (rc)                                         \
            fail_msg("unexpected error: %s", (e).text); \
    } while (0)

/* Fails unless the error has this code and its sentence contains `part`. */
#define assert_err(e, want, part)                                                             \
    do {                                                                                      \
        if ((e).code != (want) || !strstr((e).text, (part)))                                  \
            fail_msg("wanted %s with \"%s\", got %d: %s", #want, (part), (e).code, (e).text); \
    } while (0)

#endif
