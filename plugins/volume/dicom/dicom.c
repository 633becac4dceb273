/* dicom.c - makes one volume of DICOM files: a folder of slices, a multi-frame file, mosaics.
 *
 * Slices are ordered by position along their normal, never by file name or instance number; what
 * would give a wrong volume (a missing or shifted slice, a tilted gantry, several series) is
 * refused in words. */
#include "dicom.h"
#include "dicom_pixels.h"
#include "dicom_series.h"
#include <dirent.h>
#include <errno.h>
#include <massflow/file.h>
#include <massflow/memory.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define OTHER_PLANE 0.05 /* of a cosine: 3 degrees */
#define FEW 10           /* a survey has a tenth of a scan's slices at most */

static void entry_free(dicom_entry *e)
{
    free(e->path);
    dicom_header_free(&e->h);
}

static void series_free(dicom_series *s)
{
    for (size_t i = 0; i < s->files; i++)
        entry_free(&s->file[i]);
    free(s->file);
    free(s->picture);
    *s = (dicom_series){0};
}

/* Takes the header, which is freed with the series. */
static mf_status series_add(dicom_series *s, const char *path, dicom_header *h)
{
    char *copy = strdup(path);
    dicom_entry *more = copy ? mf_list_more(s->file, s->files, sizeof *more) : NULL;
    if (!more) {
        free(copy);
        dicom_header_free(h);
        return mf_no_memory(0, "a list of DICOM files");
    }
    s->file = more;
    s->file[s->files++] = (dicom_entry){copy, *h};
    return MF_OK;
}

static mf_status add_file(dicom_series *s, const char *path)
{
    dicom_header h;
    bool is;
    MF_TRY(dicom_header_read(path, &h, &is));
    if (is && h.rows > 0 && h.columns > 0)
        return series_add(s, path, &h);
    dicom_header_free(&h);
    s->other++;
    return MF_OK;
}

/* A picture of that name is left out, as shells and file managers do, but not unnoticed. */
static void note_hidden(dicom_series *s, const char *path)
{
    dicom_header h = {0};
    bool is = false;
    mf_status status = dicom_header_read(path, &h, &is);
    if (status) {
        mf_error_free(status);
        return;
    }
    s->hidden += is && h.rows > 0 && h.columns > 0;
    dicom_header_free(&h);
}

static mf_status scan_entry(const char *folder, const char *name, dicom_series *s)
{
    char path[4096];
    struct stat about;
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!mf_path_plain(name))
        return mf_hint(mf_fail(MF_INVALID,
                               "%s: the name of a file in it has a control character: '%s'", folder,
                               name),
                       "rename it: such a name can pretend to be a message");
    if (mf_path_ignored(name))
        return MF_OK;
    errno = ENAMETOOLONG;
    if ((size_t)length >= sizeof path || stat(path, &about))
        return *name == '.' ? MF_OK /* no slice can be missing */
                            : mf_fail(MF_IO, "%s: '%s' in it cannot be read: %s", folder, name,
                                      strerror(errno));
    if (!S_ISREG(about.st_mode))
        return MF_OK;
    if (*name != '.')
        return add_file(s, path);
    note_hidden(s, path);
    return MF_OK;
}

static mf_status scan_folder(const char *folder, dicom_series *s)
{
    struct dirent **entry;
    int n = scandir(folder, &entry, NULL, alphasort);
    if (n < 0)
        return mf_fail(MF_IO, "%s: the folder cannot be read: %s", folder, strerror(errno));
    mf_status status = MF_OK;
    for (int i = 0; i < n; i++) {
        if (!status)
            status = scan_entry(folder, entry[i]->d_name, s);
        free(entry[i]);
    }
    free(entry);
    return status;
}

/* ---- which series -----------------------------------------------------------------------------
 */

static int by_series(const void *a, const void *b)
{
    const dicom_entry *x = a, *y = b;
    if (x->h.series_number != y->h.series_number)
        return x->h.series_number < y->h.series_number ? -1 : 1;
    int order = strcmp(x->h.series, y->h.series);
    return order ? order : strcmp(x->path, y->path);
}

/* Files of one series, among those of a folder. */
typedef struct run {
    size_t from, count;
    int64_t pictures;
    const char *is; /* what makes it no scan; NULL for a scan */
    double axis[9];
} run;

static bool is_localizer(const dicom_entry *e)
{
    return e->h.count && dicom_has_word(e->h.frame[0].text[DICOM_KIND], "LOCALIZER");
}

static bool has_place(const dicom_entry *e)
{
    const dicom_frame *f = e->h.frame;
    return e->h.count && e->h.samples == 1 && f->has_position && f->has_orientation &&
           f->has_spacing;
}

static void judge(const dicom_series *s, run *r)
{
    size_t localizers = 0, placed = 0;
    bool planes = false;
    for (size_t i = r->from; i < r->from + r->count; i++) {
        const dicom_entry *e = &s->file[i];
        double axis[9];
        r->pictures += e->h.count;
        localizers += is_localizer(e);
        if (!has_place(e) || !dicom_axes(e->h.frame[0].orientation, axis))
            continue;
        if (!placed++)
            memcpy(r->axis, axis, sizeof axis);
        for (int k = 0; k < 6; k++)
            planes = planes || fabs(axis[k] - r->axis[k]) > OTHER_PLANE;
    }
    r->is = localizers == r->count ? "localizer"
            : planes               ? "slices in several planes"
            : !placed              ? "no place in the patient"
                                   : NULL;
}

/* The one series that is a scan, when all others are clearly none: localizers, pictures without a
 * place in the patient, and few slices that lie in another plane than the scan. */
static const run *the_scan(run *r, size_t count)
{
    const run *most = NULL;
    size_t scans = 0;
    for (size_t i = 0; i < count; i++)
        if (!r[i].is && (!most || r[i].pictures > most->pictures))
            most = &r[i];
    for (size_t i = 0; i < count; i++) {
        if (!r[i].is && r[i].pictures * FEW <= most->pictures &&
            fabs(dicom_dot(r[i].axis + 6, most->axis + 6)) < cos(10 * M_PI / 180))
            r[i].is = "few slices in another plane";
        scans += !r[i].is;
    }
    return scans == 1 ? most : NULL;
}

static void list_series(const dicom_series *s, const run *r, size_t count, char *list, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < count && used + 256 < room; i++) {
        const dicom_header *h = &s->file[r[i].from].h;
        used += (size_t)snprintf(list + used, room - used, "\n  %lld: %zu files, %s, %s (%s)",
                                 (long long)h->series_number, r[i].count, h->modality,
                                 h->description, h->series);
    }
}

static void note_left_out(const char *path, const dicom_series *s, const run *r, size_t count,
                          const run *kept, scan *notes)
{
    char text[200];
    size_t used = 0;
    for (size_t i = 0; i < count && used + 80 < sizeof text; i++)
        if (&r[i] != kept)
            used += (size_t)snprintf(
                text + used, sizeof text - used, "%s%lld (%zu files, %s)", used ? ", " : "",
                (long long)s->file[r[i].from].h.series_number, r[i].count, r[i].is);
    scan_note(notes, "took series %lld and left out %s: %s",
              (long long)s->file[kept->from].h.series_number, text, path);
}

/* The run that `wanted` (a number or unique id) names; an error when several have that number. */
static mf_status named(const char *path, const dicom_series *s, const run *r, size_t count,
                       const char *wanted, const char *list, const run **kept)
{
    for (size_t i = 0; i < count; i++) {
        const dicom_header *h = &s->file[r[i].from].h;
        char number[32];
        snprintf(number, sizeof number, "%lld", (long long)h->series_number);
        if (strcmp(wanted, number) && strcmp(wanted, h->series))
            continue;
        if (*kept)
            return mf_fail(MF_INVALID,
                           "%s: several series have the number %s; give the unique id of one:%s",
                           path, wanted, list);
        *kept = &r[i];
    }
    return MF_OK;
}

static void keep_run(dicom_series *s, const run *r)
{
    for (size_t i = 0; i < s->files; i++)
        if (i < r->from || i >= r->from + r->count)
            entry_free(&s->file[i]);
    memmove(s->file, s->file + r->from, r->count * sizeof *s->file);
    s->files = r->count;
}

/* Keeps one series. Several, none named and not clear which is the scan: an error that lists them.
 */
static mf_status choose_run(const char *path, dicom_series *s, run *r, const char *wanted,
                            scan *notes)
{
    char list[1536] = "";
    size_t count = 0;
    const run *kept = NULL;
    for (size_t from = 0, to; from < s->files; from = to) {
        for (to = from + 1; to < s->files &&
                            !strcmp(s->file[to].h.series, s->file[from].h.series) &&
                            s->file[to].h.series_number == s->file[from].h.series_number;)
            to++;
        r[count] = (run){.from = from, .count = to - from};
        judge(s, &r[count++]);
    }
    if (!wanted && count == 1)
        return MF_OK;
    list_series(s, r, count, list, sizeof list);
    if (wanted)
        MF_TRY(named(path, s, r, count, wanted, list, &kept));
    else
        kept = the_scan(r, count);
    if (!kept)
        return mf_hint(mf_fail(MF_INVALID, "%s: holds %zu series%s%s:%s", path, count,
                               wanted ? ", none of them is " : ", not one", wanted ? wanted : "",
                               list),
                       "series: NUMBER takes one of them");
    if (!wanted)
        note_left_out(path, s, r, count, kept, notes);
    keep_run(s, kept);
    return MF_OK;
}

static mf_status choose(const char *path, dicom_series *s, const char *wanted, scan *notes)
{
    run *r = malloc(s->files * sizeof *r);
    if (!r)
        return mf_no_memory(s->files * sizeof *r, "a list of the series of %s", path);
    qsort(s->file, s->files, sizeof *s->file, by_series);
    mf_status status = choose_run(path, s, r, wanted, notes);
    free(r);
    return status;
}

/* ---- which files of it ------------------------------------------------------------------------
 */

/* Localizers that have the number of the scan that was planned on them. */
static void drop_localizers(const char *path, dicom_series *s, scan *notes)
{
    size_t dropped = 0, kept = 0;
    for (size_t i = 0; i < s->files; i++)
        dropped += is_localizer(&s->file[i]);
    if (!dropped || dropped == s->files)
        return;
    for (size_t i = 0; i < s->files; i++)
        if (is_localizer(&s->file[i]))
            entry_free(&s->file[i]);
        else
            s->file[kept++] = s->file[i];
    s->files = kept;
    scan_note(notes, "%s: %zu localizer pictures in the scan's series were left out", path,
              dropped);
}

static int by_instance_id(const void *a, const void *b)
{
    const dicom_entry *x = a, *y = b;
    int order = strcmp(x->h.sop_instance, y->h.sop_instance);
    return order ? order : strcmp(x->path, y->path);
}

/* Whether two files have the same pixels, byte by byte. */
static bool same_pixels(const dicom_entry *a, const dicom_entry *b)
{
    unsigned char x[4096], y[4096];
    int64_t left = a->h.pixel_bytes;
    if (left != b->h.pixel_bytes || !a->h.pixel_offset || !b->h.pixel_offset ||
        a->h.deflated_from || b->h.deflated_from)
        return false;
    FILE *f, *g;
    int64_t size;
    mf_error_free(mf_file_open(a->path, &f, &size));
    mf_error_free(mf_file_open(b->path, &g, &size));
    bool same = f && g && !fseeko(f, (off_t)a->h.pixel_offset, SEEK_SET) &&
                !fseeko(g, (off_t)b->h.pixel_offset, SEEK_SET);
    while (same && left > 0) {
        size_t part = left < (int64_t)sizeof x ? (size_t)left : sizeof x;
        same = fread(x, 1, part, f) == part && fread(y, 1, part, g) == part && !memcmp(x, y, part);
        left -= (int64_t)part;
    }
    if (f)
        fclose(f);
    if (g)
        fclose(g);
    return same;
}

/* Whether the pixels mean the same: what they are, how they are scaled, where they lie. */
static bool same_meaning(const dicom_header *a, const dicom_header *b)
{
    bool same = a->count == b->count && a->count && a->dose_scaling == b->dose_scaling &&
                !strcmp(a->units, b->units) && !strcmp(a->dose_units, b->dose_units) &&
                !strcmp(a->modality, b->modality) && !strcmp(a->photometric, b->photometric);
    for (int64_t i = 0; same && i < a->count; i++) {
        const dicom_frame *f = &a->frame[i], *g = &b->frame[i];
        same = !memcmp(f->position, g->position, sizeof f->position) && f->slope == g->slope &&
               f->intercept == g->intercept &&
               f->number[DICOM_RESCALED] == g->number[DICOM_RESCALED];
    }
    return same;
}

static bool same_picture(const dicom_entry *a, const dicom_entry *b)
{
    return a->h.sop_instance[0] && !strcmp(a->h.sop_instance, b->h.sop_instance) &&
           a->h.instance == b->h.instance && same_meaning(&a->h, &b->h) && same_pixels(a, b);
}

/* Copies of a file: the same unique id, place, number, scaling and pixels. */
static void drop_copies(const char *path, dicom_series *s, scan *notes)
{
    size_t kept = 0, dropped = 0;
    qsort(s->file, s->files, sizeof *s->file, by_instance_id);
    for (size_t i = 0; i < s->files; i++)
        if (kept && same_picture(&s->file[kept - 1], &s->file[i])) {
            entry_free(&s->file[i]);
            dropped++;
        } else {
            s->file[kept++] = s->file[i];
        }
    s->files = kept;
    if (dropped)
        scan_note(notes, "%s: %zu files that are copies of others were left out", path, dropped);
    qsort(s->file, s->files, sizeof *s->file, by_series);
}

/* ---- voxels -----------------------------------------------------------------------------------
 */

/* A type that holds both exactly. */
static mf_dtype wider(mf_dtype a, mf_dtype b)
{
    if (a == b)
        return a;
    bool real = a == MF_F32 || a == MF_F64 || b == MF_F32 || b == MF_F64;
    bool large = a == MF_U32 || b == MF_U32 || a == MF_I64 || b == MF_I64;
    return real ? MF_F64 : large ? MF_I64 : MF_I32;
}

/* The part of a frame that is one tile: [1, rows, columns]. */
static mf_status cut_tile(const dicom_series *s, const dicom_picture *p, const mf_array *frame,
                          mf_array **tile)
{
    const int64_t shape[3] = {1, s->rows, s->columns};
    size_t each = mf_dtype_size(frame->dtype), row = each * (size_t)s->columns;
    MF_TRY(mf_array_new(frame->dtype, 3, shape, tile));
    int64_t down = p->tile / p->across * s->rows, right = p->tile % p->across * s->columns;
    for (int64_t y = 0; y < s->rows; y++)
        memcpy((char *)(*tile)->data + (size_t)y * row,
               (const char *)frame->data + (size_t)((down + y) * frame->shape[2] + right) * each,
               row);
    return MF_OK;
}

/* Puts one slice into s->voxels, which is made wide enough for both. */
static mf_status put_slice(mf_array *one, size_t number, const int64_t shape[3], scan *s)
{
    mf_array *fit;
    if (!s->voxels)
        MF_TRY(mf_array_new(one->dtype, 3, shape, &s->voxels));
    mf_dtype both = wider(s->voxels->dtype, one->dtype);
    if (both != s->voxels->dtype) {
        mf_array *wide;
        MF_TRY(mf_array_convert(s->voxels, both, &wide));
        mf_array_unref(s->voxels);
        s->voxels = wide;
    }
    MF_TRY(mf_array_convert(one, both, &fit));
    memcpy((char *)s->voxels->data + number * fit->bytes, fit->data, fit->bytes);
    mf_array_unref(fit);
    return MF_OK;
}

static mf_status read_frame(dicom_reader *r, const dicom_picture *p, mf_array **frame)
{
    dicom_header h = p->file->h;
    h.slope = p->frame->slope;
    h.intercept = p->frame->intercept;
    return dicom_frame_read(r, p->file->path, &h, p->number, frame);
}

/* Reads all slices into s->voxels; what they share decides its type. */
static mf_status read_slices(dicom_reader *r, const dicom_series *list, const scan_options *o,
                             scan *s)
{
    const int64_t shape[3] = {(int64_t)list->count, list->rows, list->columns};
    mf_array *frame = NULL;
    mf_status status = MF_OK;
    for (size_t i = 0; !status && i < list->count; i++) {
        const dicom_picture *p = &list->picture[i], *before = i ? p - 1 : NULL;
        mf_array *tile;
        if (!before || before->file != p->file || before->number != p->number) {
            mf_array_unref(frame);
            frame = NULL;
            status = o->stop ? o->stop(o->stop_of) : MF_OK;
            if (!status)
                status = read_frame(r, p, &frame);
            if (status) {
                frame = NULL; /* not ours where it could not be read */
                break;
            }
        }
        if (p->across == 1) {
            status = put_slice(frame, i, shape, s);
            continue;
        }
        status = cut_tile(list, p, frame, &tile);
        if (!status) {
            status = put_slice(tile, i, shape, s);
            mf_array_unref(tile);
        }
    }
    mf_array_unref(frame);
    return status;
}

/* Standardized uptake: activity over (dose, decayed to the scan's start) per gram of body. 0 where
 * the file does not tell. */
static double suv_factor(const dicom_header *h)
{
    double from = dicom_seconds(h->dose_start), to = dicom_seconds(h->series_time);
    if (!strcmp(h->units, "GML"))
        return 1;
    if (strcmp(h->units, "BQML") || strcmp(h->decay, "START") || from < 0 || to < 0 ||
        !(h->dose_bq > 0) || !(h->half_life_s > 0) || !(h->weight_kg > 0))
        return 0;
    double passed = to - from + (to < from ? 86400 : 0);
    return 1000 * h->weight_kg / (h->dose_bq * exp2(-passed / h->half_life_s));
}

static void uptake(const char *path, const dicom_series *list, scan *s)
{
    const char *units = list->picture[0].file->h.units;
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < list->count; i++) {
        double factor = suv_factor(&list->picture[i].file->h);
        least = fmin(least, factor);
        most = fmax(most, factor);
    }
    if (!strcmp(units, "GML") || !strcmp(units, "BQML"))
        snprintf(s->unit, sizeof s->unit, "%s", *units == 'G' ? "SUV" : "Bq/ml");
    if (most - least <= 1e-6 * most)
        s->suv_factor = most;
    else
        scan_note(s,
                  "%s: the dose, weight and times of its slices give factors to SUV from %g to %g "
                  "(0: none); none is taken",
                  path, least, most);
}

/* Tools write "PT", some "PET", and not all in capitals. */
static const char *modality_of(const dicom_header *h)
{
    static const char *const names[][2] = {
        {"CT", "CT"}, {"MR", "MR"}, {"MRI", "MR"}, {"PT", "PET"}, {"PET", "PET"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcasecmp(h->modality, names[i][0]))
            return names[i][1];
    return "";
}

static void set_unit(const char *path, const dicom_series *list, scan *s)
{
    const dicom_header *h = &list->picture[0].file->h;
    snprintf(s->modality, sizeof s->modality, "%s", modality_of(h));
    if (!strcmp(s->modality, "CT"))
        snprintf(s->unit, sizeof s->unit, "HU");
    if (!strcmp(s->modality, "PET"))
        uptake(path, list, s);
    if (!strcasecmp(h->modality, "RTDOSE") && !strcasecmp(h->dose_units, "GY"))
        snprintf(s->unit, sizeof s->unit, "Gy");
}

static mf_status find_folder(const char *path, const scan_options *o, dicom_series *list,
                             scan *notes)
{
    MF_TRY(scan_folder(path, list));
    if (!list->files)
        return mf_fail(MF_INVALID, "%s: no DICOM picture among its %d files", path, list->other);
    if (list->other)
        scan_note(notes, "%s: %d files that are no DICOM pictures were left out", path,
                  list->other);
    if (list->hidden)
        scan_note(notes, "%s: %d DICOM pictures whose names begin with a dot were left out", path,
                  list->hidden);
    MF_TRY(choose(path, list, o->series && o->series[0] ? o->series : NULL, notes));
    drop_localizers(path, list, notes);
    drop_copies(path, list, notes);
    return MF_OK;
}

static mf_status find_file(const char *path, dicom_series *list)
{
    dicom_header h;
    bool is;
    MF_TRY(dicom_header_read(path, &h, &is));
    if (is && h.rows && h.columns)
        return series_add(list, path, &h);
    dicom_header_free(&h);
    if (!is)
        return mf_fail(MF_CORRUPT, "%s: is not a DICOM file, or a damaged one", path);
    return mf_fail(MF_UNSUPPORTED, "%s: is DICOM, but holds no picture (%s)", path,
                   h.modality[0] ? h.modality : "no modality given");
}

static mf_status assemble(const char *path, bool folder, const scan_options *o, dicom_series *list,
                          scan *s)
{
    MF_TRY(folder ? find_folder(path, o, list, s) : find_file(path, list));
    MF_TRY(dicom_pictures(list));
    MF_TRY(dicom_choose_volume(path, list, o->time, s));
    MF_TRY(dicom_stack(path, list, &s->grid, s));
    MF_TRY(scan_check_size(path, s->grid.size));
    set_unit(path, list, s);
    dicom_reader reader = {.decoder = {.stop = o->stop, .of = o->stop_of}};
    mf_status status = read_slices(&reader, list, o, s);
    dicom_reader_close(&reader);
    return status;
}

mf_status dicom_read(const char *path, bool folder, const scan_options *o, scan *s)
{
    dicom_series list = {0};
    mf_status status = assemble(path, folder, o, &list, s);
    series_free(&list);
    return status;
}
