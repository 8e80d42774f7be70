/* loader_test.c - tensors by name and shape: what is there, what is missing, what does not fit. */
#include "support/test.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "nn/layers.h"
#include "support/model.h"
#include "support/tamper.h"

#include <stdlib.h>
#include <string.h>

/* The tiny KL autoencoder and a loader for it. */
struct fixture {
    struct checkpoint *file;
    struct arena arena;
    struct loader l;
    struct err e;
};

static char *vae_file(char **folder)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .component = "vae", .n_shards = 1};
    char *path = model_write("vae-kl", "model", o, false);
    *folder = mem_printf("%s/vae", path);
    free(path);
    return mem_printf("%s/diffusion_pytorch_model.safetensors", *folder);
}

static void setup(struct fixture *f, const char *lost)
{
    char *folder, *path = vae_file(&folder);
    *f = (struct fixture){0};
    if (lost)
        tamper_tensor(path, lost, TAMPER_REMOVE);
    f->file = model_open(folder);
    load_start(&f->l, f->file, &f->arena, "vae", &f->e);
    free(folder);
    free(path);
}

static void teardown(struct fixture *f)
{
    arena_release(&f->arena);
    checkpoint_close(f->file);
}

static void scopes_and_counts(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL);
    load_push(&f.l, "%s", "decoder");
    assert_true(load_has(&f.l, "conv_in.weight"));
    assert_false(load_has(&f.l, "conv_in")); /* a part, not a tensor */
    assert_true(load_has_any(&f.l, "conv_in"));
    assert_false(load_has_any(&f.l, "conv_i"));
    assert_false(load_has_any(&f.l, "down_blocks.%d", 0));
    assert_int_equal(load_count(&f.l, "up_blocks"), 4);
    assert_int_equal(load_count(&f.l, "down_blocks"), 0);
    assert_int_equal(load_dim(&f.l, "conv_in.weight", 1), 4);
    assert_int_equal(load_dim(&f.l, "conv_in.weight", 4), 0);
    assert_int_equal(load_dim(&f.l, "nothing", 0), 0);
    load_pop(&f.l);
    assert_true(load_has(&f.l, "encoder.conv_in.weight"));
    assert_int_equal(load_done(&f.l), 0);
    teardown(&f);
}

/* The count does not stop at a gap: what is lost is missed by name. */
static void counts_across_a_gap(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, "decoder.up_blocks.1.resnets.0.norm1.weight");
    load_push(&f.l, "decoder");
    assert_int_equal(load_count(&f.l, "up_blocks"), 4);
    load_push(&f.l, "up_blocks.1");
    assert_int_equal(load_count(&f.l, "resnets"), 3);
    teardown(&f);
}

static void the_first_failure_stays(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL);
    assert_null(load_matrix(&f.l, "no.such.weight", LOAD_ANY, 3));
    assert_int_equal(load_done(&f.l), ERR_FORMAT);
    assert_err(f.e, ERR_FORMAT, "tensor vae.no.such.weight is missing");
    assert_null(load_vector(&f.l, "encoder.conv_in.bias", LOAD_ANY));
    load_fail(&f.l, "something else");
    assert_err(f.e, ERR_FORMAT, "no.such.weight");
    teardown(&f);
}

static void shapes(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, NULL);
    struct tensor *w = load_weight(&f.l, "quant_conv.weight", 2, (int64_t[]){8, LOAD_ANY});
    assert_non_null(w); /* [8, 8, 1, 1] as a matrix */
    assert_int_equal(w->n_dim, 2);
    assert_int_equal(w->dim[1], 8);
    assert_int_equal(w->type, DTYPE_F16);
    assert_ptr_equal(w->data, checkpoint_find(f.file, "vae.quant_conv.weight")->data);
    struct tensor *b = load_vector(&f.l, "quant_conv.bias", 8);
    assert_int_equal(b->type, DTYPE_F32);
    assert_null(load_weight(&f.l, "quant_conv.weight", 2, (int64_t[]){8, 9}));
    assert_err(f.e, ERR_FORMAT, "tensor vae.quant_conv.weight");
    assert_err(f.e, ERR_FORMAT, "diffusion_pytorch_model.safetensors");
    teardown(&f);
}

static void biases(void **state)
{
    (void)state;
    struct fixture f;
    struct conv c;
    struct linear x;
    setup(&f, "quant_conv.bias");
    conv_load_plain(&f.l, &c, "quant_conv", 8, 8, 1);
    assert_true(c.w && !c.b);
    linear_load_plain(&f.l, &x, "post_quant_conv", 4, 4);
    assert_true(x.w && x.b);
    assert_int_equal(load_done(&f.l), 0);
    conv_load(&f.l, &c, "quant_conv", 8, 8, 1);
    assert_err(f.e, ERR_FORMAT, "tensor vae.quant_conv.bias is missing");
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes_and_counts),
        cmocka_unit_test(counts_across_a_gap),
        cmocka_unit_test(the_first_failure_stays),
        cmocka_unit_test(shapes),
        cmocka_unit_test(biases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
