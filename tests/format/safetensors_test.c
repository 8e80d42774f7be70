/* safetensors_test.c - what a hostile or damaged header may try, and what is said then. */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "format/safetensors.h"

#include <stdlib.h>
#include <string.h>

/* A file: length, header, n zero bytes of data. */
static void build(struct buf *b, const char *header, size_t n)
{
    size_t size = strlen(header);
    buf_init(b, 1 << 24);
    for (int i = 0; i < 8; i++)
        buf_append_char(b, (char)(size >> (8 * i)));
    buf_append_str(b, header);
    while (n--)
        buf_append_char(b, 0);
}

#define T(dtype, shape, offsets) \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void hostile_headers_fail(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *part;
    } rows[] = {
        {"[]", 0, "not a JSON object"},
        {"{\"a\":1}", 0, "tensor a: its entry is not an object"},
        {"{\"a\":{}}", 0, "tensor a: dtype is missing"},
        {"{\"a\":" T("F32", "{}", "[0,4]") "}", 4, "shape is not an array"},
        {"{\"a\":" T("F32", "[-1]", "[0,4]") "}", 4, "shape[0] is not a count"},
        {"{\"a\":" T("F32", "[1.5]", "[0,4]") "}", 4, "shape[0] is not a count"},
        {"{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "9 dimensions"},
        {"{\"a\":" T("F32", "[1]", "[0]") "}", 4, "not a pair of integers"},
        {"{\"a\":" T("F32", "[1]", "[0,8]") "}", 4, "[0, 8] lie outside the file's 4 bytes"},
        {"{\"a\":" T("F32", "[1]", "[4,0]") "}", 4, "[4, 0] lie outside"},
        {"{\"a\":" T("F32", "[1]", "[-4,0]") "}", 4, "[-4, 0] lie outside"},
        {"{\"a\":" T("F32", "[1]", "[0,18446744073709551615]") "}", 4, "too big integer"},
        {"{\"a\":" T("F32", "[2]", "[0,4]") "}", 4, "needs 8 bytes of F32, its offsets span 4"},
        {"{\"a\":" T("F32", "[4294967296,4294967296]", "[0,4]") "}", 4, "overflows 64 bits"},
        {"{\"a\":" T("F32", "[0,4294967296,4294967296]", "[0,0]") "}", 0, "overflows 64 bits"},
        {"{\"a\":" T("I64", "[2]", "[0,4]") "}", 4, "needs 16 bytes of I64"},
        {"{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("F32", "[1]", "[0,4]") "}", 4, "overlaps"},
        {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[1]", "[4,8]") "}", 8,
         "tensor b overlaps tensor a"},
        {"{\"a\":" T("F32", "[1]", "[4,8]") "}", 8, "a hole of 4 bytes before tensor a"},
        {"{\"a\":" T("F32", "[1]", "[0,4]") "}", 8, "4 bytes after the last tensor"},
        {"{\"a\":" T("F32", "[1]", "[0,4]") ",\"a\":" T("F32", "[1]", "[4,8]") "}", 8,
         "duplicate object key"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "the value of k is not a string"},
        {"{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0,
         "nested deeper"},
        {"{\"a\"", 0, "line 1, column 4"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct safetensors s;
        struct buf b;
        struct err e = {0};
        build(&b, rows[i].header, rows[i].data);
        safetensors_parse(&s, b.data, b.len, &e);
        assert_err(e, ERR_FORMAT, rows[i].part);
        assert_null(s.tensors);
        buf_release(&b);
    }
}

static void hostile_lengths_fail(void **state)
{
    static const unsigned char huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{'};
    static const unsigned char longer[16] = {200, 0, 0, 0, 0, 0, 0, 0, '{'};
    struct safetensors s;
    struct err e[3] = {0};
    (void)state;
    safetensors_parse(&s, huge, sizeof(huge), &e[0]);
    assert_err(e[0], ERR_FORMAT, "header of 18446744073709551615 bytes");
    safetensors_parse(&s, longer, sizeof(longer), &e[1]);
    assert_err(e[1], ERR_FORMAT, "header of 200 bytes is longer than the file (16 bytes)");
    safetensors_parse(&s, huge, 3, &e[2]);
    assert_err(e[2], ERR_FORMAT, "only 3 bytes");
}

static void good_files_are_read(void **state)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"b\":" T("F16", "[2,1]", "[4,8]") ",\"a\":" T(
            "I32", "[1]",
            "[0,4]") ",\"empty\":" T("F32", "[0,7]",
                                     "[8,8]") ",\"scalar\":" T("F64", "[]",
                                                               "[8,16]") ",\"new\":" T("F8_NEW",
                                                                                       "[3]",
                                                                                       "[16,19]") "}   ";
    struct safetensors s;
    struct buf b;
    struct err e = {0};
    (void)state;
    build(&b, header, 19);
    assert_true(safetensors_probe(b.data, b.len));
    assert_ok(safetensors_parse(&s, b.data, b.len, &e), e);
    assert_int_equal(s.n, 5);
    assert_string_equal(s.tensors[0].name, "a"); /* in file order */
    assert_string_equal(s.tensors[1].name, "b");
    assert_int_equal(s.tensors[1].type, DTYPE_F16);
    assert_int_equal(s.tensors[1].n_dim, 2);
    assert_ptr_equal(s.tensors[1].data, b.data + 8 + strlen(header) + 4);
    assert_int_equal(s.tensors[2].size, 0);
    assert_int_equal(s.tensors[3].type, DTYPE_OTHER);
    assert_string_equal(s.tensors[3].type_name, "F64");
    assert_string_equal(s.tensors[4].type_name, "F8_NEW");
    assert_string_equal(map_get_str(&s.meta, "format"), "pt");
    safetensors_release(&s);
    buf_release(&b);
}

static void written_files_are_read(void **state)
{
    static const char *const meta[] = {"k", "a \"quoted\" value", NULL};
    struct file_tensor t[2] = {
        {.name = "x\n", .type = DTYPE_F32, .type_name = "F32", .n_dim = 1, .dim = {1}, .size = 4},
        {.name = "y", .type = DTYPE_BF16, .type_name = "BF16", .n_dim = 0, .size = 2}};
    struct file_writer w;
    struct safetensors s;
    struct file_map m;
    struct err e = {0};
    char *dir = test_temp_dir(), *path = file_join(dir, "x.safetensors");
    (void)state;
    assert_ok(file_writer_open(&w, path, &e), e);
    assert_ok(safetensors_write_header(&w, t, 2, meta, &e), e);
    file_writer_write(&w, "abcdef", 6);
    assert_ok(file_writer_commit(&w, &e), e);
    assert_ok(file_map_open(&m, path, &e), e);
    assert_ok(safetensors_parse(&s, m.data, m.size, &e), e);
    assert_int_equal(m.data[0] % 8, 0);
    assert_string_equal(s.tensors[0].name, "x\n");
    assert_memory_equal(s.tensors[1].data, "ef", 2);
    assert_string_equal(map_get_str(&s.meta, "k"), meta[1]);
    safetensors_release(&s);
    file_map_close(&m);
    free(path);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_headers_fail),
        cmocka_unit_test(hostile_lengths_fail),
        cmocka_unit_test(good_files_are_read),
        cmocka_unit_test(written_files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
