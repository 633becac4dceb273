/* curve.c - see curve.h. */
#include "curve.h"

/* A cubic Bezier curve from 0 to 1 with control values a, b, at t. */
static double bezier(double a, double b, double t)
{
    const double s = 1 - t;
    return 3 * s * s * t * a + 3 * s * t * t * b + t * t * t;
}

void mf_curve_make(const double control[4], bool falling, mf_curve *c)
{
    for (int i = 0; i <= MF_CURVE_STEPS; i++) {
        const double t = (double)i / MF_CURVE_STEPS;
        c->x[i] = bezier(control[0], control[2], t);
        c->y[falling ? MF_CURVE_STEPS - i : i] = bezier(control[1], control[3], t);
    }
}

void mf_curve_draw(mf_random *random, mf_curve *c)
{
    double control[4];
    for (int i = 0; i < 4; i++)
        control[i] = mf_random_uniform(random, 0, 1);
    mf_curve_make(control, mf_random_uniform(random, 0, 1) < 0.5, c);
}

double mf_curve_at(const mf_curve *c, double v)
{
    int low = 0, high = MF_CURVE_STEPS;
    if (!(v > 0))
        return c->y[0];
    if (v >= 1)
        return c->y[MF_CURVE_STEPS];
    while (high - low > 1) { /* x[low] <= v < x[high] */
        const int middle = (low + high) / 2;
        if (c->x[middle] <= v)
            low = middle;
        else
            high = middle;
    }
    const double part = (v - c->x[low]) / (c->x[high] - c->x[low]);
    return c->y[low] + part * (c->y[high] - c->y[low]);
}
