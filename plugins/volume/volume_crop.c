/* volume_crop.c - stage volume.crop: a scan cut to the box of a region. */
#include "derive.h"
#include "grid/orient.h"
#include "volume_crop.code.h"
#include "volume_stages.h"

#include <stdlib.h>
#include <string.h>

typedef struct crop_params {
    mf_real3 margin;
    mf_labels labels;
    mf_ints box;
    const char *written;
} crop_params;

static const mf_param params[] = {
    MF_REAL3(crop_params, margin, "[20, 20, 20]", 0, 1000, "mm",
             "Margin around the region along x, y, z of the volume."),
    MF_LABELS(crop_params, labels, "[]", 1, 2147483647,
              "Labels of the region that are kept, by value or name. Empty: all."),
    MF_INTS(crop_params, box, "[]", 0, 65536, "voxels",
            "Instead of a region: x, y, z of the first voxel and of the one after the last."),
    MF_CHOICE(crop_params, written, "scan", "scan|itself",
              "Grid that files of results are written on: that of the scan's file, or that of the "
              "cropped volume."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("volume", "volume", "The scan."),
    MF_PORT("region", "labels?",
            "What is kept: all labels, such as those of labels.load or the body of body.mask. On "
            "another grid, it is taken where it lies in the world."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("volume", "volume", "The scan inside the box of the region and its margin."), MF_END};

static mf_status check(const void *p)
{
    const crop_params *o = p;
    if (o->box.count && o->box.count != 6)
        return mf_hint(mf_fail(MF_INVALID, "box: %zu numbers, not six", o->box.count),
                       "as in [100, 80, 0, 400, 380, 60]");
    for (size_t i = 0; i < o->box.count / 2; i++)
        if (o->box.v[i] >= o->box.v[i + 3])
            return mf_fail(MF_INVALID, "box: %c from %lld to %lld is empty", "xyz"[i],
                           (long long)o -> box.v[i], (long long)o->box.v[i + 3]);
    if (o->box.count && o->labels.count)
        return mf_fail(MF_INVALID, "labels: with `box` there is no region");
    return MF_OK;
}

/* Sets all other voxels to 0. */
static void keep_values(mf_array *wide, const int64_t *values, size_t count)
{
    int32_t *v = wide->data;
    for (int64_t i = 0, n = mf_array_count(wide); i < n; i++) {
        bool kept = false;
        for (size_t k = 0; k < count && v[i]; k++)
            kept = kept || values[k] == v[i];
        v[i] = kept ? v[i] : 0;
    }
}

static mf_status choose_labels(const mf_artifact *region, const mf_labels *labels,
                               mf_array **voxels)
{
    mf_names names;
    mf_label_sets sets;
    int64_t *values;
    size_t count;
    mf_array *wide;
    MF_TRY(mf_artifact_names(region, &names));
    mf_status status = mf_artifact_label_sets(region, &sets);
    if (!status)
        status = mf_labels_values_of(labels, &names, &sets, "labels", &values, &count);
    mf_names_clear(&names);
    mf_label_sets_clear(&sets);
    MF_TRY(status);
    status = mf_array_new(MF_I32, 3, (*voxels)->shape, &wide);
    if (!status) { /* a copy, whatever the type */
        mf_array *same;
        status = mf_array_convert(*voxels, MF_I32, &same);
        if (!status) {
            memcpy(wide->data, same->data, wide->bytes);
            mf_array_unref(same);
            keep_values(wide, values, count);
            mf_array_unref(*voxels);
            *voxels = wide;
        } else {
            mf_array_unref(wide);
        }
    }
    free(values);
    return status;
}

/* The box of the region in voxels of the volume. */
static mf_status box_on(const mf_grid *grid, const mf_artifact *region, const mf_labels *labels,
                        index_box *box, bool *found)
{
    mf_grid from;
    mf_array *voxels;
    MF_TRY(mf_artifact_grid(region, &from));
    MF_TRY(mf_artifact_array(region, "voxels", &voxels));
    mf_status status = labels->count ? choose_labels(region, labels, &voxels) : MF_OK;
    if (!status && !mf_grid_equal(&from, grid, 1e-3)) {
        mf_array *moved;
        status = orient_restore(voxels, &from, grid, true, 0, &moved);
        if (!status) {
            mf_array_unref(voxels);
            voxels = moved;
        }
    }
    *found = !status && crop_box_of(voxels, box);
    mf_array_unref(voxels);
    return status;
}

static mf_status given_box(const crop_params *o, const mf_grid *grid, index_box *box)
{
    for (int i = 0; i < 3; i++) {
        box->lo[i] = o->box.v[i];
        box->hi[i] = o->box.v[i + 3];
        if (box->hi[i] > grid->size[i])
            return mf_fail(MF_INVALID, "box: %c ends at %lld; the volume has %lld voxels", "xyz"[i],
                           (long long)box -> hi[i], (long long)grid -> size[i]);
    }
    return MF_OK;
}

static mf_status find_box(mf_task *t, const crop_params *o, const mf_grid *grid, index_box *box)
{
    const mf_artifact *region;
    bool found;
    MF_TRY(mf_in(t, "region", &region));
    if (region && o->box.count)
        return mf_hint(mf_fail(MF_INVALID, "both a region and `box` say what is kept"),
                       "leave out one of them");
    if (!region && !o->box.count)
        return mf_hint(mf_fail(MF_INVALID, "nothing says what is kept"),
                       "connect the input `region`, or set `box`");
    if (o->box.count)
        return given_box(o, grid, box);
    MF_TRY(box_on(grid, region, &o->labels, box, &found));
    if (!found)
        return mf_fail(MF_INVALID, "the region (%s) has no voxel in the scan to crop by",
                       mf_in_name(t, "region", 0));
    crop_widen(grid, o->margin.v, box);
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const crop_params *o = p;
    const mf_artifact *volume;
    mf_artifact *out;
    mf_array *voxels, *kept;
    mf_grid grid, cropped;
    index_box box;
    (void)session;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_grid(volume, &grid));
    MF_TRY(find_box(t, o, &grid, &box));
    crop_grid(&grid, &box, &cropped);
    MF_TRY(mf_artifact_array(volume, "voxels", &voxels));
    mf_status status = crop_voxels(voxels, &box, &kept);
    mf_array_unref(voxels);
    MF_TRY(status);
    status =
        derive_artifact(volume, &cropped, kept, NULL, !strcmp(o->written, "itself"), NULL, &out);
    mf_array_unref(kept);
    return status ? status : mf_out(t, "volume", out);
}

MF_STAGE(volume_crop, "volume.crop", 3,
         "Crops a scan to a region and a margin around it, or to a box.",
         .help = "The margin is rounded up to whole voxels and ends at the border of the scan. "
                 "Results are still written on the grid of the scan's file, unless `written` says "
                 "otherwise. Load labels of the scan "
                 "with labels.load, with this stage as its input `like`.",
         .params = params, .params_size = sizeof(crop_params), .in = inputs, .out = outputs,
         .check = check, .run = run);
