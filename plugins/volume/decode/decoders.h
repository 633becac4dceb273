/* decoders.h - the libraries' decoders, one call each: a frame of one component whose stream is
 * known to be of the size and kind that the request names. False with the reason in `why`. */
#ifndef DECODE_DECODERS_H
#define DECODE_DECODERS_H

#include "frame.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `pixels`: decode_pixel_bytes(r) bytes. The stream is not changed. */
bool decode_jpeg(const decode_request *r, const unsigned char *stream, void *pixels,
                 char why[DECODE_TEXT]);
bool decode_jpeg_ls(const decode_request *r, const unsigned char *stream, void *pixels,
                    char why[DECODE_TEXT]);
bool decode_jpeg_2000(const decode_request *r, const unsigned char *stream, void *pixels,
                      char why[DECODE_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
