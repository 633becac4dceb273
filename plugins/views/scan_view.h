/* scan_view.h - one augmented view of a scan, as the official classification data set draws it, and
 * the view at its center that is not augmented. */
#ifndef MF_VIEWS_SCAN_VIEW_H
#define MF_VIEWS_SCAN_VIEW_H

#include "view.h"

/* A scan that views are made of: an array f32 [shape] of an artifact, z y x, which may be lazy.
 * What a view shows is (voxel - mean) * scale, and 0 outside of the scan. */
typedef struct mf_view_scan {
    const mf_artifact *artifact;
    const char *array;
    int64_t shape[3];
    double mean, scale;
} mf_view_scan;

/* A block of size + margin voxels is drawn from the scan, which is padded with 0 on all sides where
 * it is smaller. With an affine map: its center; else a crop from a random place of it. Then the
 * changes of intensity. view f32 [size]. */
MF_MUST_USE mf_status mf_scan_view_draw(const mf_view_scan *scan, const mf_view_settings *settings,
                                        const int64_t size[3], int64_t margin, mf_random *random,
                                        float *view);
/* The crop at the center, padded with 0 on all sides where the scan is smaller. */
MF_MUST_USE mf_status mf_scan_view_center(const mf_view_scan *scan, const int64_t size[3],
                                          float *view);

#endif
