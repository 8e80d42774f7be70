/* sampler_multistep.c - samplers that look back at the estimates of earlier steps
 * (sampler_move.h). lambda = -log sigma, h its growth in a step. */
#include "pipeline/sampler_move.h"

#include "pipeline/schedule.h"

#include <math.h>

/* The growth of lambda in a step, or to the step's sigma from that of an earlier one. */
static double growth(const struct schedule_step *s)
{
    return log(s->sigma / s->sigma_to);
}

static double growth_since(const struct schedule_step *s, int before)
{
    return log(s[-before].sigma / s->sigma);
}

/* diffusers' lower_order_final: the last step is of first order in short schedules or when it ends
 * at no noise. */
static bool first_order(const struct sampler_place *p)
{
    bool last = p->index == p->schedule->n - 1;
    return p->index == p->begin || (last && (p->step->sigma_to == 0 || p->schedule->n < 15));
}

/* The first order SDE step of DPM-Solver++ (exact where x0 stays constant); eta 0 is the ODE. */
static struct sampler_move sde_first(const struct schedule_step *s, double eta)
{
    struct sampler_level from = sampler_level(s->sigma), to = sampler_level(s->sigma_to);
    double h = growth(s);
    if (s->sigma_to == 0)
        return (struct sampler_move){.x0 = 1};
    return (struct sampler_move){.x = to.noise / from.noise * exp(-eta * h),
                                 .x0 = -to.signal * expm1(-(1 + eta) * h),
                                 .noise = to.noise * sqrt(-expm1(-2 * eta * h))};
}

/* Adds w times the slope of x0 over the last step, as a share of this one. */
static void add_slope(struct sampler_move *m, double w)
{
    m->x0 += w;
    m->x0_1 -= w;
}

/* Lu et al., "DPM-Solver++" (2022), algorithm 2 and its SDE form, with the midpoint rule. */
static struct sampler_move dpmpp_2m(const struct sampler_place *p, double eta)
{
    struct sampler_move m = sde_first(p->step, eta);
    if (!first_order(p))
        add_slope(&m, m.x0 / 2 * growth(p->step) / growth_since(p->step, 1));
    return m;
}

struct sampler_move sampler_dpmpp_2m(const struct sampler_place *p)
{
    return dpmpp_2m(p, 0);
}

struct sampler_move sampler_dpmpp_2m_sde(const struct sampler_place *p)
{
    return dpmpp_2m(p, p->schedule->eta);
}

/* The third order of the same, as k-diffusion's sample_dpmpp_3m_sde: x0 is extrapolated by a
 * parabola through three estimates, by a line where there are two. */
struct sampler_move sampler_dpmpp_3m_sde(const struct sampler_place *p)
{
    const struct schedule_step *s = p->step;
    double eta = p->schedule->eta, h = growth(s), h_eta = h * (1 + eta);
    struct sampler_move m = sde_first(s, eta);
    if (p->index == p->begin || s->sigma_to == 0 || h == 0)
        return m;
    double signal = sampler_level(s->sigma_to).signal;
    double phi_2 = expm1(-h_eta) / h_eta + 1, phi_3 = phi_2 / h_eta - 0.5;
    double r0 = growth_since(s, 1) / h;
    if (p->index - p->begin == 1) {
        add_slope(&m, signal * phi_2 / r0);
        return m;
    }
    double r1 = log(s[-2].sigma / s[-1].sigma) / h;
    /* With the slopes d0 = (x0 - x0_1) / r0, d1 = (x0_1 - x0_2) / r1 and c = (d0 - d1) / (r0 + r1):
     * x' += signal (phi_2 (d0 + r0 c) - phi_3 c). */
    double of_c = signal * (phi_2 * r0 - phi_3) / (r0 + r1);
    double of_d0 = (signal * phi_2 + of_c) / r0, of_d1 = -of_c / r1;
    m.x0 += of_d0;
    m.x0_1 += of_d1 - of_d0;
    m.x0_2 -= of_d1;
    return m;
}

/* The order of UniPC's predictor at a step: 1 at the first and the last. */
static int unipc_order(const struct sampler_place *p, int index)
{
    return index == p->begin || index == p->schedule->n - 1 ? 1 : 2;
}

/* What UniC changes in x, which UniP predicted, now that x0 there is known; to be added to `m`.
 * Zhao et al., "UniPC" (2023), B(h) = expm1(h) ("bh2"), order 2. The estimates of the step before
 * are x0_1 and x0_2. */
static struct sampler_move unipc_corrector(const struct sampler_place *p)
{
    const struct schedule_step *s = p->step;
    double h = -growth_since(s, 1), b_h = expm1(h);
    double scale = sampler_level(s->sigma).signal * b_h;
    if (unipc_order(p, p->index - 1) == 1)
        return (struct sampler_move){.x = 1, .x0 = -scale / 2, .x0_1 = scale / 2};
    double r = growth_since(s - 1, 1) / h; /* < 0 */
    double phi = b_h / h - 1, b1 = phi / b_h, b2 = (phi / h - 0.5) * 2 / b_h;
    double rho_0 = (b1 - b2) / (1 - r), rho_1 = b1 - rho_0;
    double slope = scale * (0.5 - rho_0) / r; /* of x0_2 - x0_1: the predictor's out, its own in */
    return (struct sampler_move){
        .x = 1, .x0 = -scale * rho_1, .x0_1 = scale * rho_1 - slope, .x0_2 = slope};
}

/* Corrects x, then predicts as DPM-Solver++(2M) does. */
struct sampler_move sampler_unipc(const struct sampler_place *p)
{
    struct sampler_move m = sde_first(p->step, 0);
    if (unipc_order(p, p->index) == 2)
        add_slope(&m, m.x0 / 2 * growth(p->step) / growth_since(p->step, 1));
    if (p->index == p->begin)
        return m;
    struct sampler_move c = unipc_corrector(p);
    m.x0 += m.x * c.x0;
    m.x0_1 += m.x * c.x0_1;
    m.x0_2 += m.x * c.x0_2;
    return m;
}
