/* weights_test.c - GGUF models in several files: opened by any of them or by their folder; what is
 * missing or foreign is named. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/weights.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One F32 tensor "t<no>" [2], whose values are no and count; metadata as gguf-split writes them. */
static void write_shard(const char *dir, const char *name, uint32_t no, uint32_t count,
                        uint32_t total)
{
    struct gguf_writer w;
    struct file_writer f;
    struct err e = {0};
    char *path = file_join(dir, name), *tensor = mem_printf("t%u", no);
    float values[2] = {(float)no, (float)count};
    struct file_tensor t = {.name = tensor,
                            .type = DTYPE_F32,
                            .type_name = "F32",
                            .n_dim = 1,
                            .dim = {2},
                            .size = sizeof(values)};
    gguf_writer_init(&w);
    if (no == 0)
        gguf_put_str(&w, "general.architecture", "llama");
    gguf_put_u32(&w, "split.no", no);
    gguf_put_u32(&w, "split.count", count);
    gguf_put_u32(&w, "split.tensors.count", total);
    assert_ok(gguf_put_tensor(&w, &t, &e), e);
    assert_ok(file_writer_open(&f, path, &e), e);
    assert_ok(gguf_write_header(&w, &f, &e), e);
    gguf_write(&w, &f, values, sizeof(values));
    gguf_write_end(&w, &f);
    assert_ok(file_writer_commit(&f, &e), e);
    gguf_writer_release(&w);
    free(path);
    free(tensor);
}

static const char *const names[3] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                     "m-00003-of-00003.gguf"};

static char *write_model(void)
{
    char *dir = test_temp_dir();
    for (uint32_t i = 0; i < 3; i++)
        write_shard(dir, names[i], i, 3, 3);
    return dir;
}

static void check_model(const struct weights *w)
{
    assert_int_equal(w->n_files, 3);
    for (size_t i = 0; i < 3; i++) {
        size_t n;
        const struct file_tensor *t = weight_file_tensors(w->files[i], &n);
        float v;
        assert_int_equal(n, 1);
        memcpy(&v, t->data, sizeof(v));
        assert_true(v == (float)i);
    }
    assert_string_equal(gguf_str(&w->files[0]->gguf, "general.architecture"), "llama");
}

static void any_shard_opens_all(void **state)
{
    char *dir = write_model();
    struct err e = {0};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct weights w = {0};
        char *path = i < 3 ? file_join(dir, names[i]) : mem_strdup(dir);
        assert_ok(i < 3 ? weights_open_file(&w, path, &e) : weights_open_folder(&w, path, &e), e);
        check_model(&w);
        weights_release(&w);
        free(path);
    }
    free(dir);
}

static void fails(const char *dir, const char *name, int code, const char *part)
{
    struct weights w = {0};
    struct err e = {0};
    char *path = file_join(dir, name);
    weights_open_file(&w, path, &e);
    assert_err(e, code, part);
    weights_release(&w);
    free(path);
}

static void missing_and_foreign_shards_are_named(void **state)
{
    char *dir = write_model(), *second = file_join(dir, names[1]);
    (void)state;
    write_shard(dir, names[1], 1, 3, 4);
    fails(dir, names[0], ERR_FORMAT, "m-00002-of-00003.gguf: by its metadata part 2 of 3, with 4");
    write_shard(dir, names[1], 2, 3, 3);
    fails(dir, names[2], ERR_FORMAT, "m-00002-of-00003.gguf: by its metadata part 3 of 3");
    unlink(second);
    fails(dir, names[0], ERR_NOT_FOUND, "m-00002-of-00003.gguf: missing, part 2 of the 3");
    fails(dir, names[2], ERR_NOT_FOUND, "m-00002-of-00003.gguf: missing, part 2 of the 3");
    free(second);
    free(dir);
}

static void shards_that_lie_are_refused(void **state)
{
    char *dir = test_temp_dir();
    (void)state;
    write_shard(dir, "x.gguf", 1, 3, 3);
    fails(dir, "x.gguf", ERR_FORMAT,
          "part 2 of a model of 3 files; call it ...-00002-of-00003.gguf");
    write_shard(dir, "y.gguf", 3, 3, 3);
    fails(dir, "y.gguf", ERR_FORMAT, "y.gguf: split.no: shard 4 of 3");
    write_shard(dir, "z.gguf", 0, 5000, 3);
    fails(dir, "z.gguf", ERR_FORMAT, "z.gguf: split.count: not an integer from 0 to 4096");
    for (uint32_t i = 0; i < 2; i++)
        write_shard(dir, i ? "n-00002-of-00002.gguf" : "n-00001-of-00002.gguf", i, 2, 7);
    fails(dir, "n-00001-of-00002.gguf", ERR_FORMAT, "its 2 parts hold 2 tensors, not 7");
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_shard_opens_all),
        cmocka_unit_test(missing_and_foreign_shards_are_named),
        cmocka_unit_test(shards_that_lie_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
