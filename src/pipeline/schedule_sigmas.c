/* schedule_sigmas.c - see schedule_sigmas.h. */
#include "pipeline/schedule_sigmas.h"

#include <math.h>

/* 0 .. 1 for the steps of n; of one step the beginning. */
static double ramp(int i, int n)
{
    return n > 1 ? (double)i / (n - 1) : 0;
}

void schedule_sigmas_karras(double from, double to, int n, double *sigmas)
{
    const double rho = 7;
    double a = pow(from, 1 / rho), b = pow(to, 1 / rho);
    for (int i = 0; i < n; i++)
        sigmas[i] = pow(a + ramp(i, n) * (b - a), rho);
}

void schedule_sigmas_exponential(double from, double to, int n, double *sigmas)
{
    for (int i = 0; i < n; i++)
        sigmas[i] = exp(log(from) + ramp(i, n) * (log(to) - log(from)));
}

/* The distribution function of Beta(a, a) for 0 <= x <= 1/2: its power series, whose terms at least
 * halve. */
static double beta_cdf(double a, double x)
{
    double sum = 0, term = 1;
    for (int k = 0; k < 60; k++) {
        sum += term / (a + k);
        term *= (k + 1 - a) / (k + 1) * x;
    }
    double area = tgamma(a) * tgamma(a) / tgamma(2 * a);
    return pow(x, a) * sum / area;
}

/* The x below which a share p of Beta(a, a) lies, by bisection. */
static double beta_quantile(double a, double p)
{
    if (p > 0.5)
        return 1 - beta_quantile(a, 1 - p);
    double low = 0, high = 0.5;
    for (int i = 0; i < 60; i++) {
        double mid = (low + high) / 2;
        if (beta_cdf(a, mid) < p)
            low = mid;
        else
            high = mid;
    }
    return p > 0 ? (low + high) / 2 : 0;
}

void schedule_sigmas_beta(double from, double to, int n, double *sigmas)
{
    for (int i = 0; i < n; i++)
        sigmas[i] = to + beta_quantile(0.6, 1 - ramp(i, n)) * (from - to);
}

void schedule_sigmas_ays(bool xl, int n, double *sigmas)
{
    static const double tables[2][11] = {
        {14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029},
        {14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029},
    };
    const double *table = tables[xl];
    for (int i = 0; i < n; i++) {
        double at = 10.0 * i / n;
        int low = (int)at;
        double w = at - low;
        sigmas[i] = exp((1 - w) * log(table[low]) + w * log(table[low + 1]));
    }
}
