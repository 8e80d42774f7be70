/* inspect_test.c - models and pictures are described, as text and as JSON. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/inspect.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "format/safetensors.h"
#include "pipeline/recipe.h"
#include "support/lora_files.h"
#include "support/model.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is printed; heap. */
static char *run(const struct inspect_options *o)
{
    char *text = NULL;
    size_t n;
    struct err e = {0};
    FILE *out = open_memstream(&text, &n);
    assert_ok(inspect_run(o, out, &e), e);
    fclose(out);
    return text;
}

static json_t *run_json(struct inspect_options o)
{
    json_error_t je;
    o.json = true;
    char *text = run(&o);
    json_t *root = json_loads(text, 0, &je);
    if (!root)
        fail_msg("not JSON: %s", je.text);
    free(text);
    return root;
}

static void contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in: %s", part, text);
}

static void a_model_is_described(void **state)
{
    const char *type;
    int tensors, width;
    (void)state;
    char *path = model_write("sdxl", "m", (struct hash_checkpoint_options){.type = DTYPE_BF16},
                             false);
    char *text = run(&(struct inspect_options){.path = path, .check = true});
    contains(text, "Stable Diffusion XL, diffusers folder, safetensors");
    contains(text, "text_encoder_2");
    contains(text, "BF16");
    contains(text, "configuration    model_index, scheduler, text_encoder");
    assert_null(strstr(text, "unet.conv_in.weight"));
    free(text);
    text = run(&(struct inspect_options){.path = path, .tensors = true, .hash = true});
    contains(text, "unet.conv_in.weight ");
    contains(text, "[64, 4, 3, 3]");
    contains(text, "hash ");
    free(text);
    json_t *root = run_json((struct inspect_options){.path = path, .tensors = true, .hash = true});
    assert_int_equal(json_unpack(root, "{s:{s:{s:i}}, s:{s:{s:i}}, s:[{s:s}]}", "components",
                                 "unet", "tensors", &tensors, "config", "text_encoder_2",
                                 "hidden_size", &width, "tensors", "type", &type),
                     0);
    assert_int_equal(width, 192);
    assert_true(tensors > 500);
    assert_string_equal(type, "BF16");
    assert_int_equal(strlen(json_string_value(json_object_get(root, "hash"))), 10);
    json_decref(root);
    free(path);
}

static void single_files_show_both_names(void **state)
{
    size_t i;
    json_t *t;
    bool found = false;
    (void)state;
    char *path = model_write("sd15", "m.safetensors",
                             (struct hash_checkpoint_options){.type = DTYPE_F16}, true);
    json_t *root = run_json((struct inspect_options){.path = path, .tensors = true});
    json_array_foreach(json_object_get(root, "tensors"), i, t)
    {
        const char *name = json_string_value(json_object_get(t, "name"));
        if (strcmp(name, "unet.conv_in.bias") == 0)
            found = strcmp(json_string_value(json_object_get(t, "name_in_file")),
                           "model.diffusion_model.input_blocks.0.0.bias") == 0;
    }
    assert_true(found);
    json_decref(root);
    free(path);
}

static void gguf_metadata_is_shown(void **state)
{
    (void)state;
    char *path = test_data("gguf/sample.gguf");
    char *text = run(&(struct inspect_options){.path = path});
    contains(text, "sample, file, GGUF");
    contains(text, "t.u32                            4000000000");
    contains(text, "t.strings                        3 values");
    contains(text, "t.string                         grüße");
    contains(text, "Q4_0 (1)");
    free(text);
    free(path);
}

static void a_picture_shows_its_recipe(void **state)
{
    struct picture p = {0};
    struct picture_text texts = {0};
    struct recipe r;
    struct err e = {0};
    const char *prompt;
    int width, steps;
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "p.png");
    assert_ok(picture_alloc(&p, 16, 8, 3, path, &e), e);
    recipe_init(&r);
    recipe_set(&r.prompt, "a lighthouse at dusk");
    r.steps = 20;
    r.has_seed = true;
    r.seed = 42;
    recipe_to_text(&r, &texts);
    assert_ok(picture_write_png(path, &p, &texts, &e), e);
    char *text = run(&(struct inspect_options){.path = path});
    contains(text, "16 x 8 pixels, RGB");
    contains(text, "a lighthouse at dusk");
    contains(text, "\nrecipe\n");
    free(text);
    json_t *root = run_json((struct inspect_options){.path = path});
    assert_int_equal(json_unpack(root, "{s:i, s:{s:s, s:i}}", "width", &width, "recipe", "prompt",
                                 &prompt, "steps", &steps),
                     0);
    assert_int_equal(width, 16);
    assert_int_equal(steps, 20);
    assert_string_equal(prompt, "a lighthouse at dusk");
    json_decref(root);
    recipe_release(&r);
    picture_text_release(&texts);
    assert_ok(picture_write_png(path, &p, NULL, &e), e);
    text = run(&(struct inspect_options){.path = path});
    contains(text, "no recipe inside");
    free(text);
    picture_release(&p);
    free(path);
    free(dir);
}

/* Names from a file must not reach the terminal as commands. */
static void control_characters_are_not_printed(void **state)
{
    static const char evil[] = "a\x1b[31m\r\nb\xc2\x9b";
    static const char *const meta[] = {evil, evil, NULL};
    const struct file_tensor t = {.name = evil, .type = DTYPE_F16, .type_name = "F16", .size = 2};
    struct file_writer w;
    struct err e = {0};
    (void)state;
    char *dir = test_temp_dir(), *path = file_join(dir, "m.safetensors");
    assert_ok(file_writer_open(&w, path, &e), e);
    assert_ok(safetensors_write_header(&w, &t, 1, meta, &e), e);
    file_writer_write(&w, "xx", 2);
    assert_ok(file_writer_commit(&w, &e), e);
    char *text = run(&(struct inspect_options){.path = path, .tensors = true});
    contains(text, "a [31m  b");
    assert_null(strpbrk(text, "\x1b\r\x9b"));
    free(text);
    free(path);
    free(dir);
}

static void failures_print_nothing(void **state)
{
    char *text = NULL;
    size_t n;
    struct err e[2] = {0};
    (void)state;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    inspect_run(&(struct inspect_options){.path = "/nonexistent"}, out, &e[0]);
    assert_err(e[0], ERR_NOT_FOUND, "/nonexistent: cannot open it");
    char *path = model_write(
        "taesd", "m", (struct hash_checkpoint_options){.type = DTYPE_F16, .component = "vae"},
        false);
    char *dir = file_join(path, "vae"),
         *file = file_join(dir, "diffusion_pytorch_model.safetensors");
    FILE *f = fopen(file, "r+b"); /* the last element becomes infinite */
    assert_non_null(f);
    assert_int_equal(fseek(f, -2, SEEK_END), 0);
    fwrite("\0\x7c", 1, 2, f);
    fclose(f);
    inspect_run(&(struct inspect_options){.path = dir, .check = true}, out, &e[1]);
    assert_err(e[1], ERR_NUMERIC, "holds a NaN or an infinity");
    fclose(out);
    assert_string_equal(text, "");
    free(text);
    free(file);
    free(dir);
    free(path);
}

static void a_lora_is_described(void **state)
{
    (void)state;
    static const char *const meta[] = {"ss_tag_frequency",
                                       "{\"10_x\":{\"cat\":3,\"ink drawing\":9},\"bad\":1}",
                                       "ss_base_model_version", "sdxl_base_v1-0", NULL};
    char *dir = test_temp_dir(), *path = file_join(dir, "ink.safetensors");
    json_t *tensors = json_pack("{s:[ii],s:[ii],s:f,s:[iiii],s:[ii],s:[ii],s:[i]}",
                                "lora_unet_a.lora_down.weight", 4, 8, "lora_unet_a.lora_up.weight",
                                8, 4, "lora_unet_a.alpha", 2.0, "lora_unet_b.lora_down.weight", 2,
                                8, 3, 3, "lora_te2_c.hada_w1_a", 8, 6, "lora_te2_c.hada_w1_b", 6, 8,
                                "<s1>", 8);
    const char *family, *kind, *first, *second, *other;
    int rank[3], unet, text;
    lora_files_write(path, tensors, DTYPE_F16, meta);
    json_t *root = run_json((struct inspect_options){.path = path, .hash = true});
    json_t *lora = json_object_get(root, "lora");
    assert_int_equal(
        json_unpack(root, "{s:s, s:{s:s}}", "architecture", &kind, "lora", "for", &family), 0);
    assert_string_equal(kind, "LoRA for SDXL");
    assert_int_equal(json_unpack(lora, "{s:{s:i,s:i}, s:[iii], s:[ss], s:[s]}", "modules", "unet",
                                 &unet, "text_encoder_2", &text, "rank", &rank[0], &rank[1],
                                 &rank[2], "words", &first, &second, "other_tensors", &other),
                     0);
    assert_true(unet == 2 && text == 1);
    assert_true(rank[0] + rank[1] + rank[2] == 12);
    assert_string_equal(first, "ink drawing");
    assert_string_equal(second, "cat");
    assert_string_equal(other, "<s1>");
    assert_int_equal(strlen(json_string_value(json_object_get(lora, "hash"))), 12);
    char *kinds = json_dumps(json_object_get(lora, "kinds"), JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(kinds, "{\"LoCon\":1,\"LoHa\":1,\"LoRA\":1}");
    free(kinds);
    json_decref(root);
    json_decref(tensors);
    free(path);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lora_is_described),
        cmocka_unit_test(a_model_is_described),
        cmocka_unit_test(single_files_show_both_names),
        cmocka_unit_test(gguf_metadata_is_shown),
        cmocka_unit_test(a_picture_shows_its_recipe),
        cmocka_unit_test(control_characters_are_not_printed),
        cmocka_unit_test(failures_print_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
