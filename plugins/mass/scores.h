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
    double auc; /* of class 1 of two, else the mean over classes, each against the rest */
    double accuracy, balanced; /* balanced: mean over the classes that cases have */
    int64_t *confusion;        /* [classes, classes]: row truth, column prediction; owned */
} mf_scores;
/* probability [n, classes], truth [n]. An error in words where a class has no case, or every. */
MF_MUST_USE mf_status mf_scores_make(const double *probability, const int64_t *truth, int64_t n,
                                     int64_t classes, const char *const *names, mf_scores *scores);
void mf_scores_clear(mf_scores *scores);

#endif
