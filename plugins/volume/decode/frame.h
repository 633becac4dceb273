/* frame.h - what massflow and massflow-decode say to one another, over one socket: a request and
 * the code stream behind it, then a reply and the pixels, or the words of an error, behind that.
 * Both sides are of one build; numbers are in the order of bytes of the machine. */
#ifndef DECODE_FRAME_H
#define DECODE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DECODE_MARK 0x6d666431 /* changes with these structs, and when a decoder's results do */

enum { DECODE_JPEG, DECODE_JPEG_LS, DECODE_JPEG_2000 };

typedef struct decode_request {
    uint32_t mark, kind;
    uint32_t columns, rows; /* as the stream's own header has them */
    uint32_t bits;          /* of a sample, 1 to 16 */
    uint32_t is_signed;     /* JPEG 2000 */
    uint64_t bytes;         /* of the stream */
} decode_request;

/* Pixels are of one byte for up to 8 bits, else of two. JPEG and JPEG-LS: the bits as they are;
 * JPEG 2000: signed ones are extended. */
typedef struct decode_reply {
    uint32_t mark, failed;
    uint64_t bytes; /* of pixels, or of text without an end */
} decode_reply;

#define DECODE_TEXT 200 /* bytes of an error's words at most */

static inline size_t decode_pixel_bytes(const decode_request *r)
{
    return (size_t)r->columns * r->rows * (r->bits > 8 ? 2 : 1);
}

/* How much memory and processor time one frame may take: some times what the slowest, OpenJPEG,
 * does.
 */
static inline uint64_t decode_memory(const decode_request *r)
{
    return ((uint64_t)1 << 29) + r->bytes * 8 + (uint64_t)r->columns * r->rows * 64;
}

static inline uint64_t decode_seconds(const decode_request *r)
{
    return 20 + (uint64_t)r->columns * r->rows / 500000;
}

#endif
