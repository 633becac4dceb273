/* collect.h - the masks that a long stage has found so far: sparse, to be published at the end, and
 * to be put into a checkpoint before. */
#ifndef SAM2_COLLECT_H
#define SAM2_COLLECT_H

#include <massflow/artifact.h>

typedef struct sam2_found {
    mf_mask mask;
    uint8_t *bits;             /* of the box, row-major, lowest bit first */
    float stability, point[2]; /* of seeds: x y px on the slice */
    int32_t crop[4];           /* of seeds: x0 y0 x1 y1 px */
    int32_t label;             /* of what a user asked for; not kept in checkpoints */
} sam2_found;

typedef struct sam2_list {
    sam2_found *item;
    int64_t count;
} sam2_list; /* starts as {0} */
void sam2_list_clear(sam2_list *list);
void sam2_list_cut(sam2_list *list, int64_t count); /* all but the first `count` go */

/* Adds what is inside dense u8 [found->mask.hi - lo]; nothing where nothing is. found->bits is not
 * read. */
MF_MUST_USE mf_status sam2_list_add(sam2_list *list, const sam2_found *found, const uint8_t *dense);

/* An artifact of type `masks` or `seeds` (which has stability, point and crop too) on a grid, with
 * what it inherits from a scan. */
MF_MUST_USE mf_status sam2_list_publish(const sam2_list *list, const char *type,
                                        const mf_grid *grid, const mf_artifact *scan,
                                        mf_artifact **artifact);

/* The list as the state of a checkpoint, and back. */
MF_MUST_USE mf_status sam2_list_save(const sam2_list *list, mf_artifact **state);
MF_MUST_USE mf_status sam2_list_load(sam2_list *list, const mf_artifact *state);

#endif
