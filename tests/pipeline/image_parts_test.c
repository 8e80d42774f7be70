/* image_parts_test.c - a model split into UNet, VAE and text encoder draws what the whole one
 * draws; so does a UNet in GGUF as ComfyUI-GGUF writes it, and quantised weights draw what their
 * float values draw.
 */
#include "pipeline/image_parts.h"

#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/convert.h"
#include "format/picture.h"
#include "format/weights.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"
#include "support/model.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int keep(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct picture *out = ctx;
    struct err e = {0};
    (void)i, (void)seed;
    assert_ok(picture_alloc(out, p->width, p->height, p->channels, "kept", &e), e);
    memcpy(out->data, p->data, (size_t)(p->width * p->height * p->channels));
    return 0;
}

static struct picture draw(const struct image_files *f)
{
    struct image_model *m;
    struct imagine_request r;
    struct backend *b;
    struct picture out = {0};
    struct err e = {0};
    assert_ok(image_model_open_files(&m, f, &e), e);
    assert_ok(cpu_backend_new(&b, 2, NULL, &e), e);
    imagine_init(&r, m, b);
    r.prompt = "a boat";
    r.width = r.height = 64;
    r.steps = 2;
    r.seed = 7;
    r.precision = DTYPE_F32;
    r.on_picture = keep;
    r.ctx = &out;
    assert_ok(imagine(m, b, &r, &e), e);
    backend_free(b);
    image_model_close(m);
    return out;
}

/* The greatest difference of their pictures. */
static int worst(const struct image_files *a, const struct image_files *b)
{
    struct picture x = draw(a), y = draw(b);
    int most = 0;
    assert_int_equal(x.width, y.width);
    for (int i = 0; i < x.width * x.height * 3; i++)
        most = abs(x.data[i] - y.data[i]) > most ? abs(x.data[i] - y.data[i]) : most;
    picture_release(&x);
    picture_release(&y);
    return most;
}

/* A type as ComfyUI-GGUF's tools choose it. */
static enum dtype comfy_type(const struct file_tensor *t, int64_t n)
{
    return t->n_dim == 1 || n < 512 ? DTYPE_F32 : n % 256 ? DTYPE_F16 : DTYPE_Q4_K;
}

/* The file's tensors below `prefix`, without it: a part, as GGUF in ComfyUI-GGUF's types or F16. */
static char *write_part(const char *dir, const char *name, const struct checkpoint *c,
                        const char *prefix, bool comfy)
{
    size_t n_tensors, skip = strlen(prefix);
    const struct file_tensor *t = weight_file_tensors(checkpoint_weights(c)->files[0], &n_tensors);
    struct gguf_writer w;
    struct file_writer file;
    struct err e = {0};
    char *path = file_join(dir, name);
    unsigned char **bytes = mem_alloc(n_tensors * sizeof(*bytes));
    size_t *sizes = mem_alloc(n_tensors * sizeof(*sizes)), n_parts = 0;
    gguf_writer_init(&w);
    gguf_put_str(&w, "general.architecture", comfy ? "sd1" : "part");
    for (size_t i = 0; i < n_tensors; i++) {
        if (strncmp(t[i].name, prefix, skip) != 0 || t[i].type == DTYPE_OTHER)
            continue;
        struct file_tensor to = t[i];
        int64_t n = 1;
        for (int k = 0; k < to.n_dim; k++)
            n *= to.dim[k];
        float *x = mem_alloc((size_t)n * sizeof(*x));
        quant_to_f32(to.type, to.data, x, n);
        to.name += skip;
        to.type = comfy ? comfy_type(&to, n) : DTYPE_F16;
        to.size = dtype_row_size(to.type, n);
        bytes[n_parts] = mem_alloc(to.size);
        quant_from_f32(to.type, x, bytes[n_parts], n);
        sizes[n_parts++] = to.size;
        assert_ok(gguf_put_tensor(&w, &to, &e), e);
        free(x);
    }
    assert_ok(file_writer_open(&file, path, &e), e);
    assert_ok(gguf_write_header(&w, &file, &e), e);
    for (size_t i = 0; i < n_parts; i++) {
        gguf_write(&w, &file, bytes[i], sizes[i]);
        gguf_write_end(&w, &file);
        free(bytes[i]);
    }
    gguf_writer_release(&w);
    assert_ok(file_writer_commit(&file, &e), e);
    free(bytes);
    free(sizes);
    return path;
}

struct split {
    char *dir, *whole, *unet, *vae, *text[2];
    struct checkpoint *c;
};

static void split_model(struct split *s, const char *model, bool comfy)
{
    static const char *const text[2][2] = {
        {"cond_stage_model.transformer.", NULL},
        {"conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."}};
    bool xl = strcmp(model, "sdxl") == 0;
    *s = (struct split){.dir = test_temp_dir()};
    s->whole = model_write(model, "m.safetensors",
                           (struct hash_checkpoint_options){.type = DTYPE_F16}, true);
    s->c = model_open(s->whole);
    s->unet = write_part(s->dir, "unet.gguf", s->c, "model.diffusion_model.", comfy);
    s->vae = write_part(s->dir, "vae.gguf", s->c, "first_stage_model.", false);
    s->text[0] = write_part(s->dir, "clip_l.gguf", s->c, text[xl][0], false);
    if (xl)
        s->text[1] = write_part(s->dir, "clip_g.gguf", s->c, text[xl][1], false);
}

static void split_release(struct split *s)
{
    checkpoint_close(s->c);
    free(s->dir);
    free(s->whole);
    free(s->unet);
    free(s->vae);
    free(s->text[0]);
    free(s->text[1]);
}

static void parts_draw_what_the_whole_draws(void **state)
{
    struct split s;
    (void)state;
    split_model(&s, "sd15", false);
    assert_int_equal(worst(&(struct image_files){.path = s.whole},
                           &(struct image_files){s.unet, s.vae, {s.text[0]}}),
                     0);
    /* what a file of parts holds takes the place of the model's own: the same again */
    assert_int_equal(worst(&(struct image_files){.path = s.whole},
                           &(struct image_files){s.whole, s.whole, {s.whole}}),
                     0);
    split_release(&s);
}

static void comfyui_gguf_is_used_in_place(void **state)
{
    struct split s;
    struct checkpoint *c;
    struct err e = {0};
    int n_blocks = 0;
    (void)state;
    split_model(&s, "sd15", true);
    assert_ok(checkpoint_open(&c, s.unet, &e), e);
    for (size_t i = 0; i < checkpoint_n(c); i++)
        n_blocks += checkpoint_at(c, i)->type == DTYPE_Q4_K;
    assert_true(n_blocks > 50);
    const struct ckpt_tensor *t = checkpoint_find(c, "unet.mid_block.resnets.0.conv1.weight");
    assert_non_null(t);
    assert_int_equal(t->type, DTYPE_Q4_K); /* a convolution, in its own shape */
    assert_int_equal(t->n_dim, 4);
    assert_int_equal(t->dim[3], 3);
    char *floats = file_join(s.dir, "floats.safetensors"), *again = file_join(s.dir, "again.gguf");
    struct convert_options o = {.type = DTYPE_F32};
    assert_ok(convert_checkpoint(c, floats, &o, &e), e);
    o.type = DTYPE_OTHER;
    assert_ok(convert_checkpoint(c, again, &o, &e), e);
    const struct image_files files = {s.unet, s.vae, {s.text[0]}};
    assert_true(worst(&files, &(struct image_files){floats, s.vae, {s.text[0]}}) <= 1);
    assert_int_equal(worst(&files, &(struct image_files){again, s.vae, {s.text[0]}}), 0);
    checkpoint_close(c);
    free(floats);
    free(again);
    split_release(&s);
}

/* Types of every kind, as `lar convert` writes them: the same picture as from their values. */
static void quantised_models_draw_what_their_values_draw(void **state)
{
    static const enum dtype types[] = {DTYPE_Q4_0, DTYPE_Q5_K};
    (void)state;
    char *path = model_write("sd15", "m.safetensors",
                             (struct hash_checkpoint_options){.type = DTYPE_F16}, true);
    struct checkpoint *c = model_open(path);
    char *dir = test_temp_dir(), *small = file_join(dir, "q.gguf");
    char *floats = file_join(dir, "f.safetensors");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct convert_options o = {.type = types[i]};
        struct err e = {0};
        assert_ok(convert_checkpoint(c, small, &o, &e), e);
        struct checkpoint *q = model_open(small);
        o.type = DTYPE_F32;
        assert_ok(convert_checkpoint(q, floats, &o, &e), e);
        checkpoint_close(q);
        assert_true(worst(&(struct image_files){.path = small},
                          &(struct image_files){.path = floats}) <= 1);
    }
    checkpoint_close(c);
    free(path);
    free(small);
    free(floats);
    free(dir);
}

/* SDXL's encoders in any order; what lacks is said. */
static void encoders_find_their_places(void **state)
{
    struct split s;
    struct image_model *m;
    struct err e = {0};
    (void)state;
    split_model(&s, "sdxl", false);
    struct image_files files = {s.unet, s.vae, {s.text[0], s.text[1]}};
    assert_ok(image_model_open_files(&m, &files, &e), e);
    image_model_close(m);
    files = (struct image_files){s.unet, s.vae, {s.text[1], s.text[0]}};
    assert_ok(image_model_open_files(&m, &files, &e), e);
    assert_true(m->text[0].encoder.n_embd < m->text[1].encoder.n_embd);
    assert_true(m->text[0].encoder.quick_gelu && !m->text[1].encoder.quick_gelu);
    image_model_close(m);
    files = (struct image_files){s.unet, NULL, {s.text[1], s.text[0]}};
    image_model_open_files(&m, &files, &e);
    assert_err(e, ERR_FORMAT, "no VAE in it; use the complete checkpoint, or name one with --vae");
    e = (struct err){0};
    image_model_open(&m, s.unet, &e);
    assert_err(e, ERR_FORMAT, "no text encoder in it");
    e = (struct err){0};
    files = (struct image_files){s.whole, s.text[0], {NULL}};
    image_model_open_files(&m, &files, &e);
    assert_err(e, ERR_FORMAT, "holds no VAE");
    e = (struct err){0};
    files = (struct image_files){s.whole, NULL, {s.vae}};
    image_model_open_files(&m, &files, &e);
    assert_err(e, ERR_FORMAT, "holds no text encoder");
    split_release(&s);
}

/* The two files of a tiny autoencoder: the decoder is named, the encoder found beside it. */
static void tiny_autoencoders_take_the_place(void **state)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    struct image_model *m;
    struct err e = {0};
    (void)state;
    char *dir = test_temp_dir(), *manifest = test_data("manifests/taesd.txt"), *decoder = NULL;
    char *model = model_write("sd15", "m.safetensors",
                              (struct hash_checkpoint_options){.type = DTYPE_F16}, true);
    for (int i = 0; i < 2; i++) {
        char *map = test_data(i ? "manifests/taesd-decoder.ldm.txt"
                                : "manifests/taesd-encoder.ldm.txt");
        char *path = file_join(dir, i ? "taesd_decoder.safetensors" : "taesd_encoder.safetensors");
        o.map = map;
        assert_ok(hash_checkpoint_write(manifest, path, &o, &e), e);
        free(map);
        free(decoder);
        decoder = path;
    }
    struct image_files files = {.path = model, .vae = decoder};
    assert_ok(image_model_open_files(&m, &files, &e), e);
    assert_true(m->tiny_vae && m->taesd.decoder.n_layer && m->taesd.encoder.n_layer);
    assert_true(m->taesd.scale == 1);
    image_model_close(m);
    free(dir);
    free(manifest);
    free(decoder);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_draw_what_the_whole_draws),
        cmocka_unit_test(comfyui_gguf_is_used_in_place),
        cmocka_unit_test(quantised_models_draw_what_their_values_draw),
        cmocka_unit_test(encoders_find_their_places),
        cmocka_unit_test(tiny_autoencoders_take_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
