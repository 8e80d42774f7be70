/* ip_adapter_test.c - IP-Adapters and their image encoder against transformers and diffusers, stage
 * by stage, on tiny checkpoints of hash weights (tools/reference/ip_adapter.py).
 */
#include "models/ip_adapter.h"

#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "models/clip_vision.h"
#include "models/unet.h"
#include "pipeline/reference.h"
#include "support/hash_checkpoint.h"
#include "support/model.h"
#include "support/stages.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct checkpoint *open_part(const char *path, const char *component)
{
    char *folder = file_join(path, component);
    struct checkpoint *c = model_open(folder);
    free(folder);
    return c;
}

struct fixture {
    double tolerance;
    struct checkpoint *encoder, *adapter, *ref;
    struct clip_vision vision;
    struct ip_adapter net;
    struct tape *t;
    struct backend *b;
    struct err e;
};

static void setup(struct fixture *f, const char *variant, enum dtype type)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *path = model_write(variant, variant, o, false);
    *f = (struct fixture){.tolerance = type == DTYPE_F32 ? 1e-4 : 2e-2};
    f->encoder = open_part(path, "image_encoder");
    f->adapter = open_part(path, "ip_adapter");
    f->ref = stages_open(variant);
    assert_ok(clip_vision_open(&f->vision, f->encoder, &f->e), f->e);
    assert_ok(ip_adapter_open(&f->net, f->adapter, &f->e), f->e);
    assert_ok(cpu_backend_new(&f->b, 2, NULL, &f->e), f->e);
    f->t = tape_new(type);
    free(path);
}

static void teardown(struct fixture *f)
{
    tape_free(f->t);
    backend_free(f->b);
    ip_adapter_close(&f->net);
    clip_vision_close(&f->vision);
    checkpoint_close(f->encoder);
    checkpoint_close(f->adapter);
    checkpoint_close(f->ref);
}

/* From pixels to tokens. */
static void check_tokens(const char *variant, enum dtype type, enum ip_adapter_kind kind)
{
    struct fixture f;
    setup(&f, variant, type);
    assert_int_equal(f.net.kind, kind);
    assert_int_equal(f.vision.side, 56);
    assert_true(ip_adapter_fits(f.adapter, f.encoder));
    struct tensor *pixels = clip_vision_input(f.t, &f.vision);
    struct tensor *x = kind == IP_ADAPTER_PLAIN ? clip_vision_embed(f.t, &f.vision, pixels)
                                                : clip_vision_hidden(f.t, &f.vision, pixels);
    tape_keep(f.t, x);
    struct tensor *tokens = tape_keep(f.t, ip_adapter_project(f.t, &f.net, x));
    assert_ok(tape_plan(f.t, &f.e), f.e);
    clip_vision_patches(&f.vision, stages_tensor(f.ref, "input.pixels")->data, pixels->data);
    assert_true(stages_run(f.t, f.b, f.ref, f.tolerance) >= 2);
    stages_compare(x, f.ref, "output.encoded", f.tolerance);
    stages_compare(tokens, f.ref, "output.tokens", f.tolerance);
    teardown(&f);
}

/* The UNet that attends to the reference's tokens with weight 0.6, as two sources of 0.4 and 0.2.
 */
static void check_unet(const char *variant, enum dtype type)
{
    struct fixture f;
    struct unet m;
    float step;
    setup(&f, variant, type);
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *path = model_write("unet-sd15", "unet", o, false);
    struct checkpoint *file = open_part(path, "unet");
    assert_ok(unet_open(&m, file, &f.e), f.e);
    assert_ok(ip_adapter_check(&f.net, &m, variant, &f.e), f.e);
    struct unet_input in = {.x = stages_input(f.t, f.ref, "input.sample"),
                            .context = stages_input(f.t, f.ref, "input.context")};
    in.time = tape_input(f.t, DTYPE_F32, "time", 2, (int64_t[]){1, m.n_time});
    struct tensor *tokens = stages_input(f.t, f.ref, "output.tokens");
    struct tensor *cast = op_cast(f.t, tokens, type);
    struct attention_more more[2] = {{f.net.sources, cast, 0.4f}, {f.net.sources, cast, 0.2f}};
    in.more = more;
    in.n_more = 2;
    struct tensor *out = tape_keep(f.t, unet_forward(f.t, &m, &in));
    assert_ok(tape_plan(f.t, &f.e), f.e);
    stages_fill(in.x, f.ref, "input.sample");
    stages_fill(in.context, f.ref, "input.context");
    stages_fill(tokens, f.ref, "output.tokens");
    memcpy(&step, stages_tensor(f.ref, "input.timestep")->data, sizeof(step));
    unet_sinusoid((double)step, in.time->data, m.n_time);
    assert_ok(tape_run(f.t, f.b, &f.e), f.e);
    stages_compare(out, f.ref, "output.sample", 2 * f.tolerance);
    unet_close(&m);
    checkpoint_close(file);
    free(path);
    teardown(&f);
}

/* The picture as transformers' CLIPImageProcessor prepares it. */
static void pixels_are_transformers(void **state)
{
    (void)state;
    static const char *const variants[] = {"ip-plain-sd15", "ip-plus-sd15", "ip-full-sd15"};
    struct err e = {0};
    for (int i = 0; i < 3; i++) {
        struct checkpoint *ref = stages_open(variants[i]);
        const struct ckpt_tensor *t = stages_tensor(ref, "input.picture");
        const struct ckpt_tensor *want = stages_tensor(ref, "input.pixels");
        struct picture p = {0};
        static float got[56 * 56 * 3];
        assert_ok(picture_from_unit(&p, t->data, (int)t->dim[2], (int)t->dim[1], &e), e);
        assert_ok(reference_pixels(&p, 56, got, &e), e);
        for (int j = 0; j < 56 * 56 * 3; j++)
            if (!(fabs((double)got[j] - (double)((const float *)want->data)[j]) < 2e-6))
                fail_msg("%s: pixel %d is %g, wanted %g", variants[i], j, (double)got[j],
                         (double)((const float *)want->data)[j]);
        picture_release(&p);
        checkpoint_close(ref);
    }
}

#define TEST(name, call)           \
    static void name(void **state) \
    {                              \
        (void)state;               \
        call;                      \
    }
TEST(plain_f32, check_tokens("ip-plain-sd15", DTYPE_F32, IP_ADAPTER_PLAIN))
TEST(plain_bf16, check_tokens("ip-plain-sd15", DTYPE_BF16, IP_ADAPTER_PLAIN))
TEST(full_f32, check_tokens("ip-full-sd15", DTYPE_F32, IP_ADAPTER_FULL))
TEST(plus_f32, check_tokens("ip-plus-sd15", DTYPE_F32, IP_ADAPTER_PLUS))
TEST(plus_bf16, check_tokens("ip-plus-sd15", DTYPE_BF16, IP_ADAPTER_PLUS))
TEST(plus_sdxl_f32, check_tokens("ip-plus-sdxl", DTYPE_F32, IP_ADAPTER_PLUS))
TEST(unet_plain_f32, check_unet("ip-plain-sd15", DTYPE_F32))
TEST(unet_plain_bf16, check_unet("ip-plain-sd15", DTYPE_BF16))
TEST(unet_plus_f32, check_unet("ip-plus-sd15", DTYPE_F32))

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_transformers),
        cmocka_unit_test(plain_f32),
        cmocka_unit_test(plain_bf16),
        cmocka_unit_test(full_f32),
        cmocka_unit_test(plus_f32),
        cmocka_unit_test(plus_bf16),
        cmocka_unit_test(plus_sdxl_f32),
        cmocka_unit_test(unet_plain_f32),
        cmocka_unit_test(unet_plain_bf16),
        cmocka_unit_test(unet_plus_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
