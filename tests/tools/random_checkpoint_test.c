/* random_checkpoint_test.c - the C generator of hash weights against the Python one, bit for bit,
 * and the files made of them. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "support/hash_checkpoint.h"
#include "tensor/half.h"

#include <jansson.h>
#include <math.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Checks the header of a mapped safetensors file and returns it; *data is where the weights begin.
 */
static json_t *read_header(const struct file_map *file, size_t *data)
{
    size_t length = 0;
    assert_true(file->size > 8);
    for (int i = 7; i >= 0; i--)
        length = length << 8 | file->data[i];
    *data = 8 + length;
    assert_true(*data <= file->size && *data % 8 == 0);
    json_t *header = json_loadb((const char *)file->data + 8, length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(header);
    return header;
}

/* The tensors must lie one after another and fill the file. */
static void check_offsets(const json_t *header, size_t data_size)
{
    const char *name;
    json_t *tensor;
    json_int_t end = 0;
    json_object_foreach((json_t *)header, name, tensor)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        json_t *offsets = json_object_get(tensor, "data_offsets"), *dim;
        json_int_t n = 1, bytes;
        size_t i;
        json_array_foreach(json_object_get(tensor, "shape"), i, dim) n *= json_integer_value(dim);
        assert_int_equal(json_integer_value(json_array_get(offsets, 0)), end);
        bytes = json_integer_value(json_array_get(offsets, 1)) - end;
        assert_true(bytes == 2 * n || bytes == 4 * n || bytes == 8 * n);
        end += bytes;
    }
    assert_int_equal(end, data_size);
}

static void hex_digest(const unsigned char *data, size_t n, char out[65])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(data, n, digest);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static void check_case(const char *name, const char *what, const char *type, const char *want)
{
    struct err e = {0};
    char *dir = test_temp_dir();
    char *manifest_name = mem_printf("manifests/%s.txt", name),
         *manifest = test_data(manifest_name);
    char *map_name = mem_printf("manifests/%s.ldm.txt", name), *map = test_data(map_name);
    bool ldm = strcmp(what, "ldm") == 0;
    struct hash_checkpoint_options o = {.type = dtype_from_name(type), .map = ldm ? map : NULL};
    char *out = ldm ? file_join(dir, "model.safetensors") : mem_strdup(dir);
    char *weights = ldm ? mem_strdup(out)
                        : mem_printf("%s/%s/%s.safetensors", dir, what,
                                     strncmp(what, "text", 4) == 0 ? "model"
                                                                   : "diffusion_pytorch_model");
    assert_ok(hash_checkpoint_write(manifest, out, &o, &e), e);

    struct file_map file;
    char got[65];
    size_t data;
    assert_ok(file_map_open(&file, weights, &e), e);
    json_t *header = read_header(&file, &data);
    check_offsets(header, file.size - data);
    hex_digest(file.data + data, file.size - data, got);
    if (strcmp(got, want) != 0)
        fail_msg("%s %s %s: SHA-256 %s, the reference has %s", name, what, type, got, want);
    json_decref(header);
    file_map_close(&file);
    remove(weights);
    free(weights), free(out), free(map), free(map_name), free(manifest), free(manifest_name);
    free(dir);
}

static void test_checksums(void **state)
{
    (void)state;
    char name[64], what[64], type[16], digest[65], line[256];
    char *path = test_data("manifests/checksums.txt");
    FILE *f = fopen(path, "r");
    int n = 0;
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        if (*line == '#')
            continue;
        assert_int_equal(sscanf(line, "%63s %63s %15s %64s", name, what, type, digest), 4);
        check_case(name, what, type, digest);
        n++;
    }
    assert_true(n >= 10);
    fclose(f);
    free(path);
}

/* Rounding at the borders: ties, the largest subnormal, the smallest, nothing. */
static void test_rounding(void **state)
{
    (void)state;
    static const struct {
        double x;
        uint16_t f16, bf16;
    } rows[] = {
        {0.0, 0, 0},
        {1.0, 0x3c00, 0x3f80},
        {-1.0, 0xbc00, 0xbf80},
        {1.0 + 0x1p-11, 0x3c00, 0x3f80},           /* a tie, down to even */
        {1.0 + 3 * 0x1p-11, 0x3c02, 0x3f80},       /* a tie, up to even */
        {1.0 + 0x1p-11 + 0x1p-40, 0x3c01, 0x3f80}, /* lost if rounded to float first */
        {1.0 + 0x1p-8 + 0x1p-40, 0x3c04, 0x3f81},
        {2.0 - 0x1p-12, 0x4000, 0x4000},
        {0x1p-14, 0x0400, 0x3880},
        {0x1p-14 - 0x1p-24, 0x03ff, 0x3880},
        {0x1p-24, 0x0001, 0x3380},
        {0x1p-25, 0x0000, 0x3300},
        {-0x1.8p-24, 0x8002, 0xb3c0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint16_t out[2];
        hash_store(out, 0, DTYPE_F16, rows[i].x);
        hash_store(out, 1, DTYPE_BF16, rows[i].x);
        assert_int_equal(out[0], rows[i].f16);
        assert_int_equal(out[1], rows[i].bf16);
    }
}

static void test_in_memory(void **state)
{
    (void)state;
    struct hash_tensor t = {.name = "unet.conv_in.weight", .n_dims = 4, .dims = {8, 4, 3, 3}};
    float widened[288], inputs[4];
    uint16_t halves[288];
    hash_fill(halves, DTYPE_F16, &t, 0, 100);
    hash_fill(halves + 100, DTYPE_F16, &t, 100, 188);
    hash_fill_f16_as_float(widened, &t);
    for (int i = 0; i < 288; i++) {
        assert_true(fabsf(widened[i]) <= sqrtf(3.0f / 36.0f));
        assert_true(half_to_f32(halves[i]) == widened[i]);
    }
    /* hash_weights.tensor_input("sample", (4,), 1.7) */
    hash_input(inputs, "sample", 4, 1.7);
    static const float want[] = {-0x1.5fbd560000000p-1f, -0x1.3580e80000000p-2f,
                                 -0x1.5581ac0000000p+0f, -0x1.7639aa0000000p-1f};
    for (int i = 0; i < 4; i++)
        assert_true(inputs[i] == want[i]);
}

static void test_shards(void **state)
{
    (void)state;
    struct err e = {0};
    char *dir = test_temp_dir(), *manifest = test_data("manifests/taesd.txt");
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .component = "vae", .n_shards = 3};
    assert_ok(hash_checkpoint_write(manifest, dir, &o, &e), e);
    char *path = file_join(dir, "vae/diffusion_pytorch_model.safetensors.index.json");
    json_t *index = json_load_file(path, 0, NULL);
    json_t *files = json_object_get(index, "weight_map");
    assert_int_equal(json_object_size(files), 134);
    const char *last = json_string_value(json_object_get(files, "decoder.layers.18.bias"));
    assert_string_equal(last, "diffusion_pytorch_model-00003-of-00003.safetensors");
    json_decref(index);
    free(path), free(manifest), free(dir);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_bad_input(void **state)
{
    (void)state;
    char *dir = test_temp_dir(), *manifest = file_join(dir, "m.txt"), *map = file_join(dir, "map");
    char *out = file_join(dir, "out.safetensors");
    static const char *const manifests[] = {"a 1 x\n", "a 0\n", "a 1 2 3 4 5\n", "a 1\na 2\n"};
    static const char *const maps[] = {"x b\n", "x a nonsense\n", "x a transpose\n", "x -\n",
                                       "x\n"};
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .map = map};
    write_text(map, "x a\n");
    for (size_t i = 0; i < 4; i++) {
        struct err e = {0};
        write_text(manifest, manifests[i]);
        assert_int_equal(hash_checkpoint_write(manifest, out, &o, &e), ERR_FORMAT);
        assert_err(e, ERR_FORMAT, "a");
    }
    write_text(manifest, "a 2\n");
    for (size_t i = 0; i < 5; i++) {
        struct err e = {0};
        write_text(map, maps[i]);
        assert_int_equal(hash_checkpoint_write(manifest, out, &o, &e), ERR_FORMAT);
        assert_err(e, ERR_FORMAT, "x");
    }
    struct err e = {0};
    o.type = DTYPE_Q8_0;
    assert_int_equal(hash_checkpoint_write(manifest, out, &o, &e), ERR_ARG);
    assert_false(file_exists(out));
    free(out), free(map), free(manifest), free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksums), cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_in_memory), cmocka_unit_test(test_shards),
        cmocka_unit_test(test_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
