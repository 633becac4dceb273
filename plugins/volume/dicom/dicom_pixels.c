/* dicom_pixels.c - see dicom_pixels.h. What a header says of its pixels is checked before memory is
 * asked for. Stored values: DICOM PS3.5, section 8. */
#include "dicom_pixels.h"
#include "../scan/voxels.h"
#include "deflated.h"
#include "rle.h"
#include <massflow/file.h>
#include <stdlib.h>
#include <string.h>

#define BLANK (1 << 26) /* pixels of a frame that may be packed to next to nothing */

static int64_t frames_of(const dicom_header *h)
{
    return h->frames > 1 ? h->frames : 1;
}

static int64_t stored_bits(const dicom_header *h)
{
    return h->bits_stored ? h->bits_stored : h->bits;
}

/* "PATH" or "PATH, frame 3 of 20". */
static void name_frame(const char *path, const dicom_header *h, int64_t frame, char where[4200])
{
    if (frames_of(h) == 1)
        snprintf(where, 4200, "%s", path);
    else
        snprintf(where, 4200, "%s, frame %lld of %lld", path, (long long)frame + 1,
                 (long long)frames_of(h));
}

static mf_status check_header(const char *path, const dicom_header *h, int64_t frame)
{
    if (h->rows < 1 || h->columns < 1 || h->samples != 1 || frame < 0 || frame >= frames_of(h))
        return mf_fail(MF_INTERNAL, "%s: frame %lld of %lld (%lld values a pixel) was asked for",
                       path, (long long)frame, (long long)frames_of(h), (long long)h->samples);
    if (h->bits != 8 && h->bits != 16 && h->bits != 32)
        return mf_fail(MF_UNSUPPORTED, "%s: has pixels of %lld bits", path, (long long)h->bits);
    if (h->bits_stored > h->bits)
        return mf_fail(MF_CORRUPT, "%s: damaged DICOM: it stores %lld bits in %lld", path,
                       (long long)h->bits_stored, (long long)h->bits);
    if (h->bits_stored && h->high_bit >= 0 && h->high_bit != h->bits_stored - 1)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: its %lld stored bits end at bit %lld, not at bit %lld", path,
                               (long long)h->bits_stored, (long long)h->high_bit,
                               (long long)h->bits_stored - 1),
                       "readers disagree on what such a file holds; (0028,0102) High Bit should be "
                       "Bits Stored - 1");
    if (h->is_signed != 0 && h->is_signed != 1)
        return mf_fail(MF_CORRUPT, "%s: damaged DICOM: its pixel representation is %lld", path,
                       (long long)h->is_signed);
    return MF_OK;
}

/* bits: 8, 16 or 32 */
static mf_dtype dtype_of(const dicom_header *h, int64_t bits)
{
    static const mf_dtype types[2][3] = {{MF_U8, MF_U16, MF_U32}, {MF_I8, MF_I16, MF_I32}};
    return types[h->is_signed][bits / 16];
}

static mf_status new_pixels(const dicom_header *h, mf_array **pixels)
{
    const int64_t shape[3] = {1, h->rows, h->columns};
    return mf_array_new(dtype_of(h, h->bits), 3, shape, pixels);
}

/* Only the lowest bits of a value count, of which the highest is the sign; the others may hold
 * anything. */
static void keep_bits(mf_array *v, bool is_signed, int64_t bits)
{
    int64_t n = mf_array_count(v);
    int width = (int)mf_dtype_size(v->dtype) * 8, spare = width - (int)bits;
    if (spare <= 0)
        return;
    uint32_t mask = (uint32_t)(((uint64_t)1 << bits) - 1), sign = (uint32_t)1 << (bits - 1);
    for (int64_t i = 0; i < n; i++) {
        uint32_t value = width == 8    ? ((uint8_t *)v->data)[i]
                         : width == 16 ? ((uint16_t *)v->data)[i]
                                       : ((uint32_t *)v->data)[i];
        value &= mask;
        if (is_signed)
            value = (value ^ sign) - sign;
        if (width == 8)
            ((uint8_t *)v->data)[i] = (uint8_t)value;
        else if (width == 16)
            ((uint16_t *)v->data)[i] = (uint16_t)value;
        else
            ((uint32_t *)v->data)[i] = value;
    }
}

/* ---- plain ----------------------------------------------------------------------------------- */

static mf_status read_plain(dicom_reader *r, const char *path, const dicom_header *h, int64_t frame,
                            mf_array **pixels)
{
    int64_t bytes = h->rows * h->columns * (h->bits / 8);
    if (h->pixels_in_items)
        return mf_fail(MF_CORRUPT,
                       "%s: damaged DICOM: its pixels lie in items, as compressed ones do, but its "
                       "transfer syntax is a plain one",
                       path);
    if (h->pixel_bytes / bytes < frames_of(h))
        return mf_fail(MF_CORRUPT,
                       "%s: cut off: its header promises %lld x %lld pixels of %lld frames (%lld "
                       "bytes each), %lld bytes are there",
                       path, (long long)h->columns, (long long)h->rows, (long long)frames_of(h),
                       (long long)bytes, (long long)h->pixel_bytes);
    MF_TRY(new_pixels(h, pixels));
    if (fseeko(r->file, (off_t)(h->pixel_offset + frame * bytes), SEEK_SET) ||
        fread((*pixels)->data, 1, (*pixels)->bytes, r->file) < (*pixels)->bytes) {
        mf_array_unref(*pixels);
        *pixels = NULL;
        return mf_fail(MF_CORRUPT, "%s: its pixels cannot be read", path);
    }
    if (h->big_endian)
        voxels_swap(*pixels);
    keep_bits(*pixels, h->is_signed, stored_bits(h));
    return MF_OK;
}

/* ---- compressed ------------------------------------------------------------------------------ */

/* Pixels in a fragment, as they are; it may be padded to an even size. */
static mf_status decode_none(const char *where, const dicom_header *h, const unsigned char *stream,
                             size_t size, mf_array **pixels)
{
    size_t wanted = (size_t)(h->rows * h->columns * (h->bits / 8));
    if (size != wanted + wanted % 2)
        return pixels_mismatch(where, h, "it has %zu bytes of pixels", size);
    MF_TRY(new_pixels(h, pixels));
    memcpy((*pixels)->data, stream, wanted);
    keep_bits(*pixels, h->is_signed, stored_bits(h));
    return MF_OK;
}

static mf_status decode_rle(const char *where, const dicom_header *h, const unsigned char *stream,
                            size_t size, mf_array **pixels)
{
    if (!rle_can_hold(h, size))
        return pixels_mismatch(where, h, "its RLE pixels are %zu bytes, too few", size);
    MF_TRY(new_pixels(h, pixels));
    mf_status status = rle_decode(where, h, stream, size, (*pixels)->data);
    if (status) {
        mf_array_unref(*pixels);
        *pixels = NULL;
    } else {
        keep_bits(*pixels, h->is_signed, stored_bits(h));
    }
    return status;
}

/* Values of a stream that has more bits than the header counts. In a lossless one the others are
 * cleared as in plain pixels; what a lossy one makes of them would be a guess. */
static mf_status check_values(const char *where, const dicom_header *h, const mf_array *pixels)
{
    double least = h->is_signed ? -(double)((int64_t)1 << (stored_bits(h) - 1)) : 0;
    double most = least + (double)((int64_t)1 << stored_bits(h)) - 1;
    voxel_facts f;
    MF_TRY(voxels_measure(pixels, &f));
    if (f.min < least || f.max > most)
        return pixels_mismatch(where, h, "its values reach from %g to %g", f.min, f.max);
    return MF_OK;
}

static mf_status decode_foreign(dicom_reader *r, const char *where, const dicom_header *h,
                                const packing *p, const unsigned char *stream, size_t size,
                                mf_array **pixels)
{
    static const uint32_t kinds[] = {[CODEC_JPEG] = DECODE_JPEG,
                                     [CODEC_JPEG_LS] = DECODE_JPEG_LS,
                                     [CODEC_JPEG_2000] = DECODE_JPEG_2000};
    code_stream s;
    if (h->rows * h->columns > BLANK && h->rows * h->columns / 1032 > (int64_t)size)
        return pixels_mismatch(where, h, "its %s pixels are %zu bytes, too few", p->name, size);
    MF_TRY(code_stream_read(where, p, stream, size, &s));
    MF_TRY(code_stream_check(where, p, h, &s));
    const decode_request request = {.kind = kinds[p->codec],
                                    .columns = (uint32_t)s.columns,
                                    .rows = (uint32_t)s.rows,
                                    .bits = (uint32_t)s.bits,
                                    .is_signed = s.is_signed,
                                    .bytes = size};
    int64_t used = p->lossless && s.bits > stored_bits(h) ? stored_bits(h) : s.bits;
    MF_TRY(decoder_run(&r->decoder, where, p->name, &request, stream,
                       dtype_of(h, s.bits > 8 ? 16 : 8), pixels));
    keep_bits(*pixels, h->is_signed, used);
    mf_status status = used > stored_bits(h) ? check_values(where, h, *pixels) : MF_OK;
    if (status) {
        mf_array_unref(*pixels);
        *pixels = NULL;
    }
    return status;
}

static mf_status read_compressed(dicom_reader *r, const char *path, const dicom_header *h,
                                 int64_t frame, mf_array **pixels)
{
    const packing *p = packing_of(h->syntax);
    unsigned char *stream;
    size_t size;
    char where[4200];
    if (!p)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: its pixels are compressed as transfer syntax %s says, which is "
                               "not read",
                               path, h->syntax),
                       "RLE, JPEG, JPEG-LS and JPEG 2000 are read; dcmdjpeg, dcmdrle or gdcmconv "
                       "--raw decompress a file");
    if (!r->fragments.count)
        MF_TRY(fragments_find(path, r->file, h, p, frames_of(h), &r->fragments));
    name_frame(path, h, frame, where);
    MF_TRY(fragments_read(where, r->file, &r->fragments, frame, &stream, &size));
    mf_status status = p->codec == CODEC_NONE ? decode_none(where, h, stream, size, pixels)
                       : p->codec == CODEC_RLE
                           ? decode_rle(where, h, stream, size, pixels)
                           : decode_foreign(r, where, h, p, stream, size, pixels);
    free(stream);
    return status;
}

/* ---- both ------------------------------------------------------------------------------------ */

static void leave_file(dicom_reader *r)
{
    if (r->file)
        fclose(r->file);
    r->file = NULL;
    free(r->path);
    r->path = NULL;
    fragments_free(&r->fragments);
}

static mf_status inflate_file(dicom_reader *r, const char *path, const dicom_header *h)
{
    FILE *whole;
    int64_t size;
    MF_TRY(deflated_open(path, r->file, h->deflated_from, &whole, &size));
    fclose(r->file);
    r->file = whole;
    return MF_OK;
}

static mf_status enter_file(dicom_reader *r, const char *path, const dicom_header *h)
{
    int64_t size;
    if (r->path && !strcmp(r->path, path))
        return MF_OK;
    leave_file(r);
    MF_TRY(mf_file_open(path, &r->file, &size));
    if (h->deflated_from)
        MF_TRY(inflate_file(r, path, h));
    r->path = strdup(path);
    return r->path ? MF_OK : mf_no_memory(0, "a path");
}

mf_status dicom_frame_read(dicom_reader *r, const char *path, const dicom_header *h, int64_t frame,
                           mf_array **pixels)
{
    *pixels = NULL;
    MF_TRY(check_header(path, h, frame));
    mf_status status = enter_file(r, path, h);
    if (!status)
        status = h->compressed ? read_compressed(r, path, h, frame, pixels)
                               : read_plain(r, path, h, frame, pixels);
    if (status)
        leave_file(r);
    MF_TRY(status);
    bool dose = h->dose_scaling > 0;
    double slope = dose ? h->dose_scaling : h->slope, intercept = dose ? 0 : h->intercept;
    if (slope == 0 || (slope == 1 && intercept == 0))
        return MF_OK;
    status = voxels_scale(pixels, slope, intercept);
    if (status) {
        mf_array_unref(*pixels);
        *pixels = NULL;
    }
    return status;
}

void dicom_reader_close(dicom_reader *r)
{
    leave_file(r);
    decoder_close(&r->decoder);
}
