/* clock.h - seconds that only go forward, for telling how long something took. */
#ifndef LAR_BASE_CLOCK_H
#define LAR_BASE_CLOCK_H

#include <time.h>

static inline double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
