/* gguf_test.c - files of the `gguf` Python package are read, our own too, hostile ones refused. */
#include "support/test.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/gguf.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the sample of tools/reference/gguf_sample.py ---- */

struct sample {
    struct file_map map;
    struct gguf g;
};

static int open_sample(void **state)
{
    static struct sample s;
    struct err e = {0};
    char *path = test_data("gguf/sample.gguf");
    assert_ok(file_map_open(&s.map, path, &e), e);
    assert_ok(gguf_parse(&s.g, s.map.data, s.map.size, &e), e);
    free(path);
    *state = &s;
    return 0;
}

static int close_sample(void **state)
{
    struct sample *s = *state;
    gguf_release(&s->g);
    file_map_close(&s->map);
    return 0;
}

static void every_value_type_is_read(void **state)
{
    static const struct {
        const char *key;
        enum gguf_type type;
        double value;
    } rows[] = {
        {"t.u8", GGUF_U8, 250},          {"t.i8", GGUF_I8, -7},
        {"t.u16", GGUF_U16, 65000},      {"t.i16", GGUF_I16, -30000},
        {"t.u32", GGUF_U32, 4000000000}, {"t.i32", GGUF_I32, -2000000000},
        {"t.i64", GGUF_I64, -0x1p62},    {"t.f32", GGUF_F32, 0.5},
        {"t.f64", GGUF_F64, -0.1},
    };
    const struct gguf *g = &((struct sample *)*state)->g;
    struct err e = {0};
    bool b = false;
    int64_t whole;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double v = 0;
        assert_int_equal(gguf_find(g, rows[i].key)->type, rows[i].type);
        assert_ok(gguf_num(g, rows[i].key, &v, &e), e);
        assert_true(v == rows[i].value);
        if (rows[i].type != GGUF_F32 && rows[i].type != GGUF_F64) {
            assert_ok(gguf_int(g, rows[i].key, INT64_MIN, INT64_MAX, &whole, &e), e);
            assert_true((double)whole == rows[i].value);
        }
    }
    assert_ok(gguf_bool(g, "t.bool", &b, &e), e);
    assert_true(b);
    assert_string_equal(gguf_str(g, "t.string"), "grüße");
    assert_string_equal(gguf_str(g, "general.architecture"), "sample");
    assert_null(gguf_str(g, "t.u8"));
    assert_null(gguf_find(g, "absent"));
    assert_int_equal(g->version, 3);
}

static void wrong_values_are_named(void **state)
{
    const struct gguf *g = &((struct sample *)*state)->g;
    struct err e[5] = {0};
    int64_t v = 0;
    double x;
    bool b;
    gguf_int(g, "t.u64", 0, INT64_MAX, &v, &e[0]);
    assert_err(e[0], ERR_FORMAT, "t.u64: not an integer");
    gguf_int(g, "t.u8", 0, 249, &v, &e[1]);
    assert_err(e[1], ERR_FORMAT, "t.u8: not an integer from 0 to 249");
    gguf_num(g, "t.ints", &x, &e[2]);
    assert_err(e[2], ERR_FORMAT, "t.ints: not a number");
    gguf_bool(g, "t.string", &b, &e[3]);
    assert_err(e[3], ERR_FORMAT, "t.string: not true or false");
    gguf_int(g, "t.f32", 0, 9, &v, &e[4]);
    assert_err(e[4], ERR_FORMAT, "t.f32: not an integer");
}

static void arrays_are_read(void **state)
{
    const struct gguf *g = &((struct sample *)*state)->g;
    const struct gguf_value *ints = gguf_find(g, "t.ints"), *floats = gguf_find(g, "t.floats");
    struct arena arena = {0};
    struct err e = {0};
    const char **strings;
    size_t n;
    int64_t v;
    double x;
    assert_int_equal(ints->n, 3);
    assert_true(gguf_int_at(ints, 1, &v));
    assert_int_equal(v, -2);
    assert_false(gguf_int_at(ints, 3, &v));
    assert_true(gguf_num_at(floats, 1, &x));
    assert_true(x == 1.5);
    assert_ok(gguf_strings(g, "t.strings", &arena, &strings, &n, &e), e);
    assert_int_equal(n, 3);
    assert_string_equal(strings[0], "a");
    assert_string_equal(strings[1], "");
    assert_string_equal(strings[2], "ccc");
    free(strings);
    assert_ok(gguf_strings(g, "absent", &arena, &strings, &n, &e), e);
    assert_null(strings);
    assert_int_equal(gguf_strings(g, "t.ints", &arena, &strings, &n, &e), ERR_FORMAT);
    arena_release(&arena);
}

static void tensors_are_read(void **state)
{
    const struct gguf *g = &((struct sample *)*state)->g;
    static const char *const names[] = {"a.f32", "b.f16", "c.q8_0", "c.bf16", "c.q4_0"};
    float x[192];
    assert_int_equal(g->n_tensors, 5);
    for (size_t i = 0; i < 5; i++) {
        const struct file_tensor *t = &g->tensors[i];
        assert_string_equal(t->name, names[i]);
        assert_int_equal((size_t)(t->data - ((struct sample *)*state)->map.data) % 64, 0);
        int64_t n = 1;
        for (int d = 0; d < t->n_dim; d++)
            n *= t->dim[d];
        quant_to_f32(t->type, t->data, x, n);
        for (int64_t j = 0; j < n; j++)
            assert_true(fabsf(x[j] - (float)(j - 90) / 8) <=
                        (t->type == DTYPE_Q4_0 ? 1.6f : 0.06f));
    }
    assert_int_equal(g->tensors[0].n_dim, 3); /* PyTorch's order */
    assert_int_equal(g->tensors[0].dim[0], 2);
    assert_int_equal(g->tensors[0].dim[2], 32);
    assert_int_equal(g->tensors[4].type, DTYPE_Q4_0);
    assert_string_equal(g->tensors[4].type_name, "Q4_0");
    assert_int_equal(g->tensors[4].size, 6 * 18);
}

/* ---- hostile files, made byte by byte ---- */

static void put(struct buf *b, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buf_append_char(b, (char)(v >> (8 * i)));
}

static void put_str(struct buf *b, const char *s)
{
    put(b, strlen(s), 8);
    buf_append_str(b, s);
}

static void head(struct buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_values)
{
    buf_reset(b);
    buf_append_str(b, "GGUF");
    put(b, version, 4);
    put(b, n_tensors, 8);
    put(b, n_values, 8);
}

static void value(struct buf *b, const char *key, uint32_t type)
{
    put_str(b, key);
    put(b, type, 4);
}

static void tensor(struct buf *b, const char *name, uint64_t dim, uint32_t type, uint64_t offset)
{
    put_str(b, name);
    put(b, 1, 4);
    put(b, dim, 8);
    put(b, type, 4);
    put(b, offset, 8);
}

static void fill(struct buf *b, size_t size)
{
    while (b->len < size)
        buf_append_char(b, 0);
}

static void refused(const struct buf *b, int code, const char *part)
{
    struct gguf g;
    struct err e = {0};
    gguf_parse(&g, b->data, b->len, &e);
    assert_err(e, code, part);
    assert_null(g.values);
    assert_null(g.tensors);
}

static void foreign_versions_are_refused(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    head(&b, 0x03000000, 0, 0);
    refused(&b, ERR_UNSUPPORTED, "big-endian");
    head(&b, 1, 0, 0);
    refused(&b, ERR_UNSUPPORTED, "GGUF version 1");
    head(&b, 4, 0, 0);
    refused(&b, ERR_UNSUPPORTED, "GGUF version 4");
    buf_reset(&b);
    buf_append_str(&b, "GGML");
    refused(&b, ERR_FORMAT, "not a GGUF file");
    buf_release(&b);
}

static void hostile_counts_are_refused(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    head(&b, 3, UINT64_MAX, 0);
    refused(&b, ERR_FORMAT, "claims 18446744073709551615 tensors");
    head(&b, 3, 0, UINT64_MAX);
    refused(&b, ERR_FORMAT, "claims 18446744073709551615 metadata values");
    head(&b, 3, 0, 1);
    put(&b, UINT64_MAX, 8); /* the key's length */
    fill(&b, 100);
    refused(&b, ERR_FORMAT, "a metadata key of 18446744073709551615 bytes");
    head(&b, 3, 0, 1);
    value(&b, "k", GGUF_STRING);
    put(&b, 1000, 8);
    refused(&b, ERR_FORMAT, "the file ends inside its header");
    head(&b, 3, 0, 1);
    value(&b, "k", GGUF_ARRAY);
    put(&b, GGUF_U64, 4);
    put(&b, UINT64_MAX / 4, 8);
    refused(&b, ERR_FORMAT, "k: an array of 4611686018427387903 elements, at most 67108864");
    head(&b, 3, 0, 1);
    value(&b, "k", GGUF_ARRAY);
    put(&b, GGUF_U64, 4);
    put(&b, 1000, 8);
    refused(&b, ERR_FORMAT, "the file ends inside its header");
    head(&b, 3, 0, 1);
    value(&b, "k", GGUF_STRING);
    put(&b, (16 << 20) + 1, 8);
    refused(&b, ERR_FORMAT, "k of 16777217 bytes, at most 16777216");
    head(&b, 3, 0, 1);
    value(&b, "k", GGUF_ARRAY);
    put(&b, GGUF_STRING, 4);
    put(&b, 60000000, 8);
    refused(&b, ERR_FORMAT, "the file ends inside its header");
    buf_release(&b);
}

static void hostile_values_are_refused(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    head(&b, 3, 0, 1);
    value(&b, "key", 13);
    fill(&b, 64);
    refused(&b, ERR_FORMAT, "key: value type 13 does not exist");
    head(&b, 3, 0, 1);
    value(&b, "key", GGUF_ARRAY);
    put(&b, 99, 4);
    put(&b, 1, 8);
    refused(&b, ERR_FORMAT, "key: value type 99 does not exist");
    head(&b, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        value(&b, "key", GGUF_U8);
        put(&b, 1, 1);
    }
    refused(&b, ERR_FORMAT, "metadata key key appears twice");
    head(&b, 3, 0, 1);
    value(&b, "key", GGUF_ARRAY);
    for (int i = 0; i < 10; i++) {
        put(&b, GGUF_ARRAY, 4);
        put(&b, 1, 8);
    }
    refused(&b, ERR_FORMAT, "key: arrays nested deeper than 4");
    head(&b, 3, 0, 1);
    value(&b, "key", GGUF_STRING);
    put(&b, 3, 8);
    buf_append(&b, "a\0b", 3);
    refused(&b, ERR_FORMAT, "key contains a NUL");
    head(&b, 3, 0, 1);
    value(&b, "general.alignment", GGUF_U32);
    put(&b, 48, 4);
    refused(&b, ERR_FORMAT, "general.alignment: 48 is not a power of two");
    head(&b, 3, 0, 1);
    value(&b, "general.alignment", GGUF_U32);
    put(&b, 0, 4);
    refused(&b, ERR_FORMAT, "general.alignment: not an integer from 1");
    buf_release(&b);
}

static void hostile_tensors_are_refused(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    head(&b, 3, 1, 0);
    tensor(&b, "w", 1000, 0, 0);
    fill(&b, 128);
    refused(&b, ERR_FORMAT, "tensor w: 4000 bytes at offset 0 lie outside");
    head(&b, 3, 1, 0);
    tensor(&b, "w", 4, 0, UINT64_MAX - 31);
    fill(&b, 256);
    refused(&b, ERR_FORMAT, "lie outside");
    head(&b, 3, 1, 0);
    tensor(&b, "w", 4, 0, 4);
    fill(&b, 256);
    refused(&b, ERR_FORMAT, "tensor w: offset 4 is not aligned to 32");
    head(&b, 3, 1, 0);
    tensor(&b, "w", 33, 8, 0);
    fill(&b, 256);
    refused(&b, ERR_FORMAT, "rows of 33 elements are no multiple of Q8_0's block of 32");
    head(&b, 3, 1, 0);
    tensor(&b, "w", UINT64_MAX, 0, 0);
    fill(&b, 256);
    refused(&b, ERR_FORMAT, "its shape overflows");
    head(&b, 3, 1, 0);
    tensor(&b, "w", INT64_MAX, 27, 0);
    fill(&b, 256);
    refused(&b, ERR_FORMAT, "its size overflows");
    head(&b, 3, 2, 0);
    tensor(&b, "w", 4, 0, 0);
    tensor(&b, "w", 4, 0, 32);
    fill(&b, 256);
    refused(&b, ERR_FORMAT, "tensor w appears twice");
    head(&b, 3, 2, 0);
    tensor(&b, "v", 16, 0, 0);
    tensor(&b, "w", 4, 0, 32);
    fill(&b, 256);
    refused(&b, ERR_FORMAT, "tensor v overlaps tensor w");
    head(&b, 3, 1, 0);
    put_str(&b, "w");
    put(&b, 5, 4);
    fill(&b, 256);
    refused(&b, ERR_FORMAT, "tensor w: 5 dimensions");
    buf_release(&b);
}

/* ComfyUI-GGUF's shapes: taken where they fit, else an error. */
static void shapes_in_the_metadata_are_restored(void **state)
{
    static const struct {
        int64_t dim[3];
        int n;
        bool fits;
    } rows[] = {{{4, 3, 8}, 3, true},  {{96, 1, 1}, 3, true},    {{96}, 1, true},
                {{4, 3, 7}, 3, false}, {{-4, -24, 1}, 3, false}, {{0, 96, 1}, 3, false},
                {{96, 1, 1}, 0, false}};
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gguf g;
        struct err e = {0};
        head(&b, 3, 1, 2);
        value(&b, GGUF_SHAPE_KEY "w", GGUF_ARRAY);
        put(&b, GGUF_I32, 4);
        put(&b, (uint64_t)rows[i].n, 8);
        for (int k = 0; k < rows[i].n; k++)
            put(&b, (uint64_t)rows[i].dim[k], 4);
        value(&b, GGUF_SHAPE_KEY "another", GGUF_U8);
        put(&b, 1, 1);
        tensor(&b, "w", 96, 8, 0);
        fill(&b, 512);
        if (!rows[i].fits) {
            refused(&b, ERR_FORMAT, "orig_shape.w is no shape for the tensor");
            continue;
        }
        assert_ok(gguf_parse(&g, b.data, b.len, &e), e);
        assert_int_equal(g.tensors[0].n_dim, rows[i].n);
        assert_memory_equal(g.tensors[0].dim, rows[i].dim, (size_t)rows[i].n * sizeof(int64_t));
        assert_int_equal(g.tensors[0].size, 3 * 34);
        gguf_release(&g);
    }
    buf_release(&b);
}

static void unknown_types_reach_to_the_next_tensor(void **state)
{
    struct gguf g;
    struct buf b;
    struct err e = {0};
    (void)state;
    buf_init(&b, 1 << 20);
    head(&b, 2, 2, 0);
    tensor(&b, "v", 1000, 77, 0);
    tensor(&b, "w", 4, 0, 64);
    fill(&b, (b.len + 31) / 32 * 32 + 64 + 16);
    assert_ok(gguf_parse(&g, b.data, b.len, &e), e);
    assert_int_equal(g.tensors[0].type, DTYPE_OTHER);
    assert_string_equal(g.tensors[0].type_name, "ggml type 77");
    assert_int_equal(g.tensors[0].size, 64);
    gguf_release(&g);
    buf_release(&b);
}

static void every_truncation_is_refused(void **state)
{
    const struct sample *s = *state;
    struct gguf g;
    size_t end = (size_t)(s->g.tensors[4].data - s->map.data) + s->g.tensors[4].size;
    for (size_t n = 0; n < end; n++) {
        struct err e = {0};
        unsigned char *copy = mem_alloc(n);
        memcpy(copy, s->map.data, n); /* a heap copy: reading behind it is seen */
        assert_int_not_equal(gguf_parse(&g, copy, n, &e), 0);
        free(copy);
    }
}

static void written_files_are_read(void **state)
{
    static const char *const strings[] = {"x", "yy"};
    struct file_tensor t[3] = {
        {.name = "a", .type = DTYPE_F32, .type_name = "F32", .n_dim = 2, .dim = {1, 3}, .size = 12},
        {.name = "b", .type = DTYPE_OTHER, .type_name = "I64", .n_dim = 1, .dim = {1}, .size = 8},
        {.name = "c", .type = DTYPE_OTHER, .type_name = "U7", .n_dim = 1, .dim = {1}, .size = 8}};
    struct gguf_writer w;
    struct file_writer f;
    struct file_map m;
    struct gguf g;
    struct err e = {0};
    char *dir = test_temp_dir(), *path = file_join(dir, "x.gguf");
    (void)state;
    gguf_writer_init(&w);
    gguf_put_str(&w, "s", "text");
    gguf_put_u32(&w, "u", 7);
    gguf_put_strs(&w, "l", strings, 2);
    assert_ok(gguf_put_tensor(&w, &t[0], &e), e);
    assert_ok(gguf_put_tensor(&w, &t[1], &e), e);
    assert_int_equal(gguf_put_tensor(&w, &t[2], &e), ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "GGUF has no type U7"));
    e = (struct err){0};
    assert_ok(file_writer_open(&f, path, &e), e);
    assert_ok(gguf_write_header(&w, &f, &e), e);
    gguf_write(&w, &f, "aaaabbbb", 8);
    gguf_write(&w, &f, "cccc", 4);
    gguf_write_end(&w, &f);
    gguf_write(&w, &f, "ddddeeee", 8);
    gguf_write_end(&w, &f);
    gguf_writer_release(&w);
    assert_ok(file_writer_commit(&f, &e), e);
    assert_ok(file_map_open(&m, path, &e), e);
    assert_ok(gguf_parse(&g, m.data, m.size, &e), e);
    assert_int_equal(g.n_tensors, 2);
    assert_int_equal(g.tensors[0].dim[1], 3);
    assert_memory_equal(g.tensors[0].data, "aaaabbbbcccc", 12);
    assert_memory_equal(g.tensors[1].data, "ddddeeee", 8);
    assert_string_equal(g.tensors[1].type_name, "I64");
    assert_string_equal(gguf_str(&g, "s"), "text");
    gguf_release(&g);
    file_map_close(&m);
    free(path);
    free(dir);
}

/* Real vocabularies of llama.cpp: hundreds of thousands of strings. */
static void real_files_are_read(void **state)
{
    struct file_map m;
    struct gguf g;
    struct arena arena = {0};
    struct err e = {0};
    const char **tokens;
    size_t n;
    (void)state;
    char *path = test_shared("gguf-vocab/ggml-vocab-gpt-2.gguf");
    if (!path)
        test_skip("the shared vocabularies are absent");
    assert_ok(file_map_open(&m, path, &e), e);
    assert_ok(gguf_parse(&g, m.data, m.size, &e), e);
    assert_ok(gguf_strings(&g, "tokenizer.ggml.tokens", &arena, &tokens, &n, &e), e);
    assert_int_equal(n, 50257);
    assert_string_equal(tokens[50256], "<|endoftext|>");
    free(tokens);
    arena_release(&arena);
    gguf_release(&g);
    file_map_close(&m);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_value_type_is_read, open_sample, close_sample),
        cmocka_unit_test_setup_teardown(wrong_values_are_named, open_sample, close_sample),
        cmocka_unit_test_setup_teardown(arrays_are_read, open_sample, close_sample),
        cmocka_unit_test_setup_teardown(tensors_are_read, open_sample, close_sample),
        cmocka_unit_test_setup_teardown(every_truncation_is_refused, open_sample, close_sample),
        cmocka_unit_test(foreign_versions_are_refused),
        cmocka_unit_test(hostile_counts_are_refused),
        cmocka_unit_test(hostile_values_are_refused),
        cmocka_unit_test(hostile_tensors_are_refused),
        cmocka_unit_test(shapes_in_the_metadata_are_restored),
        cmocka_unit_test(unknown_types_reach_to_the_next_tensor),
        cmocka_unit_test(written_files_are_read),
        cmocka_unit_test(real_files_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
