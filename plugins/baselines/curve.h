/* curve.h - the nonlinear change of intensities of Models Genesis (Zhou et al., "Models Genesis",
 * Medical Image Analysis 2021): a cubic Bezier curve from (0, 0) to (1, 1), or a falling one. */
#ifndef MF_BASELINES_CURVE_H
#define MF_BASELINES_CURVE_H

#include <massflow/random.h>
#include <stdbool.h>

enum { MF_CURVE_STEPS = 4096 };
typedef struct mf_curve {
    double x[MF_CURVE_STEPS + 1]; /* ascending, 0 .. 1 */
    double y[MF_CURVE_STEPS + 1]; /* ascending 0 .. 1, or descending 1 .. 0 */
} mf_curve;

/* Control points (x1, y1) and (x2, y2) in the unit square. Both coordinates are monotone then, so
 * the curve is a function. falling: y runs against the same x in the other direction, as in the
 * official code. */
void mf_curve_make(const double control[4], bool falling, mf_curve *c);
/* Control points uniform in the unit square; falling with probability 1/2. */
void mf_curve_draw(mf_random *random, mf_curve *c);
/* The curve at v, linear between its steps; v outside of 0 .. 1 takes the value at that end. */
double mf_curve_at(const mf_curve *c, double v);

#endif
