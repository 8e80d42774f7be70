/* imagine_test.c - whole pictures against diffusers' pipelines, from folders and from single files.
 */
#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/mask.h"
#include "format/picture.h"
#include "pipeline/control.h"
#include "pipeline/image_model.h"
#include "pipeline/imagine.h"
#include "pipeline/reference.h"
#include "pipeline/sampler.h"
#include "support/hash_checkpoint.h"
#include "support/model.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_PSNR 60.0

/* A reference case and what was drawn for it. */
struct run {
    struct checkpoint *ref;
    json_t *options;
    double psnr, latent_error;
    int n_latents;
};

static const struct ckpt_tensor *tensor(const struct run *x, const char *name)
{
    for (size_t i = 0; i < checkpoint_n(x->ref); i++)
        if (strcmp(checkpoint_at(x->ref, i)->file_name, name) == 0)
            return checkpoint_at(x->ref, i);
    return NULL;
}

static const float *floats(const struct run *x, const char *name)
{
    const struct ckpt_tensor *t = tensor(x, name);
    if (!t)
        fail_msg("%s: no tensor %s", checkpoint_path(x->ref), name);
    return t->data; /* safetensors data is aligned to 8 here */
}

static void open_case(struct run *x, const char *name)
{
    struct err e = {0};
    char file[128];
    snprintf(file, sizeof(file), "pipelines/%s.safetensors", name);
    char *path = test_data(file);
    *x = (struct run){0};
    assert_ok(checkpoint_open(&x->ref, path, &e), e);
    x->options = json_loads(checkpoint_meta(x->ref, "case"), 0, NULL);
    assert_non_null(x->options);
    free(path);
}

static void close_case(struct run *x)
{
    json_decref(x->options);
    checkpoint_close(x->ref);
}

static const char *text(const struct run *x, const char *key)
{
    return json_string_value(json_object_get(x->options, key));
}

static double number(const struct run *x, const char *key)
{
    return json_number_value(json_object_get(x->options, key));
}

/* Writes the tiny model of the case: a folder, or with `map` a single file. */
static struct image_model *make_model(const struct run *x, const char *map)
{
    struct err e = {0};
    struct image_model *m;
    char file[128];
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *dir = test_temp_dir();
    snprintf(file, sizeof(file), "manifests/%s.txt", text(x, "manifest"));
    char *manifest = test_data(file);
    snprintf(file, sizeof(file), "%s.safetensors", text(x, "manifest"));
    char *out = map ? file_join(dir, file) : file_join(dir, text(x, "manifest"));
    if (map) {
        snprintf(file, sizeof(file), "manifests/%s.ldm.txt", map);
        o.map = test_data(file);
    }
    assert_ok(hash_checkpoint_write(manifest, out, &o, &e), e);
    assert_ok(image_model_open(&m, out, &e), e);
    free((char *)(uintptr_t)o.map);
    free(manifest);
    free(out);
    free(dir);
    return m;
}

static void on_latent(const float *latent, int step, void *ctx)
{
    struct run *x = ctx;
    const struct ckpt_tensor *t = tensor(x, "latents");
    size_t n = t->size / sizeof(float) / (size_t)t->dim[0];
    const float *want = floats(x, "latents") + (size_t)step * n;
    double worst = 0, most = 1e-9;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)latent[i] - (double)want[i]);
        worst = d > worst || isnan(d) ? d : worst;
        most = fabs((double)want[i]) > most ? fabs((double)want[i]) : most;
    }
    double relative = worst / most;
    x->latent_error = relative > x->latent_error || isnan(relative) ? relative : x->latent_error;
    x->n_latents++;
}

static int on_picture(const struct picture *p, int i, uint64_t seed, void *ctx)
{
    struct run *x = ctx;
    const float *want = floats(x, "image");
    const float *mask = tensor(x, "mask") ? floats(x, "mask") : NULL;
    double sum = 0;
    int n = p->width * p->height * 3;
    (void)i, (void)seed;
    assert_int_equal(tensor(x, "image")->size, (size_t)n * sizeof(float));
    for (int j = 0; j < n; j++) {
        if (mask && mask[j / 3] <= 0)
            continue; /* the source there, not the decoder's idea of it */
        double d = (double)p->data[j] / 255 - rint((double)want[j] * 255) / 255;
        sum += d * d;
    }
    x->psnr = sum > 0 ? -10 * log10(sum / n) : 100;
    return 0;
}

static void fill_request(struct imagine_request *r, struct run *x, const struct image_model *m)
{
    struct err e = {0};
    imagine_init(r, m, NULL);
    r->prompt = text(x, "prompt");
    r->negative = text(x, "negative");
    r->width = (int)number(x, "width");
    r->height = (int)number(x, "height");
    r->steps = (int)number(x, "steps");
    r->guidance = number(x, "guidance");
    if (json_object_get(x->options, "guidance_rescale"))
        r->guidance_rescale = number(x, "guidance_rescale");
    r->seed = (uint64_t)number(x, "seed");
    r->noise = NOISE_MT19937;
    const json_t *hires = json_object_get(x->options, "hires");
    if (hires)
        r->hires = (struct imagine_hires){
            .kind = HIRES_LATENT_BICUBIC,
            .scale = json_number_value(json_object_get(hires, "scale")),
            .strength = json_number_value(json_object_get(hires, "strength")),
            .steps = (int)json_integer_value(json_object_get(hires, "steps"))};
    r->wrap = text(x, "tileable") ? WRAP_BOTH : WRAP_NONE;
    assert_ok(sampler_parse(text(x, "sampler"), &r->sampler, NULL, &e), e);
    assert_ok(schedule_parse(text(x, "schedule"), &r->schedule, &e), e);
    r->on_latent = on_latent;
    r->on_picture = on_picture;
    r->ctx = x;
}

/* What steers a case beside its prompt: files from folders of their own, and pictures. */
struct guides {
    struct imagine_control controls[CONTROL_MAX];
    struct imagine_reference references[REFERENCE_MAX];
    struct checkpoint *files[CONTROL_MAX + 2 * REFERENCE_MAX];
    struct picture pictures[CONTROL_MAX + REFERENCE_MAX];
    int n_controls, n_references, n_files, n_pictures;
};

static const struct picture *guide_picture(struct guides *g, const struct run *x, const char *name)
{
    struct err e = {0};
    struct picture *p = &g->pictures[g->n_pictures++];
    const int64_t *dim = tensor(x, name)->dim;
    assert_ok(picture_from_unit(p, floats(x, name), (int)dim[2], (int)dim[1], &e), e);
    return p;
}

static const struct checkpoint *guide_file(struct guides *g, const json_t *o, const char *part)
{
    struct hash_checkpoint_options h = {.type = DTYPE_F16, .n_shards = 1};
    char *path = model_write(json_string_value(json_object_get(o, "manifest")), "net", h, false);
    char *folder = file_join(path, part);
    struct checkpoint *c = g->files[g->n_files++] = model_open(folder);
    free(folder);
    free(path);
    return c;
}

static double guide_number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void open_guides(struct run *x, struct guides *g)
{
    size_t i;
    json_t *o;
    char name[48];
    *g = (struct guides){0};
    json_array_foreach(json_object_get(x->options, "controls"), i, o)
    {
        snprintf(name, sizeof(name), "control.%zu", i);
        g->controls[g->n_controls++] = (struct imagine_control){
            .file = guide_file(g, o, "controlnet"),
            .picture = guide_picture(g, x, name),
            .weight = guide_number(o, "weight"),
            .start = guide_number(o, "start"),
            .end = guide_number(o, "end")};
    }
    json_array_foreach(json_object_get(x->options, "references"), i, o)
    {
        const struct checkpoint *adapter = guide_file(g, o, "ip_adapter");
        const struct checkpoint *encoder = guide_file(g, o, "image_encoder");
        for (int j = 0; j < (int)guide_number(o, "pictures"); j++) {
            snprintf(name, sizeof(name), "reference.%zu.%d", i, j);
            g->references[g->n_references++] = (struct imagine_reference){
                adapter, encoder, guide_picture(g, x, name), guide_number(o, "weight")};
        }
    }
}

static void close_guides(struct guides *g)
{
    for (int i = 0; i < g->n_files; i++)
        checkpoint_close(g->files[i]);
    for (int i = 0; i < g->n_pictures; i++)
        picture_release(&g->pictures[i]);
}

/* Black and white. The pictures compared with have no seam: diffusers leaves pasting to others. */
static const struct picture *read_mask(const struct run *x, struct picture *cover)
{
    struct err e = {0};
    const struct ckpt_tensor *t = tensor(x, "mask");
    struct mask m = {(int)t->dim[2], (int)t->dim[1], (float *)(uintptr_t)t->data};
    assert_ok(mask_to_picture(&m, cover, &e), e);
    return cover;
}

static void draw_case(const char *name, const char *map, const char *isa, int threads)
{
    struct run x;
    struct err e = {0};
    struct backend *b;
    struct imagine_request r;
    struct picture source = {0}, cover = {0};
    struct guides g;
    open_case(&x, name);
    struct image_model *m = make_model(&x, map);
    assert_ok(cpu_backend_new(&b, threads, isa, &e), e);
    fill_request(&r, &x, m);
    if (json_object_get(x.options, "strength") && number(&x, "strength") > 0 &&
        tensor(&x, "image_in")) {
        assert_ok(picture_from_tensor(&source, floats(&x, "image_in"), r.width, r.height, &e), e);
        r.image = &source;
        r.strength = number(&x, "strength");
    }
    r.mask_seam = 0;
    if (tensor(&x, "mask"))
        r.mask = read_mask(&x, &cover);
    open_guides(&x, &g);
    r.controls = g.controls;
    r.n_controls = g.n_controls;
    r.references = g.references;
    r.n_references = g.n_references;
    assert_ok(imagine(m, b, &r, &e), e);
    print_message("%s: latents within %.2g, picture %.1f dB\n", name, x.latent_error, x.psnr);
    assert_int_equal(x.n_latents, tensor(&x, "latents")->dim[0]);
    if (!(x.latent_error <= 1e-3))
        fail_msg("%s: latents differ by %.3g", name, x.latent_error);
    if (!(x.psnr >= MIN_PSNR))
        fail_msg("%s: PSNR %.1f dB, wanted %.0f", name, x.psnr, MIN_PSNR);
    close_guides(&g);
    picture_release(&source);
    picture_release(&cover);
    backend_free(b);
    image_model_close(m);
    close_case(&x);
}

#define CASE(function, name, map, isa) \
    static void function(void **state) \
    {                                  \
        (void)state;                   \
        draw_case(name, map, isa, 2);  \
    }

CASE(sd15_euler, "sd15-euler", NULL, NULL)
CASE(sd15_euler_a, "sd15-euler-a", NULL, NULL)
CASE(sd15_dpmpp_2m_karras, "sd15-dpmpp-2m-karras", NULL, NULL)
CASE(sd15_ddim, "sd15-ddim", NULL, NULL)
CASE(sd15_lcm, "sd15-lcm", NULL, NULL)
CASE(sd15_heun_rescale, "sd15-heun-rescale", NULL, NULL)
CASE(sd21_unipc_v, "sd21-unipc-v", NULL, NULL)
CASE(sdxl_dpmpp_2m_sde, "sdxl-dpmpp-2m-sde", NULL, NULL)
CASE(sd15_odd_size, "sd15-odd-size", NULL, NULL)
CASE(sd15_hires, "sd15-hires", NULL, NULL)
CASE(sd15_tileable, "sd15-tileable", NULL, NULL)
CASE(sd15_img2img, "sd15-img2img", NULL, NULL)
CASE(sd21_euler_v, "sd21-euler-v", NULL, NULL)
CASE(sd21_ddim_v, "sd21-ddim-v", NULL, NULL)
CASE(sdxl_euler, "sdxl-euler", NULL, NULL)
CASE(sdxl_no_negative, "sdxl-dpmpp-2m-karras-no-negative", NULL, NULL)
CASE(sd_turbo_1, "sd-turbo-1", NULL, NULL)
CASE(sd_turbo_4, "sd-turbo-4", NULL, NULL)
CASE(sd15_control, "sd15-control", NULL, NULL)
CASE(sd15_controls, "sd15-controls", NULL, NULL)
CASE(sdxl_control, "sdxl-control", NULL, NULL)
CASE(sd15_long, "sd15-long", NULL, NULL)
CASE(sdxl_long, "sdxl-long", NULL, NULL)
CASE(sd15_inpaint, "sd15-inpaint", NULL, NULL)
CASE(sd15_inpaint_whole, "sd15-inpaint-whole", NULL, NULL)
CASE(sd15_inpaint_9, "sd15-inpaint-9", NULL, NULL)
CASE(sdxl_inpaint, "sdxl-inpaint", NULL, NULL)
CASE(sdxl_inpaint_9, "sdxl-inpaint-9", NULL, NULL)
CASE(sd15_style, "sd15-style", NULL, NULL)
CASE(sd15_style_face_control, "sd15-style-face-control", NULL, NULL)
CASE(sd15_full_unguided, "sd15-full-unguided", NULL, NULL)
CASE(sd15_inpaint_9_control, "sd15-inpaint-9-control", NULL, NULL)
CASE(sdxl_plus, "sdxl-plus", NULL, NULL)
CASE(sd15_single_file, "sd15-euler", "sd15", NULL)
CASE(sd_turbo_single_file, "sd-turbo-4", "sd21", NULL)
CASE(sdxl_single_file, "sdxl-euler", "sdxl", NULL)
CASE(sd15_generic, "sd15-euler", NULL, "generic")

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sd15_euler),
        cmocka_unit_test(sd15_euler_a),
        cmocka_unit_test(sd15_ddim),
        cmocka_unit_test(sd15_dpmpp_2m_karras),
        cmocka_unit_test(sd15_lcm),
        cmocka_unit_test(sd15_heun_rescale),
        cmocka_unit_test(sd21_unipc_v),
        cmocka_unit_test(sdxl_dpmpp_2m_sde),
        cmocka_unit_test(sd15_img2img),
        cmocka_unit_test(sd21_euler_v),
        cmocka_unit_test(sd21_ddim_v),
        cmocka_unit_test(sdxl_euler),
        cmocka_unit_test(sdxl_no_negative),
        cmocka_unit_test(sd_turbo_1),
        cmocka_unit_test(sd_turbo_4),
        cmocka_unit_test(sd15_long),
        cmocka_unit_test(sdxl_long),
        cmocka_unit_test(sd15_single_file),
        cmocka_unit_test(sd_turbo_single_file),
        cmocka_unit_test(sd15_odd_size),
        cmocka_unit_test(sdxl_single_file),
        cmocka_unit_test(sd15_generic),
        cmocka_unit_test(sd15_control),
        cmocka_unit_test(sd15_controls),
        cmocka_unit_test(sdxl_control),
        cmocka_unit_test(sd15_inpaint),
        cmocka_unit_test(sd15_inpaint_whole),
        cmocka_unit_test(sd15_inpaint_9),
        cmocka_unit_test(sdxl_inpaint),
        cmocka_unit_test(sdxl_inpaint_9),
        cmocka_unit_test(sd15_style),
        cmocka_unit_test(sd15_style_face_control),
        cmocka_unit_test(sd15_inpaint_9_control),
        cmocka_unit_test(sdxl_plus),
        cmocka_unit_test(sd15_full_unguided),
        cmocka_unit_test(sd15_tileable),
        cmocka_unit_test(sd15_hires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
