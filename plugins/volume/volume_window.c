/* volume_window.c - stage volume.window: a scan clipped to a window of its intensities. */
#include "../common/normalize.h"
#include "derive.h"
#include "volume_stages.h"
#include "volume_window.code.h"

#include <math.h>

typedef struct window_params {
    mf_reals window, percentiles, range;
} window_params;

static const mf_param params[] = {
    MF_REALS(window_params, window, "[]", -1e9, 1e9, "HU",
             "Center and width of the window, in the scan's unit. Empty: 40 and 400 for CT, "
             "`percentiles` for others."),
    MF_REALS(window_params, percentiles, "[1, 99]", 0, 100, "%",
             "Percentiles of the finite voxels that bound the window, where none is set."),
    MF_REALS(window_params, range, "[0, 1]", -1e9, 1e9, "",
             "Values that the lower and the upper bound become."),
    MF_END};
static const mf_port inputs[] = {MF_PORT("volume", "volume", "The scan."), MF_END};
static const mf_port outputs[] = {
    MF_PORT("volume", "volume",
            "The scan with values from the first to the second of `range`, 32-bit reals."),
    MF_END};

static mf_status check(const void *p)
{
    const window_params *o = p;
    if (o->window.count && (o->window.count != 2 || !(o->window.v[1] > 0)))
        return mf_fail(MF_INVALID, "window: a center and a width above 0");
    if (o->percentiles.count != 2 || !(o->percentiles.v[1] > o->percentiles.v[0]))
        return mf_fail(MF_INVALID, "percentiles: two numbers, the second larger");
    if (o->range.count != 2 || !(o->range.v[1] > o->range.v[0]))
        return mf_fail(MF_INVALID, "range: two numbers, the second larger");
    return MF_OK;
}

static mf_status bounds_of(const window_params *o, const mf_artifact *volume,
                           const mf_array *voxels, double bounds[2])
{
    mf_modality modality;
    bool ct = mf_modality_parse(mf_artifact_text(volume, "modality"), &modality) &&
              modality == MF_MODALITY_CT;
    double center = o->window.count ? o->window.v[0] : 40,
           width = o->window.count ? o->window.v[1] : 400;
    if (!o->window.count && !ct)
        return mf_percentiles(voxels->data, mf_array_count(voxels), o->percentiles.v, 2, bounds);
    bounds[0] = center - width / 2;
    bounds[1] = center + width / 2;
    return MF_OK;
}

/* What is not a number counts as the lower bound, as in slic.masks. */
static void clip(const mf_array *voxels, const double bounds[2], const double range[2],
                 mf_array *to)
{
    const float *from = voxels->data;
    float *v = to->data;
    const double width = bounds[1] - bounds[0],
                 scale = width > 0 ? (range[1] - range[0]) / width : 0;
    for (int64_t i = 0, n = mf_array_count(to); i < n; i++) {
        double x = (double)from[i] > bounds[0] ? fmin((double)from[i], bounds[1]) : bounds[0];
        v[i] = (float)(range[0] + (x - bounds[0]) * scale);
    }
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const window_params *o = p;
    const mf_artifact *volume;
    const mf_volume *read;
    mf_artifact *made;
    mf_array *voxels;
    double bounds[2];
    (void)session;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_volume_check_raw(volume, "a window"));
    MF_TRY(mf_in_volume(t, "volume", MF_F32, &read));
    MF_TRY(bounds_of(o, volume, read->voxels, bounds));
    MF_TRY(mf_array_new(MF_F32, 3, read->voxels->shape, &voxels));
    clip(read->voxels, bounds, o->range.v, voxels);
    mf_log(t, "%g to %g became %g to %g", bounds[0], bounds[1], o->range.v[0], o->range.v[1]);
    mf_status status = derive_artifact(volume, &read->grid, voxels, NULL, false, NULL, &made);
    mf_array_unref(voxels);
    MF_TRY(status);
    status = mf_artifact_set_text(made, "intensities", MF_INTENSITIES_WINDOWED);
    if (!status)
        status = mf_artifact_set_text(made, "unit", "");
    if (!status)
        return mf_out(t, "volume", made);
    mf_artifact_unref(made);
    return status;
}

MF_STAGE(volume_window, "volume.window", 1, "Clips a scan to an intensity window and scales it.",
         .help = "The result says that its intensities are no longer the scan's own: stages that "
                 "need HU or normalize by themselves (body.mask, slic.masks, window.rgb, mass.*) "
                 "refuse it. It is for export, pictures, exec.run and stages of your own.",
         .params = params, .params_size = sizeof(window_params), .in = inputs, .out = outputs,
         .check = check, .run = run);
