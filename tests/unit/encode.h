/* encode.h - code streams as DICOM files hold them, made for tests by the encoders of the libraries
 * that massflow-decode decodes with, and RLE in a few lines. */
#ifndef TESTS_ENCODE_H
#define TESTS_ENCODE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pixels to encode: of one byte for up to 8 bits, of two for up to 16, of four beyond (RLE). */
typedef struct picture {
    const void *pixels;
    int columns, rows, bits;
    bool is_signed;
} picture;

/* Each returns a stream that the caller frees, of an even size. */
unsigned char *encode_rle(const picture *p, size_t *size);
/* lossless: of process 14, predictor 1 (.70); else lossy at the best quality (.50 for 8 bits, .51).
 */
unsigned char *encode_jpeg(const picture *p, bool lossless, size_t *size);
unsigned char *encode_jpeg_ls(const picture *p, int near, size_t *size);
/* quality: the signal-to-noise ratio in dB; 0: lossless. */
unsigned char *encode_jpeg_2000(const picture *p, float quality, size_t *size);

#ifdef __cplusplus
}
#endif
#endif
