/* source.h - an artifact that can be looked at: a volume, labels, or masks, read by boxes. */
#ifndef MASSFLOW_DESK_SOURCE_H
#define MASSFLOW_DESK_SOURCE_H

#include <massflow/artifact.h>

typedef enum desk_kind { DESK_VOLUME, DESK_LABELS, DESK_MASKS } desk_kind;

typedef struct desk_source {
    const mf_artifact *artifact; /* a reference of its own */
    desk_kind kind;
    mf_grid grid;
    mf_dtype dtype;  /* of what desk_source_read gives: never wider than 32 bits */
    mf_dtype stored; /* of the array; of masks MF_U16 */
    int64_t masks;   /* how many there are, and of them: */
    int32_t *order;  /* [masks] the largest first */
    int64_t *voxels; /* [masks] the voxels of each */
} desk_source;

/* MF_INVALID for an artifact that is none of the three; MF_CORRUPT where array and grid differ. The
 * masks of a source are read once, to know their sizes. */
MF_MUST_USE mf_status desk_source_open(const mf_artifact *artifact, desk_source **source);
void desk_source_free(desk_source *source); /* NULL is fine */

/* The half-open box [lo, hi) z y x, inside of the grid, to dst in `dtype`. Of masks: 0 where none
 * is, else 1 + the number of the smallest one there, so that a mask inside of another is seen.
 * `only`: u8 [masks], those that are shown; or NULL for all. */
MF_MUST_USE mf_status desk_source_read(const desk_source *source, const uint8_t *only,
                                       const int64_t lo[3], const int64_t hi[3], void *dst);

#endif
