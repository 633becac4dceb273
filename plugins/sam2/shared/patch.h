/* patch.h - a 2D mask as bits in its box, the form that many masks of a picture are kept in. */
#ifndef SAM2_PATCH_H
#define SAM2_PATCH_H

#include <massflow/array.h>

/* Bit i of the box in row-major order, lowest bit first. */
typedef struct sam2_patch {
    int32_t lo[2], hi[2]; /* y x, half-open; hi = lo where nothing is inside */
    uint8_t *bits;        /* NULL where nothing is inside */
} sam2_patch;
void sam2_patch_clear(sam2_patch *p);
/* Of dense u8 [hi - lo], not 0 inside: the box is shrunk to what is inside. */
MF_MUST_USE mf_status sam2_patch_pack(const int64_t lo[2], const int64_t hi[2],
                                      const uint8_t *dense, sam2_patch *p);
/* u8 0/1 for each pixel of [lo, hi), rows `pitch` apart; 0 outside of the patch. */
void sam2_patch_crop(const sam2_patch *p, const int64_t lo[2], const int64_t hi[2], int64_t pitch,
                     uint8_t *dense);
int64_t sam2_patch_area(const sam2_patch *p); /* pixels inside */

#endif
