/* lar_test.c - the library as other programs use it, and examples/draw.c. */
#include "support/model.h"
#include "support/pictures.h"
#include "support/program.h"
#include "support/test.h"

#include "base/file.h"
#include "format/picture.h"
#include "lar.h"
#include "pipeline/recipe.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define SPARK TEST_SOURCE_DIR "/models/spark/spark.gguf"

struct world {
    struct lar *lar;
    struct lar_image_model *model;
};

static int setup(void **state)
{
    static struct world w;
    struct lar_error e = {0};
    assert_ok(lar_open(&w.lar, 2, &e), e);
    assert_ok(lar_image_model_open(&w.model, w.lar, SPARK, &e), e);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    lar_image_model_close(w->model);
    lar_close(w->lar);
    lar_image_model_close(NULL);
    lar_close(NULL);
    return 0;
}

/* What the callbacks saw. */
struct seen {
    int encodings, steps, decodings, previews, pictures;
    uint64_t seed;
    struct picture last; /* owned */
    char *recipe;        /* owned */
    int stop_at;         /* ends the drawing at this step; < 0: never */
    struct lar *cancel;  /* cancelled at stop_at in place of a result */
};

static int on_progress(const struct lar_progress *p, void *ctx)
{
    struct seen *s = ctx;
    s->encodings += p->phase == LAR_ENCODING;
    s->steps += p->phase == LAR_STEPPING;
    s->decodings += p->phase == LAR_DECODING;
    if (p->phase != LAR_STEPPING || p->step != s->stop_at)
        return 0;
    if (!s->cancel)
        return 1;
    lar_cancel(s->cancel);
    return 0;
}

static int on_preview(const struct lar_picture *p, int step, void *ctx)
{
    struct seen *s = ctx;
    assert_true(p->width > 0 && step >= 0);
    s->previews++;
    return 0;
}

static int on_picture(const struct lar_drawn *d, void *ctx)
{
    struct seen *s = ctx;
    struct err e = {0};
    size_t n = (size_t)d->picture.width * (size_t)d->picture.height * (size_t)d->picture.channels;
    assert_int_equal(d->index, s->pictures++);
    s->seed = d->seed;
    picture_release(&s->last);
    free(s->recipe);
    assert_ok(picture_alloc(&s->last, d->picture.width, d->picture.height, d->picture.channels,
                            "copy", &e),
              e);
    memcpy(s->last.data, d->picture.data, n);
    s->recipe = strdup(d->recipe);
    return 0;
}

static void forget(struct seen *s)
{
    picture_release(&s->last);
    free(s->recipe);
    *s = (struct seen){.stop_at = -1};
}

static struct lar_draw request(const struct world *w, struct seen *s)
{
    struct lar_draw d;
    lar_draw_init(&d, w->model);
    d.prompt = "a red apple on a light blue background";
    d.steps = 3;
    d.seed = 5;
    d.on_progress = on_progress;
    d.on_picture = on_picture;
    d.ctx = s;
    return d;
}

static void draws(void **state)
{
    const struct world *w = *state;
    struct lar_error e = {0};
    struct seen s = {.stop_at = -1};
    struct recipe r;
    struct err own = {0};
    struct lar_draw d = request(w, &s);
    d.n_pictures = 2;
    d.on_preview = on_preview;
    assert_ok(lar_draw(w->model, &d, &e), e);
    assert_int_equal(s.pictures, 2);
    assert_int_equal(s.seed, 6);
    assert_int_equal(s.encodings, 1);
    assert_true(s.steps == 4 || s.steps == 2 * 4); /* drawn together or one after the other */
    assert_int_equal(s.decodings, 2);
    assert_true(s.previews >= 3);
    assert_int_equal(s.last.width, d.width);
    assert_ok(recipe_from_json(&r, s.recipe, &own), own);
    assert_string_equal(r.prompt, d.prompt);
    assert_string_equal(r.model, "spark");
    assert_int_equal(r.steps, 3);
    assert_int_equal(r.seed, 6);
    recipe_release(&r);
    forget(&s);
}

static void stops(void **state)
{
    const struct world *w = *state;
    for (int way = 0; way < 2; way++) {
        struct lar_error e = {0};
        struct seen s = {.stop_at = 1, .cancel = way ? w->lar : NULL};
        struct lar_draw d = request(w, &s);
        assert_int_equal(lar_draw(w->model, &d, &e), LAR_ERR_CANCELLED);
        assert_int_equal(e.code, LAR_ERR_CANCELLED);
        assert_int_equal(s.pictures, 0);
        s.stop_at = -1;
        e = (struct lar_error){0};
        assert_ok(lar_draw(w->model, &d, &e), e); /* and the model still works */
        assert_int_equal(s.pictures, 1);
        forget(&s);
    }
}

/* A mask through the library, and the file that it writes. */
static void masks_and_files(void **state)
{
    const struct world *w = *state;
    struct lar_error e = {0};
    struct seen s = {.stop_at = -1};
    unsigned char white[16 * 16 * 3], grey[16 * 16 * 3];
    memset(white, 0, sizeof(white));
    memset(white, 255, sizeof(white) / 2);
    memset(grey, 120, sizeof(grey));
    struct lar_picture image = {16, 16, 3, grey}, mask = {16, 16, 3, white}, back;
    struct lar_draw d = request(w, &s);
    d.image = &image;
    d.mask = &mask;
    d.mask_seam = 0;
    d.strength = 1;
    d.tileable = "x";
    assert_ok(lar_draw(w->model, &d, &e), e);
    size_t bottom = (size_t)s.last.width * (size_t)(s.last.height - 1) * 3;
    assert_int_equal(s.last.data[bottom], 120);
    char *dir = test_temp_dir(), *path = file_join(dir, "a.png");
    struct lar_picture last = {s.last.width, s.last.height, 3, s.last.data};
    assert_ok(lar_picture_write(path, &last, s.recipe, &e), e);
    assert_ok(lar_picture_read(path, &back, &e), e);
    assert_memory_equal(back.data, s.last.data, bottom);
    lar_picture_release(&back);
    assert_null(back.data);
    assert_int_equal(lar_picture_write(path, &last, "{", &e), LAR_ERR_FORMAT);
    forget(&s);
    free(path);
    free(dir);
}

static void draws_larger(void **state)
{
    const struct world *w = *state;
    struct lar_error e = {0};
    struct seen s = {.stop_at = -1};
    struct lar_draw d = request(w, &s);
    d.width = d.height = 64;
    d.hires_scale = 1.5;
    d.hires_upscaler = "lanczos";
    d.hires_strength = 0.4;
    assert_ok(lar_draw(w->model, &d, &e), e);
    assert_int_equal(s.last.width, 96);
    d.hires_upscaler = "/nowhere/net.pth";
    assert_int_equal(lar_draw(w->model, &d, &e), LAR_ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "/nowhere/net.pth"));
    forget(&s);
}

/* Pictures of one adapter are seen together, as by the program. */
static void references(void **state)
{
    const struct world *w = *state;
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    char *model = model_write("sd15", "tiny", o, false);
    char *folder = model_write("ip-plus-sd15", "ip", o, false);
    char *adapter = file_join(folder, "ip_adapter/diffusion_pytorch_model.safetensors");
    char *encoder = file_join(folder, "image_encoder");
    char *path = test_data("pictures/canny_shapes.png"), *drawn = file_join(folder, "p.png");
    struct program p = {.dir = folder};
    program_home();
    program_run(&p,
                ARGS("draw", "-m", model, "--size", "64x64", "--steps", "2", "-s5", "x", "-o",
                     drawn, "--style", path, "--style", path, "--ip-adapter", adapter,
                     "--image-encoder", encoder),
                0, "");
    program_release(&p);
    struct picture want = test_drawn(folder, "p.png", NULL);

    struct lar_error e = {0};
    struct lar_image_model *m;
    struct lar_picture picture;
    struct seen s = {.stop_at = -1};
    assert_ok(lar_image_model_open(&m, w->lar, model, &e), e);
    assert_ok(lar_picture_read(path, &picture, &e), e);
    struct lar_reference two[2] = {{adapter, encoder, &picture, 1},
                                   {adapter, encoder, &picture, 1}};
    struct lar_draw d;
    lar_draw_init(&d, m);
    d.prompt = "x";
    d.steps = 2;
    d.width = d.height = 64;
    d.seed = 5;
    d.references = two;
    d.n_references = 2;
    d.on_picture = on_picture;
    d.ctx = &s;
    assert_ok(lar_draw(m, &d, &e), e);
    assert_int_equal(test_picture_difference(&s.last, &want), 0);
    lar_picture_release(&picture);
    picture_release(&want);
    forget(&s);
    lar_image_model_close(m);
    free(drawn);
    free(path);
    free(encoder);
    free(adapter);
    free(folder);
    free(model);
}

static void refuses(void **state)
{
    const struct world *w = *state;
    struct seen s = {.stop_at = -1};
    struct lar_picture p;
    struct lar_image_model *m;
    struct lar *lar;
    static const struct lar_control no_picture = {.net = "x"};
    static const struct lar_lora no_file = {"/nowhere/a.safetensors", 1};
    for (int i = 0; i < 9; i++) {
        static const char *const says[] = {
            "sampler \"best\"", "schedule \"odd\"", "\"dice\"",       "precision f8",
            "tileable z",       "9 ControlNets",    "has no picture", "/nowhere/a.safetensors",
            "width and height"};
        struct lar_error e = {0};
        struct lar_draw d = request(w, &s);
        d.sampler = i == 0 ? "best" : d.sampler;
        d.schedule = i == 1 ? "odd" : d.schedule;
        d.noise = i == 2 ? "dice" : d.noise;
        d.precision = i == 3 ? "f8" : d.precision;
        d.tileable = i == 4 ? "z" : NULL;
        d.n_controls = i == 5 ? 9 : i == 6;
        d.controls = &no_picture;
        d.n_loras = i == 7;
        d.loras = &no_file;
        d.width = i == 8 ? 33 : d.width;
        int rc = lar_draw(w->model, &d, &e);
        if (rc == 0 || !strstr(e.text, says[i]))
            fail_msg("%d: wanted \"%s\", got %d: %s", i, says[i], rc, e.text);
        assert_true(lar_draw(w->model, &d, NULL) < 0);
    }
    struct lar_error e = {0};
    assert_int_equal(lar_open(&lar, -1, &e), LAR_ERR_ARG);
    assert_int_equal(lar_picture_read("/nowhere.png", &p, NULL), LAR_ERR_NOT_FOUND);
    assert_int_equal(lar_image_model_open(&m, w->lar, "/nowhere.gguf", NULL), LAR_ERR_NOT_FOUND);
    assert_null(m);
    assert_int_equal(lar_upscale(w->lar, SPARK, &p, &p, NULL), LAR_ERR_FORMAT);
    assert_int_equal(s.pictures, 0);
}

/* The example draws what the program draws. */
static void example(void **state)
{
    (void)state;
    struct err e = {0};
    char *dir = test_temp_dir(), *a = file_join(dir, "a.png"), *b = file_join(dir, "b.png");
    struct program p = {.dir = dir, .exe = TEST_BINARY_DIR "/examples/draw"};
    struct picture first, second;
    program_home();
    program_run(&p, ARGS(SPARK, "a ghost", a), 0, "");
    assert_non_null(strstr(p.errors, "step 8 of 8"));
    p.exe = NULL;
    program_run(&p, ARGS("draw", "a ghost", "-m", SPARK, "-s7", "-o", b), 0, "");
    assert_ok(picture_read(a, &first, NULL, &e), e);
    assert_ok(picture_read(b, &second, NULL, &e), e);
    assert_int_equal(first.width, second.width);
    assert_memory_equal(first.data, second.data, (size_t)first.width * (size_t)first.height * 3);
    p.exe = TEST_BINARY_DIR "/examples/draw";
    program_run(&p, ARGS("/nowhere.gguf", "x", a), 1, "draw: /nowhere.gguf");
    program_release(&p);
    picture_release(&first);
    picture_release(&second);
    free(a);
    free(b);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws),           cmocka_unit_test(stops),
        cmocka_unit_test(masks_and_files), cmocka_unit_test(draws_larger),
        cmocka_unit_test(references),      cmocka_unit_test(refuses),
        cmocka_unit_test(example),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
