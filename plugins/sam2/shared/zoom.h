/* zoom.h - low-resolution logits as pixels of a picture. */
#ifndef SAM2_ZOOM_H
#define SAM2_ZOOM_H

#include "patch.h"

/* Logits [in, in] stretched over pixels [h, w], bilinear, pixel centers aligned as PyTorch's
 * align_corners=False. Only what lies above the lowest threshold is looked at, so that the time
 * grows with the mask, not with the picture. */
typedef struct sam2_zoom sam2_zoom;
MF_MUST_USE mf_status sam2_zoom_new(int64_t in, int64_t h, int64_t w, sam2_zoom **zoom);
void sam2_zoom_free(sam2_zoom *zoom);

/* How many pixels lie above each of three thresholds, and the box of those above the second. */
typedef struct sam2_extent {
    int64_t above[3];
    int64_t lo[2], hi[2]; /* y x, half-open; all 0 where none is */
} sam2_extent;
void sam2_zoom_measure(sam2_zoom *zoom, const float *logits, const float thresholds[3],
                       sam2_extent *extent);
/* The pixels above a threshold. */
MF_MUST_USE mf_status sam2_zoom_patch(sam2_zoom *zoom, const float *logits, float threshold,
                                      sam2_patch *p);

#endif
