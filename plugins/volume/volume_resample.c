/* volume_resample.c - stage volume.resample: a scan with another voxel size, or on the grid of
 * another one. */
#include "../common/resample.h"
#include "derive.h"
#include "grid/orient.h"
#include "resampling.h"
#include "scan/voxels.h"
#include "volume_resample.code.h"
#include "volume_stages.h"

typedef struct resample_params {
    mf_real3 spacing;
    mf_reals outside;
} resample_params;

static const mf_param params[] = {
    MF_REAL3(resample_params, spacing, "[0, 0, 0]", 0, 100, "mm",
             "Spacing along x, y, z of the volume, over the same field of view. Without `like`."),
    MF_REALS(resample_params, outside, "[]", -1e9, 1e9, "",
             "With `like`: value where the scan has no voxels. Empty: its minimum."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("volume", "volume", "The scan."),
    MF_PORT("like", "volume?", "A volume whose grid (size, spacing, position, axes) is taken."),
    MF_END};
static const mf_port outputs[] = {MF_PORT("volume", "volume", "The resampled scan, 32-bit reals."),
                                  MF_END};

static mf_status check(const void *p)
{
    const resample_params *o = p;
    return o->outside.count > 1 ? mf_fail(MF_INVALID, "outside: one value, or none") : MF_OK;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const resample_params *o = p;
    const mf_artifact *volume, *like;
    mf_grid from, to;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_grid(volume, &from));
    MF_TRY(resampling_grid(t, &from, &o->spacing, &to, &like));
    n->host_bytes = (size_t)(4 * (double)mf_grid_voxels(&to)) + (64u << 20);
    if (like)
        n->host_bytes += (size_t)(8 * (double)mf_grid_voxels(&from));
    n->cost = (like ? 5e-8 : 1e-8) * (double)mf_grid_voxels(&to);
    return MF_OK;
}

/* Over the same field of view, with the same axes. */
static mf_status to_spacing(mf_task *t, const mf_artifact *volume, const mf_grid *from,
                            const mf_grid *to, mf_array **voxels)
{
    int64_t shape[3], replaced;
    mf_zyx(to->size, shape);
    MF_TRY(mf_array_new(MF_F32, 3, shape, voxels));
    mf_status status =
        mf_resample_artifact(volume, "voxels", from, to, 0, (*voxels)->data, &replaced);
    if (!status && replaced)
        mf_log(t, "%lld voxels were NaN or infinite: taken as 0", (long long)replaced);
    if (status)
        mf_array_unref(*voxels);
    return status;
}

/* Onto any grid. */
static mf_status to_grid(mf_task *t, const resample_params *o, const mf_grid *to, mf_array **voxels)
{
    const mf_volume *volume;
    voxel_facts facts;
    MF_TRY(mf_in_volume(t, "volume", MF_F32, &volume));
    MF_TRY(voxels_measure(volume->voxels, &facts));
    return orient_restore(volume->voxels, &volume->grid, to, false,
                          o->outside.count ? o->outside.v[0] : facts.min, voxels);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const resample_params *o = p;
    const mf_artifact *volume, *like;
    mf_artifact *made;
    mf_array *voxels;
    mf_grid from, to;
    (void)session;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_grid(volume, &from));
    MF_TRY(resampling_grid(t, &from, &o->spacing, &to, &like));
    MF_TRY(like ? to_grid(t, o, &to, &voxels) : to_spacing(t, volume, &from, &to, &voxels));
    mf_status status = derive_artifact(volume, &to, voxels, NULL, !like, like, &made);
    mf_array_unref(voxels);
    return status ? status : mf_out(t, "volume", made);
}

MF_STAGE(
    volume_resample, "volume.resample", 1,
    "Resamples a scan to a spacing, or to the grid of another volume.",
    .help = "Linear interpolation, without smoothing before a larger spacing. With `spacing` the "
            "field of view stays, and files of the result are written on its own grid. With `like` "
            "the scan is put where it lies in the world, and files are written on the grid of "
            "`like`'s scan; the two must lie in one space, for they are not registered. mass.* "
            "stages resample by themselves.",
    .params = params, .params_size = sizeof(resample_params), .in = inputs, .out = outputs,
    .check = check, .needs = needs, .run = run);
