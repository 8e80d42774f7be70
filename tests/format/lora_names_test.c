/* lora_names_test.c - every module of every model is found under each of its names; real LoRAs find
 * all of theirs in the real model.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/lora_file.h"
#include "format/lora_names.h"
#include "support/lora_files.h"
#include "support/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct checkpoint *c;
    struct lora_names names;
};

static void open_model(struct fixture *f, const char *manifest)
{
    struct err e = {0};
    char *dir = test_temp_dir(), *path = file_join(dir, "model.safetensors");
    char *text = test_data(manifest);
    lora_files_hollow_model(text, path);
    assert_ok(checkpoint_open(&f->c, path, &e), e);
    lora_names_init(&f->names, f->c);
    free(text);
    free(path);
    free(dir);
}

static void close_model(struct fixture *f)
{
    lora_names_release(&f->names);
    checkpoint_close(f->c);
}

static void flatten(char *s)
{
    for (; *s; s++)
        *s = *s == '.' ? '_' : *s;
}

/* "<original name>.weight <canonical name>.weight", of the UNet: proved by diffusers' converters.
 */
static int check_line(struct fixture *f, char *line)
{
    char *name = strtok_r(line, " \n", &line), *source = strtok_r(line, " \n", &line), module[256];
    static const char prefix[] = "model.diffusion_model.";
    if (!name || !source || strncmp(source, "unet.", 5) != 0 || strstr(source, "norm") ||
        strcmp(source + strlen(source) - 7, ".weight") != 0)
        return 0;
    snprintf(module, sizeof(module), "unet_%.*s",
             (int)(strlen(name) - strlen(prefix) - strlen(".weight")), name + strlen(prefix));
    flatten(module);
    const struct ckpt_tensor *t = lora_names_find(&f->names, module);
    if (!t || strcmp(t->name, source) != 0)
        fail_msg("%s is %s, not %s", module, t ? t->name : "not found", source);
    snprintf(module, sizeof(module), "%.*s", (int)(strlen(source) - strlen(".weight")), source);
    flatten(module);
    assert_ptr_equal(lora_names_find(&f->names, module), t);
    return 1;
}

static void check_original_names(const char *model, int least)
{
    struct fixture f;
    char name[64], line[1024], *path = model_manifest(model, ".ldm.txt");
    FILE *in = fopen(path, "r");
    int n = 0;
    snprintf(name, sizeof(name), "manifests/%s.txt", model);
    open_model(&f, name);
    assert_non_null(in);
    while (fgets(line, sizeof(line), in))
        n += *line != '#' ? check_line(&f, line) : 0;
    fclose(in);
    assert_true(n > least);
    close_model(&f);
    free(path);
}

static void test_original_names(void **state)
{
    (void)state;
    check_original_names("sd15", 250);
    check_original_names("sd21", 250);
    check_original_names("sdxl", 300);
}

static void test_absent(void **state)
{
    (void)state;
    struct fixture f;
    open_model(&f, "manifests/sd15.txt");
    static const char *const rows[] = {"",
                                       "unet_",
                                       "unet:144",
                                       "text_encoder:12",
                                       "unet_conv_in_",
                                       "unet_input_blocks_1_1",
                                       "unet_output_blocks_12_0_in_layers_2",
                                       "text_encoder_2_text_projection"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_null(lora_names_find(&f.names, rows[i]));
    close_model(&f);
}

/* Every module of a real file is a weight of the model, of a shape that fits. */
static void check_real(struct fixture *f, const char *name, size_t n_modules, size_t n_others)
{
    struct lora_file lora;
    struct err e = {0};
    char *path = test_shared(name);
    if (!path)
        test_skip("the shared LoRAs are absent");
    assert_ok(lora_file_open(&lora, path, &e), e);
    assert_int_equal(lora.n_modules, n_modules);
    assert_int_equal(lora.n_others, n_others);
    for (size_t i = 0; i < lora.n_modules; i++) {
        const struct lora_module *m = &lora.modules[i];
        const struct ckpt_tensor *w = lora_names_find(&f->names, m->name);
        if (!w)
            fail_msg("%s: the model has no %s", name, m->name);
        if (m->part[LORA_DOWN]->dim[1] != w->dim[1] || m->part[LORA_UP]->dim[0] != w->dim[0])
            fail_msg("%s: %s does not fit %s", name, m->name, w->name);
    }
    lora_file_close(&lora);
    free(path);
}

static void test_real_files(void **state)
{
    (void)state;
    struct fixture f;
    open_model(&f, "manifests/full/sd15.txt");
    check_real(&f, "weights/lora/diffusers_sd15_pokemon_lora.safetensors", 128, 0);
    check_real(&f, "weights/lora/example_loras/analog_svd_rank4.safetensors", 192, 0);
    check_real(&f, "weights/lora/example_loras/lora_disney.safetensors", 192, 2);
    close_model(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_original_names),
                                       cmocka_unit_test(test_absent),
                                       cmocka_unit_test(test_real_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
