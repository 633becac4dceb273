/* picture.h - slices as SAM2 sees them, and its logits as pixels again. Knows nothing of the model
 * but the edge of its input. Still pictures and frames of a video are resized in two ways, as in
 * the official code: an antialiased triangle over reals, and Pillow's bicubic over bytes. */
#ifndef SAM2_PICTURE_H
#define SAM2_PICTURE_H

#include <massflow/array.h>

/* An RGB picture, or a crop of one: u8 [h, w, 3], rows `pitch` pixels apart. */
typedef struct sam2_picture {
    const uint8_t *rgb;
    int64_t h, w, pitch;
} sam2_picture;

/* Both give the model's input f32 [image, image, 3], less ImageNet's mean, over its deviation. */
MF_MUST_USE mf_status sam2_picture_still(const sam2_picture *p, int64_t image, float *input);
MF_MUST_USE mf_status sam2_picture_frame(const sam2_picture *p, int64_t image, float *input);

/* A mask u8 [h, w] 0/1 at the model's size, u8 [image, image] 0/1: antialiased, at least half. */
MF_MUST_USE mf_status sam2_picture_mask(const uint8_t *mask, int64_t h, int64_t w, int64_t image,
                                        uint8_t *out);

/* A 2D mask as bits in its box: bit i of the box in row-major order, lowest bit first. */
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
