/* draw.c - draws a picture with the library.
 *
 *     cc draw.c $(pkg-config --cflags --libs lar) -o draw
 *     ./draw MODEL "a lighthouse at dusk" out.png
 */
#include <lar.h>
#include <stdio.h>

static int on_progress(const struct lar_progress *p, void *ctx)
{
    (void)ctx;
    if (p->phase == LAR_STEPPING)
        fprintf(stderr, "step %d of %d\n", p->step, p->n_steps);
    return 0; /* anything else would stop the drawing */
}

static int on_picture(const struct lar_drawn *d, void *ctx)
{
    struct lar_error e = {0};
    if (lar_picture_write(ctx, &d->picture, d->recipe, &e) == 0)
        return 0;
    fprintf(stderr, "%s\n", e.text);
    return 1;
}

int main(int argc, char **argv)
{
    struct lar *lar = NULL;
    struct lar_image_model *model = NULL;
    struct lar_draw draw;
    struct lar_error e = {0};
    if (argc != 4) {
        fprintf(stderr, "usage: draw MODEL PROMPT OUT.png\n");
        return 2;
    }
    int rc = lar_open(&lar, 0, &e);
    if (rc == 0)
        rc = lar_image_model_open(&model, lar, argv[1], &e);
    if (rc == 0) {
        lar_draw_init(&draw, model);
        draw.prompt = argv[2];
        draw.seed = 7;
        draw.on_progress = on_progress;
        draw.on_picture = on_picture;
        draw.ctx = argv[3];
        rc = lar_draw(model, &draw, &e);
    }
    if (rc)
        fprintf(stderr, "draw: %s\n", e.text);
    lar_image_model_close(model);
    lar_close(lar);
    return rc ? 1 : 0;
}
