/* simclr.h - SimCLR: the two views of a scan are found among those of a batch.
 *
 * Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual
 * Representations", ICML 2020: NT-Xent (equation 1), and a projection head z = W2 ReLU(W1 h)
 * (section 2.1) on the mean of the last map; in its code with batch norms. */
#ifndef MF_BASELINES_SIMCLR_H
#define MF_BASELINES_SIMCLR_H

#include "method.h"

typedef struct mf_simclr_params {
    mf_baseline_params shared;
    double temperature;
    const char *head_norm;                     /* "batch" or "none" */
    int64_t projection_hidden, projection_dim; /* hidden 0: as many as the encoder's channels */
    bool same_scan_negatives;
} mf_simclr_params;

/* Weights of the head: head.fc1, head.fc2; with batch norms head.norm1 and head.norm2, too. */
extern const mf_method mf_simclr;

#endif
