/* reader.c - finds out what a file is, and hands it to the reader for that. */
#include "reader.h"
#include "dicom/dicom.h"
#include "dicom/dicom_file.h"
#include "meta/meta.h"
#include "nifti/nifti.h"
#include "nrrd/nrrd.h"
#include "scan/inflate.h"
#include <ctype.h>
#include <errno.h>
#include <massflow/file.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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
        return mf_fail(MF_CORRUPT, "%s: is not a NIfTI file: %s%s%zu bytes, too few for a header",
                       path, kind ? kind : "", kind ? ", " : "", size);
    if (nifti)
        return mf_fail(MF_CORRUPT, "%s: is not a NIfTI file: %s%s", path,
                       kind ? "it holds " : "its header does not begin with 348 or 540",
                       kind ? kind : "");
    return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: is not a scan that can be read%s%s", path,
                           kind ? ": it holds " : "", kind ? kind : ""),
                   "NIfTI, NRRD, MetaImage, Analyze and DICOM are read");
}

/* The mark of DICOM stands behind 128 bytes that may hold anything, also what another format begins
 * with (PS3.10, 7.1). */
static bool is_marked_dicom(const unsigned char *head, size_t size)
{
    return size >= 132 && !memcmp(head + 128, "DICM", 4);
}

/* Formats that are told by their first bytes, before DICOM without its mark is looked for. */
typedef enum format { OTHER, NIFTI, NRRD, META } format;

static format format_of(const char *path, const unsigned char *head, size_t size)
{
    if (is_marked_dicom(head, size))
        return OTHER;
    char text[2048];
    if (nifti_is(head, size) || has_suffix(path, ".img") || has_suffix(path, ".img.gz"))
        return NIFTI;
    snprintf(text, sizeof text, "%.*s", (int)(size < 2047 ? size : 2047), (const char *)head);
    if (!strncmp(text, "NRRD", 4))
        return NRRD;
    return meta_is(text) || has_suffix(path, ".mha") || has_suffix(path, ".mhd") ? META : OTHER;
}

/* NRRD and MetaImage compress their voxels; a gzip file around all of it is none of either. */
static mf_status check_unpacked(const char *path, const inflate_file *f)
{
    return f->compressed ? mf_hint(mf_fail(MF_UNSUPPORTED,
                                           "%s: is compressed as a whole, header and all", path),
                                   "gunzip makes a file of it that can be read")
                         : MF_OK;
}

static mf_status read_as(const char *path, const unsigned char *head, size_t size,
                         const inflate_file *f, const scan_options *o, scan *s)
{
    format known = format_of(path, head, size);
    if (known == NIFTI)
        return nifti_read(path, o, s);
    if (known == NRRD || known == META) {
        MF_TRY(check_unpacked(path, f));
        return known == NRRD ? nrrd_read(path, o, s) : meta_read(path, o, s);
    }
    if (is_marked_dicom(head, size) || has_suffix(path, ".dcm") || has_suffix(path, ".ima"))
        return dicom_read(path, false, o, s);
    if (!strchr(strrchr(path, '/') ? strrchr(path, '/') : path, '.') && !other_kind(head, size)) {
        dicom_header header; /* DICOM files often have no suffix, and old ones no mark */
        bool is = false;
        mf_status status = dicom_header_read(path, &header, &is);
        if (!status)
            dicom_header_free(&header);
        if (status || is) {
            mf_error_free(status);
            return dicom_read(path, false, o, s);
        }
    }
    return refuse(path, head, size);
}

/* The first bytes of a file, unpacked; *f is closed again and says how the file lies on disk. */
static mf_status read_head(const char *path, unsigned char head[2048], size_t *got, inflate_file *f)
{
    mf_status status = inflate_open(path, f);
    if (!status)
        status = inflate_read(f, head, 2048, got);
    inflate_close(f);
    return status;
}

mf_status scan_read(const char *path, const scan_options *o, scan *s)
{
    struct stat about;
    memset(s, 0, sizeof *s);
    if (stat(path, &about))
        return mf_fail(errno == ENOENT ? MF_NOT_FOUND : MF_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(about.st_mode)) {
        mf_status broken = dicom_read(path, true, o, s);
        if (!broken)
            broken = scan_check_size(path, s->grid.size);
        if (broken)
            scan_free(s);
        return broken;
    }
    MF_TRY(mf_file_check(path));
    if (about.st_size == 0)
        return mf_fail(MF_CORRUPT, "%s: is empty (0 bytes)", path);
    unsigned char head[2048];
    size_t got = 0;
    inflate_file f;
    mf_status status = read_head(path, head, &got, &f);
    if (!status && got == 0)
        status = mf_fail(MF_CORRUPT, "%s: is empty once decompressed", path);
    if (!status)
        status = read_as(path, head, got, &f, o, s);
    if (status)
        scan_free(s);
    return status;
}

static mf_status find_parts(const char *path, part_list *parts)
{
    struct stat about;
    unsigned char head[2048];
    size_t got = 0;
    inflate_file f;
    if (stat(path, &about))
        return mf_fail(errno == ENOENT ? MF_NOT_FOUND : MF_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode))
        return MF_OK;
    MF_TRY(read_head(path, head, &got, &f));
    switch (format_of(path, head, got)) {
    case NIFTI:
        return nifti_parts(path, parts);
    case NRRD:
        MF_TRY(check_unpacked(path, &f));
        return nrrd_parts(path, parts);
    case META:
        MF_TRY(check_unpacked(path, &f));
        return meta_parts(path, parts);
    case OTHER:
        break;
    }
    return MF_OK;
}

mf_status scan_parts(const char *path, scan_part_call call, void *self)
{
    part_list parts = {0};
    mf_status status = find_parts(path, &parts);
    for (size_t i = 0; i < parts.count && !status; i++)
        status = call(self, parts.path[i]);
    parts_free(&parts);
    return status;
}
