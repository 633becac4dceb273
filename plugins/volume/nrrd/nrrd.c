/* nrrd.c - NRRD: what follows from its header for voxels and place.
 *
 * ITK 5.2's reader turns the space LAS by 180 degrees, calls any axis that is not of space a colour
 * and hands out what it read of a file that was cut off, so this format is read here.
 * http://teem.sourceforge.net/nrrd/format.html */
#include "nrrd.h"
#include "../scan/geometry.h"
#include "../scan/pieces.h"
#include "../scan/voxels.h"
#include "nrrd_header.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Which axes are of space, in their order, and along which one volumes stand behind each other. */
typedef struct layout {
    int space[3], count;
    int series; /* -1: none */
} layout;

/* Whether axis i is one of space, where the header gives directions: of the fourth coordinate,
 * time, a direction in space has nothing. */
static mf_status direction_is_spatial(const char *path, const nrrd_header *h, int i, bool *is)
{
    const double *d = h->axis[i].direction;
    *is = h->axis[i].has_direction;
    if (!*is || h->space_rank < 4)
        return MF_OK;
    *is = d[0] != 0 || d[1] != 0 || d[2] != 0;
    if (*is && d[3] != 0)
        return mf_fail(MF_UNSUPPORTED, "%s: its axis %d runs through space and time at once", path,
                       i + 1);
    return MF_OK;
}

static mf_status refuse_values(const char *path, const nrrd_axis *a)
{
    return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: has %lld values a voxel (%s), not one", path,
                           (long long)a->size, a->kind == NRRD_COLOUR ? "colour" : "vectors"),
                   "convert it to a grey-scale scan first");
}

static mf_status lay_out(const char *path, const nrrd_header *h, layout *l)
{
    *l = (layout){.series = -1};
    for (int i = 0; i < h->rank; i++) {
        const nrrd_axis *a = &h->axis[i];
        bool spatial = a->kind == NRRD_SPACE || a->kind == NRRD_UNKNOWN;
        if (h->has_directions)
            MF_TRY(direction_is_spatial(path, h, i, &spatial));
        if (spatial && l->count == 3 && h->has_directions)
            return mf_fail(MF_UNSUPPORTED, "%s: has more than three axes in space", path);
        if (spatial && l->count < 3) {
            l->space[l->count++] = i;
            continue;
        }
        if (a->size == 1)
            continue;
        if (a->kind == NRRD_COLOUR || a->kind == NRRD_VALUE)
            return refuse_values(path, a);
        if (l->series >= 0)
            return mf_fail(MF_UNSUPPORTED, "%s: has two axes beside those of space (%lld x %lld)",
                           path, (long long)h->axis[l->series].size, (long long)a->size);
        l->series = i;
    }
    return l->count >= 2 ? MF_OK
                         : mf_fail(MF_UNSUPPORTED, "%s: has %d axis in space, not two or three",
                                   path, l->count);
}

/* ---- voxels ---------------------------------------------------------------------------------- */

static void promise(const nrrd_header *h, char text[256])
{
    size_t n = 0;
    for (int i = 0; i < h->rank && n < 200; i++)
        n += (size_t)snprintf(text + n, 256 - n, "%s%lld", i ? " x " : "",
                              (long long)h->axis[i].size);
    snprintf(text + n, 256 - n, " voxels");
}

static mf_status read_voxels(const char *path, const nrrd_header *h, const layout *l,
                             const scan_options *o, scan *s)
{
    static const inflate_packing packing[] = {[NRRD_GZIP] = INFLATE_DEFLATE,
                                              [NRRD_BZIP2] = INFLATE_BZIP2,
                                              [NRRD_RAW] = INFLATE_PLAIN,
                                              [NRRD_TEXT] = INFLATE_PLAIN,
                                              [NRRD_HEX] = INFLATE_PLAIN};
    char promised[256];
    char *self = (char *)path;
    size_t all = mf_dtype_size(h->dtype), inner = all;
    for (int i = 0; i < h->rank; i++) {
        if (i == l->series)
            inner = all;
        if (!mf_size_mul(all, (size_t)h->axis[i].size, &all) || all > (size_t)INT64_MAX / 4)
            return mf_fail(MF_CORRUPT, "%s: claims an impossible size", path);
    }
    int64_t times = l->series < 0 ? 1 : h->axis[l->series].size;
    bool list = times > 1 && h->axis[l->series].kind == NRRD_LIST;
    promise(h, promised);
    voxel_pieces p = {.file = h->detached ? h->parts.path : &self,
                      .files = h->detached ? h->parts.count : 1,
                      .start = h->detached ? 0 : h->end,
                      .line_skip = h->line_skip,
                      .byte_skip = h->byte_skip,
                      .packing = packing[h->encoding],
                      .form = h->encoding == NRRD_TEXT  ? PIECES_TEXT
                              : h->encoding == NRRD_HEX ? PIECES_HEX
                                                        : PIECES_BINARY,
                      .dtype = h->dtype,
                      .uint64 = h->uint64,
                      .promised = promised};
    p.bytes = all / p.files;
    MF_TRY(pieces_check(&p));
    MF_TRY(scan_check_time(path, times, list ? "volumes along a list axis" : "time points", o));
    for (int k = 0; k < 3; k++)
        s->grid.size[k] = k < l->count ? h->axis[l->space[k]].size : 1;
    MF_TRY(scan_check_size(path, s->grid.size));
    int64_t shape[3];
    mf_zyx(s->grid.size, shape);
    MF_TRY(mf_array_new(h->dtype, 3, shape, &s->voxels));
    if (l->series < 0)
        inner = all;
    MF_TRY(pieces_read(&p, inner, inner * (size_t)times,
                       (size_t)(o->time > 0 ? o->time : 0) * inner, s->voxels->data,
                       s->voxels->bytes));
    if (h->big && h->encoding != NRRD_TEXT)
        voxels_swap(s->voxels);
    return h->uint64 ? voxels_check_unsigned(path, s->voxels) : MF_OK;
}

/* ---- place ----------------------------------------------------------------------------------- */

/* Millimetres in a unit; 0 for one that is not known. */
static double unit_factor(const char *unit)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1},
                 {"mm", 1},
                 {"millimeter", 1},
                 {"millimeters", 1},
                 {"millimetre", 1},
                 {"millimetres", 1},
                 {"cm", 10},
                 {"centimeter", 10},
                 {"centimeters", 10},
                 {"m", 1000},
                 {"meter", 1000},
                 {"meters", 1000},
                 {"um", 1e-3},
                 {"\xc2\xb5m", 1e-3},
                 {"\xce\xbcm", 1e-3},
                 {"micron", 1e-3},
                 {"microns", 1e-3},
                 {"micrometer", 1e-3},
                 {"nm", 1e-6}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcasecmp(unit, units[i].name))
            return units[i].factor;
    return 0;
}

/* The factor of a unit, with a note where the size of voxels depends on it. */
static double unit_to_mm(const char *path, const char *unit, bool *noted, scan *s)
{
    double factor = unit_factor(unit);
    if (factor == 0 && !*noted)
        scan_note(s, "%s: its unit of length '%s' is not known: taken as mm", path, unit);
    else if (factor != 0 && factor != 1 && !*noted)
        scan_note(s, "%s: its unit of length is %s: turned to mm (other readers take it as mm)",
                  path, unit);
    *noted = *noted || factor != 1;
    return factor == 0 ? 1 : factor;
}

/* The directions of the axes of space, a column each, and the origin, in the header's space. */
static mf_status with_directions(const char *path, const nrrd_header *h, const layout *l, scan *s,
                                 double a[12])
{
    bool noted = false;
    for (int r = 0; r < 3 && r < h->space_rank; r++) {
        double mm = unit_to_mm(path, h->space_unit[r], &noted, s);
        for (int k = 0; k < l->count; k++)
            a[4 * r + k] = h->axis[l->space[k]].direction[r] * mm;
        a[4 * r + 3] = h->has_origin ? h->origin[r] * mm : 0;
    }
    return MF_OK;
}

/* Without directions axis k runs along coordinate k of the space. */
static mf_status with_spacings(const char *path, const nrrd_header *h, const layout *l, scan *s,
                               double a[12])
{
    bool noted = false, spaced = true, between = false;
    for (int k = 0; k < l->count; k++) {
        const nrrd_axis *x = &h->axis[l->space[k]];
        double mm = unit_to_mm(path, x->unit, &noted, s), d = x->spacing;
        if (isnan(d) && isfinite(x->min) && isfinite(x->max) && (x->size > 1 || !x->node))
            d = (x->max - x->min) / (double)(x->node ? x->size - 1 : x->size), between = true;
        spaced = spaced && !isnan(d);
        if (isnan(d))
            d = 1;
        if (!(d > 0))
            return mf_fail(MF_CORRUPT, "%s: its header claims a voxel of %g mm along axis %d", path,
                           d, l->space[k] + 1);
        a[5 * k] = d * mm;
        if (h->has_origin && k < h->space_rank)
            a[4 * k + 3] = h->origin[k] * mm;
        else if (isfinite(x->min))
            a[4 * k + 3] = (x->min + (x->node ? 0 : d / 2)) * mm;
    }
    if (!spaced)
        scan_note(s, "%s: does not say its voxel size: taken as 1 mm", path);
    if (between)
        scan_note(s,
                  "%s: its voxel size is taken from axis mins and axis maxs (ITK takes it as 1 mm)",
                  path);
    return MF_OK;
}

/* Of a single slice: a third direction of 1 mm, across the two others. */
static void complete(const char *path, scan *s, double a[12])
{
    double n[3], length;
    for (int r = 0; r < 3; r++) {
        int p = (r + 1) % 3, q = (r + 2) % 3;
        n[r] = a[4 * p] * a[4 * q + 1] - a[4 * q] * a[4 * p + 1];
    }
    length = sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
    for (int r = 0; r < 3; r++)
        a[4 * r + 2] = length > 0 ? n[r] / length : 0;
    scan_note(s, "%s: is a single slice: taken as 1 mm thick", path);
}

static mf_status place(const char *path, const nrrd_header *h, const layout *l, scan *s)
{
    double a[12] = {0};
    bool left_first = true, back_second = true; /* of the header's space */
    if (h->space == NRRD_LEFT_HANDED)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: its space %s is left-handed and names no sides of the patient",
                               path, h->space_name),
                       "where they are known, space: left-anterior-superior (or another one) in "
                       "its header says them");
    MF_TRY(h->has_directions ? with_directions(path, h, l, s, a) : with_spacings(path, h, l, s, a));
    if (l->count == 2)
        complete(path, s, a);
    if (h->space == NRRD_RAS)
        left_first = back_second = false;
    else if (h->space == NRRD_LAS)
        back_second = false;
    for (int k = 0; k < 4; k++) {
        a[k] *= left_first ? -1 : 1;
        a[4 + k] *= back_second ? -1 : 1;
    }
    s->sides_assumed =
        h->space == NRRD_NOWHERE || h->space == NRRD_SCANNER || h->space == NRRD_RIGHT_HANDED;
    if (h->space == NRRD_NOWHERE)
        scan_note(s,
                  "%s: names no space; taken as left-posterior-superior, as ITK does: check the "
                  "sides before you trust them",
                  path);
    else if (h->space == NRRD_SCANNER || h->space == NRRD_RIGHT_HANDED)
        scan_note(s,
                  "%s: its space %s names no sides of the patient; taken as "
                  "left-posterior-superior, as ITK does: check the sides before you trust them",
                  path, h->space_name);
    if ((h->space == NRRD_RAS || h->space == NRRD_LAS) && h->space_rank == 4)
        scan_note(s, "%s: lies in the space %s, which ITK takes for left-posterior-superior", path,
                  h->space_name);
    if (h->space != NRRD_NOWHERE && !h->has_directions)
        scan_note(s, "%s: gives no directions: its axes are taken along those of its space", path);
    if (h->space != NRRD_NOWHERE && !h->has_origin)
        scan_note(s, "%s: does not say where it lies: its first voxel is taken as the origin",
                  path);
    if (h->quantized)
        scan_note(s, "%s: its values were quantized (old min, old max); they are taken as they are",
                  path);
    return geometry_split(path, a, &s->grid);
}

mf_status nrrd_read(const char *path, const scan_options *o, scan *s)
{
    nrrd_header h;
    layout l;
    MF_TRY(nrrd_header_read(path, &h));
    mf_status status = lay_out(path, &h, &l);
    if (!status)
        status = read_voxels(path, &h, &l, o, s);
    if (!status)
        status = place(path, &h, &l, s);
    if (!status)
        status = mf_within(segments_names(&h.segments, o->time > 0 ? o->time : 0, &s->names), "%s",
                           path);
    nrrd_header_free(&h);
    return status;
}

mf_status nrrd_parts(const char *path, part_list *parts)
{
    nrrd_header h;
    MF_TRY(nrrd_header_read(path, &h));
    *parts = h.parts;
    segments_free(&h.segments);
    return MF_OK;
}
