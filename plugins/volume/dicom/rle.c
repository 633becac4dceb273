/* rle.c - see rle.h. A frame is a table of 16 little-endian numbers (how many segments, where each
 * begins) and one segment for each byte of a pixel, the highest byte first. */
#include "rle.h"
#include "code_stream.h"

#define HEADER 64

static uint32_t little(const unsigned char *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* Unpacks a segment from *at into every step-th byte of `to` (NULL: counts only) until it has
 * `room` bytes or more; what does not fit is counted. A packet that is cut off holds nothing. */
static size_t unpack(const unsigned char **at, const unsigned char *end, unsigned char *to,
                     size_t step, size_t room)
{
    size_t held = 0;
    while (*at < end && held < room) {
        int control = (signed char)*(*at)++;
        size_t n = (size_t)(control >= 0 ? control : -control) + 1;
        size_t bytes = control >= 0 ? n : 1;
        if (control == -128)
            continue;
        if ((size_t)(end - *at) < bytes) {
            *at = end;
            break;
        }
        for (size_t i = 0; to && i < n && held + i < room; i++)
            to[(held + i) * step] = (*at)[control >= 0 ? i : 0];
        *at += bytes;
        held += n;
    }
    return held;
}

static bool is_padding(const unsigned char *at, const unsigned char *end)
{
    while (at < end && (*at == 0 || *at == 0x80))
        at++;
    return at == end;
}

static mf_status segment(const char *where, const dicom_header *h, int64_t index,
                         const unsigned char *at, const unsigned char *end, unsigned char *to,
                         size_t step)
{
    size_t pixels = (size_t)(h->rows * h->columns);
    size_t held = unpack(&at, end, to, step, pixels);
    if (held == pixels && is_padding(at, end))
        return MF_OK;
    held += unpack(&at, end, NULL, 0, SIZE_MAX);
    return pixels_mismatch(where, h, "byte %lld of its RLE pixels has %zu values, not %lld",
                           (long long)index + 1, held, (long long)pixels);
}

bool rle_can_hold(const dicom_header *h, size_t size)
{
    return h->rows * h->columns * (h->bits / 8) <= (int64_t)size * 64;
}

mf_status rle_decode(const char *where, const dicom_header *h, const unsigned char *bytes,
                     size_t size, unsigned char *pixels)
{
    int64_t width = h->bits / 8;
    if (size < HEADER)
        return mf_fail(MF_CORRUPT, "%s: its RLE pixels are damaged: they are cut off", where);
    if (little(bytes) != (uint32_t)width)
        return pixels_mismatch(where, h, "its RLE pixels have %u bytes each", little(bytes));
    for (int64_t i = 0; i < width; i++) {
        uint32_t from = little(bytes + 4 * (i + 1));
        uint64_t to = i + 1 < width ? little(bytes + 4 * (i + 2)) : size;
        if (from < HEADER || from > to || to > size)
            return mf_fail(MF_CORRUPT,
                           "%s: its RLE pixels are damaged: byte %lld of each lies from %u to %llu "
                           "of %zu",
                           where, (long long)i + 1, from, (unsigned long long)to, size);
        MF_TRY(segment(where, h, i, bytes + from, bytes + to, pixels + (width - 1 - i),
                       (size_t)width));
    }
    return MF_OK;
}
