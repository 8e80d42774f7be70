/* pytorch_test.c - files that torch.save() wrote (tools/reference/pytorch.py) give their tensors;
 * what asks for more than tensors, is cut short or lies is refused. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/pytorch.h"
#include "tensor/quant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sample {
    struct file_map map;
    struct pytorch p;
};

static void open_map(struct sample *s, const char *name)
{
    struct err e = {0};
    char file[64];
    snprintf(file, sizeof(file), "pytorch/%s", name);
    char *path = test_data(file);
    assert_ok(file_map_open(&s->map, path, &e), e);
    free(path);
}

static void open_sample(struct sample *s, const char *name)
{
    struct err e = {0};
    open_map(s, name);
    assert_true(pytorch_probe(s->map.data, s->map.size));
    assert_ok(pytorch_parse(&s->p, s->map.data, s->map.size, &e), e);
}

static void close_sample(struct sample *s)
{
    pytorch_release(&s->p);
    file_map_close(&s->map);
}

static const struct file_tensor *find(const struct sample *s, const char *name)
{
    for (size_t i = 0; i < s->p.n; i++)
        if (strcmp(s->p.tensors[i].name, name) == 0)
            return &s->p.tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

/* A tensor of the values -1, -0.75, ... from the given one on. */
static void check(const struct sample *s, const char *name, const char *type, int64_t rows,
                  int64_t cols, int first)
{
    const struct file_tensor *t = find(s, name);
    float x[64];
    assert_string_equal(t->type_name, type);
    assert_int_equal(t->n_dim, rows ? 2 : 1);
    assert_int_equal(t->dim[t->n_dim - 1], cols);
    if (rows)
        assert_int_equal(t->dim[0], rows);
    int64_t n = (rows ? rows : 1) * cols;
    assert_int_equal(t->size, dtype_row_size(t->type, n));
    quant_to_f32(t->type, t->data, x, n);
    for (int i = 0; i < n; i++)
        assert_true(x[i] == (float)(first + i) / 4 - 1);
}

static void every_form_of_file_is_read(void **state)
{
    static const char *const names[] = {"new.ckpt", "old.ckpt", "repacked.ckpt"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct sample s;
        open_sample(&s, names[i]);
        assert_int_equal(s.p.n, 11);
        check(&s, "a.weight", "F32", 3, 4, 0);
        check(&s, "b.half", "F16", 2, 3, 0);
        check(&s, "b.tied", "F16", 2, 3, 0);
        assert_ptr_equal(find(&s, "b.half")->data, find(&s, "b.tied")->data);
        check(&s, "c.bf16", "BF16", 0, 5, 0);
        check(&s, "d.view", "F32", 2, 6, 8);
        check(&s, "f.parameter", "F32", 0, 3, 0);
        assert_int_equal(find(&s, "e.turned")->type, DTYPE_OTHER);
        assert_string_equal(find(&s, "e.turned")->type_name, "F32 out of order");
        assert_string_equal(find(&s, "g.long")->type_name, "I64");
        assert_int_equal(find(&s, "g.long")->data[8], 2);
        assert_int_equal(find(&s, "h.scalar")->n_dim, 0);
        assert_int_equal(find(&s, "i.empty")->size, 0);
        assert_int_equal(find(&s, "j.int")->type, DTYPE_I32);
        /* stored bytes are used in place */
        const unsigned char *p = find(&s, "a.weight")->data;
        bool inside = p >= s.map.data && p < s.map.data + s.map.size;
        assert_int_equal(inside, i != 2);
        close_sample(&s);
    }
}

static void wrappers_and_nesting_are_understood(void **state)
{
    struct sample s;
    (void)state;
    open_sample(&s, "ema.pth");
    assert_int_equal(s.p.n, 1);
    check(&s, "w", "F32", 0, 3, 0); /* the averaged weights */
    close_sample(&s);
    open_sample(&s, "embedding.pt");
    check(&s, "string_to_param.*", "F32", 2, 4, 0);
    close_sample(&s);
    open_sample(&s, "bare.pt");
    check(&s, "tensor", "F32", 0, 4, 0);
    close_sample(&s);
}

static void fails(const void *data, size_t n, int code, const char *part)
{
    struct pytorch p;
    struct err e = {0};
    pytorch_parse(&p, data, n, &e);
    assert_err(e, code, part);
    assert_null(p.tensors);
}

static void code_is_never_run(void **state)
{
    static const struct {
        const char *name, *part;
    } rows[] = {{"evil.pth", "asks for posix.system, which no tensor needs"},
                {"module.pth", "asks for torch.nn.modules.linear.Linear"}};
    (void)state;
    remove("/tmp/lar-was-here");
    for (size_t i = 0; i < 2; i++) {
        struct sample s;
        open_map(&s, rows[i].name);
        fails(s.map.data, s.map.size, ERR_UNSUPPORTED, rows[i].part);
        file_map_close(&s.map);
    }
    assert_false(file_exists("/tmp/lar-was-here"));
}

/* Every length that is too short is refused. */
static void every_truncation_is_refused(void **state)
{
    static const char *const names[] = {"new.ckpt", "old.ckpt", "repacked.ckpt"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct sample s;
        open_map(&s, names[i]);
        for (size_t n = 16; n < s.map.size; n++) {
            unsigned char *copy = mem_alloc(n); /* its end is guarded by sanitizers */
            struct pytorch p;
            struct err e = {0};
            memcpy(copy, s.map.data, n);
            if (pytorch_parse(&p, copy, n, &e) == 0)
                fail_msg("%s: %zu of %zu bytes are enough", names[i], n, s.map.size);
            assert_true(e.code && e.text[0]);
            free(copy);
        }
        file_map_close(&s.map);
    }
}

/* One changed byte anywhere is an error or harmless: every byte of every tensor can be read. */
static void every_changed_byte_is_survived(void **state)
{
    static const char *const names[] = {"new.ckpt", "old.ckpt", "repacked.ckpt"};
    volatile unsigned sum = 0;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct sample s;
        open_map(&s, names[i]);
        unsigned char *copy = mem_alloc(s.map.size);
        memcpy(copy, s.map.data, s.map.size);
        for (size_t at = 0; at < s.map.size; at++) {
            struct pytorch p;
            struct err e = {0};
            copy[at] ^= 0x55;
            if (pytorch_parse(&p, copy, s.map.size, &e) == 0)
                for (size_t k = 0; k < p.n; k++)
                    for (size_t j = 0; j < p.tensors[k].size; j++)
                        sum += p.tensors[k].data[j];
            pytorch_release(&p);
            copy[at] ^= 0x55;
        }
        free(copy);
        file_map_close(&s.map);
    }
    (void)sum;
}

static void allocations_may_fail(void **state)
{
    static const char *const names[] = {"new.ckpt", "old.ckpt", "repacked.ckpt"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct sample s;
        int rc = ERR_NOMEM;
        open_map(&s, names[i]);
        for (long n = 1; rc; n++) {
            struct err e = {0};
            mem_fail_nth(n);
            rc = pytorch_parse(&s.p, s.map.data, s.map.size, &e);
            mem_fail_nth(0);
            assert_int_equal(rc, rc ? ERR_NOMEM : 0);
        }
        close_sample(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_file_is_read),
        cmocka_unit_test(wrappers_and_nesting_are_understood),
        cmocka_unit_test(code_is_never_run),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_changed_byte_is_survived),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
