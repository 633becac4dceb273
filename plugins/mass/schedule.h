/* schedule.h - learning rates over a run, as PyTorch's schedulers give them. */
#ifndef MF_MASS_SCHEDULE_H
#define MF_MASS_SCHEDULE_H

#include <stdint.h>

typedef enum mf_schedule_kind {
    MF_SCHEDULE_ONE_CYCLE, /* Smith and Topin 2019; moves beta1 against the rate */
    MF_SCHEDULE_COSINE,
    MF_SCHEDULE_CONSTANT
} mf_schedule_kind;

typedef struct mf_schedule {
    mf_schedule_kind kind;
    double rate; /* the largest */
    int64_t steps;
    /* one-cycle, as PyTorch's OneCycleLR: the fraction of steps with a rising rate; the first rate
     * is rate / div_factor, the last one that / final_div_factor */
    double pct_start, div_factor, final_div_factor;
    double beta1; /* of cosine and constant; one-cycle goes 0.95, 0.85 at the peak, 0.95 */
    double floor; /* cosine: the rate at last */
} mf_schedule;

/* Rate and beta1 of step i = 0 .. steps - 1. */
void mf_schedule_at(const mf_schedule *s, int64_t i, double *rate, double *beta1);

#endif
