/* dicom.c - makes one volume of a DICOM series: one file a slice, sorted by where the slice lies.
 *
 * Slices are ordered by position along their normal, never by file name or instance number; what
 * would give a wrong volume (a missing slice, a tilted gantry, several series, mosaics) is refused
 * in words. */
#include "dicom.h"
#include "dicom_pixels.h"
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct slice {
    char *path;
    dicom_header h;
    double along; /* mm along the normal */
} slice;

typedef struct series {
    slice *slice;
    size_t count, room;
    int other; /* files that are no DICOM pictures */
} series;

static void series_free(series *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->slice[i].path);
    free(s->slice);
    *s = (series){0};
}

static mf_status series_add(series *s, const char *path, const dicom_header *h)
{
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        slice *more = realloc(s->slice, room * sizeof *more);
        if (!more)
            return mf_fail(MF_NO_MEMORY, "no memory for a list of DICOM files");
        s->slice = more;
        s->room = room;
    }
    char *copy = strdup(path);
    if (!copy)
        return mf_fail(MF_NO_MEMORY, "no memory for a list of DICOM files");
    s->slice[s->count++] = (slice){copy, *h, 0};
    return MF_OK;
}

static mf_status scan_folder(const char *folder, series *s)
{
    struct dirent **entry;
    int n = scandir(folder, &entry, NULL, alphasort);
    if (n < 0)
        return mf_fail(MF_IO, "%s: the folder cannot be read", folder);
    mf_status failed = MF_OK;
    for (int i = 0; i < n; i++) {
        char path[4096];
        struct stat about;
        dicom_header h;
        bool is = false, fits = (size_t)snprintf(path, sizeof path, "%s/%s", folder,
                                                 entry[i]->d_name) < sizeof path;
        if (!failed && entry[i]->d_name[0] != '.' && fits && !stat(path, &about) &&
            S_ISREG(about.st_mode)) {
            failed = dicom_header_read(path, &h, &is);
            if (!failed && is && h.rows > 0 && h.columns > 0)
                failed = series_add(s, path, &h);
            else
                s->other++;
        }
        free(entry[i]);
    }
    free(entry);
    return failed;
}

static int by_series(const void *a, const void *b)
{
    const slice *x = a, *y = b;
    if (x->h.series_number != y->h.series_number)
        return x->h.series_number < y->h.series_number ? -1 : 1;
    int order = strcmp(x->h.series, y->h.series);
    return order ? order : strcmp(x->path, y->path);
}

static int by_position(const void *a, const void *b)
{
    const slice *x = a, *y = b;
    if (fabs(x->along - y->along) > 1e-3)
        return x->along < y->along ? -1 : 1;
    if (x->h.instance != y->h.instance)
        return x->h.instance < y->h.instance ? -1 : 1;
    return strcmp(x->path, y->path);
}

/* Keeps one series. Several, and none named: an error that lists them. */
static mf_status choose(const char *path, series *s, const char *wanted)
{
    char list[1536] = "";
    size_t used = 0, keep_from = 0, keep = 0, different = 0;
    qsort(s->slice, s->count, sizeof *s->slice, by_series);
    for (size_t from = 0, to; from < s->count; from = to) {
        const dicom_header *h = &s->slice[from].h;
        char number[32];
        for (to = from + 1; to < s->count && !strcmp(s->slice[to].h.series, h->series);)
            to++;
        snprintf(number, sizeof number, "%lld", (long long)h->series_number);
        different++;
        if (used < sizeof list - 256)
            used +=
                (size_t)snprintf(list + used, sizeof list - used, "\n  %s: %zu files, %s, %s (%s)",
                                 number, to - from, h->modality, h->description, h->series);
        if (wanted && (!strcmp(wanted, number) || !strcmp(wanted, h->series))) {
            if (keep)
                return mf_fail(MF_INVALID,
                               "%s: several series have the number %s; give the unique id of "
                               "one:%s",
                               path, wanted, list);
            keep_from = from;
            keep = to - from;
        }
    }
    if (!wanted && different == 1)
        return MF_OK;
    if (!keep)
        return mf_hint(mf_fail(MF_INVALID, "%s: holds %zu series%s%s:%s", path, different,
                               wanted ? ", none of them is " : ", not one", wanted ? wanted : "",
                               list),
                       "series: NUMBER takes one of them");
    for (size_t i = 0; i < s->count; i++)
        if (i < keep_from || i >= keep_from + keep)
            free(s->slice[i].path);
    memmove(s->slice, s->slice + keep_from, keep * sizeof *s->slice);
    s->count = keep;
    return MF_OK;
}

/* What makes one file unreadable here, or unlike the first of its series. */
static mf_status check_slice(const slice *s, const slice *first)
{
    const dicom_header *h = &s->h, *f = &first->h;
    if (h->samples != 1 || !strncmp(h->photometric, "PALETTE", 7))
        return mf_fail(MF_UNSUPPORTED, "%s: is a colour picture (%lld values a pixel)", s->path,
                       (long long)h->samples);
    if (strstr(h->kind, "MOSAIC"))
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: is a mosaic: many slices tiled in one picture (Siemens)",
                               s->path),
                       "dcm2niix makes a NIfTI file of the series, which is read");
    if (h->frames > 1)
        return mf_hint(mf_fail(MF_UNSUPPORTED, "%s: is a multi-frame file (%lld frames in one)",
                               s->path, (long long)h->frames),
                       "dcm2niix makes a NIfTI file of it, which is read");
    if (!h->has_spacing || !(h->spacing[0] > 0) || !(h->spacing[1] > 0))
        return mf_fail(MF_UNSUPPORTED, "%s: does not say its pixel spacing (0028,0030)", s->path);
    if (!h->has_position || !h->has_orientation)
        return mf_fail(MF_UNSUPPORTED, "%s: does not say where it lies in the patient (%s)",
                       s->path, h->has_position ? "0020,0037" : "0020,0032");
    int64_t bytes = h->rows * h->columns * h->bits / 8;
    if (!h->pixel_offset)
        return mf_fail(MF_CORRUPT, "%s: cut off: it ends before its pixels", s->path);
    if (!h->compressed && h->pixel_bytes < bytes)
        return mf_fail(MF_CORRUPT,
                       "%s: cut off: its header promises %lld x %lld pixels (%lld bytes), %lld are "
                       "there",
                       s->path, (long long)h->columns, (long long)h->rows, (long long)bytes,
                       (long long)h->pixel_bytes);
    if (h->rows != f->rows || h->columns != f->columns)
        return mf_fail(MF_UNSUPPORTED, "%s: has %lld x %lld pixels, %s has %lld x %lld", s->path,
                       (long long)h->columns, (long long)h->rows, first->path,
                       (long long)f->columns, (long long)f->rows);
    for (int i = 0; i < 6; i++)
        if (fabs(h->orientation[i] - f->orientation[i]) > 1e-3)
            return mf_fail(MF_UNSUPPORTED, "%s: lies in another plane than %s", s->path,
                           first->path);
    for (int i = 0; i < 2; i++)
        if (fabs(h->spacing[i] - f->spacing[i]) > 1e-3 * f->spacing[i])
            return mf_fail(MF_UNSUPPORTED, "%s: has another pixel spacing than %s", s->path,
                           first->path);
    return MF_OK;
}

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* Sorts slices and keeps those of one time point: afterwards one slice a position. */
static mf_status order(const char *path, series *s, int64_t time, double normal[3], scan *out)
{
    const double *u = s->slice[0].h.orientation, *v = u + 3;
    normal[0] = u[1] * v[2] - u[2] * v[1];
    normal[1] = u[2] * v[0] - u[0] * v[2];
    normal[2] = u[0] * v[1] - u[1] * v[0];
    if (fabs(dot(u, u) - 1) > 0.01 || fabs(dot(v, v) - 1) > 0.01 || fabs(dot(u, v)) > 0.01)
        return mf_fail(MF_CORRUPT, "%s: its image orientation is no right-angled frame",
                       s->slice[0].path);
    for (size_t i = 0; i < s->count; i++)
        s->slice[i].along = dot(normal, s->slice[i].h.position);
    qsort(s->slice, s->count, sizeof *s->slice, by_position);
    size_t positions = 0, times = 0;
    for (size_t from = 0, to; from < s->count; from = to, positions++) {
        for (to = from + 1; to < s->count && s->slice[to].along - s->slice[from].along <= 1e-3;)
            to++;
        if (times && to - from != times)
            return mf_fail(MF_UNSUPPORTED,
                           "%s: %zu slices lie at %.2f mm where others lie in %zus: the series is "
                           "incomplete or several scans are mixed in it",
                           path, to - from, s->slice[from].along, times);
        times = to - from;
    }
    if (times > 1 && time < 0)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: has %zu positions with %zu slices each: a time series", path,
                               positions, times),
                       "time: N (from 0) takes one time point");
    if (time >= (int64_t)times)
        return mf_fail(MF_INVALID, "%s: has %zu time points; time: %lld is not one of them", path,
                       times, (long long)time);
    if (times > 1)
        scan_note(out, "%s: time point %lld of %zu", path, (long long)time, times);
    for (size_t i = 0; i < s->count; i++) {
        bool keep = i % times == (time < 0 ? 0 : (size_t)time);
        if (!keep)
            free(s->slice[i].path);
        else
            s->slice[i / times] = s->slice[i];
    }
    s->count = positions;
    return MF_OK;
}

/* The distance between slices, even within a tenth. */
static mf_status slice_spacing(const char *path, const series *s, const double normal[3],
                               double *spacing, scan *out)
{
    const slice *first = &s->slice[0], *last = &s->slice[s->count - 1];
    if (s->count == 1) {
        *spacing = first->h.between > 0 ? first->h.between : first->h.thickness;
        if (!(*spacing > 0)) {
            *spacing = 1;
            scan_note(out, "%s: does not say how thick its one slice is; taken as 1 mm", path);
        }
        return MF_OK;
    }
    *spacing = (last->along - first->along) / (double)(s->count - 1);
    double worst = 0;
    for (size_t i = 1; i < s->count; i++) {
        double gap = s->slice[i].along - s->slice[i - 1].along;
        worst = fmax(worst, fabs(gap - *spacing));
        if (fabs(gap - *spacing) > 0.1 * *spacing)
            return mf_fail(MF_UNSUPPORTED,
                           "%s: slices are %.3f mm apart on average, but %.3f mm between %.2f and "
                           "%.2f mm: one may be missing",
                           path, *spacing, gap, s->slice[i - 1].along, s->slice[i].along);
    }
    if (worst > 0.01 * *spacing)
        scan_note(out, "%s: slices are not evenly spaced (up to %.3f mm off)", path, worst);
    double way[3], length = 0;
    for (int i = 0; i < 3; i++)
        way[i] = last->h.position[i] - first->h.position[i];
    length = sqrt(dot(way, way));
    if (dot(way, normal) < length * cos(0.5 * M_PI / 180))
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: slices are shifted against one another (a gantry tilted by "
                               "%.1f degrees)",
                               path, acos(dot(way, normal) / length) * 180 / M_PI),
                       "dcm2niix can straighten such a scan");
    return MF_OK;
}

/* A type that holds both exactly. */
static mf_dtype wider(mf_dtype a, mf_dtype b)
{
    if (a == b)
        return a;
    bool real = a == MF_F32 || a == MF_F64 || b == MF_F32 || b == MF_F64;
    return real ? MF_F64 : MF_I32;
}

/* Reads all slices into s->voxels; what they share decides its type. */
static mf_status read_slices(const series *list, const scan_options *o, dicom_reader *reader,
                             scan *s)
{
    const int64_t shape[3] = {(int64_t)list->count, list->slice[0].h.rows,
                              list->slice[0].h.columns};
    for (size_t i = 0; i < list->count; i++) {
        mf_array *one, *fit;
        if (o->stop)
            MF_TRY(o->stop(o->stop_of));
        MF_TRY(dicom_frame_read(reader, list->slice[i].path, &list->slice[i].h, 0, &one));
        mf_status failed = MF_OK;
        if (!s->voxels)
            failed = mf_array_new(one->dtype, 3, shape, &s->voxels);
        mf_dtype both = failed ? one->dtype : wider(s->voxels->dtype, one->dtype);
        if (!failed && both != s->voxels->dtype) {
            mf_array *wide;
            failed = mf_array_convert(s->voxels, both, &wide);
            if (!failed) {
                mf_array_unref(s->voxels);
                s->voxels = wide;
            }
        }
        if (!failed)
            failed = mf_array_convert(one, both, &fit);
        if (!failed) {
            memcpy((char *)s->voxels->data + i * fit->bytes, fit->data, fit->bytes);
            mf_array_unref(fit);
        }
        mf_array_unref(one);
        MF_TRY(failed);
    }
    return MF_OK;
}

/* Seconds of a DICOM time, hhmmss.ffffff; negative where it is none. */
static double seconds(const char *text)
{
    int h, m;
    double s;
    return sscanf(text, "%2d%2d%lf", &h, &m, &s) == 3 ? h * 3600 + m * 60 + s : -1;
}

/* Standardized uptake: activity over (dose, decayed to the scan's start) per gram of body. */
static void uptake(const dicom_header *h, scan *s)
{
    double from = seconds(h->dose_start), to = seconds(h->series_time);
    if (!strcmp(h->units, "GML")) {
        snprintf(s->unit, sizeof s->unit, "SUV");
        s->suv_factor = 1;
        return;
    }
    if (strcmp(h->units, "BQML"))
        return;
    snprintf(s->unit, sizeof s->unit, "Bq/ml");
    if (strcmp(h->decay, "START") || from < 0 || to < 0 || !(h->dose_bq > 0) ||
        !(h->half_life_s > 0) || !(h->weight_kg > 0))
        return;
    double passed = to - from + (to < from ? 86400 : 0);
    s->suv_factor = 1000 * h->weight_kg / (h->dose_bq * exp2(-passed / h->half_life_s));
}

static mf_status assemble(const char *path, bool folder, const scan_options *o, series *list,
                          scan *s)
{
    double normal[3];
    if (folder) {
        MF_TRY(scan_folder(path, list));
        if (!list->count)
            return mf_fail(MF_INVALID, "%s: no DICOM picture among its %d files", path,
                           list->other);
        if (list->other)
            scan_note(s, "%s: %d files that are no DICOM pictures were left out", path,
                      list->other);
        MF_TRY(choose(path, list, o->series && o->series[0] ? o->series : NULL));
    } else {
        dicom_header h;
        bool is;
        MF_TRY(dicom_header_read(path, &h, &is));
        if (!is)
            return mf_fail(MF_CORRUPT, "%s: is no DICOM file, or a damaged one", path);
        if (!h.rows || !h.columns)
            return mf_fail(MF_UNSUPPORTED, "%s: is DICOM, but holds no picture (%s)", path,
                           h.modality[0] ? h.modality : "no modality given");
        MF_TRY(series_add(list, path, &h));
    }
    for (size_t i = 0; i < list->count; i++)
        MF_TRY(check_slice(&list->slice[i], &list->slice[0]));
    MF_TRY(order(path, list, o->time, normal, s));
    const dicom_header *h = &list->slice[0].h;
    MF_TRY(slice_spacing(path, list, normal, &s->grid.spacing[2], s));
    s->grid.spacing[0] = h->spacing[1]; /* the second value is the distance of columns */
    s->grid.spacing[1] = h->spacing[0];
    s->grid.size[0] = h->columns;
    s->grid.size[1] = h->rows;
    s->grid.size[2] = (int64_t)list->count;
    for (int i = 0; i < 3; i++) { /* LPS to RAS+ */
        double sign = i < 2 ? -1 : 1;
        s->grid.origin[i] = sign * h->position[i];
        s->grid.direction[3 * i] = sign * h->orientation[i];
        s->grid.direction[3 * i + 1] = sign * h->orientation[3 + i];
        s->grid.direction[3 * i + 2] = sign * normal[i];
    }
    const char *m = h->modality;
    const char *name = !strcmp(m, "PT")   ? "PET"
                       : !strcmp(m, "CT") ? "CT"
                       : !strcmp(m, "MR") ? "MR"
                                          : "";
    snprintf(s->modality, sizeof s->modality, "%s", name);
    if (!strcmp(m, "CT"))
        snprintf(s->unit, sizeof s->unit, "HU");
    if (!strcmp(m, "PT"))
        uptake(h, s);
    dicom_reader reader = {.decoder = {.stop = o->stop, .of = o->stop_of}};
    mf_status failed = read_slices(list, o, &reader, s);
    dicom_reader_close(&reader);
    return failed;
}

mf_status dicom_read(const char *path, bool folder, const scan_options *o, scan *s)
{
    series list = {0};
    mf_status failed = assemble(path, folder, o, &list, s);
    series_free(&list);
    return failed;
}
