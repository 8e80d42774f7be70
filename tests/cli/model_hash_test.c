/* model_hash_test.c - the cache of model ids: hits, changes, broken files, the thread. */
#include "cli/model_hash.h"

#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "support/model.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *dir, *model, *cache;

static int setup(void **state)
{
    (void)state;
    dir = test_temp_dir();
    model = model_write("sd15", "tiny", (struct hash_checkpoint_options){.type = DTYPE_F16}, false);
    cache = file_join(dir, "some/folders/hashes");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(dir), free(model), free(cache);
    return 0;
}

static void write_cache(const char *text, size_t n)
{
    FILE *f = fopen(cache, "wb");
    assert_non_null(f);
    fwrite(text, 1, n, f);
    fclose(f);
}

static void test_cache(void **state)
{
    (void)state;
    struct checkpoint *c = model_open(model);
    char hash[MODEL_HASH_SIZE] = "";
    assert_false(model_hash_load(cache, c, hash));
    model_hash_store(cache, c, "0123456789");
    assert_true(model_hash_load(cache, c, hash));
    assert_string_equal(hash, "0123456789");
    model_hash_store(cache, c, "abcdefabcd"); /* replaces its line */
    assert_true(model_hash_load(cache, c, hash));
    assert_string_equal(hash, "abcdefabcd");
    char *text;
    assert_int_equal(file_read(cache, 100000, &text, NULL, NULL), 0);
    assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n'));
    free(text);
    checkpoint_close(c);
}

/* Another time of modification is another file. */
static void test_change(void **state)
{
    (void)state;
    struct checkpoint *c = model_open(model);
    char hash[MODEL_HASH_SIZE], *file = file_join(model, "vae/diffusion_pytorch_model.safetensors");
    struct timespec times[2] = {{4000000000, 0}, {4000000000, 0}};
    model_hash_store(cache, c, "0123456789");
    assert_true(model_hash_load(cache, c, hash));
    assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
    assert_false(model_hash_load(cache, c, hash));
    free(file);
    checkpoint_close(c);
}

static void test_broken_cache(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "",
        "\n\n",
        "garbage",
        "0123456789",
        "0123456789 ",
        "0123456789 1 2 /x",
        "012345678g 1 2 /x\n",
        "0123456789  1 2 /x\n",
        "0123456789 1 2\n/x\n",
    };
    struct checkpoint *c = model_open(model);
    char hash[MODEL_HASH_SIZE];
    model_hash_store(cache, c, "0123456789");
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        write_cache(broken[i], strlen(broken[i]));
        assert_false(model_hash_load(cache, c, hash));
        model_hash_store(cache, c, "abcdefabcd");
        assert_true(model_hash_load(cache, c, hash));
    }
    write_cache("abcdefabcd 5 6 /other\n", 22); /* lines of other models stay */
    model_hash_store(cache, c, "0123456789");
    char *text;
    assert_int_equal(file_read(cache, 100000, &text, NULL, NULL), 0);
    assert_non_null(strstr(text, "\nabcdefabcd 5 6 /other\n"));
    free(text);
    checkpoint_close(c);
}

static void test_thread(void **state)
{
    (void)state;
    struct checkpoint *c = model_open(model), *other = model_open(model);
    char want[MODEL_HASH_SIZE];
    struct err e = {0};
    atomic_bool cancel = false;
    setenv("XDG_CACHE_HOME", dir, 1);
    assert_ok(checkpoint_hash(other, want, &e), e);
    for (int i = 0; i < 2; i++) { /* computed, then from the cache */
        struct model_hash *h = model_hash_begin(c);
        const char *got = model_hash_wait(h, &cancel);
        assert_non_null(got);
        assert_string_equal(got, want);
        model_hash_end(h);
    }
    char *file = file_join(dir, "lar/hashes");
    assert_true(file_exists(file));
    free(file);
    checkpoint_close(c);
    checkpoint_close(other);
}

/* A stopped hash says so, and nothing of it is kept. */
static void test_stop(void **state)
{
    (void)state;
    struct checkpoint *c = model_open(model);
    char hash[MODEL_HASH_SIZE];
    struct err e = {0};
    checkpoint_hash_stop(c);
    assert_int_equal(checkpoint_hash(c, hash, &e), ERR_CANCELLED);
    model_hash_end(model_hash_begin(c));
    checkpoint_close(c);
    model_hash_end(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache),        cmocka_unit_test(test_change),
        cmocka_unit_test(test_broken_cache), cmocka_unit_test(test_thread),
        cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
