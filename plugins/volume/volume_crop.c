/* volume_crop.c - stage volume.crop: a scan cut to the box of a region. */
#include "../common/normalize.h"
#include "grid/orient.h"
#include "volume_crop.code.h"
#include "volume_stages.h"

#include <string.h>

typedef struct crop_params {
    mf_real3 margin;
} crop_params;

static const mf_param params[] = {MF_REAL3(crop_params, margin, "[20, 20, 20]", 0, 1000, "mm",
                                           "Margin around the region along x, y, z of the volume."),
                                  MF_END};
static const mf_port inputs[] = {
    MF_PORT("volume", "volume", "The scan."),
    MF_PORT("region", "labels",
            "What is kept: all labels, such as those of labels.load or the body of body.mask. On "
            "another grid, it is taken where it lies in the world."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("volume", "volume", "The scan inside the box of the region and its margin."), MF_END};

/* The box of the region in voxels of the volume. */
static mf_status box_on(const mf_grid *grid, const mf_artifact *region, index_box *box, bool *found)
{
    mf_grid from;
    mf_array *voxels;
    MF_TRY(mf_artifact_grid(region, &from));
    MF_TRY(mf_artifact_array(region, "voxels", &voxels));
    mf_status status = MF_OK;
    if (!mf_grid_equal(&from, grid, 1e-3)) {
        mf_array *moved;
        status = orient_restore(voxels, &from, grid, true, 0, &moved);
        mf_array_unref(voxels);
        voxels = status ? NULL : moved;
    }
    *found = !status && crop_box_of(voxels, box);
    if (!status)
        mf_array_unref(voxels);
    return status;
}

static mf_status cut(const mf_artifact *volume, const mf_grid *grid, const index_box *box,
                     mf_artifact *out)
{
    mf_grid cropped, scan_grid;
    mf_array *voxels, *kept;
    crop_grid(grid, box, &cropped);
    MF_TRY(mf_artifact_set_grid(out, &cropped));
    if (!mf_artifact_scan_grid(volume, &scan_grid))
        MF_TRY(mf_artifact_set_scan_grid(out, grid));
    MF_TRY(mf_artifact_inherit(out, volume));
    MF_TRY(mf_volume_inherit_normalized(out, volume));
    const char *unit = mf_artifact_text(volume, "unit");
    size_t count = 0;
    const double *suv = mf_artifact_reals(volume, "suv_factor", &count);
    if (unit)
        MF_TRY(mf_artifact_set_text(out, "unit", unit));
    if (suv && count == 1)
        MF_TRY(mf_artifact_set_reals(out, "suv_factor", suv, 1));
    MF_TRY(mf_artifact_array(volume, "voxels", &voxels));
    mf_status status = crop_voxels(voxels, box, &kept);
    mf_array_unref(voxels);
    MF_TRY(status);
    status = mf_artifact_add(out, "voxels", kept);
    mf_array_unref(kept);
    return status;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const crop_params *o = p;
    const mf_artifact *volume, *region;
    mf_artifact *out;
    mf_grid grid;
    index_box box;
    bool found;
    (void)session;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_in(t, "region", &region));
    MF_TRY(mf_artifact_grid(volume, &grid));
    MF_TRY(box_on(&grid, region, &box, &found));
    if (!found)
        return mf_fail(MF_INVALID, "the region (%s) has no voxel in the scan to crop by",
                       mf_in_name(t, "region", 0));
    crop_widen(&grid, o->margin.v, &box);
    MF_TRY(mf_artifact_new("volume", &out));
    mf_status status = cut(volume, &grid, &box, out);
    if (!status)
        return mf_out(t, "volume", out);
    mf_artifact_unref(out);
    return status;
}

MF_STAGE(
    volume_crop, "volume.crop", 2, "Crops a scan to a region and a margin around it.",
    .help = "The margin is rounded up to whole voxels and ends at the border of the scan. "
            "Results are still written on the grid of the scan's file. Load labels of the scan "
            "with labels.load, with this stage as its input `like`.",
    .params = params, .params_size = sizeof(crop_params), .in = inputs, .out = outputs, .run = run);
