/* guidance.c - see guidance.h. */
#include "pipeline/guidance.h"

#include <math.h>

static double deviation(const float *x, size_t n)
{
    double mean = 0, sum = 0;
    for (size_t i = 0; i < n; i++)
        mean += (double)x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sqrt(sum / (double)n);
}

void guidance_combine(const float *negative, const float *positive, double scale, double rescale,
                      float *out, size_t n)
{
    double want = rescale > 0 ? deviation(positive, n) : 0; /* before `out` may replace it */
    float g = (float)scale;
    for (size_t i = 0; i < n; i++)
        out[i] = negative[i] + g * (positive[i] - negative[i]);
    double is = rescale > 0 ? deviation(out, n) : 0;
    if (is == 0)
        return;
    float factor = (float)(1 - rescale + rescale * want / is);
    for (size_t i = 0; i < n; i++)
        out[i] *= factor;
}
