/* regions.h - the labels that a label map has: how large each is, and where to look at it. */
#ifndef MASSFLOW_DESK_REGIONS_H
#define MASSFLOW_DESK_REGIONS_H

#include "source.h"

typedef struct desk_region {
    int32_t label;
    int64_t voxels;
    int64_t at[3]; /* z y x: a voxel of it, on the slice across z where it is largest */
} desk_region;

/* Of labels other than 0, in order of value; a whole pass over the voxels. MF_UNSUPPORTED where
 * there are more than 65535. *regions: for free(). */
MF_MUST_USE mf_status desk_regions_of(const desk_source *source, desk_region **regions,
                                      int64_t *count);

#endif
