/* describe_test.c - every variant is recognised from its tensors, counts add up. */
#include "support/test.h"

#include "base/file.h"
#include "format/checkpoint.h"
#include "format/describe.h"
#include "support/model.h"

#include <stdlib.h>
#include <string.h>

static void models_are_recognised(void **state)
{
    static const struct {
        const char *model, *out;
        bool ldm;
        const char *architecture, *layout;
        size_t n_parts;
    } rows[] = {
        {"sd15", "m", false, "Stable Diffusion 1.x", "diffusers folder", 3},
        {"sd15", "m.safetensors", true, "Stable Diffusion 1.x", "single file with LDM names", 3},
        {"sd21", "m.safetensors", true, "Stable Diffusion 2.x", "single file with LDM names", 3},
        {"sdxl", "m", false, "Stable Diffusion XL", "diffusers folder", 4},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct model_summary s;
        char *path = model_write(rows[i].model, rows[i].out,
                                 (struct hash_checkpoint_options){.type = DTYPE_F16}, rows[i].ldm);
        struct checkpoint *c = model_open(path);
        model_summary_read(&s, c);
        assert_string_equal(s.architecture, rows[i].architecture);
        assert_string_equal(s.layout, rows[i].layout);
        assert_int_equal(s.n_parts, rows[i].n_parts);
        uint64_t parameters = 0, tensors = 0;
        for (size_t k = 0; k < s.n_parts; k++) {
            parameters += s.parts[k].all.parameters;
            tensors += s.parts[k].all.n_tensors;
            assert_int_equal(s.parts[k].n_types, 1);
            assert_string_equal(s.parts[k].types[0].type, "F16");
        }
        assert_int_equal(tensors, checkpoint_n(c));
        assert_int_equal(s.total.all.parameters, parameters);
        assert_int_equal(s.total.all.bytes, 2 * parameters);
        assert_string_equal(s.parts[s.n_parts - 1].component, "vae");
        model_summary_release(&s);
        checkpoint_close(c);
        free(path);
    }
}

static void what_steers_is_recognised(void **state)
{
    static const struct {
        const char *model, *component, *architecture;
    } rows[] = {
        {"controlnet-sd15", "controlnet", "ControlNet for Stable Diffusion 1.x"},
        {"controlnet-sdxl", "controlnet", "ControlNet for Stable Diffusion XL"},
        {"ip-plain-sd15", "ip_adapter", "IP-Adapter, for prompts of width 128"},
        {"ip-full-sd15", "ip_adapter", "IP-Adapter Full, for prompts of width 128"},
        {"ip-plus-sdxl", "ip_adapter", "IP-Adapter Plus, for prompts of width 320"},
        {"ip-plus-sdxl", "image_encoder", "CLIP image encoder, width 128"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct model_summary s;
        struct hash_checkpoint_options o = {.type = DTYPE_F16};
        char *path = model_write(rows[i].model, "m", o, false);
        char *folder = file_join(path, rows[i].component);
        struct checkpoint *c = model_open(folder);
        model_summary_read(&s, c);
        assert_string_equal(s.architecture, rows[i].architecture);
        assert_int_equal(s.n_parts, 1);
        assert_string_equal(s.parts[0].component, rows[i].component);
        model_summary_release(&s);
        checkpoint_close(c);
        free(folder);
        free(path);
    }
}

static void taesd_is_recognised(void **state)
{
    struct model_summary s;
    (void)state;
    char *path = model_write(
        "taesd", "m", (struct hash_checkpoint_options){.type = DTYPE_F16, .component = "vae"},
        false);
    char *file = realloc(path, strlen(path) + 5);
    memcpy(file + strlen(file), "/vae", 5);
    struct checkpoint *c = model_open(file);
    model_summary_read(&s, c);
    assert_string_equal(s.architecture, "TAESD autoencoder, 4 latent channels");
    assert_string_equal(s.layout, "folder of one component");
    model_summary_release(&s);
    checkpoint_close(c);
    free(file);
}

static void trained_files_are_recognised(void **state)
{
    static const struct {
        const char *path, *architecture;
    } rows[] = {
        {"weights/taesd/taef1_decoder.safetensors", "TAESD decoder, 16 latent channels"},
        {"weights/taesd/taesd_encoder.safetensors", "TAESD encoder"},
        {"weights/lora/example_loras/lora_disney.safetensors", "LoRA"},
        {"weights/lora/diffusers_sd15_pokemon_lora.safetensors", "LoRA"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct model_summary s;
        char *path = test_shared(rows[i].path);
        if (!path)
            test_skip("the shared weights are absent");
        struct checkpoint *c = model_open(path);
        model_summary_read(&s, c);
        assert_string_equal(s.architecture, rows[i].architecture);
        model_summary_release(&s);
        checkpoint_close(c);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_recognised),
        cmocka_unit_test(what_steers_is_recognised),
        cmocka_unit_test(taesd_is_recognised),
        cmocka_unit_test(trained_files_are_recognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
