/* quality.h - how well probabilities of classes match the truth: rank, decision, calibration. It
 * serves cases with one class each, and cases with any number of them (multi-label).
 *
 * What is undefined is NaN: the AUC of a class that all cases, or none, have; F1 of a class that
 * nobody has or predicts. Means are over the classes for which there is a value. */
#ifndef MF_MASS_QUALITY_H
#define MF_MASS_QUALITY_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>

enum { MF_QUALITY_BINS = 15 }; /* of equal width, of a calibration error */

/* Of one class against the rest, or of all. */
typedef struct mf_class_quality {
    int64_t positives; /* cases of the class; of all: the cases */
    /* The area under the ROC curve and its 95% interval: AUC -+ 1.96 standard deviations by DeLong
     * et al. 1988, within 0..1; NaN where the class has one case, or the rest has. Of all: of the
     * second of two classes, else the mean over the classes, whose interval adds up each case's
     * components of all classes. */
    double auc, auc_low, auc_high;
    /* Of a class: of its decision, yes or no. Of all: part of the cases, or, multi-label, of all
     * decisions. */
    double accuracy;
    /* Of a class: mean of sensitivity and specificity. Of all: mean sensitivity of the classes
     * that cases have; multi-label: the mean over the classes. */
    double balanced_accuracy;
    double f1;    /* of all: mean over the classes (macro) */
    double brier; /* mean of (p - y)^2; of all: mean over the classes */
    /* Expected calibration error, in bins of the class's probability. Of all: of the probability
     * of the predicted class; multi-label: the mean over the classes. */
    double ece;
    double log_loss; /* of all: cross entropy, unweighted; multi-label: mean over the classes */
} mf_class_quality;

typedef struct mf_quality {
    mf_class_quality all;
    mf_class_quality *of; /* [classes]; owned */
} mf_quality;

/* The class of p [classes] that is decided for: the first of the most probable. */
int64_t mf_quality_best(const double *p, int64_t classes);
/* probability and truth (0 or 1) [n, classes]. Without a case an error. */
MF_MUST_USE mf_status mf_quality_make(const double *probability, const uint8_t *truth, int64_t n,
                                      int64_t classes, bool multi_label, mf_quality *quality);
void mf_quality_clear(mf_quality *quality);

#endif
