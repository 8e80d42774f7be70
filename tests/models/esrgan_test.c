/* esrgan_test.c - the upscalers against PyTorch, stage by stage, on tiny checkpoints of hash
 * weights; older files' names; the trained realesr-animevideov3 on a part of a photograph.
 */
#include "models/esrgan.h"

#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "support/hash_checkpoint.h"
#include "support/stages.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tiny model as a folder, or with `map` as a file of older names; heap. */
static char *write_model(const char *variant, const char *map)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    struct err e = {0};
    char *dir = test_temp_dir(), name[64];
    snprintf(name, sizeof(name), "manifests/%s.txt", variant);
    char *manifest = test_data(name);
    snprintf(name, sizeof(name), "manifests/%s.ldm.txt", map ? map : "");
    char *map_path = map ? test_data(name) : NULL,
         *out = map ? file_join(dir, "x.safetensors") : mem_strdup(dir);
    o.map = map_path;
    assert_ok(hash_checkpoint_write(manifest, out, &o, &e), e);
    char *path = map ? mem_strdup(out) : file_join(out, "upscaler");
    free(map_path);
    free(manifest);
    free(out);
    free(dir);
    return path;
}

static void check(const char *variant, const char *map, int scale, enum dtype type, int stages)
{
    double tolerance = type == DTYPE_F32 ? 1e-4 : 2e-2;
    struct checkpoint *file, *ref = stages_open(variant);
    struct backend *b;
    struct esrgan m;
    struct err e = {0};
    char *path = write_model(variant, map);
    assert_ok(checkpoint_open(&file, path, &e), e);
    assert_ok(esrgan_open(&m, file, &e), e);
    assert_int_equal(m.scale, scale);
    assert_ok(cpu_backend_new(&b, 2, NULL, &e), e);
    struct tape *t = tape_new(type);
    struct tensor *x = stages_input(t, ref, "input.picture");
    struct tensor *out = tape_keep(t, op_cast(t, esrgan_forward(t, &m, x), DTYPE_F32));
    assert_ok(tape_plan(t, &e), e);
    stages_fill(x, ref, "input.picture");
    assert_int_equal(stages_run(t, b, ref, tolerance), stages);
    stages_compare(out, ref, "output.picture", tolerance);
    tape_free(t);
    backend_free(b);
    esrgan_close(&m);
    checkpoint_close(file);
    checkpoint_close(ref);
    free(path);
}

static void every_stage_equals_the_reference(void **state)
{
    static const enum dtype types[] = {DTYPE_F32, DTYPE_BF16};
    (void)state;
    for (int i = 0; i < 2; i++) {
        check("esrgan-x4", NULL, 4, types[i], 13);
        check("esrgan-x2", NULL, 2, types[i], 9);
        check("srvgg-x4", NULL, 4, types[i], 5);
        check("srvgg-x3", NULL, 3, types[i], 4);
    }
}

static void older_names_are_understood(void **state)
{
    (void)state;
    check("esrgan-x4", "esrgan-x4-2018", 4, DTYPE_F32, 13);
    check("esrgan-x4", "esrgan-x4-2019", 4, DTYPE_F32, 13);
}

static void other_models_are_refused(void **state)
{
    struct checkpoint *file;
    struct esrgan m;
    struct err e = {0};
    (void)state;
    char *manifest = test_data("manifests/taesd.txt"), *dir = test_temp_dir();
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    assert_ok(hash_checkpoint_write(manifest, dir, &o, &e), e);
    char *path = file_join(dir, "vae");
    assert_ok(checkpoint_open(&file, path, &e), e);
    esrgan_open(&m, file, &e);
    assert_err(e, ERR_FORMAT, "no upscaler that is known");
    checkpoint_close(file);
    free(path);
    free(dir);
    free(manifest);
}

/* The trained network, 8 bits: at most one level beside PyTorch, where it rounds otherwise. */
static void the_trained_network_draws_what_pytorch_draws(void **state)
{
    struct checkpoint *file, *ref;
    struct backend *b;
    struct esrgan m;
    struct err e = {0};
    int off = 0;
    (void)state;
    char *weights = test_shared("weights/realesrgan/realesr-animevideov3.pth");
    if (!weights) {
        test_skip("the shared weights of Real-ESRGAN are absent");
        return;
    }
    char *path = test_data("models/esrgan_real.safetensors");
    assert_ok(checkpoint_open(&ref, path, &e), e);
    assert_ok(checkpoint_open(&file, weights, &e), e);
    assert_ok(esrgan_open(&m, file, &e), e);
    assert_int_equal(m.scale, 4);
    assert_int_equal(m.reach, 18);
    assert_ok(cpu_backend_new(&b, 2, NULL, &e), e);
    const struct ckpt_tensor *photo = checkpoint_find(ref, "photo");
    const struct ckpt_tensor *want = checkpoint_find(ref, "picture");
    struct tape *t = tape_new(DTYPE_F32);
    struct tensor *x = tape_input(t, DTYPE_F32, "picture", 4,
                                  (int64_t[]){1, photo->dim[0], photo->dim[1], 3});
    struct tensor *out = tape_keep(t, esrgan_forward(t, &m, x));
    assert_ok(tape_plan(t, &e), e);
    for (int64_t i = 0; i < tensor_n(x); i++)
        ((float *)x->data)[i] = (float)((const unsigned char *)photo->data)[i] / 255;
    assert_ok(tape_run(t, b, &e), e);
    assert_int_equal(tensor_n(out), want->size);
    for (int64_t i = 0; i < tensor_n(out); i++) {
        double y = fmin(fmax((double)((const float *)out->data)[i], 0), 1) * 255;
        double d = fabs(rint(y) - ((const unsigned char *)want->data)[i]);
        assert_true(d <= 1);
        off += d > 0;
    }
    assert_true(off < tensor_n(out) / 1000);
    tape_free(t);
    backend_free(b);
    esrgan_close(&m);
    checkpoint_close(file);
    checkpoint_close(ref);
    free(path);
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stage_equals_the_reference),
        cmocka_unit_test(older_names_are_understood),
        cmocka_unit_test(other_models_are_refused),
        cmocka_unit_test(the_trained_network_draws_what_pytorch_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
