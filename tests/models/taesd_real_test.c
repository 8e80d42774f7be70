/* taesd_real_test.c - the trained TAESD, TAESDXL and TAEF1 (shared test data) against diffusers'
 * figures for a photograph and against vectors of an independent program.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "models/taesd.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A model with its two files. */
struct pair {
    struct checkpoint *encoder, *decoder;
    struct taesd m;
    struct backend *b;
};

static struct checkpoint *open_side(const char *model, const char *side)
{
    struct err e = {0};
    struct checkpoint *c = NULL;
    char *name = mem_printf("weights/taesd/%s_%s.safetensors", model, side);
    char *path = test_shared(name);
    if (path)
        assert_ok(checkpoint_open(&c, path, &e), e);
    free(path);
    free(name);
    return c;
}

static bool open_pair(struct pair *p, const char *model)
{
    struct err e = {0};
    *p = (struct pair){.encoder = open_side(model, "encoder"),
                       .decoder = open_side(model, "decoder")};
    if (!p->encoder || !p->decoder)
        return false;
    assert_true(taesd_present(p->encoder) && taesd_present(p->decoder));
    assert_ok(taesd_open_pair(&p->m, p->encoder, p->decoder, &e), e);
    assert_int_equal(p->m.factor, 8);
    assert_ok(cpu_backend_new(&p->b, 2, NULL, &e), e);
    return true;
}

static void close_pair(struct pair *p)
{
    taesd_close(&p->m);
    checkpoint_close(p->encoder);
    checkpoint_close(p->decoder);
    backend_free(p->b);
}

/* Encodes and decodes; latent [n, n_latent] is allocated. */
static struct picture round_trip(const struct pair *p, const struct picture *in, enum dtype type,
                                 float **latent, int64_t *n)
{
    struct err e = {0};
    struct picture out;
    struct tape *t = tape_new(type);
    struct tensor *x = tape_input(t, DTYPE_F32, "picture", 4,
                                  (int64_t[]){1, in->height, in->width, 3});
    struct tensor *z = tape_keep(t, op_cast(t, taesd_encode(t, &p->m, x), DTYPE_F32));
    struct tensor *y = tape_keep(t, op_cast(t, taesd_decode(t, &p->m, z), DTYPE_F32));
    assert_ok(tape_plan(t, &e), e);
    picture_to_tensor(in, x->data);
    assert_ok(tape_run(t, p->b, &e), e);
    *n = tensor_n(z);
    *latent = mem_alloc(tensor_size(z));
    memcpy(*latent, z->data, tensor_size(z));
    assert_ok(picture_from_tensor(&out, y->data, in->width, in->height, &e), e);
    tape_free(t);
    return out;
}

static double psnr(const struct picture *a, const struct picture *b)
{
    double sum = 0;
    size_t n = (size_t)a->width * (size_t)a->height * 3;
    for (size_t i = 0; i < n; i++)
        sum += pow((double)a->data[i] - (double)b->data[i], 2);
    return 10 * log10(255.0 * 255 * (double)n / sum);
}

static json_t *figures(void)
{
    char *path = test_data("models/taesd_real.json");
    json_t *root = json_load_file(path, 0, NULL);
    assert_non_null(root);
    free(path);
    return root;
}

/* The crop of the photograph, RGB; false when absent. */
static bool read_photo(const json_t *root, struct picture *crop)
{
    struct err e = {0};
    struct picture all;
    int box[4];
    char *path = test_shared(json_string_value(json_object_get(root, "photo")));
    if (!path)
        return false;
    for (size_t i = 0; i < 4; i++)
        box[i] = (int)json_integer_value(json_array_get(json_object_get(root, "crop"), i));
    assert_ok(picture_read(path, &all, NULL, &e), e);
    free(path);
    picture_flatten(&all);
    assert_true(box[0] + box[2] <= all.width && box[1] + box[3] <= all.height);
    assert_ok(picture_alloc(crop, box[2], box[3], 3, "crop", &e), e);
    for (int y = 0; y < box[3]; y++)
        memcpy(crop->data + (size_t)y * (size_t)box[2] * 3,
               all.data + ((size_t)(box[1] + y) * (size_t)all.width + (size_t)box[0]) * 3,
               (size_t)box[2] * 3);
    picture_release(&all);
    return true;
}

static void photo_keeps(const json_t *want, const struct pair *p, const struct picture *photo,
                        enum dtype type)
{
    float *latent;
    int64_t n;
    double sum = 0, sum2 = 0, reference = json_number_value(json_object_get(want, "psnr"));
    struct picture out = round_trip(p, photo, type, &latent, &n);
    double got = psnr(photo, &out);
    for (int64_t i = 0; i < n; i++) {
        sum += (double)latent[i];
        sum2 += (double)latent[i] * (double)latent[i];
    }
    double mean = sum / (double)n, std = sqrt(sum2 / (double)n - mean * mean);
    print_message("%s: %.3f dB, diffusers %.3f\n", dtype_name(type), got, reference);
    if (type == DTYPE_F32 && fabs(got - reference) > 0.1)
        fail_msg("%.3f dB, diffusers has %.3f", got, reference);
    if (got < reference - 0.5)
        fail_msg("bf16 loses %.3f dB", reference - got);
    double allowed = type == DTYPE_F32 ? 1e-4 : 1e-2;
    assert_true(fabs(mean - json_number_value(json_object_get(want, "mean"))) < allowed);
    assert_true(fabs(std - json_number_value(json_object_get(want, "std"))) < allowed);
    picture_release(&out);
    free(latent);
}

static void check_photo(const char *model)
{
    struct pair p;
    struct picture photo = {0};
    json_t *root = figures();
    if (open_pair(&p, model) && read_photo(root, &photo)) {
        const json_t *want = json_object_get(json_object_get(root, "models"), model);
        photo_keeps(want, &p, &photo, DTYPE_F32);
        photo_keeps(want, &p, &photo, DTYPE_BF16);
    }
    bool absent = !photo.data;
    picture_release(&photo);
    close_pair(&p);
    json_decref(root);
    if (absent)
        test_skip("no trained weights or no photograph in the shared test data");
}

/* latent is [h, w, c], the vector [c, h, w]. */
static void compare_latent(const float *latent, int64_t n, int64_t c, const char *path)
{
    struct err e = {0};
    char *bytes;
    size_t size;
    double worst = 0, most = 0;
    assert_ok(file_read(path, (size_t)1 << 24, &bytes, &size, &e), e);
    assert_int_equal(size, (size_t)n * sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        float want;
        memcpy(&want, bytes + (size_t)(i % c * (n / c) + i / c) * sizeof(want), sizeof(want));
        worst = fmax(worst, fabs((double)latent[i] - (double)want));
        most = fmax(most, fabs((double)want));
    }
    print_message("latent within %.2g of %.3g\n", worst, most);
    assert_true(worst <= 1e-4 * most);
    free(bytes);
}

static void check_vectors(const char *model)
{
    struct err e = {0};
    struct pair p;
    struct picture in, want;
    float *latent;
    int64_t n;
    char *input = test_shared("reference/taesd-vectors/input_256.png");
    char *name = mem_printf("reference/taesd-vectors/%s_latent_chw.f32", model);
    char *vector = test_shared(name);
    free(name);
    name = mem_printf("reference/taesd-vectors/%s_decoded_256.png", model);
    char *decoded = test_shared(name);
    bool present = open_pair(&p, model) && input && vector && decoded;
    if (present) {
        assert_ok(picture_read(input, &in, NULL, &e), e);
        assert_ok(picture_read(decoded, &want, NULL, &e), e);
        struct picture out = round_trip(&p, &in, DTYPE_F32, &latent, &n);
        compare_latent(latent, n, p.m.n_latent, vector);
        int worst = 0;
        for (size_t i = 0; i < (size_t)in.width * (size_t)in.height * 3; i++)
            worst = abs(out.data[i] - want.data[i]) > worst ? abs(out.data[i] - want.data[i])
                                                            : worst;
        print_message("%s: pixels within %d, %.1f dB\n", model, worst, psnr(&out, &want));
        assert_true(worst <= 1);
        picture_release(&out);
        picture_release(&in);
        picture_release(&want);
        free(latent);
    }
    close_pair(&p);
    free(name);
    free(input);
    free(vector);
    free(decoded);
    if (!present)
        test_skip("no trained weights or no vectors in the shared test data");
}

static void one_side_alone(void **state)
{
    (void)state;
    struct err e = {0};
    struct pair p;
    struct taesd m;
    bool present = open_pair(&p, "taesd");
    if (present) {
        assert_ok(taesd_open(&m, p.encoder, &e), e);
        assert_true(m.encoder.n_layer && !m.decoder.n_layer && m.factor == 8 && m.n_latent == 4);
        taesd_close(&m);
        assert_ok(taesd_open(&m, p.decoder, &e), e);
        assert_true(!m.encoder.n_layer && m.decoder.n_layer && m.factor == 8 && m.n_latent == 4);
        taesd_close(&m);
    }
    close_pair(&p);
    if (!present)
        test_skip("no trained weights in the shared test data");
}

static void sides_of_two_models(void **state)
{
    (void)state;
    struct err e = {0};
    struct taesd m;
    struct checkpoint *encoder = open_side("taesd", "encoder"),
                      *decoder = open_side("taef1", "decoder");
    if (encoder && decoder) {
        assert_int_equal(taesd_open_pair(&m, encoder, decoder, &e), ERR_FORMAT);
        assert_err(e, ERR_FORMAT, "do not belong together");
    }
    bool absent = !encoder || !decoder;
    checkpoint_close(encoder);
    checkpoint_close(decoder);
    if (absent)
        test_skip("no trained weights in the shared test data");
}

#define MODEL(name)                          \
    static void name##_photo(void **state)   \
    {                                        \
        (void)state;                         \
        check_photo(#name);                  \
    }                                        \
    static void name##_vectors(void **state) \
    {                                        \
        (void)state;                         \
        check_vectors(#name);                \
    }

MODEL(taesd)
MODEL(taesdxl)
MODEL(taef1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taesd_photo),    cmocka_unit_test(taesd_vectors),
        cmocka_unit_test(taesdxl_photo),  cmocka_unit_test(taesdxl_vectors),
        cmocka_unit_test(taef1_photo),    cmocka_unit_test(taef1_vectors),
        cmocka_unit_test(one_side_alone), cmocka_unit_test(sides_of_two_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
