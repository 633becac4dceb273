/* back.c - see back.h. */
#include "back.h"

#include "../common/npy.h"
#include "../volume/load.h"
#include "../volume/reader.h"
#include "../volume/scan/voxels.h"
#include "table.h"

#include <massflow/file.h>

#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool ends_in(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);

    return n >= m && !strcmp(path + n - m, suffix);
}

/* The artifact with one array; takes over the array. */
static mf_status with_array(const char *type, const char *name, mf_array *array,
                            mf_artifact **artifact)
{
    mf_status status = mf_artifact_new(type, artifact);

    if (!status)
        status = mf_artifact_add(*artifact, name, array);
    mf_array_unref(array);
    if (status) {
        mf_artifact_unref(*artifact);
        *artifact = NULL;
    }
    return status;
}

/* ---- scans and label maps -------------------------------------------------------------------- */

static mf_status check_shape(const char *path, const mf_array *a, const mf_grid *grid)
{
    char got[128] = "";
    size_t used = 0;

    if (a->rank == 3 && a->shape[0] == grid->size[2] && a->shape[1] == grid->size[1] &&
        a->shape[2] == grid->size[0])
        return MF_OK;
    for (int d = 0; d < a->rank; d++)
        used += (size_t)snprintf(got + used, sizeof got - used, "%s%lld", d ? ", " : "",
                                 (long long)a->shape[d]);
    return mf_hint(mf_fail(MF_INVALID,
                           "%s: has the shape [%s]; the input's is [%lld, %lld, %lld] (z, y, x)",
                           path, got, (long long)grid->size[2], (long long)grid->size[1],
                           (long long)grid->size[0]),
                   "a result on another grid comes back as .nii.gz, which says where it lies");
}

/* voxels of .npy on the grid of `like`. */
static mf_status on_grid(mf_task *t, const char *type, const char *path, mf_array **voxels,
                         const mf_artifact *like, mf_artifact **artifact)
{
    voxel_facts facts;
    mf_grid grid;
    int64_t rounded = 0;
    bool labels = !strcmp(type, "labels");

    MF_TRY(mf_artifact_grid(like, &grid));
    MF_TRY(check_shape(path, *voxels, &grid));
    if (labels)
        MF_TRY(voxels_round_labels(path, voxels, &rounded));
    if (rounded)
        mf_log(t, "%s: %lld voxels were within 0.001 of an integer and were rounded", path,
               (long long)rounded);
    MF_TRY(voxels_measure(*voxels, &facts));
    if (facts.nan + facts.inf + facts.beyond > 0)
        return mf_fail(MF_INVALID, "%s: %lld voxels are not finite as 32-bit reals", path,
                       (long long)(facts.nan + facts.inf + facts.beyond));
    MF_TRY(voxels_narrow(voxels, &facts));
    MF_TRY(with_array(type, "voxels", mf_array_ref(*voxels), artifact));
    MF_TRY(mf_artifact_set_grid(*artifact, &grid));
    if (!labels)
        MF_TRY(mf_artifact_set_text(*artifact, "modality", ""));
    return mf_artifact_inherit(*artifact, like);
}

static mf_status read_npy_grid(mf_task *t, const char *type, const char *path,
                               const mf_artifact *like, mf_artifact **artifact)
{
    mf_array *voxels;
    mf_status status;

    if (!like)
        return mf_hint(mf_fail(MF_INVALID,
                               "%s: lies on no grid: no volume and no labels are "
                               "connected",
                               path),
                       "write .nii.gz, which says where it lies");
    MF_TRY(npy_read(path, &voxels));
    status = on_grid(t, type, path, &voxels, like, artifact);
    mf_array_unref(voxels);
    if (status) {
        mf_artifact_unref(*artifact);
        *artifact = NULL;
    }
    return status;
}

/* Whether a text tells to set a parameter of the stages that load scans: exec.run has none of them.
 */
static bool names_parameter(const char *text)
{
    static const char *const names[] = {
        "orientation:", "crop:",  "threshold:", "margin:", "modality:",  "series:",
        "time:",        "align:", "nonfinite:", "`like`",  "volume.load"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(text, names[i]))
            return true;
    return false;
}

/* The file is the command's, so what is to be changed is the command. */
static mf_status own_hint(mf_status status)
{
    const char *hint = status ? mf_error_hint_text(status) : NULL;

    if (!hint || !names_parameter(hint))
        return status;
    return mf_hint(status,
                   "the command must write one finite value per voxel, on the grid of its input");
}

/* A scan of several files would be read from wherever its header says. */
static mf_status refuse_part(void *path, const char *part)
{
    const char *slash = strrchr(part, '/');

    return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: has its voxels in another file, %s",
                           (const char *)path, slash ? slash + 1 : part),
                   "an output is one file: .nii.gz, .nrrd or .mha with the voxels inside");
}

static mf_status read_grid(mf_task *t, const char *type, const char *path, const mf_artifact *like,
                           mf_artifact **artifact)
{
    const labels_options labels = {.read = {-1, NULL}, .orient = "RAS"};
    const load_options volume = {
        .read = {-1, NULL}, .orient = "RAS", .crop = "none", .modality = "auto"};
    scan notes = {0};

    if (ends_in(path, ".npy"))
        return read_npy_grid(t, type, path, like, artifact);
    MF_TRY(own_hint(scan_parts(path, refuse_part, (void *)path)));
    if (!strcmp(type, "labels"))
        MF_TRY(own_hint(load_labels(path, &labels, like, &notes, artifact)));
    else if (like)
        MF_TRY(own_hint(load_like(path, like, &notes, artifact)));
    else
        MF_TRY(own_hint(load_volume(path, &volume, &notes, artifact)));
    for (int i = 0; i < notes.notes; i++)
        if (!names_parameter(notes.note[i]))
            mf_log(t, "%s", notes.note[i]);
        else
            mf_log(t, "%.*s", (int)strcspn(notes.note[i], "("), notes.note[i]);
    return MF_OK;
}

/* ---- the others ------------------------------------------------------------------------------ */

static mf_status read_features(const char *path, mf_artifact **artifact)
{
    mf_array *values, *real;
    mf_status status;

    MF_TRY(npy_read(path, &values));
    status = mf_array_convert(values, MF_F32, &real);
    mf_array_unref(values);
    MF_TRY(status);
    return with_array("features", "values", real, artifact);
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Deflate shrinks its input 1032-fold at most. */
enum { MOST_RATIO = 1032, MOST_PIXELS = 100000000 };

/* What the first chunk of a PNG says (ISO/IEC 15948, 11.2.2: width, height, bits of a sample,
 * colour type), held against the file before libpng takes memory for it. What is not right in other
 * ways libpng tells. */
static mf_status check_png(const char *path, FILE *file, int64_t size)
{
    static const uint8_t samples[8] = {1, 0, 3, 1, 2, 0, 4, 0};
    uint8_t start[26];
    size_t got = fread(start, 1, sizeof start, file);

    rewind(file);
    if (got < sizeof start || memcmp(start + 12, "IHDR", 4))
        return MF_OK;
    const uint64_t width = big_endian(start + 16), height = big_endian(start + 20);
    const uint64_t row = width * start[24] * samples[start[25] & 7] / 8;
    if (width > MOST_PIXELS || height > MOST_PIXELS || width * height > MOST_PIXELS)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: a picture of %llu x %llu; at most 100 million pixels are read",
                               path, (unsigned long long)width, (unsigned long long)height),
                       "write a smaller one");
    if (row * height / MOST_RATIO > (uint64_t)size)
        return mf_fail(MF_CORRUPT,
                       "%s: a picture of %llu x %llu takes %llu bytes, which cannot come out of "
                       "the file's %lld",
                       path, (unsigned long long)width, (unsigned long long)height,
                       (unsigned long long)(row * height), (long long)size);
    return MF_OK;
}

static mf_status decode_png(const char *path, FILE *file, mf_array **rgb)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    int64_t shape[3];
    mf_status status;

    if (!png_image_begin_read_from_stdio(&image, file))
        return mf_fail(MF_CORRUPT, "%s: %s", path, image.message);
    image.format = PNG_FORMAT_RGB;
    shape[0] = image.height;
    shape[1] = image.width;
    shape[2] = 3;
    status = mf_within(mf_array_new(MF_U8, 3, shape, rgb), "%s", path);
    if (!status && !png_image_finish_read(&image, NULL, (*rgb)->data, 0, NULL)) {
        mf_array_unref(*rgb);
        *rgb = NULL;
        status = mf_fail(MF_CORRUPT, "%s: %s", path, image.message);
    }
    png_image_free(&image);
    return status;
}

static mf_status read_png(const char *path, mf_array **rgb)
{
    FILE *file;
    int64_t size;
    mf_status status;

    MF_TRY(mf_file_open(path, &file, &size));
    status = check_png(path, file, size);
    if (!status)
        status = decode_png(path, file, rgb);
    fclose(file);
    return status;
}

static mf_status read_image(const char *path, mf_artifact **artifact)
{
    mf_array *rgb;

    if (ends_in(path, ".png"))
        MF_TRY(read_png(path, &rgb));
    else
        MF_TRY(npy_read(path, &rgb));
    if (rgb->dtype != MF_U8 || rgb->rank != 3 || rgb->shape[2] != 3) {
        mf_array_unref(rgb);
        return mf_fail(MF_INVALID, "%s: is not a picture: bytes [height, width, 3]", path);
    }
    return with_array("image", "rgb", rgb, artifact);
}

static mf_status read_text(const char *path, mf_artifact **artifact)
{
    char *text;
    size_t size;
    mf_status status;

    MF_TRY(mf_file_read(path, MOST_TEXT_BYTES, &text, &size));
    if (memchr(text, 0, size)) {
        free(text);
        return mf_fail(MF_INVALID, "%s: is not text: a NUL stands in it", path);
    }
    status = mf_artifact_new("text", artifact);
    if (!status)
        status = mf_artifact_set_text(*artifact, "text", text);
    free(text);
    return status;
}

/* Kinds of files that commands are known to write; of others it is said that they are bytes. */
static const char *media_type(const char *suffix)
{
    static const char *const known[][2] = {
        {".pdf", "application/pdf"},
        {".dcm", "application/dicom"},
        {".html", "text/html"},
        {".stl", "model/stl"},
        {".obj", "model/obj"},
        {".json", "application/json"},
        {".xml", "application/xml"},
        {".zip", "application/zip"},
        {".gz", "application/gzip"},
        {".jpg", "image/jpeg"},
        {".svg", "image/svg+xml"},
        {".tsv", "text/tab-separated-values"},
        {".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(suffix, known[i][0]))
            return known[i][1];
    return "application/octet-stream";
}

static mf_status read_any(const char *path, mf_artifact **artifact)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    char *bytes;
    size_t size;

    MF_TRY(mf_file_read(path, MF_FILE_MOST, &bytes, &size));
    mf_status status =
        mf_artifact_new_file(name, media_type(dot ? dot : ""), bytes, size, artifact);
    free(bytes);
    return mf_within(status, "%s", path);
}

/* A link could lead anywhere, and to something that is not kept with the result. The command and
 * all that it started have ended, so what is seen here stays. */
static mf_status check_output(const char *path)
{
    struct stat about;

    if (lstat(path, &about) == 0 && S_ISLNK(about.st_mode))
        return mf_hint(mf_fail(MF_INVALID, "%s: is a link, not a file", path),
                       "the command must write the file itself, or copy it there");
    return mf_file_check(path);
}

mf_status back_read(mf_task *t, const exec_port *port, const char *path, const mf_artifact *like,
                    mf_artifact **artifact)
{
    *artifact = NULL;
    MF_TRY(check_output(path));
    if (!strcmp(port->name, "features"))
        return read_features(path, artifact);
    if (!strcmp(port->name, "table"))
        return table_read(path, artifact);
    if (!strcmp(port->name, "image"))
        return read_image(path, artifact);
    if (!strcmp(port->name, "text"))
        return read_text(path, artifact);
    if (!strcmp(port->name, "file"))
        return read_any(path, artifact);
    return read_grid(t, port->name, path, like, artifact);
}
