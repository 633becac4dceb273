/* nnunet_labels.h - names of label values from the entry `labels` of nnU-Net's dataset.json.
 *
 * Three forms (nnU-Net's documentation/dataset_format.md and region_based_training.md):
 *   {"background": 0, "liver": 1}                 v2
 *   {"whole tumor": [1, 2, 3], "core": [2, 3]}    v2, regions: a value lies in several
 *   {"0": "background", "1": "liver"}             v1 and the Medical Segmentation Decathlon */
#ifndef MF_COMMON_NNUNET_LABELS_H
#define MF_COMMON_NNUNET_LABELS_H

#include <massflow/names.h>

/* One entry: a name and the label values that it covers. */
typedef struct mf_region {
    char *name;
    int64_t *values; /* ascending */
    size_t count;
} mf_region;

/* The entries; begins as {0}. */
typedef struct mf_regions {
    mf_region *v;
    size_t count;
} mf_regions;

/* Adds an entry as it stands in the file: its key, and the texts of its value, or of its list. */
MF_MUST_USE mf_status mf_regions_add(mf_regions *r, const char *key, const char *const *values,
                                     size_t count);
/* A name for each value. A value that no entry has for itself is called by the smallest region it
 * lies in, without the regions inside that it does not lie in: "whole tumor without core". */
MF_MUST_USE mf_status mf_regions_names(const mf_regions *r, mf_names *names);
/* The entries as sets of labels, in the order of the file, if one of them has several values; else
 * none: names of values say all. Background is left out. */
MF_MUST_USE mf_status mf_regions_sets(const mf_regions *r, mf_label_sets *sets);
void mf_regions_clear(mf_regions *r);

#endif
