/* nms.h - non-maximum suppression: keeps masks that are large enough and no near-duplicates of a
 * larger one. */
#ifndef MASKS_NMS_H
#define MASKS_NMS_H

#include <massflow/artifact.h>

typedef struct nms_options {
    double iou;         /* a mask that overlaps a kept one more than this is dropped; 1: none is */
    int64_t pool;       /* masks are compared after max-pooling by so many voxels along each axis */
    int64_t min_voxels; /* smaller masks are dropped */
    int64_t most;       /* at most so many are kept, the largest; 0: no limit */
} nms_options;

typedef struct nms_counts {
    int64_t given, small, doubles, surplus, kept;
} nms_counts;

/* Masks of all sources, which lie on one grid, as one artifact: largest first. */
MF_MUST_USE mf_status nms_apply(const mf_artifact *const *sources, size_t count,
                                const nms_options *options, mf_artifact **kept, nms_counts *counts);

#endif
