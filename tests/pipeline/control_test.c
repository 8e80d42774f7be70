/* control_test.c - ControlNets of a request: when they act, and what is refused. Their pictures are
 * compared with diffusers' in imagine_test.c.
 */
#include "pipeline/control.h"

#include "support/test.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "pipeline/image_model.h"
#include "support/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct image_model *m;
static struct checkpoint *net, *xl;
static struct backend *b;
static struct picture picture;

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    struct hash_checkpoint_options o = {.type = DTYPE_F16, .n_shards = 1};
    char *path = model_write("sd15", "sd15", o, false);
    assert_ok(image_model_open(&m, path, &e), e);
    assert_ok(cpu_backend_new(&b, 1, NULL, &e), e);
    assert_ok(picture_alloc(&picture, 40, 30, 4, "a picture", &e), e);
    net = model_open_part("controlnet-sd15", "controlnet");
    xl = model_open_part("controlnet-sdxl", "controlnet");
    free(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    image_model_close(m);
    checkpoint_close(net);
    checkpoint_close(xl);
    backend_free(b);
    picture_release(&picture);
    return 0;
}

/* The defaults, with one change: usual(.weight = 2). */
#define usual(...)                                 \
    ((struct imagine_control){.file = net,         \
                              .picture = &picture, \
                              .weight = 1,         \
                              .end = 1,            \
                              .low = 100,          \
                              .high = 200,         \
                              __VA_ARGS__})

static int try_open(struct control *c, const struct imagine_control *x, int n, struct err *e)
{
    struct control_request r = {m, x, n, 8, 8, DTYPE_F32, WRAP_NONE, NULL};
    *e = (struct err){0};
    return control_open(c, b, &r, e);
}

static void refused(struct imagine_control x, int code, const char *part)
{
    struct control c;
    struct err e;
    assert_int_equal(try_open(&c, &x, 1, &e), code);
    assert_err(e, code, part);
    control_release(&c);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static void wrong_values_are_refused(void **state)
{
    (void)state;
    refused(usual(.weight = (double)NAN), ERR_ARG, "weight");
    refused(usual(.start = 0.5, .end = 0.5), ERR_ARG, "0 <= start < end <= 1");
    refused(usual(.end = 1.5), ERR_ARG, "acts from 0 to 1.5");
    refused(usual(.canny = true, .low = 300), ERR_ARG, "thresholds");
    refused(usual(.file = xl), ERR_ARG, "another family");
    refused(usual(.file = m->file), ERR_FORMAT, "is no ControlNet");
}

static void acts_in_its_part_of_the_steps(void **state)
{
    (void)state;
    struct control c;
    struct err e;
    struct imagine_control x[] = {usual(.end = 0.5), usual(.start = 0.3), usual(.weight = 0),
                                  usual(.canny = true)};
    static const unsigned want[4] = {1 | 8, 1 | 8, 2 | 8, 2 | 8};
    assert_ok(try_open(&c, x, 4, &e), e);
    for (int i = 0; i < 4; i++)
        assert_int_equal(control_active(&c, i, 4), want[i]);
    assert_int_equal(control_all(&c), 1 | 2 | 8);
    assert_null(c.nets[2].hint); /* without a weight there is nothing to compute */
    control_release(&c);
}
#pragma GCC diagnostic pop

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct imagine_control x = usual(.canny = true);
    int n = 0, rc;
    do {
        struct control c;
        struct err e;
        mem_fail_nth(++n);
        rc = try_open(&c, &x, 1, &e);
        mem_fail_nth(0);
        if (rc)
            assert_int_equal(rc, ERR_NOMEM);
        control_release(&c);
    } while (rc);
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(acts_in_its_part_of_the_steps),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
