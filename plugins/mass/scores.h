/* scores.h - how well a classifier does on cases it was not trained on. */
#ifndef MF_MASS_SCORES_H
#define MF_MASS_SCORES_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>

/* Area under the ROC curve: the chance that a positive case scores above a negative one, ties
 * counting half (Mann and Whitney). False where all cases are of one kind. */
bool mf_scores_auc(const double *score, const bool *positive, int64_t n, double *auc);

typedef struct mf_scores {
    /* Of class 1 of two, else the mean over the classes, each against the rest, for which there are
     * cases of both kinds; NaN where there are for none. */
    double auc;
    int64_t auc_classes;       /* of 1, or of all */
    double accuracy, balanced; /* balanced: mean over the classes that cases have */
    int64_t *confusion;        /* [classes, classes]: row truth, column prediction; owned */
} mf_scores;
/* probability [n, classes], truth [n]. Without a case an error. */
MF_MUST_USE mf_status mf_scores_make(const double *probability, const int64_t *truth, int64_t n,
                                     int64_t classes, mf_scores *scores);
void mf_scores_clear(mf_scores *scores);

#endif
