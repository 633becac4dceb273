/* window_rgb.c - stage window.rgb: a scan as colour slices, for what reads pictures. */
#include "../common/normalize.h"
#include "rgb.h"
#include "window_rgb.code.h"
#include <massflow/stage.h>
#include <string.h>

typedef struct window_params {
    const char *profile, *axis;
    mf_reals windows, percentiles;
    double suv_factor;
} window_params;

static const mf_param params[] = {
    MF_CHOICE(window_params, profile, "auto",
              "auto|abdomen_ct|chest_ct|wholebody_ct|head_ct|lits_ct|totalseg_ct|pet|abdomen_mr|"
              "cardiac_mr|totalseg_mr|brain_mr",
              "Intensity windows of the red, green and blue channel. auto: abdomen_ct, pet or "
              "abdomen_mr, by the scan's modality."),
    MF_CHOICE(window_params, axis, "auto", "auto|z|y|x",
              "Axis across which slices are cut (z: axial). auto: the axis with the finest pixels; "
              "axial if they are equal."),
    MF_REALS(window_params, windows, "[]", -1e9, 1e9, "HU",
             "Custom windows instead of the profile's: center and width, three times."),
    MF_REALS(window_params, percentiles, "[]", 0, 100, "%",
             "Custom percentiles instead of the profile's: lower and upper, three times."),
    MF_REAL(window_params, suv_factor, "0", 0, 1e9, "",
            "PET: SUV of the voxel value 1. 0: taken from the scan. 1: the scan is in SUV."),
    MF_END};

static const mf_port inputs[] = {
    MF_PORT("volume", "volume", "The scan."),
    MF_PORT(
        "body", "labels?",
        "Body mask: percentiles are computed where it is not 0. Without it, over the whole scan."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT(
        "slices", "slices",
        "8-bit RGB slices [n, h, w, 3] and their axis. Attributes: profile, and the minimum mask "
        "sizes of the profile, min_pixels and min_voxels."),
    MF_END};

static mf_status check(const void *p)
{
    const window_params *o = p;
    if (o->windows.count && o->percentiles.count)
        return mf_fail(MF_INVALID, "windows and percentiles cannot both be given");
    if (o->windows.count && o->windows.count != 6)
        return mf_fail(MF_INVALID, "windows: %zu numbers; center and width three times are 6",
                       o->windows.count);
    if (o->percentiles.count && o->percentiles.count != 6)
        return mf_fail(MF_INVALID, "percentiles: %zu numbers; lower and upper three times are 6",
                       o->percentiles.count);
    for (size_t c = 0; c + 1 < o->windows.count; c += 2)
        if (!(o->windows.v[c + 1] > 0))
            return mf_fail(MF_INVALID, "windows: a width of %g is not above 0",
                           o->windows.v[c + 1]);
    for (size_t c = 0; c + 1 < o->percentiles.count; c += 2)
        if (!(o->percentiles.v[c + 1] > o->percentiles.v[c]))
            return mf_fail(MF_INVALID, "percentiles: %g is not above %g", o->percentiles.v[c + 1],
                           o->percentiles.v[c]);
    return MF_OK;
}

/* The factor to SUV for profiles that need it: from the parameter, then the scan. */
static mf_status uptake_factor(const window_params *o, const mf_artifact *volume, double *factor)
{
    size_t count;
    const char *unit = mf_artifact_text(volume, "unit");
    const double *own = mf_artifact_reals(volume, "suv_factor", &count);
    if (o->suv_factor > 0)
        *factor = o->suv_factor;
    else if (unit && !strcmp(unit, "SUV"))
        *factor = 1;
    else if (own && count == 1 && own[0] > 0)
        *factor = own[0];
    else
        return mf_hint(mf_fail(MF_INVALID,
                               "the profile pet needs SUV; the scan is in %s and does "
                               "not say how to convert it",
                               unit && unit[0] ? unit : "an unknown unit"),
                       "suv_factor: 1 for a scan that is in SUV, else its factor");
    return MF_OK;
}

static mf_status publish(mf_task *t, const mf_artifact *volume, const mf_grid *grid, int axis,
                         const window_profile *profile, mf_array *rgb)
{
    mf_artifact *slices;
    MF_TRY(mf_artifact_new("slices", &slices));
    mf_status status = mf_artifact_set_grid(slices, grid);
    if (!status)
        status = mf_artifact_inherit(slices, volume);
    if (!status)
        status = mf_artifact_set_int(slices, "axis", axis);
    if (!status)
        status = mf_artifact_set_text(slices, "profile", profile->name);
    if (!status)
        status = mf_artifact_set_int(slices, "min_pixels", profile->min_pixels);
    if (!status)
        status = mf_artifact_set_int(slices, "min_voxels", profile->min_voxels);
    if (!status)
        status = mf_artifact_add(slices, "rgb", rgb);
    if (status) {
        mf_artifact_unref(slices);
        return status;
    }
    return mf_out(t, "slices", slices);
}

static mf_status make(mf_task *t, const window_params *o, const mf_artifact *volume,
                      const mf_array *voxels, const mf_grid *grid)
{
    const mf_volume *body;
    window_profile profile = *window_profile_find(o->profile, mf_artifact_text(volume, "modality"));
    double scale = 1, bounds[3][2];
    if (o->windows.count || o->percentiles.count) {
        profile.quantiles = o->percentiles.count > 0;
        profile.uptake = false;
        memcpy(profile.range, profile.quantiles ? o->percentiles.v : o->windows.v,
               sizeof profile.range);
    }
    if (!profile.quantiles)
        MF_TRY(mf_volume_check_raw(volume, "a window of fixed bounds"));
    if (profile.uptake)
        MF_TRY(uptake_factor(o, volume, &scale));
    MF_TRY(mf_in_volume(t, "body", MF_U8, &body));
    if (body && !mf_grid_equal(&body->grid, grid, 0.01))
        return mf_fail(MF_INVALID, "the body mask does not lie on the scan's grid");
    int axis = !strcmp(o->axis, "auto") ? window_best_axis(grid)
               : o->axis[0] == 'z'      ? 0
               : o->axis[0] == 'y'      ? 1
                                        : 2;
    mf_array *rgb;
    MF_TRY(
        window_rgb_make(voxels, &profile, scale, body ? body->voxels : NULL, axis, &rgb, bounds));
    mf_log(t, "%s along %c: red %g to %g, green %g to %g, blue %g to %g", profile.name, "zyx"[axis],
           bounds[0][0], bounds[0][1], bounds[1][0], bounds[1][1], bounds[2][0], bounds[2][1]);
    mf_status status = publish(t, volume, grid, axis, &profile, rgb);
    mf_array_unref(rgb);
    return status;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const mf_artifact *volume;
    mf_array_info info;
    (void)p;
    MF_TRY(mf_in(t, "volume", &volume));
    if (!volume || !mf_artifact_find(volume, "voxels", &info))
        return MF_OK;
    double voxels = (double)(info.shape[0] * info.shape[1] * info.shape[2]);
    /* the scan, the slices, and reals while quantiles are taken */
    n->host_bytes = (size_t)(voxels * (double)(mf_dtype_size(info.dtype) + 3 + 8));
    n->cost = voxels * 3e-8;
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const mf_artifact *volume;
    mf_array *voxels;
    mf_grid grid;
    (void)session;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_grid(volume, &grid));
    MF_TRY(mf_artifact_array(volume, "voxels", &voxels)); /* in its own, narrow type */
    mf_status status = make(t, p, volume, voxels, &grid);
    mf_array_unref(voxels);
    return status;
}

static MF_STAGE(
    stage, "window.rgb", 2,
    "Converts a scan to 8-bit RGB slices: three intensity windows, one per channel.",
    .help = "Profiles (red, green, blue): abdomen_ct, lits_ct, totalseg_ct 60/350, 15/250, "
            "150/1200 HU (center/width); chest_ct -600/1500, 50/350, 500/2000; wholebody_ct "
            "-600/1500, 50/350, 700/2500; head_ct 90/300, 55/120, 600/3000; pet 1.5/3, 5/10, 15/30 "
            "SUV; abdomen_mr, cardiac_mr, totalseg_mr: percentiles 5-95, 15-85, 1-99; brain_mr: "
            "percentiles 1-99, 5-95, 10-90. Values are truncated to 8 bits, as in the official "
            "MASS code. Rows and columns keep the voxel order of the volume, without flips.",
    .params = params, .params_size = sizeof(window_params), .in = inputs, .out = outputs,
    .check = check, .needs = needs, .run = run);

MF_PLUGIN("window", &stage)
