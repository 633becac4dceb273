/* query.h - a scan segmented by task embeddings: from its own grid to the training grid and back.
 */
#ifndef MF_MASS_QUERY_H
#define MF_MASS_QUERY_H

#include "embedding.h"
#include "scan.h"

#include <massflow/stage.h>

typedef struct mf_query {
    mf_scan_settings scan;
    mf_segmenting windows; /* step and user are set here */
    double threshold;
    int64_t group;        /* labels in one forward pass, ascending; 0: all */
    bool compete;         /* each voxel has one label; else each label alone, which gives masks */
    bool keep_largest;    /* component, of each label */
    bool body_crop;       /* normalized and segmented inside of the body's box: see body_box.h */
    int64_t margin[3];    /* of that box, voxels of the training grid along z y x */
    bool probabilities;   /* wanted */
    const char *modality; /* of the embedding: another one of the scan is logged; NULL or "": any */
} mf_query;

/* What was asked for, all on the grid of the scan; the others NULL. Artifacts of types labels,
 * masks and probabilities; the caller unrefs them. */
typedef struct mf_query_result {
    mf_artifact *labels, *masks, *probabilities;
} mf_query_result;
void mf_query_result_clear(mf_query_result *r);

MF_MUST_USE mf_status mf_query_segment(mf_task *task, mf_predictor *predictor, const mf_query *q,
                                       const mf_artifact *scan, const mf_embedding *e,
                                       mf_query_result *result);
/* Host memory that it takes at most, of a scan of `own` voxels, on `grid` in training. */
size_t mf_query_host_bytes(const mf_query *q, int64_t labels, int64_t own, int64_t grid);

#endif
