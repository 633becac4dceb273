/* mosaic.h - a mosaic of slices with outlines or fills on top, as a radiologist expects to see
 * them: the patient's right on the left, head or front up. */
#ifndef OVERLAY_MOSAIC_H
#define OVERLAY_MOSAIC_H

#include <massflow/artifact.h>

typedef struct picture_options {
    int axis; /* 0 axial, 1 coronal, 2 sagittal of the volume's grid */
    bool one; /* only the slice of that number */
    int64_t slice;
    int64_t slices;       /* tiles, evenly over the part that is drawn over, or over all */
    int64_t columns;      /* tiles a row; 0: as square as can be */
    int64_t tile;         /* pixels along the longer side of a tile, at least */
    double low, high;     /* percentiles that become black and white */
    double center, width; /* instead of percentiles, in the scan's unit; width 0: not given */
    bool fill;            /* tint areas; else draw outlines */
    bool outline_single;  /* but outline a map of one label, at the border of a slice too */
    double opacity;       /* of fills and outlines */
    int64_t masks;        /* at most so many masks are drawn, the largest; 0: all */
} picture_options;

/* over: labels, masks or seeds on the volume's grid, or NULL. Labels that have names get a legend.
 * R and L stand at the patient's sides, where the scan's file says which they are. Of seeds only
 * slices that hold some are shown, if they lie across this axis. */
MF_MUST_USE mf_status picture_draw(const mf_artifact *volume, const mf_artifact *over,
                                   const picture_options *options, mf_array **rgb);

/* The usual window of a CT; other scans have none. */
void picture_window(const mf_artifact *volume, picture_options *options);

#endif
