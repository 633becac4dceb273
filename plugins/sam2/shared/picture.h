/* picture.h - slices as SAM 2 sees them. Knows nothing of the model but the edge of its input.
 * Still pictures and frames of a video are resized in two ways, as in the official code: an
 * antialiased triangle over reals, and Pillow's bicubic over bytes. */
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

/* How much around each of [edge, edge] pixels is inside of a mask u8 [h, w]: 0 to 1, antialiased.
 */
MF_MUST_USE mf_status sam2_picture_share(const uint8_t *mask, int64_t h, int64_t w, int64_t edge,
                                         float *share);
/* A mask u8 [h, w] 0/1 at the model's size, u8 [image, image] 0/1: antialiased, at least half. */
MF_MUST_USE mf_status sam2_picture_mask(const uint8_t *mask, int64_t h, int64_t w, int64_t image,
                                        uint8_t *out);

#endif
