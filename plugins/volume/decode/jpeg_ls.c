/* jpeg_ls.c - JPEG-LS by CharLS. */
#include "decoders.h"
#include <charls/charls.h>
#include <stdio.h>

static charls_jpegls_errc decode(charls_jpegls_decoder *d, const decode_request *r,
                                 const unsigned char *stream, void *pixels)
{
    charls_frame_info info;
    charls_jpegls_errc failed = charls_jpegls_decoder_set_source_buffer(d, stream, r->bytes);
    if (!failed)
        failed = charls_jpegls_decoder_read_header(d);
    if (!failed)
        failed = charls_jpegls_decoder_get_frame_info(d, &info);
    if (!failed && (info.width != r->columns || info.height != r->rows ||
                    info.bits_per_sample != (int32_t)r->bits || info.component_count != 1))
        failed = CHARLS_JPEGLS_ERRC_INVALID_ENCODED_DATA;
    if (!failed)
        failed = charls_jpegls_decoder_decode_to_buffer(d, pixels, decode_pixel_bytes(r), 0);
    return failed;
}

bool decode_jpeg_ls(const decode_request *r, const unsigned char *stream, void *pixels,
                    char why[DECODE_TEXT])
{
    charls_jpegls_decoder *d = charls_jpegls_decoder_create();
    charls_jpegls_errc failed =
        d ? decode(d, r, stream, pixels) : CHARLS_JPEGLS_ERRC_NOT_ENOUGH_MEMORY;
    charls_jpegls_decoder_destroy(d);
    snprintf(why, DECODE_TEXT, "%s", charls_get_error_message(failed));
    return !failed;
}
