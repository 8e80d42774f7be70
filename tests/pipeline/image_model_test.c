/* image_model_test.c - what a model file says about itself, damaged files, other types and formats,
 * and a model with a tiny autoencoder.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/convert.h"
#include "format/picture.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"
#include "support/model.h"
#include "support/tamper.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 64

static char *write_model(const char *name, enum dtype type, bool ldm)
{
    struct hash_checkpoint_options o = {.type = type, .n_shards = 1};
    return model_write(name, ldm ? "model.safetensors" : "model", o, ldm);
}

static struct image_model *open_model(const char *path)
{
    struct err e = {0};
    struct image_model *m;
    assert_ok(image_model_open(&m, path, &e), e);
    return m;
}

static int keep(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    (void)i, (void)seed;
    assert_int_equal(p->width * p->height, SIDE * SIDE);
    memcpy(ctx, p->data, (size_t)SIDE * SIDE * 3);
    return 0;
}

static int draw(struct image_model *m, unsigned char *out, struct err *e)
{
    struct imagine_request r;
    struct backend *b;
    assert_ok(cpu_backend_new(&b, 2, NULL, e), *e);
    imagine_init(&r, m, NULL);
    r.prompt = "a lighthouse";
    r.width = r.height = SIDE;
    r.steps = 2;
    r.guidance = 3;
    r.seed = 5;
    r.on_picture = keep;
    r.ctx = out;
    int rc = imagine(m, b, &r, e);
    backend_free(b);
    return rc;
}

static void draw_file(const char *path, unsigned char *out)
{
    struct err e = {0};
    struct image_model *m = open_model(path);
    assert_ok(draw(m, out, &e), e);
    image_model_close(m);
}

static double psnr(const unsigned char *a, const unsigned char *b)
{
    double sum = 0;
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        sum += pow((double)a[i] - (double)b[i], 2);
    return sum > 0 ? 10 * log10(255.0 * 255 * SIDE * SIDE * 3 / sum) : INFINITY;
}

static void families(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum image_family family;
        enum prediction prediction;
        int side;
    } rows[] = {{"sd15", IMAGE_SD1, PREDICTION_EPSILON, 512},
                {"sd21", IMAGE_SD2, PREDICTION_V, 768},
                {"sdxl", IMAGE_SDXL, PREDICTION_EPSILON, 1024}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *path = write_model(rows[i].name, DTYPE_F16, false);
        struct image_model *m = open_model(path);
        assert_int_equal(m->family, rows[i].family);
        assert_int_equal(m->schedule.prediction, rows[i].prediction);
        assert_int_equal(m->defaults.width, rows[i].side);
        assert_int_equal(m->defaults.height, rows[i].side);
        assert_int_equal(m->distilled.kind, DISTILLED_NOT);
        char *name = image_model_name(m);
        assert_string_equal(name, "model");
        free(name);
        image_model_close(m);
        free(path);
    }
}

/* Turbo models are told by their scheduler, whatever the folder is called. */
static void turbo(void **state)
{
    (void)state;
    char *path = write_model("sd-turbo", DTYPE_F16, false);
    struct image_model *m = open_model(path);
    assert_int_equal(m->family, IMAGE_SD2);
    assert_int_equal(m->distilled.kind, DISTILLED_TURBO);
    assert_int_equal(m->defaults.steps, 4);
    assert_true(m->defaults.guidance <= 1);
    assert_int_equal(m->defaults.sampler, SAMPLER_EULER);
    assert_int_equal(m->defaults.schedule, SCHEDULE_TRAILING);
    assert_int_equal(m->defaults.width, 512);
    image_model_close(m);
    free(path);
}

/* A single SD 2.x file: what is predicted is told by the spread of one bias, or by its metadata. */
/* A single file says in its name what it is. */
static void distilled_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum distilled_kind kind;
        enum prediction prediction;
        int steps, side;
    } rows[] = {
        {"sdxl_lightning_2step.safetensors", DISTILLED_LIGHTNING, PREDICTION_EPSILON, 2, 1024},
        {"sdxl_lightning_1step_x0.safetensors", DISTILLED_LIGHTNING, PREDICTION_SAMPLE, 1, 1024},
        {"sdxl_turbo.safetensors", DISTILLED_TURBO, PREDICTION_EPSILON, 4, 512},
    };
    char *path = write_model("sdxl", DTYPE_F16, true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *to = mem_printf("%.*s%s", (int)(strrchr(path, '/') - path + 1), path, rows[i].name);
        assert_int_equal(rename(path, to), 0);
        struct image_model *m = open_model(to);
        assert_int_equal(m->distilled.kind, rows[i].kind);
        assert_int_equal(m->schedule.prediction, rows[i].prediction);
        assert_int_equal(m->schedule.spacing, SPACING_TRAILING);
        assert_int_equal(m->defaults.steps, rows[i].steps);
        assert_int_equal(m->defaults.width, rows[i].side);
        image_model_close(m);
        assert_int_equal(rename(to, path), 0);
        free(to);
    }
    free(path);
}

static void v_prediction_without_configuration(void **state)
{
    (void)state;
    static const char bias[] = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1"
                               ".bias";
    /* Hash weights spread 0.1 / sqrt 3 = 0.058. */
    static const struct {
        double factor;
        const char *said;
        enum prediction want;
    } rows[] = {{1, NULL, PREDICTION_EPSILON},
                {3, NULL, PREDICTION_V},
                {3, "epsilon", PREDICTION_EPSILON},
                {1, "v", PREDICTION_V}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *path = write_model("sd21", DTYPE_F16, true);
        tamper_values(path, bias, -1, rows[i].factor, 0);
        if (rows[i].said)
            tamper_metadata(path, "modelspec.prediction_type", rows[i].said);
        struct image_model *m = open_model(path);
        assert_int_equal(m->family, IMAGE_SD2);
        assert_int_equal(m->schedule.prediction, rows[i].want);
        assert_int_equal(m->defaults.width, rows[i].want == PREDICTION_V ? 768 : 512);
        image_model_close(m);
        free(path);
    }
}

/* A mean far from zero is no spread, and SD 1.x is always epsilon. */
static void only_the_spread_of_sd2_counts(void **state)
{
    (void)state;
    static const char bias[] = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1"
                               ".bias";
    static const char *const models[] = {"sd21", "sd15"};
    for (int i = 0; i < 2; i++) {
        char *path = write_model(models[i], DTYPE_F16, true);
        tamper_values(path, bias, -1, i ? 5 : 1, 0.5);
        struct image_model *m = open_model(path);
        assert_int_equal(m->schedule.prediction, PREDICTION_EPSILON);
        image_model_close(m);
        free(path);
    }
}

static char *component_file(const char *folder, const char *component)
{
    const char *file = strncmp(component, "text", 4) == 0 ? "model" : "diffusion_pytorch_model";
    return mem_printf("%s/%s/%s.safetensors", folder, component, file);
}

static void copy_file(const char *from, const char *to)
{
    struct err e = {0};
    char *bytes;
    size_t size;
    assert_ok(file_read(from, (size_t)1 << 30, &bytes, &size, &e), e);
    FILE *f = fopen(to, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    free(bytes);
}

/* One damaged tensor: the model must be refused with its name. */
static void refuses(const char *folder, const struct hash_tensor *t, enum tamper how)
{
    struct err e = {0};
    struct image_model *m = NULL;
    char *component = mem_strndup(t->name, strcspn(t->name, "."));
    char *path = component_file(folder, component), *good = mem_printf("%s.good", path);
    copy_file(path, good);
    tamper_tensor(path, t->name + strlen(component) + 1, how);
    int rc = image_model_open(&m, folder, &e);
    if (rc != ERR_FORMAT || m || !strstr(e.text, t->name) || !strstr(e.text, folder))
        fail_msg("%s, damage %d: %d, \"%s\"", t->name, how, rc, e.text);
    if (how != TAMPER_REMOVE && !strstr(e.text, path))
        fail_msg("%s, damage %d does not name its file: %s", t->name, how, e.text);
    assert_int_equal(rename(good, path), 0);
    free(component);
    free(path);
    free(good);
}

/* A sample of a whole model's tensors, each damaged in one of the ways. */
static void damaged_tensors(void **state)
{
    (void)state;
    static const char *const models[] = {"sd15", "sdxl"};
    for (int i = 0; i < 2; i++) {
        struct err e = {0};
        struct hash_manifest list;
        char *manifest = model_manifest(models[i], ".txt");
        char *folder = write_model(models[i], DTYPE_F16, false);
        assert_ok(hash_manifest_open(&list, manifest, &e), e);
        for (size_t j = 0; j < list.n_tensors; j += i ? 29 : 7)
            refuses(folder, &list.tensors[j], (enum tamper)(j % 3));
        struct image_model *m = open_model(folder); /* every damage was repaired */
        image_model_close(m);
        hash_manifest_close(&list);
        free(manifest);
        free(folder);
    }
}

/* NaN and infinity in each component. */
static void weights_that_are_no_numbers(void **state)
{
    (void)state;
    static const char *const names[] = {
        "unet.conv_in.weight", "unet.up_blocks.3.resnets.2.conv2.bias",
        "text_encoder.text_model.final_layer_norm.weight", "vae.decoder.conv_out.weight",
        "vae.decoder.mid_block.resnets.0.norm1.weight"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct err e = {0};
        unsigned char pixels[SIDE * SIDE * 3];
        char *folder = write_model("sd15", DTYPE_F16, false);
        char *component = mem_strndup(names[i], strcspn(names[i], "."));
        char *path = component_file(folder, component);
        tamper_values(path, names[i] + strlen(component) + 1, 3, 1, (double)INFINITY);
        if (i % 2) /* 0 * infinity */
            tamper_values(path, names[i] + strlen(component) + 1, 3, 0, 0);
        struct image_model *m = open_model(folder);
        int rc = draw(m, pixels, &e);
        if (rc != ERR_NUMERIC)
            fail_msg("%s: %d", names[i], rc);
        assert_err(e, ERR_NUMERIC, names[i]);
        assert_err(e, ERR_NUMERIC, path);
        image_model_close(m);
        free(component);
        free(path);
        free(folder);
    }
}

static void element_types(void **state)
{
    (void)state;
    static const struct {
        enum dtype type;
        double least;
    } rows[] = {{DTYPE_F32, 40}, {DTYPE_BF16, 25}};
    unsigned char want[SIDE * SIDE * 3], got[SIDE * SIDE * 3];
    char *path = write_model("sd15", DTYPE_F16, false);
    draw_file(path, want);
    free(path);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        path = write_model("sd15", rows[i].type, false);
        draw_file(path, got);
        print_message("%s weights: %.1f dB from f16\n", dtype_name(rows[i].type), psnr(want, got));
        assert_true(psnr(want, got) >= rows[i].least);
        free(path);
    }
}

/* F16 GGUF is the same model bit for bit; Q8_0 a little less. */
static void converted_files(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        bool ldm;
        enum dtype type;
        double least;
    } rows[] = {{"sd15", false, DTYPE_F16, INFINITY}, {"sd15", false, DTYPE_Q8_0, 25},
                {"sd15", true, DTYPE_F16, INFINITY},  {"sdxl", false, DTYPE_Q8_0, 25},
                {"sdxl", true, DTYPE_Q8_0, 25},       {"sd21", true, DTYPE_F16, INFINITY}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err e = {0};
        unsigned char want[SIDE * SIDE * 3], got[SIDE * SIDE * 3];
        struct convert_options o = {.type = rows[i].type};
        char *path = write_model(rows[i].model, DTYPE_F16, rows[i].ldm);
        char *gguf = mem_printf("%s.gguf", path);
        struct checkpoint *c = model_open(path);
        assert_ok(convert_checkpoint(c, gguf, &o, &e), e);
        checkpoint_close(c);
        draw_file(path, want);
        draw_file(gguf, got);
        print_message("%s as %s: %.1f dB\n", rows[i].model, dtype_name(rows[i].type),
                      psnr(want, got));
        assert_true(psnr(want, got) >= rows[i].least);
        free(gguf);
        free(path);
    }
}

/* SD 1.5 whose VAE is an AutoencoderTiny. */
static void a_tiny_autoencoder(void **state)
{
    (void)state;
    struct err e = {0};
    unsigned char pixels[SIDE * SIDE * 3];
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *path = write_model("sd15", DTYPE_F16, false), *tiny = model_manifest("taesd", ".txt");
    char *file = component_file(path, "vae");
    assert_int_equal(remove(file), 0);
    assert_ok(hash_checkpoint_write(tiny, path, &o, &e), e);
    struct image_model *m = open_model(path);
    assert_true(m->tiny_vae);
    assert_int_equal(image_model_factor(m), 8);
    assert_int_equal(m->taesd.n_latent, 4);
    assert_ok(draw(m, pixels, &e), e);
    double sum = 0, sum2 = 0, n = SIDE * SIDE * 3;
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        sum += pixels[i], sum2 += (double)pixels[i] * pixels[i];
    assert_true(sum2 / n - sum / n * (sum / n) > 100); /* not one colour */
    image_model_close(m);
    free(file);
    free(tiny);
    free(path);
}

static void parts_that_are_absent(void **state)
{
    (void)state;
    static const char *const rows[] = {"unet", "vae", "text_encoder"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err e = {0};
        struct image_model *m;
        char *folder = write_model("sd15", DTYPE_F16, false);
        char *file = component_file(folder, rows[i]);
        assert_int_equal(remove(file), 0);
        assert_true(image_model_open(&m, folder, &e) < 0);
        assert_null(m);
        assert_err(e, e.code, rows[i]);
        free(file);
        free(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families),
        cmocka_unit_test(turbo),
        cmocka_unit_test(distilled_by_name),
        cmocka_unit_test(v_prediction_without_configuration),
        cmocka_unit_test(only_the_spread_of_sd2_counts),
        cmocka_unit_test(damaged_tensors),
        cmocka_unit_test(weights_that_are_no_numbers),
        cmocka_unit_test(element_types),
        cmocka_unit_test(converted_files),
        cmocka_unit_test(a_tiny_autoencoder),
        cmocka_unit_test(parts_that_are_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
