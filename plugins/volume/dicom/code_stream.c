/* code_stream.c - see code_stream.h. JPEG: ITU-T T.81, annex B. JPEG-LS: T.87, annex C. JPEG 2000:
 * T.800, annex A. Which of them a transfer syntax allows: DICOM PS3.5, section 8.2 and annex A.4.
 */
#include "code_stream.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const packing packings[] = {
    {"1.2.840.10008.1.2.1.98", "encapsulated", CODEC_NONE, true},
    {"1.2.840.10008.1.2.5", "RLE", CODEC_RLE, true},
    {"1.2.840.10008.1.2.4.50", "JPEG", CODEC_JPEG, false},
    {"1.2.840.10008.1.2.4.51", "JPEG", CODEC_JPEG, false},
    {"1.2.840.10008.1.2.4.57", "lossless JPEG", CODEC_JPEG, true},
    {"1.2.840.10008.1.2.4.70", "lossless JPEG", CODEC_JPEG, true},
    {"1.2.840.10008.1.2.4.80", "JPEG-LS", CODEC_JPEG_LS, true},
    {"1.2.840.10008.1.2.4.81", "JPEG-LS", CODEC_JPEG_LS, false},
    {"1.2.840.10008.1.2.4.90", "JPEG 2000", CODEC_JPEG_2000, true},
    {"1.2.840.10008.1.2.4.91", "JPEG 2000", CODEC_JPEG_2000, false},
};

const packing *packing_of(const char *syntax)
{
    for (size_t i = 0; i < sizeof packings / sizeof *packings; i++)
        if (!strcmp(packings[i].syntax, syntax))
            return &packings[i];
    return NULL;
}

static uint32_t big(const unsigned char *b, int bytes)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++)
        v = v << 8 | b[i];
    return v;
}

static mf_status broken(const char *where, const packing *p, const char *what)
{
    return mf_fail(MF_CORRUPT, "%s: its %s pixels are damaged: %s", where, p->name, what);
}

/* The bytes that every stream of a kind begins with: of JPEG and JPEG-LS SOI and the next marker,
 * of JPEG 2000 SOC and SIZ. */
static const struct {
    const char *bytes;
    size_t size;
} starts[] = {[CODEC_JPEG] = {"\xff\xd8\xff", 3},
              [CODEC_JPEG_LS] = {"\xff\xd8\xff", 3},
              [CODEC_JPEG_2000] = {"\xff\x4f\xff\x51", 4}};

bool code_stream_begins(const packing *p, const unsigned char *bytes, size_t size)
{
    size_t n = p->codec >= CODEC_JPEG ? starts[p->codec].size : 0;
    return size >= n && (!n || !memcmp(bytes, starts[p->codec].bytes, n));
}

/* What follows the end of a stream may be padding, but no second one. */
static mf_status check_rest(const char *where, const packing *p, const unsigned char *bytes,
                            size_t end, size_t size)
{
    if (memmem(bytes + end, size - end, starts[p->codec].bytes, starts[p->codec].size))
        return mf_fail(MF_CORRUPT,
                       "%s: its pixels do not match its header: a second %s stream follows the "
                       "first",
                       where, p->name);
    return MF_OK;
}

/* ---- JPEG and JPEG-LS ------------------------------------------------------------------------ */

enum { SOF0 = 0xc0, SOF1 = 0xc1, SOF3 = 0xc3, DHT = 0xc4, JPG = 0xc8, DAC = 0xcc };
enum { RST0 = 0xd0, EOI = 0xd9, SOS = 0xda, SOF55 = 0xf7 };

static bool is_frame(int marker)
{
    return marker == SOF55 ||
           (marker >= SOF0 && marker <= 0xcf && marker != DHT && marker != JPG && marker != DAC);
}

/* The frame header; b: behind the marker. */
static mf_status read_frame(const char *where, const packing *p, int marker, const unsigned char *b,
                            size_t length, code_stream *s)
{
    bool fits = p->codec == CODEC_JPEG_LS ? marker == SOF55
                : p->lossless             ? marker == SOF3
                                          : marker == SOF0 || marker == SOF1;
    if (!fits)
        return mf_fail(MF_UNSUPPORTED,
                       "%s: its pixels do not match its header: the header says %s, the stream is "
                       "of another process (marker ff%02x)",
                       where, p->name, marker);
    if (s->components)
        return broken(where, p, "it has two frame headers");
    if (length < 8)
        return broken(where, p, "its frame header is cut off");
    s->bits = b[2];
    s->rows = big(b + 3, 2);
    s->columns = big(b + 5, 2);
    s->components = b[7];
    return s->components ? MF_OK : broken(where, p, "it has no component");
}

/* Behind the coded pixels of a scan, which hold no marker but restarts: the next marker. A byte ff
 * is followed by a zero byte in JPEG, by a zero bit in JPEG-LS. */
static size_t skip_scan(const packing *p, const unsigned char *bytes, size_t at, size_t size)
{
    for (; at + 1 < size; at++) {
        int next = bytes[at + 1];
        bool coded = p->codec == CODEC_JPEG_LS ? next < 0x80 : next == 0;
        if (bytes[at] == 0xff && !coded && next != 0xff && (next < RST0 || next > RST0 + 7))
            return at;
    }
    return size;
}

static mf_status read_jpeg(const char *where, const packing *p, const unsigned char *bytes,
                           size_t size, code_stream *s)
{
    for (size_t at = 2; at < size;) {
        if (bytes[at] != 0xff)
            return broken(where, p, "a marker is missing");
        while (at < size && bytes[at] == 0xff)
            at++;
        if (at == size)
            break;
        int marker = bytes[at++];
        if (marker == EOI && !s->components)
            return broken(where, p, "it has no frame header");
        if (marker == EOI)
            return check_rest(where, p, bytes, at, size);
        size_t length = size - at < 2 ? SIZE_MAX : big(bytes + at, 2);
        if (length > size - at)
            break;
        if (length < 2)
            return broken(where, p, "a segment has no length");
        if (is_frame(marker))
            MF_TRY(read_frame(where, p, marker, bytes + at, length, s));
        if (marker == SOS && !s->components)
            return broken(where, p, "it has no frame header");
        at += length;
        if (marker == SOS)
            at = skip_scan(p, bytes, at, size);
    }
    return broken(where, p, "they are cut off");
}

/* ---- JPEG 2000 ------------------------------------------------------------------------------- */

enum { SOT = 0xff90, EOC = 0xffd9 };

static mf_status read_size(const char *where, const packing *p, const unsigned char *b, size_t size,
                           code_stream *s)
{
    if (size < 45)
        return broken(where, p, "they are cut off");
    int64_t right = big(b + 8, 4), bottom = big(b + 12, 4), left = big(b + 16, 4),
            top = big(b + 20, 4);
    s->columns = right - left;
    s->rows = bottom - top;
    s->components = big(b + 40, 2);
    s->bits = (b[42] & 0x7f) + 1;
    s->has_sign = true;
    s->is_signed = b[42] >> 7;
    if (!s->components)
        return broken(where, p, "it has no component");
    if (b[43] != 1 || b[44] != 1)
        return mf_fail(MF_UNSUPPORTED, "%s: its %s pixels are subsampled (by %d x %d)", where,
                       p->name, b[43], b[44]);
    return MF_OK;
}

/* The end marker, where the last tile-part goes on to the end of the stream; else size. */
static size_t find_end(const unsigned char *bytes, size_t at, size_t size)
{
    for (size_t i = size; i >= at + 2; i--)
        if (big(bytes + i - 2, 2) == EOC)
            return i - 2;
    return size;
}

static mf_status read_jpeg_2000(const char *where, const packing *p, const unsigned char *bytes,
                                size_t size, code_stream *s)
{
    MF_TRY(read_size(where, p, bytes, size, s));
    for (size_t at = 2; size - at >= 2;) {
        uint32_t marker = big(bytes + at, 2);
        if (marker == EOC)
            return check_rest(where, p, bytes, at + 2, size);
        if (marker < 0xff00)
            return broken(where, p, "a marker is missing");
        if (size - at < 12)
            break;
        size_t length = big(bytes + at + 2, 2) + (size_t)2;
        if (marker == SOT) {
            length = big(bytes + at + 6, 4);
            if (length == 0)
                length = find_end(bytes, at, size) - at;
            if (length < 14)
                return broken(where, p, "a tile-part has no length");
        }
        if (length > size - at)
            break;
        at += length;
    }
    return broken(where, p, "they are cut off");
}

mf_status code_stream_read(const char *where, const packing *p, const unsigned char *bytes,
                           size_t size, code_stream *s)
{
    *s = (code_stream){0};
    if (!code_stream_begins(p, bytes, size))
        return broken(where, p, "they do not begin as such a stream does");
    return p->codec == CODEC_JPEG_2000 ? read_jpeg_2000(where, p, bytes, size, s)
                                       : read_jpeg(where, p, bytes, size, s);
}

/* ---- against the DICOM header ---------------------------------------------------------------- */

mf_status pixels_mismatch(const char *where, const dicom_header *h, const char *format, ...)
{
    char what[256], bits[64] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (h->bits_stored && h->bits_stored != h->bits)
        snprintf(bits, sizeof bits, "%lld of ", (long long)h->bits_stored);
    return mf_hint(
        mf_fail(MF_CORRUPT,
                "%s: its pixels do not match its header: the header says %lld x %lld "
                "pixels of %s%lld bits, %s; %s",
                where, (long long)h->columns, (long long)h->rows, bits, (long long)h->bits,
                h->is_signed ? "signed" : "unsigned", what),
        "one of the two was changed after the scan; copy the file from its source again");
}

/* What bits a decoder gives must be those that the header counts. A stream of fewer bits holds the
 * same values unless the place of the sign would be a guess; one of more bits is cleaned as plain
 * pixels are. Bits of the other width (8 or 16) are of another picture. */
static bool bits_fit(const packing *p, const dicom_header *h, const code_stream *s)
{
    int64_t stored = h->bits_stored ? h->bits_stored : h->bits;
    bool sign_known = !h->is_signed || s->has_sign;
    if (s->bits > h->bits || s->bits < 1)
        return false;
    if (s->bits < stored)
        return sign_known && (s->bits > 8) == (stored > 8);
    return s->bits == stored || p->lossless || sign_known;
}

mf_status code_stream_check(const char *where, const packing *p, const dicom_header *h,
                            const code_stream *s)
{
    bool sign = s->has_sign && s->is_signed != (h->is_signed != 0);
    if (s->columns != h->columns || s->rows != h->rows || s->components != 1 || sign ||
        !bits_fit(p, h, s))
        return pixels_mismatch(where, h, "the %s stream has %lld x %lld of %d bits%s%s", p->name,
                               (long long)s->columns, (long long)s->rows, s->bits,
                               !s->has_sign   ? ""
                               : s->is_signed ? ", signed"
                                              : ", unsigned",
                               s->components != 1 ? ", several values a pixel" : "");
    if (h->is_signed && p->codec == CODEC_JPEG && !p->lossless)
        return mf_fail(MF_UNSUPPORTED,
                       "%s: has signed pixels in lossy JPEG, which cannot hold them", where);
    if (s->bits > 16)
        return mf_fail(MF_UNSUPPORTED, "%s: has %s pixels of %d bits; up to 16 are read", where,
                       p->name, s->bits);
    return MF_OK;
}
