/* distilled.c - see distilled.h. */
#include "pipeline/distilled.h"

#include "pipeline/image_model.h"

#include <ctype.h>
#include <string.h>

#define MAX_STEPS 16

/* "hyper" that does not go on as a word; "hypersd" does not either. */
static bool has_hyper(const char *name)
{
    for (const char *p = name; (p = strcasestr(p, "hyper")) != NULL; p++)
        if (!islower((unsigned char)p[5]) || strncmp(p + 5, "sd", 2) == 0)
            return true;
    return false;
}

/* The number before "step": "4step", "8-steps"; 0 when there is none. */
static int steps_of(const char *name)
{
    for (const char *p = name; (p = strcasestr(p, "step")) != NULL; p++) {
        const char *end = p, *digit;
        if (end > name && strchr("-_ ", end[-1]))
            end--;
        int n = 0, place = 1;
        for (digit = end; digit > name && isdigit((unsigned char)digit[-1]) && place < 1000;
             digit--) {
            n += (digit[-1] - '0') * place;
            place *= 10;
        }
        if (n >= 1 && n <= MAX_STEPS)
            return n;
    }
    return 0;
}

struct distilled distilled_from_name(const char *name)
{
    struct distilled d = {.steps = steps_of(name)};
    if (strcasestr(name, "lcm"))
        d.kind = DISTILLED_LCM;
    else if (strcasestr(name, "lightning"))
        d.kind = DISTILLED_LIGHTNING;
    else if (has_hyper(name))
        d.kind = DISTILLED_HYPER;
    else if (strcasestr(name, "turbo"))
        d.kind = DISTILLED_TURBO;
    d.guided = d.kind == DISTILLED_HYPER && strcasestr(name, "cfg");
    d.predicts_x0 = d.kind == DISTILLED_LIGHTNING && strcasestr(name, "_x0");
    return d;
}

void distilled_defaults(const struct distilled *d, struct image_defaults *out)
{
    if (d->kind == DISTILLED_NOT)
        return;
    int usual = d->kind == DISTILLED_HYPER ? 8 : 4;
    out->steps = d->steps ? d->steps : usual;
    out->guidance = d->guided ? 5 : 1;
    out->sampler = SAMPLER_EULER;
    out->schedule = SCHEDULE_TRAILING;
    if (d->kind == DISTILLED_LCM) {
        out->sampler = SAMPLER_LCM;
        out->schedule = SCHEDULE_MODEL;
    } else if (d->kind == DISTILLED_HYPER) {
        out->sampler = out->steps == 1 ? SAMPLER_TCD : SAMPLER_DDIM;
    }
}
