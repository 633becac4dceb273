/* validate.h - how well a model with its task embeddings segments labelled samples, as the official
 * fine-tuning measures it: windows of one crop, averaged with equal weights, every class by itself
 * from one half on, Dice. */
#ifndef MF_MASS_VALIDATE_H
#define MF_MASS_VALIDATE_H

#include "classes.h"
#include "predict.h"

/* Sums over the samples that hold each class. */
typedef struct mf_validation {
    double dice[MF_CLASSES_MOST];   /* sum of Dice */
    int64_t cases[MF_CLASSES_MOST]; /* how many */
} mf_validation;
/* The mean over the classes that some sample holds of their mean Dice. */
double mf_validation_mean(const mf_validation *v, const mf_classes *classes);

/* Adds one sample to `v`. */
MF_MUST_USE mf_status mf_validate_sample(mf_task *t, mf_predictor *predictor,
                                         const mf_priors *priors, const mf_classes *classes,
                                         double overlap, const mf_artifact *sample,
                                         mf_validation *v);

#endif
