/* load.c - see load.h: from a file to a volume or label map in the orientation and crop asked for.
 */
#include "load.h"
#include "grid/component.h"
#include "reader.h"
#include "scan/voxels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- files that say it wrongly --------------------------------------------------------------- */

mf_status load_fix_check(const char *orientation, const mf_reals *spacing)
{
    if (*orientation && !orient_valid(orientation))
        return mf_hint(
            mf_fail(MF_INVALID, "file_orientation: '%s' does not name three axes", orientation),
            "such as LAS or RPI");
    if (spacing->count && spacing->count != 3)
        return mf_fail(MF_INVALID, "file_spacing: %zu numbers, not three", spacing->count);
    for (size_t i = 0; i < spacing->count; i++)
        if (!(spacing->v[i] > 0))
            return mf_fail(MF_INVALID, "file_spacing: %g is not above 0", spacing->v[i]);
    return MF_OK;
}

/* Column j of the direction is where axis j of the file grows to. The origin stays. */
static void set_orientation(mf_grid *grid, const char *codes)
{
    static const char letters[] = "RLAPSI";
    for (int j = 0; j < 3; j++) {
        int at = (int)(strchr(letters, codes[j]) - letters);
        for (int i = 0; i < 3; i++)
            grid->direction[3 * i + j] = i != at / 2 ? 0 : at % 2 ? -1 : 1;
    }
}

/* The time point of `path` that is the `nth` (from 0) with a label. */
static mf_status find_labelled(const char *path, const scan_options *read, int64_t nth,
                               int64_t *time)
{
    int64_t times = 1, found = 0;
    scan_options o = *read;
    o.times = &times;
    for (o.time = 0; o.time < times; o.time++) {
        index_box box;
        scan s;
        MF_TRY(scan_read(path, &o, &s));
        bool labelled = crop_box_of(s.voxels, &box);
        scan_free(&s);
        if (!labelled)
            continue;
        if (found++ == nth) {
            *time = o.time;
            return MF_OK;
        }
    }
    return mf_fail(MF_INVALID,
                   "%s: has %lld time points with a label; time: %lld is not one of them", path,
                   (long long)found, (long long)nth);
}

static mf_status read_fixed(const char *path, const scan_options *read, const load_fix *fix,
                            scan *s)
{
    scan_options o = *read;
    memset(s, 0, sizeof *s);
    if (fix->labelled)
        MF_TRY(find_labelled(fix->labelled, read, read->time < 0 ? 0 : read->time, &o.time));
    MF_TRY(scan_read(path, &o, s));
    if (fix->orientation && *fix->orientation) {
        set_orientation(&s->grid, fix->orientation);
        s->sides_assumed = false;
    }
    for (size_t i = 0; i < fix->spacing.count; i++)
        s->grid.spacing[i] = fix->spacing.v[i];
    return MF_OK;
}

/* voxels and a grid on their way through turning and cropping. */
static mf_status turn(mf_array **voxels, mf_grid *grid, const char *codes)
{
    axis_map map;
    mf_grid target;
    mf_array *turned;
    if (!strcmp(codes, "keep"))
        return MF_OK;
    orient_plan(grid, codes, &map, &target);
    MF_TRY(orient_voxels(*voxels, &map, &turned));
    mf_array_unref(*voxels);
    *voxels = turned;
    *grid = target;
    return MF_OK;
}

static mf_status cut(mf_array **voxels, mf_grid *grid, const index_box *box)
{
    mf_array *cropped;
    MF_TRY(crop_voxels(*voxels, box, &cropped));
    mf_array_unref(*voxels);
    *voxels = cropped;
    crop_grid(grid, box, grid);
    return MF_OK;
}

static mf_status artifact_of(const char *type, const mf_grid *grid, const mf_grid *scan_grid,
                             mf_array *voxels, mf_artifact **made)
{
    MF_TRY(mf_artifact_new(type, made));
    mf_status status = mf_artifact_set_grid(*made, grid);
    if (!status)
        status = mf_artifact_set_scan_grid(*made, scan_grid);
    if (!status)
        status = mf_artifact_add(*made, "voxels", voxels);
    if (status) {
        mf_artifact_unref(*made);
        *made = NULL;
    }
    return status;
}

/* Values that are no numbers, or that 32-bit reals cannot hold: refused, or 0 in their place. */
static mf_status check_odd(const char *path, const load_options *o, scan *s, voxel_facts *f)
{
    static const char hint[] = "nonfinite: zero replaces them by 0";
    if (f->nan + f->inf > 0 && !o->zero_odd)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: %lld voxels are not a number and %lld are infinite, of %lld",
                               path, (long long)f->nan, (long long)f->inf,
                               (long long)mf_array_count(s->voxels)),
                       hint);
    if (f->beyond > 0 && !o->zero_odd)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: %lld voxels of %lld are beyond 3.4e38, which 32-bit reals "
                               "cannot hold",
                               path, (long long)f->beyond, (long long)mf_array_count(s->voxels)),
                       hint);
    if (f->faint)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: its values, from %g to %g, are too close to 0 for 32-bit reals",
                               path, f->min, f->max),
                       "multiply them by a power of ten first");
    if (f->nan + f->inf > 0)
        scan_note(
            s, "%s: %lld voxels that were not a number and %lld infinite ones were replaced by 0",
            path, (long long)f->nan, (long long)f->inf);
    if (f->beyond > 0)
        scan_note(s, "%s: %lld voxels beyond 3.4e38 were replaced by 0", path,
                  (long long)f->beyond);
    if (f->nan + f->inf + f->beyond > 0) {
        voxels_zero_odd(s->voxels);
        MF_TRY(voxels_measure(s->voxels, f));
    }
    return MF_OK;
}

/* Checks intensities and replaces non-finite values; notes a constant or flat scan. */
static mf_status judge(const char *path, const load_options *o, scan *s, voxel_facts *f)
{
    MF_TRY(voxels_measure(s->voxels, f));
    MF_TRY(check_odd(path, o, s, f));
    if (f->min == f->max)
        scan_note(s, "%s: all voxels have the value %g", path, f->min);
    const int64_t *n = s->grid.size;
    if (n[0] == 1 || n[1] == 1 || n[2] == 1)
        scan_note(s, "%s: is one voxel thick (%lld x %lld x %lld)", path, (long long)n[0],
                  (long long)n[1], (long long)n[2]);
    else if (n[0] < 16 || n[1] < 16 || n[2] < 16)
        scan_note(s, "%s: is small (%lld x %lld x %lld voxels)", path, (long long)n[0],
                  (long long)n[1], (long long)n[2]);
    return MF_OK;
}

/* What the parameter says, then what the file says; else CT where air is seen. */
static const char *modality_of(const char *path, const load_options *o, const voxel_facts *f,
                               scan *s)
{
    if (!strcmp(o->modality, "ct"))
        return "CT";
    if (!strcmp(o->modality, "mr"))
        return "MR";
    if (!strcmp(o->modality, "pet"))
        return "PET";
    if (s->modality[0])
        return s->modality;
    if (f->min <= -500 && f->max > 100) {
        scan_note(s,
                  "%s: taken for a CT, as its values reach down to %g (modality: ... says "
                  "otherwise)",
                  path, f->min);
        return "CT";
    }
    return "";
}

static void sizes_text(const int64_t n[3], char text[64])
{
    snprintf(text, 64, "%lld x %lld x %lld", (long long)n[0], (long long)n[1], (long long)n[2]);
}

/* The labels must lie on the scan's voxels: same size, and corners less than a voxel apart. */
static mf_status check_same(const char *path, const mf_grid *labels, const mf_grid *scan_grid,
                            bool sizes_only)
{
    char a[64], b[64];
    sizes_text(labels->size, a);
    sizes_text(scan_grid->size, b);
    if (strcmp(a, b))
        return mf_fail(MF_INVALID, "%s: has %s voxels, the scan has %s: they do not match", path, a,
                       b);
    double worst = 0,
           least = fmin(fmin(scan_grid->spacing[0], scan_grid->spacing[1]), scan_grid->spacing[2]);
    for (int c = 0; c < 8; c++) {
        double ijk[3], p[3], q[3];
        for (int k = 0; k < 3; k++)
            ijk[k] = c >> k & 1 ? (double)(labels->size[k] - 1) : 0;
        mf_grid_to_world(labels, ijk, p);
        mf_grid_to_world(scan_grid, ijk, q);
        worst = fmax(worst, sqrt((p[0] - q[0]) * (p[0] - q[0]) + (p[1] - q[1]) * (p[1] - q[1]) +
                                 (p[2] - q[2]) * (p[2] - q[2])));
    }
    if (!sizes_only && !(worst < 0.5 * least))
        return mf_hint(mf_fail(MF_INVALID,
                               "%s: its header puts it up to %.1f mm away from the scan", path,
                               worst),
                       "if the voxels match nevertheless, set align: index");
    return MF_OK;
}

/* Labels are whole and not negative, but for what reals and scaling make of them. */
static mf_status check_labels(const char *path, scan *s)
{
    int64_t rounded;
    MF_TRY(voxels_round_labels(path, &s->voxels, &rounded));
    if (rounded)
        scan_note(s, "%s: %lld voxels were within 0.001 of an integer and were rounded", path,
                  (long long)rounded);
    return MF_OK;
}

static mf_status crop_box(const char *path, const load_options *o, const mf_array *voxels,
                          const mf_grid *grid, scan *s, index_box *box)
{
    bool found;
    if (!strcmp(o->crop, "threshold")) {
        MF_TRY(crop_largest(voxels, o->threshold, box, &found));
        if (!found)
            return mf_fail(MF_INVALID, "%s: no voxel is above the threshold %g to crop by", path,
                           o->threshold);
    } else {
        scan l;
        mf_grid target = {{0}};
        MF_TRY(read_fixed(o->labels, &o->read, &o->fix, &l));
        mf_status status = check_same(o->labels, &l.grid, &s->grid, false);
        if (!status)
            status = check_labels(o->labels, &l);
        target = l.grid;
        if (!status)
            status = turn(&l.voxels, &target, o->orient);
        found = !status && crop_box_of(l.voxels, box);
        scan_free(&l);
        MF_TRY(status);
        if (!found)
            return mf_fail(MF_INVALID, "%s: holds no label to crop by", o->labels);
    }
    crop_widen(grid, (const double[]){o->margin, o->margin, o->margin}, box);
    return MF_OK;
}

static mf_status make_volume(const char *path, const load_options *o, scan *s, mf_artifact **volume)
{
    voxel_facts f;
    MF_TRY(judge(path, o, s, &f));
    MF_TRY(voxels_narrow(&s->voxels, &f));
    const char *modality = modality_of(path, o, &f, s);
    mf_grid grid = s->grid;
    MF_TRY(turn(&s->voxels, &grid, o->orient));
    if (strcmp(o->crop, "none")) {
        index_box box;
        MF_TRY(crop_box(path, o, s->voxels, &grid, s, &box));
        MF_TRY(cut(&s->voxels, &grid, &box));
    }
    MF_TRY(artifact_of("volume", &grid, &s->grid, s->voxels, volume));
    mf_status status = mf_artifact_set_text(*volume, "modality", modality);
    if (!status && s->sides_assumed)
        status = mf_artifact_set_text(*volume, "sides", "assumed");
    if (!status && s->unit[0])
        status = mf_artifact_set_text(*volume, "unit", s->unit);
    if (!status && s->suv_factor > 0)
        status = mf_artifact_set_reals(*volume, "suv_factor", &s->suv_factor, 1);
    if (status) {
        mf_artifact_unref(*volume);
        *volume = NULL;
    }
    return status;
}

mf_status load_volume(const char *path, const load_options *o, scan *s, mf_artifact **volume)
{
    *volume = NULL;
    MF_TRY(read_fixed(path, &o->read, &o->fix, s));
    mf_status status = make_volume(path, o, s, volume);
    scan_free(s);
    return status;
}

/* ---- labels ---------------------------------------------------------------------------------- */

static mf_status keep_only(mf_array **voxels, const int64_t *only, size_t count)
{
    mf_array *copy;
    MF_TRY(mf_array_new(MF_I32, 3, (*voxels)->shape, &copy));
    mf_array *wide;
    mf_status status = mf_array_convert(*voxels, MF_I32, &wide);
    if (status) {
        mf_array_unref(copy);
        return status;
    }
    const int32_t *from = wide->data;
    int32_t *to = copy->data;
    for (int64_t i = 0, n = mf_array_count(copy); i < n; i++)
        for (size_t k = 0; k < count && from[i]; k++)
            if (from[i] == only[k])
                to[i] = from[i];
    mf_array_unref(wide);
    mf_array_unref(*voxels);
    *voxels = copy;
    voxel_facts f;
    MF_TRY(voxels_measure(copy, &f));
    return voxels_narrow(voxels, &f);
}

/* Turns and crops labels that lie on the scan's own grid as the volume `like` was. */
static mf_status follow(const char *path, const labels_options *o, const mf_artifact *like, scan *s,
                        mf_grid *grid)
{
    mf_grid want, own, turned_own;
    char codes[4];
    axis_map map;
    MF_TRY(mf_artifact_grid(like, &want));
    if (!mf_artifact_scan_grid(like, &own))
        own = want;
    if (o->by_index) {
        MF_TRY(check_same(path, &s->grid, &own, true));
        s->grid = own;
    }
    orient_codes(&want, codes);
    *grid = s->grid;
    MF_TRY(turn(&s->voxels, grid, codes));
    orient_plan(&own, codes, &map, &turned_own);
    MF_TRY(check_same(path, grid, &turned_own, false));
    double at[3];
    index_box box;
    mf_grid_to_index(&turned_own, want.origin, at);
    for (int k = 0; k < 3; k++) {
        box.lo[k] = (int64_t)rint(at[k]);
        box.hi[k] = box.lo[k] + want.size[k];
        if (box.lo[k] < 0 || box.hi[k] > turned_own.size[k] ||
            fabs(want.spacing[k] - turned_own.spacing[k]) > 1e-3 * want.spacing[k])
            return mf_hint(
                mf_fail(MF_INVALID, "%s: the input 'like' is not on the voxels of its scan", path),
                "connect `like` to the stage that loads the scan");
    }
    s->grid = own;
    MF_TRY(cut(&s->voxels, grid, &box));
    *grid = want;
    return MF_OK;
}

/* Names of the file, then those that are given. */
static mf_status name_labels(const labels_options *o, scan *s)
{
    for (size_t i = 0; o->names && i < o->names->count; i++)
        MF_TRY(mf_names_put(&s->names, o->names->v[i].value, o->names->v[i].name,
                            o->names->v[i].colour));
    return MF_OK;
}

/* Keeps the labels that are asked for, with their names, and the sets that are there as a whole. */
static mf_status keep_labels(const labels_options *o, scan *s, mf_label_sets *sets)
{
    const mf_label_sets none = {0}, *all = o->sets ? o->sets : &none;
    int64_t *values;
    size_t count;
    mf_names kept = {0};
    MF_TRY(mf_labels_values_of(&o->only, &s->names, all, "select_labels", &values, &count));
    mf_status status = keep_only(&s->voxels, values, count);
    if (!status)
        status = mf_names_only(&s->names, values, count, &kept);
    if (!status)
        status = mf_label_sets_only(all, values, count, sets);
    free(values);
    mf_names_clear(&s->names);
    s->names = kept;
    return status;
}

/* A file may be empty, or have none of the labels that are asked for, as one of a patient without
 * the lesion. It may also be another file than was meant. */
static void note_empty(const char *path, bool had, bool kept, double largest, scan *s)
{
    index_box box;
    if (!had)
        scan_note(s, "%s: holds no label: all voxels are 0", path);
    else if (!kept)
        scan_note(s, "%s: has none of the labels of select_labels; its largest is %g", path,
                  largest);
    else if (!crop_box_of(s->voxels, &box))
        scan_note(s, "%s: holds no label where its scan was cropped", path);
}

static mf_status set_names(const labels_options *o, const scan *s, const mf_label_sets *kept,
                           mf_artifact *labels)
{
    const bool all = !o->only.count && o->sets;
    return mf_artifact_set_named(labels, &s->names, all ? o->sets : kept);
}

static mf_status make_labels(const char *path, const labels_options *o, const mf_artifact *like,
                             scan *s, mf_artifact **labels)
{
    mf_grid grid = s->grid;
    mf_label_sets sets = {0};
    voxel_facts f;
    index_box box;
    MF_TRY(check_labels(path, s));
    MF_TRY(voxels_measure(s->voxels, &f));
    const bool had = crop_box_of(s->voxels, &box);
    MF_TRY(name_labels(o, s));
    mf_status status = o->only.count ? keep_labels(o, s, &sets) : MF_OK;
    const bool kept = !status && crop_box_of(s->voxels, &box);
    if (!status)
        status = like ? follow(path, o, like, s, &grid) : turn(&s->voxels, &grid, o->orient);
    if (!status) {
        note_empty(path, had, kept, f.max, s);
        status = artifact_of("labels", &grid, &s->grid, s->voxels, labels);
    }
    if (!status)
        status = set_names(o, s, &sets, *labels);
    mf_label_sets_clear(&sets);
    if (!status && (like ? mf_artifact_text(like, "sides") != NULL : s->sides_assumed))
        status = mf_artifact_set_text(*labels, "sides", "assumed");
    if (status) {
        mf_artifact_unref(*labels);
        *labels = NULL;
    }
    return status;
}

mf_status load_labels(const char *path, const labels_options *o, const mf_artifact *like, scan *s,
                      mf_artifact **labels)
{
    *labels = NULL;
    MF_TRY(read_fixed(path, &o->read, &o->fix, s));
    mf_status status = make_labels(path, o, like, s, labels);
    scan_free(s);
    return status;
}

static mf_status make_like(const char *path, const mf_artifact *like, scan *s, mf_artifact **volume)
{
    const load_options judged = {.modality = "auto"};
    const labels_options by_header = {.by_index = false};
    voxel_facts f;
    mf_grid grid;
    MF_TRY(judge(path, &judged, s, &f));
    MF_TRY(voxels_narrow(&s->voxels, &f));
    MF_TRY(follow(path, &by_header, like, s, &grid));
    MF_TRY(artifact_of("volume", &grid, &s->grid, s->voxels, volume));
    mf_status status = mf_artifact_set_text(*volume, "modality", s->modality);
    if (!status)
        status = mf_artifact_inherit(*volume, like);
    if (status) {
        mf_artifact_unref(*volume);
        *volume = NULL;
    }
    return status;
}

mf_status load_like(const char *path, const mf_artifact *like, scan *s, mf_artifact **volume)
{
    const scan_options read = {-1, NULL};
    *volume = NULL;
    MF_TRY(scan_read(path, &read, s));
    mf_status status = make_like(path, like, s, volume);
    scan_free(s);
    return status;
}
