/* dicom_picture.c - see dicom_series.h: the pictures in DICOM files, and where each lies. */
#include "dicom_series.h"

#include <massflow/memory.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_PICTURES 4000000
#define SAME_AXES 2e-3 /* cosines rounded to three decimals, in two ways */

static void scale(double v[3], double by)
{
    for (int i = 0; i < 3; i++)
        v[i] *= by;
}

/* The two cosines share what they lack to a right angle; rounding to three decimals leaves at most
 * 0.1 degrees, which this halves. */
bool dicom_axes(const double cosines[6], double axis[9])
{
    double *u = axis, *v = axis + 3, *n = axis + 6;
    memcpy(axis, cosines, 6 * sizeof *axis);
    double lu = sqrt(dicom_dot(u, u)), lv = sqrt(dicom_dot(v, v));
    if (!(fabs(lu - 1) <= 0.01) || !(fabs(lv - 1) <= 0.01))
        return false;
    scale(u, 1 / lu);
    scale(v, 1 / lv);
    if (!(fabs(dicom_dot(u, v)) <= 0.01))
        return false;
    for (int pass = 0; pass < 3; pass++) {
        double skew = dicom_dot(u, v) / 2;
        for (int i = 0; i < 3; i++) {
            double was = u[i];
            u[i] -= skew * v[i];
            v[i] -= skew * was;
        }
        scale(u, 1 / sqrt(dicom_dot(u, u)));
        scale(v, 1 / sqrt(dicom_dot(v, v)));
    }
    for (int i = 0; i < 3; i++)
        n[i] = u[(i + 1) % 3] * v[(i + 2) % 3] - u[(i + 2) % 3] * v[(i + 1) % 3];
    scale(n, 1 / sqrt(dicom_dot(n, n)));
    return true;
}

/* What makes a file unreadable here. */
static mf_status check_kind(const dicom_entry *e)
{
    const dicom_header *h = &e->h;
    if (h->samples != 1 || !strncmp(h->photometric, "PALETTE", 7))
        return mf_fail(MF_UNSUPPORTED, "%s: is a colour picture (%lld values a pixel)", e->path,
                       (long long)h->samples);
    if (h->real)
        return mf_fail(MF_UNSUPPORTED,
                       "%s: its pixels are in floating point (7FE0,0008), which is not read",
                       e->path);
    if (h->has_value_table)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: its values are to be looked up in a table (Modality LUT "
                               "Sequence, 0028,3000), which is not read",
                               e->path),
                       "write the looked-up values with a slope of 1 and an intercept of 0");
    if (!strcasecmp(h->modality, "RTDOSE") && !(h->dose_scaling > 0))
        return mf_fail(MF_UNSUPPORTED, "%s: is a dose and lacks its Dose Grid Scaling (3004,000E)",
                       e->path);
    if (h->grid > 1)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: is a grid of %lld slices tiled in one picture (United "
                               "Imaging), which is not read",
                               e->path, (long long)h->grid),
                       "dcm2niix makes a NIfTI file of the series, which is read");
    if (h->frames > 1 && !h->count)
        return mf_fail(MF_UNSUPPORTED,
                       "%s: has %lld frames and does not say where each lies in the patient (no "
                       "functional groups, offsets or slice vector)",
                       e->path, (long long)h->frames);
    if (h->frames > 1 && h->count != h->frames)
        return mf_fail(MF_CORRUPT, "%s: has %lld frames, but describes %lld", e->path,
                       (long long)h->frames, (long long)h->count);
    return MF_OK;
}

static mf_status check_pixels(const dicom_entry *e)
{
    const dicom_header *h = &e->h;
    int64_t frames = h->frames > 1 ? h->frames : 1;
    double bytes =
        floor((double)h->rows * (double)h->columns * (double)h->bits / 8) * (double)frames;
    char many[40] = "";
    if (frames > 1)
        snprintf(many, sizeof many, " in %lld frames", (long long)frames);
    if (!h->pixel_offset)
        return mf_fail(MF_CORRUPT, "%s: cut off: it ends before its pixels", e->path);
    if (!h->compressed && (double)h->pixel_bytes < bytes)
        return mf_fail(MF_CORRUPT,
                       "%s: cut off: its header promises %lld x %lld pixels%s (%.0f bytes), %lld "
                       "are there",
                       e->path, (long long)h->columns, (long long)h->rows, many, bytes,
                       (long long)h->pixel_bytes);
    return MF_OK;
}

static void add_frame_number(const dicom_entry *e, int64_t number, char *name, size_t room)
{
    size_t used = strlen(name);
    if (e->h.frames > 1)
        snprintf(name + used, room - used, ", frame %lld", (long long)number + 1);
}

/* "PATH" or "PATH, frame N" */
static void name_frame(const dicom_entry *e, int64_t number, char name[4200])
{
    snprintf(name, 4200, "%.4100s", e->path);
    add_frame_number(e, number, name, 4200);
}

void dicom_picture_name(const dicom_picture *p, char name[300])
{
    const char *slash = strrchr(p->file->path, '/');
    snprintf(name, 300, "%.255s", slash ? slash + 1 : p->file->path);
    add_frame_number(p->file, p->number, name, 300);
}

static mf_status check_frame(const dicom_entry *e, int64_t number)
{
    const dicom_frame *f = &e->h.frame[number];
    char name[4200];
    name_frame(e, number, name);
    if (!f->has_spacing || !(f->spacing[0] > 0) || !(f->spacing[1] > 0))
        return mf_fail(MF_UNSUPPORTED, "%s: does not say its pixel spacing (0028,0030)", name);
    if (!f->has_position || !f->has_orientation)
        return mf_fail(MF_UNSUPPORTED, "%s: does not say where it lies in the patient (%s)", name,
                       f->has_position ? "0020,0037" : "0020,0032");
    return MF_OK;
}

/* Readers differ on these: some take the stored values, some the intercept for all or alone. A dose
 * has its own scaling. */
static mf_status check_rescaling(const dicom_entry *e, int64_t number)
{
    const dicom_frame *f = &e->h.frame[number];
    int given = (int)f->number[DICOM_RESCALED];
    char name[4200];
    name_frame(e, number, name);
    if (e->h.dose_scaling > 0)
        return MF_OK;
    if (given & DICOM_HAS_SLOPE && f->slope == 0)
        return mf_fail(MF_UNSUPPORTED,
                       "%s: its rescale slope (0028,1053) is 0, which makes all values one", name);
    if (given == DICOM_HAS_INTERCEPT && f->intercept != 0)
        return mf_fail(MF_UNSUPPORTED,
                       "%s: has a rescale intercept (0028,1052), %g, and no slope (0028,1053)",
                       name, f->intercept);
    return MF_OK;
}

/* The first frame says how all lie; the others must lie alike. */
static mf_status check_alike(dicom_series *s, const dicom_entry *e, int64_t number, int64_t rows,
                             int64_t columns)
{
    const dicom_frame *f = &e->h.frame[number];
    const char *first = s->file[0].path;
    double axis[9];
    char name[4200];
    name_frame(e, number, name);
    if (!dicom_axes(f->orientation, axis))
        return mf_fail(MF_CORRUPT, "%s: its image orientation is not a right-angled frame", name);
    if (!s->count) {
        memcpy(s->axis, axis, sizeof axis);
        memcpy(s->spacing, f->spacing, sizeof s->spacing);
        s->rows = rows;
        s->columns = columns;
    }
    if (rows != s->rows || columns != s->columns)
        return mf_fail(MF_UNSUPPORTED, "%s: has %lld x %lld pixels, %s has %lld x %lld", name,
                       (long long)columns, (long long)rows, first, (long long)s->columns,
                       (long long)s->rows);
    for (int i = 0; i < 6; i++)
        if (!(fabs(axis[i] - s->axis[i]) <= SAME_AXES))
            return mf_fail(MF_UNSUPPORTED, "%s: lies in another plane than %s", name, first);
    for (int i = 0; i < 2; i++)
        if (!(fabs(f->spacing[i] - s->spacing[i]) <= 1e-3 * s->spacing[i]))
            return mf_fail(MF_UNSUPPORTED, "%s: has another pixel spacing than %s", name, first);
    return MF_OK;
}

/* Siemens tiles the slices of a volume, row after row, in a square of as few tiles as hold them.
 * The file's position is that of the first tile if the whole picture were it, with the same middle;
 * tiles follow one another along the CSA header's slice normal, which may point against that of the
 * image orientation (sagittal slices, reversed numbering). */
static mf_status mosaic_tiles(const dicom_entry *e, int64_t *across)
{
    const dicom_header *h = &e->h;
    const char *lacks = !h->has_csa      ? "its private header (CSA, 0029,1010) is missing"
                        : h->csa_damaged ? "its private header (CSA, 0029,1010) is damaged"
                        : h->tiles < 1   ? "its private header does not say how many"
                        : !h->has_tile_normal
                            ? "its private header does not say in which direction they follow"
                            : NULL;
    if (lacks)
        return mf_hint(
            mf_fail(MF_UNSUPPORTED,
                    "%s: is a mosaic, many slices tiled in one picture (Siemens), and %s", e->path,
                    lacks),
            "export the series anew as enhanced DICOM, or one slice a file");
    if (h->frames > 1)
        return mf_fail(MF_UNSUPPORTED, "%s: is a mosaic of %lld frames, which is not read", e->path,
                       (long long)h->frames);
    for (*across = 1; *across * *across < h->tiles && *across < 65536;)
        ++*across;
    if (*across * *across < h->tiles || h->rows % *across || h->columns % *across)
        return mf_fail(MF_CORRUPT, "%s: its %lld x %lld pixels are no mosaic of %lld slices",
                       e->path, (long long)h->columns, (long long)h->rows, (long long)h->tiles);
    if (h->tiles > 1 && !(h->frame[0].between > 0))
        return mf_fail(MF_UNSUPPORTED,
                       "%s: is a mosaic that does not say how far its slices are apart (0018,0088)",
                       e->path);
    return MF_OK;
}

static mf_status add(dicom_series *s, const dicom_picture *p)
{
    dicom_picture *grown =
        s->count < MOST_PICTURES ? mf_list_more(s->picture, s->count, sizeof *grown) : NULL;
    if (!grown)
        return mf_no_memory(0, "a list of %zu DICOM pictures", s->count + 1);
    s->picture = grown;
    s->picture[s->count++] = *p;
    return MF_OK;
}

static mf_status add_mosaic(dicom_series *s, const dicom_entry *e)
{
    const dicom_header *h = &e->h;
    const dicom_frame *f = h->frame;
    int64_t across = 1;
    double axis[9];
    MF_TRY(mosaic_tiles(e, &across));
    int64_t rows = h->rows / across, columns = h->columns / across;
    MF_TRY(check_alike(s, e, 0, rows, columns));
    (void)dicom_axes(f->orientation, axis);
    double length = sqrt(dicom_dot(h->tile_normal, h->tile_normal));
    double turn = dicom_dot(axis + 6, h->tile_normal) / length;
    if (!(fabs(turn) > 0.99))
        return mf_fail(MF_CORRUPT,
                       "%s: its mosaic's slice normal does not stand upright on its image "
                       "orientation",
                       e->path);
    double right = f->spacing[1] * (double)(h->columns - columns) / 2;
    double down = f->spacing[0] * (double)(h->rows - rows) / 2;
    for (int64_t k = 0; k < h->tiles; k++) {
        dicom_picture p = {.file = e, .frame = f, .tile = k, .across = across};
        double along = (double)k * f->between * (turn < 0 ? -1 : 1);
        for (int i = 0; i < 3; i++)
            p.position[i] =
                f->position[i] + axis[i] * right + axis[3 + i] * down + axis[6 + i] * along;
        MF_TRY(add(s, &p));
    }
    return MF_OK;
}

mf_status dicom_pictures(dicom_series *s)
{
    for (size_t i = 0; i < s->files; i++) {
        const dicom_entry *e = &s->file[i];
        MF_TRY(check_kind(e));
        for (int64_t k = 0; k < e->h.count; k++) {
            MF_TRY(check_frame(e, k));
            MF_TRY(check_rescaling(e, k));
        }
        MF_TRY(check_pixels(e));
        if (e->h.mosaic || e->h.tiles > 1) {
            MF_TRY(add_mosaic(s, e));
            continue;
        }
        for (int64_t k = 0; k < e->h.count; k++) {
            dicom_picture p = {.file = e, .frame = &e->h.frame[k], .number = k, .across = 1};
            memcpy(p.position, p.frame->position, sizeof p.position);
            MF_TRY(check_alike(s, e, k, e->h.rows, e->h.columns));
            MF_TRY(add(s, &p));
        }
    }
    return MF_OK;
}
