/* draw_test.c - `lar draw` as a user runs it: the real program, a tiny model of hash weights. */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/picture.h"
#include "pipeline/recipe.h"
#include "support/lora_files.h"
#include "support/model.h"
#include "support/pictures.h"
#include "support/program.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char *model; /* path of the tiny model */
static char *dir;   /* where a test draws: empty at its start */

#define DRAW(...) ARGS("draw", "-m", model, "--size", "64x64", "--steps", "2", __VA_ARGS__)

static int make_model(void **state)
{
    (void)state;
    program_home();
    model = model_write("sd15", "tiny", (struct hash_checkpoint_options){.type = DTYPE_F16}, false);
    return 0;
}

static int free_model(void **state)
{
    (void)state;
    free(model);
    return 0;
}

static int fresh_dir(void **state)
{
    (void)state;
    free(dir);
    dir = test_temp_dir();
    return 0;
}

static char *in_dir(const char *name)
{
    return file_join(dir, name);
}

static int n_files(void)
{
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *f; (f = readdir(d));)
        n += f->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_names(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("A", "red  Boat", "-s5"), 0, "a-red-boat-5.png  seed 5\n");
    program_run(&p, DRAW("a red boat", "--seed=5"), 0, "a-red-boat-5-2.png  seed 5\n");
    program_run(&p, DRAW("-s", "5", "--", "--json"), 0, "json-5.png  seed 5\n");
    program_run(&p, DRAW("-s5", ""), 0, "picture-5.png  seed 5\n");
    program_run(&p, DRAW("灯台", "\xff", "-s5"), 0, "灯台-5.png  seed 5\n");
    assert_int_equal(n_files(), 5);
    test_drawn_same(dir, "a-red-boat-5.png", "a-red-boat-5-2.png", true);
    program_run(&p, DRAW("x", "-s5", "-o", "out.PNG"), 0, "out.PNG  seed 5\n");
    program_run(&p, DRAW("x", "-s6", "-o", "out.png"), 0, "out.png  seed 6\n");
    char *to = in_dir("to");
    assert_int_equal(mkdir(to, 0700), 0);
    free(to);
    program_run(&p, DRAW("x", "-s5", "-o", "to/"), 0, "to/x-5.png  seed 5\n");
    program_run(&p, DRAW("x", "-s5", "-o", "to"), 0, "to/x-5-2.png  seed 5\n");
    program_run(&p, DRAW("x", "-s5", "-o", "to/y.png"), 0, "to/y.png  seed 5\n");
    program_release(&p);
}

/* Same seed, same picture: for any number of threads, and alone or in a row. */
static void test_seeds(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("boat", "-s7", "-o", "a.png", "--threads", "1"), 0, "seed 7");
    program_run(&p, DRAW("boat", "-s7", "-o", "b.png", "--threads", "2"), 0, "seed 7");
    test_drawn_same(dir, "a.png", "b.png", true);
    program_run(&p, DRAW("boat", "-s6", "-n3", "-o", "row.png"), 0,
                "row-1.png  seed 6\nrow-2.png  seed 7\nrow-3.png  seed 8\n");
    test_drawn_same(dir, "a.png", "row-2.png", true);
    test_drawn_same(dir, "a.png", "row-1.png", false);
    test_drawn_same(dir, "a.png", "row-3.png", false);
    program_run(&p, DRAW("boat", "-s7,5-6", "-o", "list.png"), 0,
                "list-1.png  seed 7\nlist-2.png  seed 5\nlist-3.png  seed 6\n");
    test_drawn_same(dir, "a.png", "list-1.png", true);
    test_drawn_same(dir, "row-1.png", "list-3.png", true);
    program_run(&p, DRAW("boat", "-s7", "--variation=3:0.5", "-n2", "-o", "varied.png"), 0,
                "varied-1.png  seed 7\nvaried-2.png  seed 7\n");
    test_drawn_same(dir, "a.png", "varied-1.png", false);
    test_drawn_same(dir, "varied-1.png", "varied-2.png", false);
    program_run(&p, DRAW("boat", "-s7", "--variation=4:0.5", "-o", "v4.png"), 0, "seed 7");
    test_drawn_same(dir, "varied-2.png", "v4.png", true);
    program_run(&p, DRAW("--from", "varied-2.png", "-o", "again.png"), 0, "again.png  seed 7\n");
    test_drawn_same(dir, "varied-2.png", "again.png", true);
    program_run(&p, DRAW("boat", "-s18446744073709551615"), 0, "seed 18446744073709551615\n");
    program_run(&p, DRAW("boat", "-o", "r.png"), 0, "r.png  seed ");
    char *end;
    assert_true(strtoull(strstr(p.text, "seed ") + 5, &end, 10) <= UINT32_MAX && *end == '\n');
    program_release(&p);
}

/* Each cell is the picture that its options alone would give, from one seed; one sheet of all. */
static void test_grid(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    program_run(&p,
                DRAW("a {red|blue} boat", "-s7", "-o", "g.png", "--grid=prompt",
                     "--grid=sampler=heun,dpmpp_3m_sde,dpmpp_2m"),
                0,
                "g-1.png  seed 7\ng-2.png  seed 7\ng-3.png  seed 7\ng-4.png  seed 7\n"
                "g-5.png  seed 7\ng-6.png  seed 7\ng-grid.png  all 6\n");
    program_run(&p, DRAW("a blue boat", "-s7", "-o", "one.png", "--sampler=dpmpp_2m"), 0, "");
    test_drawn_same(dir, "g-6.png", "one.png", true);
    program_run(&p, DRAW("a red boat", "-s7", "-o", "one.png", "--sampler=heun"), 0, "");
    test_drawn_same(dir, "g-1.png", "one.png", true);
    struct picture cell = test_drawn(dir, "g-4.png", &r),
                   sheet = test_drawn(dir, "g-grid.png", NULL);
    assert_string_equal(r.prompt, "a blue boat");
    assert_string_equal(r.sampler, "heun");
    assert_int_equal(sheet.width, 8 + 3 * (cell.width + 8));
    picture_release(&cell);
    picture_release(&sheet);
    recipe_release(&r);
    program_run(&p, DRAW("boat", "--grid", "steps=1,2", "--json"), 0, "\"grid\": true");
    const char *seed = strstr(p.text, "\"seed\": ");
    char *again = mem_strndup(seed, strcspn(seed, ",\n")); /* a random one, but the same for all */
    assert_non_null(strstr(strstr(p.text, "\"steps\": 2"), again));
    free(again);
    program_run(&p, DRAW("boat", "--grid", "steps=1,x"), 2, "--grid: --steps x: wants a whole");
    program_release(&p);
}

/* Each option changes the picture, and the recipe says so. */
static void test_options(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"--steps=3", "steps\":3"},
        {"--guidance=2.5", "guidance\":2.5"},
        {"-g1", "guidance\":1"},
        {"--negative=fog", "negative\":\"fog\""},
        {"--sampler=euler", "sampler\":\"euler\",\"schedule\":\"model\""},
        {"--sampler=Euler a Karras", "sampler\":\"euler_a\",\"schedule\":\"karras\""},
        {"--sampler=ddim", "sampler\":\"ddim\",\"schedule\":\"model\""},
        {"--sampler=lcm", "sampler\":\"lcm\""},
        {"--schedule=trailing", "schedule\":\"trailing\""},
        {"--sampler=heun", "sampler\":\"heun\",\"schedule\":\"model\""},
        {"--sampler=DPM++ 2M SDE", "sampler\":\"dpmpp_2m_sde\",\"schedule\":\"karras\""},
        {"--sampler=dpmpp_3m_sde", "sampler\":\"dpmpp_3m_sde\",\"schedule\":\"exponential\""},
        {"--sampler=euler_cfg_pp", "sampler\":\"euler_cfg_pp\""},
        {"--sigmas=14,3,0", "sigmas\":\"14,3,0\""},
        {"--guidance-rescale=0.7", "guidance_rescale\":0.7"},
        {"--variation=3:0.2", "variation_strength\":0.2,\"seed\":7,\"variation_seed\":3"},
        {"--rng=mt19937", "rng\":\"mt19937\""},
        {"--clip-skip=2", "clip_skip\":2"},
        {"--size=72x64", "width\":72,\"height\":64"},
    };
    struct program p = {.dir = dir};
    program_run(&p, DRAW("boat", "-s7", "-o", "plain.png"), 0, "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct picture_text text = {0};
        struct picture a = {0}, b = test_drawn(dir, "plain.png", NULL);
        struct err e = {0};
        char *path = in_dir("a.png");
        program_run(&p, DRAW("boat", "-s7", "-o", "a.png", rows[i][0]), 0, "a.png  seed 7\n");
        assert_ok(picture_read(path, &a, &text, &e), e);
        if (!strstr(picture_text_get(&text, "lar"), rows[i][1]))
            fail_msg("%s: no %s in %s", rows[i][0], rows[i][1], picture_text_get(&text, "lar"));
        if (a.width == b.width && test_picture_difference(&a, &b) == 0)
            fail_msg("%s changes nothing", rows[i][0]);
        picture_text_release(&text);
        picture_release(&a);
        picture_release(&b);
        free(path);
    }
    program_release(&p);
}

/* A LoRA named as one that distils to few steps brings its steps, sampler and schedule along; the
 * options still count. */
static void test_distilled_lora(void **state)
{
    (void)state;
    static const char query[] = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q";
    json_t *tensors = json_object();
    char *down = mem_printf("%s.lora_down.weight", query),
         *up = mem_printf("%s.lora_up.weight", query);
    char *path = in_dir("some_Lightning_2step.safetensors");
    struct program p = {.dir = dir};
    json_object_set_new(tensors, down, json_pack("[ii]", 4, 96));
    json_object_set_new(tensors, up, json_pack("[ii]", 96, 4));
    lora_files_write(path, tensors, DTYPE_F16, NULL);
    program_run(&p, ARGS("draw", "-m", model, "boat", "--size=64x64", "--json", "--lora", path), 0,
                "\"steps\": 2,");
    assert_non_null(strstr(p.text, "\"sampler\": \"euler\""));
    assert_non_null(strstr(p.text, "\"schedule\": \"trailing\""));
    assert_non_null(strstr(p.text, "\"guidance\": 1.0"));
    program_run(&p,
                ARGS("draw", "-m", model, "boat", "--size=64x64", "--json", "--lora", path,
                     "--steps=3", "--sampler=heun"),
                0, "\"steps\": 3,");
    assert_non_null(strstr(p.text, "\"schedule\": \"trailing\""));
    json_decref(tensors);
    free(down);
    free(up);
    free(path);
    program_release(&p);
}

static void test_prompt_from_input(void **state)
{
    (void)state;
    char *path = in_dir("prompt.txt");
    FILE *f = fopen(path, "w");
    fputs("a red\nboat\n", f);
    fclose(f);
    struct program p = {.dir = dir, .input = path};
    struct recipe r;
    program_run(&p, DRAW("-", "-s5", "-o", "a.png"), 0, "a.png  seed 5\n");
    struct picture picture = test_drawn(dir, "a.png", &r);
    assert_string_equal(r.prompt, "a red\nboat");
    recipe_release(&r);
    picture_release(&picture);
    program_release(&p);
    free(path);
}

static void test_recipe(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    program_run(&p, DRAW("boat", "--negative", "fog", "-s5", "-o", "a.png", "--precision", "f32"),
                0, "a.png  seed 5\n");
    struct picture picture = test_drawn(dir, "a.png", &r);
    assert_string_equal(r.prompt, "boat");
    assert_string_equal(r.negative, "fog");
    assert_string_equal(r.model, "tiny");
    assert_int_equal(strlen(r.model_hash), 10);
    assert_string_equal(r.precision, "f32");
    assert_int_equal(r.steps, 2);
    assert_int_equal(r.width, 64);
    assert_true(r.has_seed && r.seed == 5 && r.strength < 0);
    picture_release(&picture);
    recipe_release(&r);

    program_run(&p, ARGS("draw", "--from", "a.png", "-m", model, "-o", "b.png"), 0, "seed 5\n");
    test_drawn_same(dir, "a.png", "b.png", true);
    assert_null(strstr(p.errors, "warning"));
    program_run(&p, ARGS("draw", "--from", "a.png", "-m", model, "-o", "c.png", "-s6"), 0,
                "c.png  seed 6\n");
    test_drawn_same(dir, "a.png", "c.png", false);
    program_run(&p, ARGS("draw", "ship", "--from", "a.png", "-m", model, "-o", "d.png"), 0, "");
    test_drawn_same(dir, "a.png", "d.png", false);
    program_run(&p, ARGS("draw", "--from", "a.png", "-o", "e.png"), 1, "tiny");
    setenv("LAR_MODEL", model, 1); /* the default model, and it has the recipe's name */
    program_run(&p, ARGS("draw", "--from", "a.png", "-o", "e.png"), 0, "e.png  seed 5\n");
    unsetenv("LAR_MODEL");
    test_drawn_same(dir, "a.png", "e.png", true);
    program_release(&p);
}

static void test_tileable(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    program_run(&p, DRAW("boat", "-s5", "-o", "a.png"), 0, "");
    program_run(&p, DRAW("boat", "-s5", "-o", "b.png", "--tileable", "x"), 0, "");
    test_drawn_same(dir, "a.png", "b.png", false);
    struct picture picture = test_drawn(dir, "b.png", &r);
    assert_string_equal(r.tileable, "x");
    picture_release(&picture);
    recipe_release(&r);
    program_run(&p, ARGS("draw", "--from", "b.png", "-m", model, "-o", "c.png"), 0, "");
    test_drawn_same(dir, "b.png", "c.png", true);
    program_run(&p,
                ARGS("draw", "--from", "b.png", "-m", model, "-o", "d.png", "--tileable", "none"),
                0, "");
    test_drawn_same(dir, "a.png", "d.png", true);
    program_release(&p);
}

/* A VAE and a text encoder of their own: named by path or found beside the model, in the recipe,
 * and restored. */
static void test_parts(void **state)
{
    struct program p = {.dir = dir};
    struct recipe r;
    (void)state;
    char *folder = mem_strndup(model, strlen(model) - strlen("/tiny"));
    char *vaes = file_join(folder, "vae"), *link = file_join(vaes, "other.safetensors");
    char *file = file_join(model, "vae/diffusion_pytorch_model.safetensors");
    char *text = file_join(model, "text_encoder");
    assert_int_equal(mkdir(vaes, 0777), 0);
    assert_int_equal(symlink(file, link), 0);
    program_run(&p, DRAW("boat", "-s5", "-o", "a.png"), 0, "");
    program_run(&p, DRAW("boat", "-s5", "-o", "b.png", "--vae", "other", "--text-encoder", text), 0,
                "");
    struct picture picture = test_drawn(dir, "b.png", &r);
    assert_string_equal(r.vae, "other");
    assert_string_equal(r.text_encoder[0], "text_encoder");
    recipe_release(&r);
    picture_release(&picture);
    test_drawn_same(dir, "a.png", "b.png", true); /* it is the same VAE */
    program_run(&p, ARGS("draw", "--from", "b.png", "-m", model, "-o", "c.png"), 0, "seed 5");
    test_drawn_same(dir, "a.png", "c.png", true);
    assert_null(strstr(p.errors, "its VAE"));
    assert_non_null(strstr(p.errors, "its text encoder text_encoder is left out"));
    unlink(link);
    program_run(&p, ARGS("draw", "--from", "b.png", "-m", model, "-o", "d.png"), 0, "seed 5");
    assert_non_null(strstr(p.errors, "its VAE other is left out, the picture will differ"));
    program_run(&p, DRAW("boat", "--vae", "other"), 1, "there is no VAE other: looked for");
    program_run(&p, DRAW("boat", "--vae", text), 1, "holds no VAE");
    program_run(&p,
                DRAW("boat", "--text-encoder", "a", "--text-encoder", "b", "--text-encoder", "c"),
                2, "no model has more than two");
    rmdir(vaes);
    free(folder);
    free(vaes);
    free(link);
    free(file);
    free(text);
    program_release(&p);
}

static void test_hires(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    program_run(&p,
                DRAW("boat", "-s5", "-o", "a.png", "--hires", "1.5:0.5", "--hires-steps", "4",
                     "--hires-upscaler", "Lanczos"),
                0, "");
    struct picture a = test_drawn(dir, "a.png", &r);
    assert_true(a.width == 96 && a.height == 96 && r.width == 64 && r.height == 64);
    assert_true(r.hires == 1.5 && r.hires_strength == 0.5 && r.strength < 0); /* NOLINT */
    assert_int_equal(r.hires_steps, 4);
    assert_string_equal(r.hires_upscaler, "lanczos");
    picture_release(&a);
    recipe_release(&r);
    program_run(&p, ARGS("draw", "--from", "a.png", "-m", model, "-o", "b.png"), 0, "");
    test_drawn_same(dir, "a.png", "b.png", true);
    program_run(&p, DRAW("boat", "--hires", "9"), 2, "--hires 9: wants the scale");
    program_run(&p, DRAW("boat", "--hires", "2:0"), 2, "--hires 2:0: wants the scale");
    program_run(&p, DRAW("boat", "--hires-steps", "9"), 2, "--hires-steps: has no effect without");
    program_run(&p, DRAW("boat", "--hires", "2", "--hires-upscaler", "none-such"), 1,
                "there is no upscaler none-such");
    program_release(&p);
}

/* What the picture shows stays where it was, but for the seam. */
static void test_extend(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    program_run(&p, DRAW("boat", "-s5", "-o", "a.png"), 0, "");
    program_run(&p,
                ARGS("draw", "-m", model, "--steps", "2", "ship", "-s6", "-o", "b.png", "-i",
                     "a.png", "--extend", "left=20", "--mask-seam", "4"),
                0, "");
    struct picture a = test_drawn(dir, "a.png", NULL), b = test_drawn(dir, "b.png", &r);
    assert_true(b.width == 88 && b.height == 64); /* a multiple of 8 */
    for (int y = 0; y < 64; y++)
        assert_memory_equal(b.data + (y * 88 + 24 + 4) * 3, a.data + (y * 64 + 4) * 3, 60 * 3);
    assert_string_equal(r.extend, "24,0,0,0");
    assert_string_equal(r.mask.name, "extended");
    assert_true(r.strength == 1); /* NOLINT: as chosen */
    picture_release(&a);
    picture_release(&b);
    recipe_release(&r);
    program_run(&p, ARGS("draw", "--from", "b.png", "-m", model, "-o", "c.png"), 0, "");
    test_drawn_same(dir, "b.png", "c.png", true);
    program_run(&p, DRAW("ship", "--extend", "all=8"), 2, "--extend all=8: has no effect without");
    program_run(&p, DRAW("ship", "-i", "a.png", "--extend", "8"), 2, "--extend 8: wants pixels");
    program_run(&p, DRAW("ship", "-i", "a.png", "--extend", "all=8", "--mask-invert"), 2,
                "--mask-invert: has no effect without --mask");
    program_release(&p);
}

static void test_other_model_warns(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    char *other = model_write("sd15", "other", (struct hash_checkpoint_options){.type = DTYPE_F32},
                              false);
    program_run(&p, DRAW("boat", "-s5", "-o", "a.png"), 0, "");
    program_run(&p, ARGS("draw", "--from", "a.png", "-m", other, "-o", "b.png"), 0, "seed 5\n");
    assert_non_null(strstr(p.errors, "lar: warning: a.png was drawn with another model: tiny"));
    program_release(&p);
    free(other);
}

static void test_image(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    char *source = test_data("pictures/lossy.webp");
    program_run(&p, DRAW("boat", "-s5", "-o", "a.png", "--image", source), 0, "");
    program_run(&p, DRAW("boat", "-s5", "-o", "b.png", "-i", source, "--strength", "1"), 0, "");
    test_drawn_same(dir, "a.png", "b.png", false);
    struct picture picture = test_drawn(dir, "a.png", &r);
    assert_string_equal(r.source, "lossy.webp");
    assert_int_equal(strlen(r.source_hash), 10);
    assert_true(r.strength == 0.75);
    recipe_release(&r);
    picture_release(&picture);
    program_run(&p, ARGS("draw", "--from", "a.png", "-m", model, "-o", "c.png"), 2,
                "a.png was drawn from the picture lossy.webp; give that with --image");
    program_run(&p, ARGS("draw", "--from", "a.png", "-m", model, "-o", "c.png", "-i", source), 0,
                "");
    test_drawn_same(dir, "a.png", "c.png", true);
    assert_null(strstr(p.errors, "warning"));
    program_run(&p, ARGS("draw", "--from", "a.png", "-m", model, "-o", "c.png", "-i", "b.png"), 0,
                "");
    assert_non_null(strstr(p.errors, "b.png is not the picture that a.png was drawn from"));
    program_run(&p, ARGS("draw", "x", "-m", model, "--steps", "1", "--image", "a.png", "--json"), 0,
                "\"width\": ");
    program_run(&p, DRAW("boat", "-i", "nothing.png"), 1, "nothing.png: cannot open it");
    program_run(&p, DRAW("boat", "-i", model), 1, "not a regular file");
    program_run(&p, DRAW("boat", "--strength", "0.5"), 2, "--strength 0.5: has no effect");
    program_release(&p);
    free(source);
}

static void test_mask(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct recipe r;
    char *alpha = test_data("pictures/alpha.png"), *mask = test_data("pictures/resize_rgb.png");
    program_run(&p,
                DRAW("boat", "-s5", "-o", "m.png", "-i", alpha, "--mask", mask, "--mask-seam", "3"),
                0, "");
    assert_non_null(strstr(p.errors, "is scaled to the picture's"));
    struct picture picture = test_drawn(dir, "m.png", &r);
    assert_string_equal(r.mask.name, "resize_rgb.png");
    assert_int_equal(r.mask.seam, 3);
    assert_false(r.mask.area);
    recipe_release(&r);
    picture_release(&picture);
    program_run(&p, ARGS("draw", "--from", "m.png", "-m", model, "-o", "n.png", "-i", alpha), 2,
                "m.png was drawn with the mask resize_rgb.png; give that with --mask");
    program_run(
        &p,
        ARGS("draw", "--from", "m.png", "-m", model, "-o", "n.png", "-i", alpha, "--mask", mask), 0,
        "");
    test_drawn_same(dir, "m.png", "n.png", true);
    program_run(&p, DRAW("boat", "-s5", "-o", "a.png", "-i", alpha, "--mask", "alpha"), 0, "");
    program_run(&p,
                DRAW("boat", "-s5", "-o", "b.png", "-i", alpha, "--mask", "alpha", "--mask-invert"),
                0, "");
    test_drawn_same(dir, "a.png", "b.png", false);
    program_run(&p, ARGS("draw", "--from", "b.png", "-m", model, "-o", "c.png", "-i", alpha), 0,
                "");
    test_drawn_same(dir, "b.png", "c.png", true);
    program_run(&p, DRAW("boat", "-i", mask, "--mask", "alpha"), 2, "has no transparency");
    program_run(&p, DRAW("boat", "--mask", mask), 2, "--mask: has no effect without --image");
    program_run(&p, DRAW("boat", "-i", alpha, "--mask-area"), 2,
                "--mask-area: has no effect without --mask");
    program_release(&p);
    free(alpha);
    free(mask);
}

static void check_result(const json_t *o, const char *path, int seed)
{
    assert_string_equal(json_string_value(json_object_get(o, "path")), path);
    assert_int_equal(json_integer_value(json_object_get(o, "seed")), seed);
    assert_int_equal(json_integer_value(json_object_get(o, "width")), 64);
    assert_int_equal(json_integer_value(json_object_get(o, "height")), 64);
    assert_int_equal(json_integer_value(json_object_get(o, "steps")), 2);
    assert_string_equal(json_string_value(json_object_get(o, "sampler")), "dpmpp_2m");
    assert_string_equal(json_string_value(json_object_get(o, "model")), "tiny");
    assert_true(json_is_real(json_object_get(o, "seconds")));
}

static void test_json(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("b", "-s5", "--json"), 0, "{");
    json_t *root = json_loads(p.text, JSON_REJECT_DUPLICATES, NULL);
    check_result(root, "b-5.png", 5);
    json_decref(root);
    program_run(&p, DRAW("b\xff", "-s5", "--json", "-n2", "--quiet", "-o", "a.png"), 0, "[");
    assert_null(strstr(p.errors, "warning"));
    root = json_loads(p.text, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_array_size(root), 2);
    check_result(json_array_get(root, 0), "a-1.png", 5);
    check_result(json_array_get(root, 1), "a-2.png", 6);
    json_decref(root);
    program_release(&p);
}

static void test_progress(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("b", "-s5"), 0, "");
    assert_non_null(strstr(p.errors, "step 2/2"));
    program_run(&p, DRAW("b", "-s5", "-q"), 0, "b-5-2.png  seed 5\n");
    assert_null(strstr(p.errors, "warning"));
    program_release(&p);
}

/* A pipe gets no pictures, whatever was asked; a decoder that is none is told at once. */
static void test_preview(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("b", "-s5", "--preview", "-o", "a.png"), 0, "a.png  seed 5\n");
    assert_null(strchr(p.errors, '\033'));
    assert_null(strchr(p.text, '\033'));
    program_run(&p, DRAW("b", "-s5", "-o", "b.png"), 0, "");
    test_drawn_same(dir, "a.png", "b.png", true);
    program_run(&p, DRAW("b", "--preview-decoder", "no.safetensors"), 1, "no.safetensors");
    program_run(&p, DRAW("b", "--preview-decoder", model, "--preview"), 1, "tiny");
    program_release(&p);
}

/* 75 tokens fit; a word of the long prompt is one. */
static void test_long_prompt(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    char text[400] = "";
    for (int i = 0; i < 78; i++)
        memcpy(text + 4 * i, "cat ", 4);
    program_run(&p, DRAW(text, "-olong.png", "-s5"), 0, "");
    assert_null(strstr(p.errors, "warning"));
    text[4 * 75] = '\0';
    program_run(&p, DRAW(text, "-owhole.png", "-s5"), 0, "");
    test_drawn_same(dir, "long.png", "whole.png", false);
    program_release(&p);
}

static void test_sizes(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, ARGS("draw", "b", "-m", model, "--steps", "1", "--size", "20x76"), 0, "");
    assert_non_null(strstr(p.errors, "lar: the size 20x76 is rounded to 64x80 (multiples of 8"));
    program_run(&p, ARGS("draw", "b", "-m", model, "--size", "60000x60000"), 1, "memory");
    program_run(&p, ARGS("draw", "b", "-m", model, "--size", "100000x64"), 2, "size 100000x64");
    program_run(&p, ARGS("draw", "b", "-m", model, "--steps", "1000"), 2, "1000 steps");
    assert_int_equal(n_files(), 1);
    program_release(&p);
}

/* Each format holds the recipe, and the picture drawn again from it is the same. */
static void test_formats(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("b", "-s5", "-o", "a.png"), 0, "");
    program_run(&p, DRAW("b", "-s5", "-o", "a.webp", "--quality", "100"), 0, "a.webp  seed 5\n");
    program_run(&p, DRAW("b", "-s5", "-o", "a.JPG", "-n2"), 0, "a-2.JPG  seed 6\n");
    program_run(&p, ARGS("draw", "--from", "a-1.JPG", "-m", model, "-o", "b.png"), 0, "seed 5\n");
    program_run(&p, ARGS("draw", "--from", "a.webp", "-m", model, "-o", "c.png"), 0, "seed 5\n");
    test_drawn_same(dir, "a.png", "a.webp", true);
    test_drawn_same(dir, "a.png", "b.png", true);
    test_drawn_same(dir, "a.png", "c.png", true);
    program_release(&p);
}

static void test_bad_output(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    program_run(&p, DRAW("b", "-o", "a.gif"), 2, "--output a.gif: Lar writes no .gif; name a file");
    program_run(&p, DRAW("b", "-o", "a.png", "--quality", "80"), 2,
                "--quality 80: has no effect on a PNG");
    program_run(&p, DRAW("b", "-o", "a.jpg", "--quality", "0"), 2, "--quality 0");
    program_run(&p, DRAW("b", "-o", "a"), 2, "--output a: is no folder and has no extension");
    program_run(&p, DRAW("b", "-o", ".png"), 2, "--output .png: is no folder");
    program_run(&p, DRAW("b", "-o", ""), 2, "--output: is empty");
    program_run(&p, DRAW("b", "-o", "no/a.png"), 2, "--output no/a.png: there is no folder no;");
    program_run(&p, DRAW("b", "-o", "no/"), 2, "--output no/: there is no folder no/");
    program_run(&p, DRAW("b", "-o", "/proc/a.png"), 1, "--output /proc/a.png: cannot write there");
    assert_int_equal(n_files(), 0);
    program_release(&p);
}

static void test_bad_input(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    char *photo = test_data("pictures/lossy.webp"), *text = test_data("manifests/sd15.txt");
    program_run(&p, ARGS("draw", "b", "-m", "no/model"), 1,
                "--model: there is no file or folder no/model");
    program_run(&p, ARGS("draw", "b", "-m", text), 1, "sd15.txt");
    program_run(&p, ARGS("draw", "b", "-m", photo), 1, "lossy.webp");
    program_run(&p, ARGS("draw", "b", "-m", "."), 1, "");
    program_run(&p, DRAW("-s5"), 2, "there is no prompt");
    program_run(&p, DRAW("--from", photo), 1, "lossy.webp: has no recipe inside");
    program_run(&p, DRAW("--from", "no.png"), 1, "no.png: cannot open it");
    program_run(&p, DRAW("--from", text), 1, "sd15.txt");
    program_run(&p, DRAW("b", "--sampler", "foo"), 2, "--sampler: sampler \"foo\" is unknown");
    program_run(&p, DRAW("b", "--schedule", "foo"), 2, "--schedule: schedule \"foo\" is unknown");
    program_run(&p, DRAW("b", "--sigmas", "3,4"), 2, "--sigmas: sigma 4: each must be below");
    program_run(&p, DRAW("b", "--sigmas", "3,2,1"), 2, "--steps 2: the --sigmas are 3 steps");
    program_run(&p, DRAW("b", "--sigmas", "3,1", "--schedule=karras"), 2,
                "--schedule: has no effect with --sigmas");
    program_run(&p, DRAW("b", "--sampler", "euler", "--eta=1"), 2, "this sampler has none");
    program_run(&p, DRAW("b", "--variation", "0.5"), 2, "--variation 0.5: wants SEED:STRENGTH");
    program_run(&p, DRAW("b", "--variation", "1:1.5"), 2, "--variation 1:1.5: wants SEED:STRENGTH");
    program_run(&p, DRAW("b", "--seed", "1-3", "-n3"), 2, "both say how many pictures");
    program_run(&p, DRAW("b", "--rng", "foo"), 2, "--rng: noise \"foo\" is unknown");
    program_run(&p, DRAW("b", "--strength", "0"), 2,
                "--strength 0: wants a number from 0.001 to 1");
    setenv("LAR_CPU", "abacus", 1);
    program_run(&p, DRAW("b"), 2, "LAR_CPU=abacus");
    unsetenv("LAR_CPU");
    assert_int_equal(n_files(), 0);
    program_release(&p);
    free(photo);
    free(text);
}

/* The first weight of the UNet's first convolution becomes NaN. */
static void put_nan(const char *path)
{
    FILE *f = fopen(path, "r+b");
    unsigned char head[8];
    size_t n = 0;
    assert_int_equal(fread(head, 1, 8, f), 8);
    for (int i = 7; i >= 0; i--)
        n = n << 8 | head[i];
    char *text = mem_alloc(n + 1);
    assert_int_equal(fread(text, 1, n, f), n);
    json_t *header = json_loads(text, 0, NULL);
    const json_t *tensor = json_object_get(header, "conv_in.weight");
    json_int_t at = json_integer_value(json_array_get(json_object_get(tensor, "data_offsets"), 0));
    assert_non_null(tensor);
    fseek(f, (long)(8 + n) + (long)at, SEEK_SET);
    fwrite("\x00\x7e", 1, 2, f);
    fclose(f);
    json_decref(header);
    free(text);
}

static void test_damaged_models(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    char *copy = model_write("sd15", "copy", (struct hash_checkpoint_options){.type = DTYPE_F16},
                             false);
    char *unet = file_join(copy, "unet/diffusion_pytorch_model.safetensors");
    put_nan(unet);
    program_run(&p, ARGS("draw", "b", "-m", copy, "--size", "64x64", "--steps", "2"), 1,
                "tensor unet.conv_in.weight holds NaN");
    assert_int_equal(truncate(unet, 100000), 0);
    program_run(&p, ARGS("draw", "b", "-m", copy), 1, "unet/diffusion_pytorch_model.safetensors");
    assert_int_equal(remove(unet), 0);
    program_run(&p, ARGS("draw", "b", "-m", copy), 1, copy);
    assert_int_equal(n_files(), 0);
    program_release(&p);
    free(unet);
    free(copy);
}

/* A limit on file sizes is a full disk that needs no privileges. */
static void test_full_disk(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    struct rlimit old, tiny;
    getrlimit(RLIMIT_FSIZE, &old);
    tiny = (struct rlimit){2000, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tiny);
    program_start(&p, DRAW("b", "-s5", "-q"));
    program_wait(&p);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(p.code, 1);
    assert_non_null(strstr(p.errors, "b-5.png: writing failed: File too large"));
    assert_int_equal(n_files(), 0);
    program_release(&p);
}

static void test_closed_output(void **state)
{
    (void)state;
    struct program p = {.dir = dir};
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    p.out = ends[1];
    program_run(&p, DRAW("b", "-s5", "-q"), 0, ""); /* the reader left, the picture stays */
    close(ends[1]);
    assert_int_equal(n_files(), 1);
    p.out = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (p.out > 0) {
        program_run(&p, DRAW("b", "-s5", "-q"), 1,
                    "standard output: writing failed: No space left on device");
        close(p.out);
    }
    program_release(&p);
}

/* Waits for the first step; drawing all of them would take minutes. */
static void interrupt(int number, int times, int code)
{
    struct program p = {.dir = dir};
    program_start(&p, ARGS("draw", "b", "-m", model, "--size", "128x128", "--steps", "999"));
    for (bool begun = false; !begun;) {
        char *errors = program_errors(&p);
        begun = strstr(errors, "step 0/999") != NULL;
        free(errors);
        usleep(10000);
        if (!begun && kill(p.pid, 0) != 0)
            fail_msg("it ended early");
    }
    for (int i = 0; i < times; i++)
        kill(p.pid, number);
    program_wait(&p);
    assert_int_equal(p.code, code);
    if (times == 1)
        assert_non_null(strstr(p.errors, "lar: cancelled\n"));
    assert_int_equal(n_files(), 0);
    program_release(&p);
}

static void test_interrupt(void **state)
{
    (void)state;
    interrupt(SIGINT, 1, 130);
    interrupt(SIGINT, 5, 130);
    interrupt(SIGTERM, 1, 143);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_names, fresh_dir),
        cmocka_unit_test_setup(test_seeds, fresh_dir),
        cmocka_unit_test_setup(test_grid, fresh_dir),
        cmocka_unit_test_setup(test_options, fresh_dir),
        cmocka_unit_test_setup(test_distilled_lora, fresh_dir),
        cmocka_unit_test_setup(test_prompt_from_input, fresh_dir),
        cmocka_unit_test_setup(test_recipe, fresh_dir),
        cmocka_unit_test_setup(test_tileable, fresh_dir),
        cmocka_unit_test_setup(test_parts, fresh_dir),
        cmocka_unit_test_setup(test_other_model_warns, fresh_dir),
        cmocka_unit_test_setup(test_image, fresh_dir),
        cmocka_unit_test_setup(test_mask, fresh_dir),
        cmocka_unit_test_setup(test_extend, fresh_dir),
        cmocka_unit_test_setup(test_hires, fresh_dir),
        cmocka_unit_test_setup(test_json, fresh_dir),
        cmocka_unit_test_setup(test_progress, fresh_dir),
        cmocka_unit_test_setup(test_long_prompt, fresh_dir),
        cmocka_unit_test_setup(test_sizes, fresh_dir),
        cmocka_unit_test_setup(test_preview, fresh_dir),
        cmocka_unit_test_setup(test_formats, fresh_dir),
        cmocka_unit_test_setup(test_bad_output, fresh_dir),
        cmocka_unit_test_setup(test_bad_input, fresh_dir),
        cmocka_unit_test_setup(test_damaged_models, fresh_dir),
        cmocka_unit_test_setup(test_full_disk, fresh_dir),
        cmocka_unit_test_setup(test_closed_output, fresh_dir),
        cmocka_unit_test_setup(test_interrupt, fresh_dir),
    };
    return cmocka_run_group_tests(tests, make_model, free_model);
}
