/* area.h - connected parts of masks and how large they are: holes and sprinkles of logits, and the
 * part of a 3D mask that belongs to its seed. */
#ifndef SAM2_AREA_H
#define SAM2_AREA_H

#include <massflow/array.h>

/* A place to work in, kept over many masks; starts as {0}. */
typedef struct sam2_parts sam2_parts;
struct sam2_parts {
    struct sam2_run *run; /* stretches along x of voxels that are inside */
    int64_t count, room;
    int64_t *start; /* [rows + 1] first run of each row */
    int64_t *size;  /* [count] voxels, of runs that are the first of their part */
    uint8_t *inside;
    size_t rows_room, inside_room;
};
void sam2_parts_clear(sam2_parts *p);

/* Changes logits f32 [h, w] as official code with its CUDA extension does: holes (parts of what is
 * not above the threshold) of at most `holes` pixels become threshold + 10, sprinkles (parts of
 * what is above it) of at most `sprinkles` pixels threshold - 10. Pixels touch at corners too. 0:
 * none. */
MF_MUST_USE mf_status sam2_area_clean(sam2_parts *p, float *logits, int64_t h, int64_t w,
                                      float threshold, int64_t holes, int64_t sprinkles);
/* So many low-resolution pixels of a model of 1024 px in those of another. */
int64_t sam2_area_for(int64_t pixels, int64_t image);
/* Frames of a video: holes of at most `holes` pixels of what is above 0 become 0.1. */
MF_MUST_USE mf_status sam2_area_fill(sam2_parts *p, float *logits, int64_t h, int64_t w,
                                     int64_t holes);

/* Of dense u8 [shape], not 0 inside, keeps the largest part (faces touch) that has voxels in slice
 * `slice` along `axis`, the first of equals; all goes where none has, unless there is but one part.
 * *voxels: how many stay. */
MF_MUST_USE mf_status sam2_area_keep(sam2_parts *p, uint8_t *dense, const int64_t shape[3],
                                     int axis, int64_t slice, int64_t *voxels);

#endif
