/* code_stream.h - what the code stream of a compressed DICOM frame says of itself. It is held
 * against the DICOM header before anything is decoded: a decoder that is told another size than
 * the stream has writes beyond its buffer or scrambles the rows. */
#ifndef VOLUME_CODE_STREAM_H
#define VOLUME_CODE_STREAM_H

#include "dicom_file.h"

typedef enum codec {
    CODEC_NONE, /* plain pixels in a fragment */
    CODEC_RLE,
    CODEC_JPEG,
    CODEC_JPEG_LS,
    CODEC_JPEG_2000
} codec;

/* How a transfer syntax packs pixels. */
typedef struct packing {
    const char *syntax, *name;
    codec codec;
    bool lossless; /* whatever the stream holds; false: it may be lossy */
} packing;

/* NULL for a transfer syntax that is not read. */
const packing *packing_of(const char *syntax);

typedef struct code_stream {
    int64_t columns, rows, components;
    int bits;                 /* its precision */
    bool has_sign, is_signed; /* JPEG and JPEG-LS do not say */
} code_stream;

/* True where the bytes of a fragment begin the stream of a frame. */
bool code_stream_begins(const packing *p, const unsigned char *bytes, size_t size);

/* Reads a stream's own header and finds its end. Not for CODEC_NONE and CODEC_RLE, whose streams
 * do not say what they hold. `where` names file and frame. */
MF_MUST_USE mf_status code_stream_read(const char *where, const packing *p,
                                       const unsigned char *bytes, size_t size, code_stream *s);

/* An error unless the stream is what the DICOM header announces. */
MF_MUST_USE mf_status code_stream_check(const char *where, const packing *p, const dicom_header *h,
                                        const code_stream *s);

/* The error of pixels that are not what the header says: "the header says ..., " and then the
 * words given. */
MF_MUST_USE mf_status pixels_mismatch(const char *where, const dicom_header *h, const char *format,
                                      ...) MF_PRINTF(3, 4);

#endif
