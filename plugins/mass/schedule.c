/* schedule.c - learning rates over a run. */
#include "schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* From `a` at 0 to `b` at 1 along half a cosine. */
static double along_cosine(double a, double b, double part)
{
    return b + (a - b) / 2 * (cos(pi * part) + 1);
}

/* torch.optim.lr_scheduler.OneCycleLR with two phases and momentum: the first ends at step
 * pct_start * steps - 1, the second at steps - 1; both bounds may be fractions. */
static void one_cycle(const mf_schedule *s, int64_t i, double *rate, double *beta1)
{
    double peak = s->pct_start * (double)s->steps - 1, end = (double)(s->steps - 1),
           step = (double)i;
    double low = s->rate / s->div_factor;
    if (step <= peak) {
        double part = peak > 0 ? step / peak : 1; /* one step up: it is the peak */
        *rate = along_cosine(low, s->rate, part);
        *beta1 = along_cosine(0.95, 0.85, part);
    } else {
        double part = (step - peak) / (end - peak);
        *rate = along_cosine(s->rate, low / s->final_div_factor, part);
        *beta1 = along_cosine(0.85, 0.95, part);
    }
}

void mf_schedule_at(const mf_schedule *s, int64_t i, double *rate, double *beta1)
{
    *beta1 = s->beta1;
    switch (s->kind) {
    case MF_SCHEDULE_ONE_CYCLE:
        one_cycle(s, i, rate, beta1);
        break;
    case MF_SCHEDULE_COSINE:
        *rate = along_cosine(s->rate, s->floor, (double)i / (double)s->steps);
        break;
    case MF_SCHEDULE_CONSTANT:
        *rate = s->rate;
        break;
    }
}
