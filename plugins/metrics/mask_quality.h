/* mask_quality.h - how well class-agnostic masks match the labels of a scan: the best mask of each
 * label, and what the masks cover. Knows nothing of stages and tables. */
#ifndef METRICS_MASK_QUALITY_H
#define METRICS_MASK_QUALITY_H

#include <massflow/artifact.h>

#define MASK_QUALITY_MOST_LABELS 1048576

/* A label and the mask that matches it best. */
typedef struct mask_match {
    int32_t label;
    int64_t voxels, mask_voxels; /* of the label; of the mask, 0 where none meets the label */
    int64_t mask; /* its number, the first of equals; -1 where none meets the label */
    double dice;  /* 2 |mask and label| / (|mask| + |label|); NaN of no voxels */
} mask_match;

typedef struct mask_quality {
    mask_match *matches; /* ascending labels */
    int64_t count;
    int64_t *mask_voxels; /* [masks] */
    int64_t masks, above; /* above: masks whose Dice with some label is above the threshold */
    int64_t labelled, labelled_covered; /* voxels with a label; those of them in a mask */
    int64_t body, body_covered;         /* voxels of the body; those of them in a mask */
} mask_quality;

/* What is compared with the masks, on their grid [z, y, x]. */
typedef struct mask_truth {
    const int32_t *labels;
    const int32_t *body; /* not 0 inside; NULL: the whole volume is the body */
    int64_t size[3];
    const int64_t *chosen; /* labels to compare, others are background; none: all */
    size_t chosen_count;
    double threshold;
} mask_truth;

/* Fails where a label lies outside 0 .. MASK_QUALITY_MOST_LABELS. mask_quality_clear frees `q`,
 * also after a failure. */
MF_MUST_USE mf_status mask_quality_measure(const mf_artifact *masks, const mask_truth *truth,
                                           mask_quality *q);
void mask_quality_clear(mask_quality *q);

#endif
