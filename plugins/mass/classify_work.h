/* classify_work.h - what mass.classify works on: cases, ranks, epochs. */
#ifndef MF_MASS_CLASSIFY_WORK_H
#define MF_MASS_CLASSIFY_WORK_H

#include "../views/scan_view.h"
#include "classifier.h"
#include "quality.h"
#include "ranks.h"
#include "targets.h"

typedef struct mf_classify_params {
    const char *target, *gaps, *pooling, *class_weight, *select;
    bool multi_label, normalize, freeze, augment;
    mf_int3 roi_size, rotate;
    mf_real3 scale, translate, shear;
    mf_reals brightness_range, gamma_range, contrast_range, blur_range;
    int64_t epochs, stop_at, batch_size, margin, seed, devices, ranks;
    double dropout, head_lr, encoder_lr, eta_min, weight_decay, max_grad_norm, affine_prob,
        aug_prob, brightness_additive_std, gaussian_noise_std, checkpoint_interval;
} mf_classify_params;

/* The numbers of an epoch; those of `val` are NaN without validation cases. */
typedef struct mf_epoch {
    double loss, norm; /* means over its steps */
    double head_rate, encoder_rate;
    double val_loss, val_auc, val_accuracy, val_balanced, val_f1, val_brier;
    double best; /* 1: the best so far */
} mf_epoch;

/* Cases of one port. */
typedef struct mf_case_set {
    const char *port;
    mf_truth truth;
    mf_view_scan *scan;  /* [n] */
    bool *known;         /* [n]: mean and scale of the scan */
    float **map;         /* [n]: of a frozen encoder, kept; NULL before */
    double *probability; /* [n, classes]: of the last time that they were judged */
} mf_case_set;

/* What a rank of the training has of its own, on its device. */
typedef struct mf_classify_rank {
    mf_classifier *classifier;
    float *drop, *target; /* of the case that it learns */
    float norm;           /* of the gradient of a step */
} mf_classify_rank;

typedef struct mf_classify {
    mf_task *task;
    const mf_classify_params *o;
    const mf_artifact *model;
    mf_targets classes;
    mf_classifier_shape shape;
    mf_ranks *ranks;
    mf_classify_rank *rank;    /* [ranks] */
    mf_classifier *classifier; /* that of rank 0, which judges and is saved; borrowed */
    mf_case_set train, val, test;
    double *class_weight; /* [classes] */
    int64_t *order;       /* of an epoch */
    float *views, *weight, *logits;
    double *losses;         /* [batch], of a step */
    int64_t batch, batches; /* cases of a step, at most; steps of an epoch */
    int64_t last;           /* epochs to do */
    mf_epoch *epochs;       /* [last] */
    int64_t judged;         /* epochs that are done, with what the validation cases say */
    mf_epoch sums;          /* of the steps of the epoch that is being done: loss, norm */
    int64_t best;           /* the epoch kept; -1: none yet */
    float **kept;           /* [weights]: its values; NULL: the last epoch is kept */
} mf_classify;

#endif
