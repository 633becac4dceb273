/* dicom_pixels.c - see dicom_pixels.h. Plain pixels are read here, compressed ones by GDCM. */
#include "dicom_pixels.h"
#include "itk_volume.h"
#include "voxels.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Stored integers have `bits_stored` of `bits` bits; the others may hold anything. */
static void clean_bits(const dicom_header *h, mf_array *v)
{
    int spare = (int)(h->bits - h->bits_stored);
    int64_t n = mf_array_count(v);
    if (spare <= 0 || h->bits_stored <= 0)
        return;
    for (int64_t i = 0; i < n && h->bits == 16; i++) {
        uint16_t u = (uint16_t)(((uint16_t *)v->data)[i] << spare);
        if (h->is_signed)
            ((int16_t *)v->data)[i] = (int16_t)((int16_t)u >> spare);
        else
            ((uint16_t *)v->data)[i] = (uint16_t)(u >> spare);
    }
}

static mf_status open_file(dicom_reader *r, const char *path)
{
    if (r->path && !strcmp(r->path, path))
        return MF_OK;
    dicom_reader_close(r);
    r->path = strdup(path);
    r->file = r->path ? fopen(path, "rbe") : NULL;
    if (r->file)
        return MF_OK;
    mf_status failed = r->path ? mf_fail(MF_IO, "%s: %s", path, strerror(errno))
                               : mf_fail(MF_NO_MEMORY, "%s: no memory for its name", path);
    dicom_reader_close(r);
    return failed;
}

static mf_status read_plain(dicom_reader *r, const dicom_header *h, int64_t frame, mf_array *pixels)
{
    off_t at = (off_t)(h->pixel_offset + frame * (int64_t)pixels->bytes);
    if (fseeko(r->file, at, SEEK_SET) ||
        fread(pixels->data, 1, pixels->bytes, r->file) != pixels->bytes)
        return mf_fail(MF_CORRUPT, "%s: its pixels cannot be read", r->path);
    if (h->big_endian)
        voxels_swap(pixels);
    clean_bits(h, pixels);
    return MF_OK;
}

static mf_status read_stored(dicom_reader *r, const char *path, const dicom_header *h,
                             int64_t frame, mf_array **pixels)
{
    static const mf_dtype types[2][3] = {{MF_U8, MF_U16, MF_U32}, {MF_I8, MF_I16, MF_I32}};
    if (h->bits != 8 && h->bits != 16 && h->bits != 32)
        return mf_fail(MF_UNSUPPORTED, "%s: has pixels of %lld bits", path, (long long)h->bits);
    const int64_t shape[3] = {1, h->rows, h->columns};
    MF_TRY(open_file(r, path));
    MF_TRY(mf_array_new(types[h->is_signed != 0][h->bits / 16], 3, shape, pixels));
    mf_status failed = read_plain(r, h, frame, *pixels);
    bool dose = h->dose_scaling > 0;
    double slope = dose ? h->dose_scaling : h->slope, intercept = dose ? 0 : h->intercept;
    if (!failed && slope != 0 && (slope != 1 || intercept != 0))
        failed = voxels_scale(pixels, slope, intercept);
    if (failed)
        mf_array_unref(*pixels);
    return failed;
}

mf_status dicom_frame_read(dicom_reader *r, const char *path, const dicom_header *h, int64_t frame,
                           mf_array **pixels)
{
    if (h->compressed && h->frames > 1)
        return mf_fail(MF_UNSUPPORTED, "%s: its %lld frames are compressed, which is not read",
                       path, (long long)h->frames);
    return h->compressed ? itk_dicom_slice(path, pixels) : read_stored(r, path, h, frame, pixels);
}

void dicom_reader_close(dicom_reader *r)
{
    if (r->file)
        fclose(r->file);
    free(r->path);
    *r = (dicom_reader){0};
}
