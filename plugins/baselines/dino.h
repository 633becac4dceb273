/* dino.h - DINO: a student learns what a teacher, its own average, says of the other view.
 *
 * Caron, Touvron, Misra, Jegou, Mairal, Bojanowski, Joulin, "Emerging Properties in Self-Supervised
 * Vision Transformers", ICCV 2021: algorithm 1, on the two views of a pair (no multi-crop). */
#ifndef MF_BASELINES_DINO_H
#define MF_BASELINES_DINO_H

#include "method.h"

typedef struct mf_dino_params {
    mf_baseline_params shared; /* weight_decay: at first */
    double final_weight_decay, student_temperature, teacher_temperature, warmup_teacher_temperature;
    double warmup_teacher, teacher_momentum, center_momentum;
    double freeze_last_layer; /* fraction of the steps */
    int64_t hidden, bottleneck, prototypes;
    const char *head_norm; /* "none" or "batch" */
} mf_dino_params;

/* Weights of the head: head.fc1, head.fc2, head.fc3, head.last; with batch norms head.norm1 and
 * head.norm2, too. */
extern const mf_method mf_dino;

#endif
