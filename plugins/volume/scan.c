/* scan.c - finds out what a file is, and hands it to the reader for that. */
#include "scan.h"
#include "dicom.h"
#include "dicom_file.h"
#include "inflate.h"
#include "itk_volume.h"
#include "meta.h"
#include "nifti.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void scan_note(scan *s, const char *format, ...)
{
    if (s->notes == SCAN_NOTES)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(s->note[s->notes++], sizeof s->note[0], format, args);
    va_end(args);
}

void scan_free(scan *s)
{
    mf_array_unref(s->voxels);
    s->voxels = NULL;
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && !strcasecmp(path + n - m, suffix);
}

/* What a file of another kind holds, for the error; NULL where that cannot be told. */
static const char *other_kind(const unsigned char *head, size_t size)
{
    static const struct {
        const char *magic, *kind;
        size_t bytes;
    } kinds[] = {{"\x89PNG", "a PNG picture", 4},    {"\xff\xd8\xff", "a JPEG picture", 3},
                 {"PK\x03\x04", "a zip archive", 4}, {"%PDF", "a PDF document", 4},
                 {"\x89HDF", "an HDF5 file", 4},     {"II*", "a TIFF picture", 4},
                 {"BM", "a BMP picture", 2},         {"SQLite format", "a database", 13}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (size >= kinds[i].bytes && !memcmp(head, kinds[i].magic, kinds[i].bytes))
            return kinds[i].kind;
    for (size_t i = 0; i < size; i++)
        if (!isprint(head[i]) && !isspace(head[i]))
            return NULL;
    return "text";
}

static mf_status refuse(const char *path, const unsigned char *head, size_t size)
{
    const char *kind = other_kind(head, size);
    if (has_suffix(path, ".mgz") || has_suffix(path, ".mgh"))
        return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: FreeSurfer's MGH format is not read", path),
                       "mri_convert in.mgz out.nii.gz makes a NIfTI file of it");
    bool nifti = has_suffix(path, ".nii") || has_suffix(path, ".nii.gz") ||
                 has_suffix(path, ".hdr") || has_suffix(path, ".img");
    if (nifti && size < 348)
        return mf_fail(MF_CORRUPT, "%s: is no NIfTI file: %s%s%zu bytes, too few for a header",
                       path, kind ? kind : "", kind ? ", " : "", size);
    if (nifti)
        return mf_fail(MF_CORRUPT, "%s: is no NIfTI file: %s%s", path,
                       kind ? "it holds " : "its header does not begin with 348 or 540",
                       kind ? kind : "");
    return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: is no scan that can be read%s%s", path,
                           kind ? ": it holds " : "", kind ? kind : ""),
                   "NIfTI, NRRD, MetaImage, Analyze and DICOM are read");
}

/* The value of a NRRD header's field, or "". */
static void nrrd_field(const char *head, const char *name, char value[64])
{
    size_t n = strlen(name);
    value[0] = 0;
    for (const char *line = head; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (!strncasecmp(line, name, n) && line[n] == ':') {
            line += n + 1;
            line += strspn(line, " ");
            snprintf(value, 64, "%.*s", (int)strcspn(line, "\r\n"), line);
            return;
        }
    }
}

/* A NRRD file that promises more voxels than it can have is refused before memory is asked for:
 * each voxel has at least one byte, and no packing shrinks more than 1032-fold. */
static mf_status check_nrrd(const char *path, const char *head, int64_t file_bytes)
{
    char sizes[64], packing[64], detached[64];
    nrrd_field(head, "sizes", sizes);
    nrrd_field(head, "encoding", packing);
    nrrd_field(head, "data file", detached);
    if (detached[0] || has_suffix(path, ".nhdr"))
        return MF_OK;
    size_t voxels = 1;
    for (char *at = sizes, *end; *at; at = end) {
        long long n = strtoll(at, &end, 10);
        if (end == at)
            break;
        if (n < 1 || !mf_size_mul(voxels, (size_t)n, &voxels))
            return mf_fail(MF_CORRUPT, "%s: claims an impossible size: %s", path, sizes);
    }
    if ((strcasecmp(packing, "raw") ? voxels / 1032 : voxels) > (size_t)file_bytes)
        return mf_fail(MF_CORRUPT,
                       "%s: cut off: its header promises %s voxels, the file has %lld bytes", path,
                       sizes, (long long)file_bytes);
    return MF_OK;
}

static mf_status read_as(const char *path, const unsigned char *head, size_t size,
                         const inflate_file *f, const scan_options *o, scan *s)
{
    if (nifti_is(head, size) || has_suffix(path, ".img") || has_suffix(path, ".img.gz"))
        return nifti_read(path, o, s);
    char text[2048];
    snprintf(text, sizeof text, "%.*s", (int)(size < 2047 ? size : 2047), (const char *)head);
    if (!strncmp(text, "NRRD", 4)) {
        MF_TRY(check_nrrd(path, text, f->file_bytes));
        return itk_read_nrrd(path, o->time, &s->grid, &s->voxels);
    }
    if (meta_is(text))
        return meta_read(path, o, s);
    if (has_suffix(path, ".mha") || has_suffix(path, ".mhd"))
        return mf_fail(MF_CORRUPT, "%s: is no MetaImage file: its header lacks NDims or DimSize",
                       path);
    if ((size >= 132 && !memcmp(head + 128, "DICM", 4)) || has_suffix(path, ".dcm") ||
        has_suffix(path, ".ima"))
        return dicom_read(path, false, o, s);
    if (!strchr(strrchr(path, '/') ? strrchr(path, '/') : path, '.') && !other_kind(head, size)) {
        dicom_header header; /* DICOM files often have no suffix, and old ones no mark */
        bool is = false;
        mf_status failed = dicom_header_read(path, &header, &is);
        if (failed || is) {
            mf_error_free(failed);
            return dicom_read(path, false, o, s);
        }
    }
    return refuse(path, head, size);
}

mf_status scan_read(const char *path, const scan_options *o, scan *s)
{
    struct stat about;
    memset(s, 0, sizeof *s);
    if (stat(path, &about))
        return mf_fail(errno == ENOENT ? MF_NOT_FOUND : MF_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(about.st_mode)) {
        mf_status broken = dicom_read(path, true, o, s);
        if (broken)
            scan_free(s);
        return broken;
    }
    if (!S_ISREG(about.st_mode))
        return mf_fail(MF_INVALID, "%s: is neither a file nor a folder", path);
    if (about.st_size == 0)
        return mf_fail(MF_CORRUPT, "%s: is empty (0 bytes)", path);
    unsigned char head[2048];
    size_t got = 0;
    inflate_file f;
    mf_status failed = inflate_open(path, &f);
    if (!failed)
        failed = inflate_read(&f, head, sizeof head, &got);
    inflate_close(&f);
    if (!failed && got == 0)
        failed = mf_fail(MF_CORRUPT, "%s: is empty once decompressed", path);
    if (!failed)
        failed = read_as(path, head, got, &f, o, s);
    if (failed)
        scan_free(s);
    return failed;
}
