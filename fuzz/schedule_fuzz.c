/* schedule_fuzz.c - scheduler_config.json from outside, and every schedule made from it. */
#include "base/err.h"
#include "pipeline/schedule.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct schedule_params p;
    if (schedule_params_parse(&p, (const char *)data, size, NULL))
        return 0;
    for (int kind = 0; kind < N_SCHEDULE; kind++)
        for (int sampler = 0; sampler < N_SAMPLER; sampler++)
            for (int n = 1; n < 40; n += 13) {
                struct schedule s;
                struct schedule_request r = {.kind = (enum schedule_kind)kind,
                                             .sampler = (enum sampler_kind)sampler,
                                             .n = n,
                                             .eta = -1};
                if (!schedule_build(&s, &p, &r, NULL))
                    for (int i = 0; i < s.n; i++)
                        if (!(s.steps[i].sigma > 0 && s.steps[i].t >= 0))
                            abort();
                schedule_release(&s);
            }
    return 0;
}
