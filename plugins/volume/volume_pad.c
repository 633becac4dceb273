/* volume_pad.c - stage volume.pad: a scan with voxels around it. */
#include "derive.h"
#include "grid/orient.h"
#include "scan/voxels.h"
#include "volume_pad.code.h"
#include "volume_stages.h"
#include <math.h>

typedef struct pad_params {
    mf_real3 margin;
    mf_int3 min_size;
    mf_reals value;
} pad_params;

static const mf_param params[] = {
    MF_REAL3(pad_params, margin, "[0, 0, 0]", 0, 10000, "mm",
             "What is added on both sides along x, y, z, rounded up to whole voxels."),
    MF_INT3(pad_params, min_size, "[1, 1, 1]", 1, 65536, "voxels",
            "Minimum size along x, y, z. What lacks after the margin is added on both sides; of an "
            "odd number one more at the end."),
    MF_REALS(pad_params, value, "[]", -1e9, 1e9, "",
             "Value of the added voxels. Empty: the scan's minimum."),
    MF_END};
static const mf_port inputs[] = {MF_PORT("volume", "volume", "The scan."), MF_END};
static const mf_port outputs[] = {MF_PORT("volume", "volume", "The padded scan, 32-bit reals."),
                                  MF_END};

static mf_status check(const void *p)
{
    const pad_params *o = p;
    return o->value.count > 1 ? mf_fail(MF_INVALID, "value: one value, or none") : MF_OK;
}

/* Its origin moves by what is added before the first voxel. */
static mf_status padded_grid(const mf_grid *from, const pad_params *o, mf_grid *to)
{
    double first[3];
    size_t bytes = sizeof(float);
    *to = *from;
    for (int i = 0; i < 3; i++) {
        int64_t margin = (int64_t)ceil(o->margin.v[i] / from->spacing[i] - 1e-6);
        int64_t size = from->size[i] + 2 * margin, lacking = o->min_size.v[i] - size;
        lacking = lacking > 0 ? lacking : 0;
        to->size[i] = size + lacking;
        first[i] = (double)(-margin - lacking / 2);
        if (!mf_size_mul(bytes, (size_t)to->size[i], &bytes) || bytes / sizeof(float) > INT32_MAX)
            return mf_fail(MF_UNSUPPORTED,
                           "the padded scan would have more than 2147483647 voxels");
    }
    mf_grid_to_world(from, first, to->origin);
    return MF_OK;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const mf_artifact *volume;
    mf_grid from, to;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_grid(volume, &from));
    MF_TRY(padded_grid(&from, p, &to));
    n->host_bytes = (size_t)(8 * (double)mf_grid_voxels(&from) + 8 * (double)mf_grid_voxels(&to));
    n->cost = 5e-9 * (double)mf_grid_voxels(&to);
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const pad_params *o = p;
    const mf_artifact *volume;
    const mf_volume *read;
    mf_artifact *made;
    mf_array *voxels;
    voxel_facts facts;
    mf_grid to;
    (void)session;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_in_volume(t, "volume", MF_F32, &read));
    MF_TRY(padded_grid(&read->grid, o, &to));
    MF_TRY(voxels_measure(read->voxels, &facts));
    MF_TRY(orient_restore(read->voxels, &read->grid, &to, false,
                          o->value.count ? o->value.v[0] : facts.min, &voxels));
    mf_status status = derive_artifact(volume, &to, voxels, NULL, true, NULL, &made);
    mf_array_unref(voxels);
    return status ? status : mf_out(t, "volume", made);
}

MF_STAGE(volume_pad, "volume.pad", 1, "Adds voxels around a scan.",
         .help = "The position of the scan in the world stays. Files of the result are written on "
                 "its own grid. Put labels on it with labels.resample, with this stage as its "
                 "input `like`.",
         .params = params, .params_size = sizeof(pad_params), .in = inputs, .out = outputs,
         .check = check, .needs = needs, .run = run);
