/* shots.c - see shots.h. */
#include "pipeline/shots.h"

int shots_together(int n, int rows, int h, int w)
{
    int64_t pixels = (int64_t)rows * h * w, most = SHOTS_PIXELS / pixels;
    most = most < 1 ? 1 : most > SHOTS_MAX ? SHOTS_MAX : most;
    return n < most ? n : (int)most;
}

int shot_open(struct shot *s, enum sampler_kind kind, const struct schedule *schedule,
              struct err *e)
{
    int rc = noise_init(&s->noise, &s->options, e);
    return rc ? rc : sampler_init(&s->sampler, kind, schedule, &s->noise, e);
}

void shot_close(struct shot *s)
{
    sampler_release(&s->sampler);
    noise_release(&s->noise);
    *s = (struct shot){0};
}
