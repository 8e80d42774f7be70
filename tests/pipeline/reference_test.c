/* reference_test.c - reference pictures of a request: what is seen together, and what is refused.
 * What they do to pictures is compared with diffusers in imagine_test.c.
 */
#include "pipeline/reference.h"

#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "pipeline/image_model.h"
#include "support/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct image_model *m;
static struct checkpoint *plain, *plus, *xl, *encoder;
static struct backend *b;
static struct picture picture;

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *path = model_write("sd15", "sd15", o, false);
    assert_ok(image_model_open(&m, path, &e), e);
    assert_ok(cpu_backend_new(&b, 1, NULL, &e), e);
    assert_ok(picture_alloc(&picture, 40, 30, 4, "a picture", &e), e);
    plain = model_open_part("ip-plain-sd15", "ip_adapter");
    plus = model_open_part("ip-plus-sd15", "ip_adapter");
    xl = model_open_part("ip-plus-sdxl", "ip_adapter");
    encoder = model_open_part("ip-plain-sd15", "image_encoder");
    free(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    image_model_close(m);
    checkpoint_close(plain);
    checkpoint_close(plus);
    checkpoint_close(xl);
    checkpoint_close(encoder);
    backend_free(b);
    picture_release(&picture);
    return 0;
}

static int try_open(struct references *x, const struct imagine_reference *r, int n, bool guided,
                    struct err *e)
{
    struct reference_request q = {m, r, n, guided, DTYPE_F32, NULL};
    *e = (struct err){0};
    return references_open(x, b, &q, e);
}

static void refused(const struct checkpoint *adapter, const struct checkpoint *enc, double weight,
                    int code, const char *part)
{
    struct imagine_reference r = {adapter, enc, &picture, weight};
    struct references x;
    struct err e;
    assert_int_equal(try_open(&x, &r, 1, true, &e), code);
    assert_err(e, code, part);
    references_release(&x);
}

/* A file with a FaceID adapter's tensors. */
static struct checkpoint *face_id(void)
{
    static const char manifest[] = "#config ip_adapter {}\n"
                                   "ip_adapter.image_proj.proj.0.weight 16 512\n"
                                   "ip_adapter.image_proj.norm.weight 8\n"
                                   "ip_adapter.ip_adapter.0.to_q_lora.down.weight 4 32\n"
                                   "ip_adapter.ip_adapter.1.to_k_ip.weight 32 8\n";
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    struct err e = {0};
    char *dir = test_temp_dir(), *path = file_join(dir, "manifest.txt");
    FILE *out = fopen(path, "w");
    fputs(manifest, out);
    fclose(out);
    assert_ok(hash_checkpoint_write(path, dir, &o, &e), e);
    char *folder = file_join(dir, "ip_adapter");
    struct checkpoint *c = model_open(folder);
    free(folder);
    free(path);
    free(dir);
    return c;
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    struct checkpoint *faces = face_id();
    refused(plain, encoder, (double)NAN, ERR_ARG, "weight");
    refused(xl, encoder, 1, ERR_ARG, "another family");
    refused(encoder, encoder, 1, ERR_FORMAT, "is no IP-Adapter");
    refused(plain, plus, 1, ERR_ARG, "is not the image encoder of");
    refused(faces, encoder, 1, ERR_UNSUPPORTED, "insightface");
    checkpoint_close(faces);
}

static void equal_weights_are_seen_together(void **state)
{
    (void)state;
    struct references x;
    struct err e;
    struct imagine_reference r[] = {{plain, encoder, &picture, 0.5},
                                    {plus, encoder, &picture, 0.5},
                                    {plain, encoder, &picture, 0.5},
                                    {plain, encoder, &picture, 0},
                                    {plain, encoder, &picture, 0.7}};
    assert_ok(try_open(&x, r, 5, true, &e), e);
    assert_int_equal(x.n_adapters, 2);
    assert_int_equal(x.n, 3);
    assert_int_equal(x.groups[0].n, 2);
    assert_int_equal(x.groups[0].n_token, 4);
    assert_int_equal(x.groups[1].n, 1);
    assert_int_equal(x.groups[1].n_token, 6);
    assert_true(x.groups[2].weight == 0.7);
    size_t one = 4 * (size_t)x.adapters[0].net.n_context * sizeof(float);
    assert_memory_equal(x.groups[0].tokens, (char *)x.groups[0].tokens + one, one);
    assert_true(memcmp(x.groups[0].tokens, x.groups[0].none, one) != 0);
    references_release(&x);
    assert_ok(try_open(&x, r, 1, false, &e), e);
    assert_null(x.groups[0].none);
    references_release(&x);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct imagine_reference r = {plus, encoder, &picture, 1};
    int n = 0, rc;
    do {
        struct references x;
        struct err e;
        mem_fail_nth(++n);
        rc = try_open(&x, &r, 1, true, &e);
        mem_fail_nth(0);
        if (rc)
            assert_int_equal(rc, ERR_NOMEM);
        references_release(&x);
    } while (rc);
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(equal_weights_are_seen_together),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
