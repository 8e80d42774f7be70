/* stages.c - see stages.h. */
#include "support/stages.h"

#include "base/err.h"
#include "format/checkpoint.h"
#include "support/test.h"
#include "tensor/quant.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct checkpoint *stages_open(const char *variant)
{
    struct err e = {0};
    struct checkpoint *ref;
    char name[128];
    snprintf(name, sizeof(name), "models/%s.safetensors", variant);
    char *path = test_data(name);
    assert_ok(checkpoint_open(&ref, path, &e), e);
    free(path);
    return ref;
}

/* The reference file has no components, so its names come through unchanged or with a prefix the
 * checkpoint layer adds to lone files: the file's own name counts. */
const struct ckpt_tensor *stages_tensor(struct checkpoint *ref, const char *name)
{
    for (size_t i = 0; i < checkpoint_n(ref); i++) {
        const struct ckpt_tensor *t = checkpoint_at(ref, i);
        if (strcmp(t->file_name, name) == 0)
            return t;
    }
    return NULL;
}

static const struct ckpt_tensor *need(struct checkpoint *ref, const char *name)
{
    const struct ckpt_tensor *t = stages_tensor(ref, name);
    if (!t)
        fail_msg("%s: no tensor %s", checkpoint_path(ref), name);
    return t;
}

struct tensor *stages_input(struct tape *t, struct checkpoint *ref, const char *name)
{
    const struct ckpt_tensor *r = need(ref, name);
    return tape_input(t, r->type == DTYPE_F32 ? DTYPE_F32 : DTYPE_I32, name, r->n_dim, r->dim);
}

void stages_fill(struct tensor *x, struct checkpoint *ref, const char *name)
{
    const struct ckpt_tensor *r = need(ref, name);
    assert_int_equal(r->size, tensor_size(x));
    memcpy(x->data, r->data, r->size);
}

static double value(const struct tensor *x, int64_t i)
{
    float f;
    if (x->type == DTYPE_F32)
        return (double)((const float *)x->data)[i];
    quant_to_f32(x->type, (const char *)x->data + 2 * i, &f, 1);
    return (double)f;
}

/* The difference of x[i * stride] from ref[i], all i. f32: the largest one over the largest |ref|.
 * bf16 rounds every activation to 8 bits, so that single values wander: there, the norm of the
 * differences over the norm of ref. */
static double difference(const struct tensor *x, const struct ckpt_tensor *ref, int64_t stride)
{
    double worst = 0, most = 0, sum = 0, sum_ref = 0;
    int64_t n = (int64_t)(ref->size / sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        float want;
        memcpy(&want, (const char *)ref->data + (size_t)i * sizeof(want), sizeof(want));
        double d = fabs(value(x, i * stride) - (double)want);
        worst = d > worst || isnan(d) ? d : worst;
        most = fabs((double)want) > most ? fabs((double)want) : most;
        sum += d * d;
        sum_ref += (double)want * (double)want;
    }
    if (x->type == DTYPE_F32)
        return worst / (most > 0 ? most : 1);
    return sqrt(sum / (sum_ref > 0 ? sum_ref : 1));
}

struct comparison {
    struct checkpoint *ref;
    json_t *stages;
    double tolerance;
    int n;
};

static json_t *find_stage(json_t *stages, const char *name)
{
    size_t i;
    json_t *s;
    json_array_foreach(stages, i, s) if (strcmp(json_string_value(json_object_get(s, "name")),
                                                name) == 0) return s;
    return NULL;
}

static int compare_op(const struct op *op, void *ctx)
{
    struct comparison *c = ctx;
    char name[300];
    json_t *s = find_stage(c->stages, op->out->name);
    if (!s)
        return 0;
    snprintf(name, sizeof(name), "stage/%s", op->out->name);
    const struct ckpt_tensor *ref = need(c->ref, name);
    int64_t stride = json_integer_value(json_object_get(s, "stride")), n = 1;
    size_t i;
    json_t *d;
    json_array_foreach(json_object_get(s, "shape"), i, d) n *= json_integer_value(d);
    if (n != tensor_n(op->out))
        fail_msg("%s has %ld elements, the reference %ld", op->out->name, (long)tensor_n(op->out),
                 (long)n);
    double diff = difference(op->out, ref, stride), allowed = c->tolerance;
    double torch = json_number_value(json_object_get(s, "bf16"));
    if (op->out->type == DTYPE_BF16 && torch > allowed)
        allowed = torch;
    if (!(diff <= allowed))
        fail_msg("stage %s differs by %.3g, allowed %.3g", op->out->name, diff, allowed);
    c->n++;
    return 0;
}

int stages_run(struct tape *t, struct backend *b, struct checkpoint *ref, double tolerance)
{
    struct err e = {0};
    const char *text = checkpoint_meta(ref, "stages");
    struct comparison c = {ref, json_loads(text ? text : "[]", 0, NULL), tolerance, 0};
    assert_non_null(c.stages);
    tape_observe(t, compare_op, &c);
    assert_ok(tape_run(t, b, &e), e);
    tape_observe(t, NULL, NULL);
    json_decref(c.stages);
    return c.n;
}

double stages_compare(const struct tensor *x, struct checkpoint *ref, const char *name,
                      double tolerance)
{
    const struct ckpt_tensor *r = need(ref, name);
    assert_int_equal(tensor_n(x), (int64_t)(r->size / sizeof(float)));
    double d = difference(x, r, 1);
    print_message("%s %s: %.3g\n", dtype_name(x->type), name, d);
    if (!(d <= tolerance))
        fail_msg("%s differs by %.3g, allowed %.3g", name, d, tolerance);
    return d;
}
