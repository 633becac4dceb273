/* mass_features.c - the stage mass.features: what the frozen encoder says of a scan. */
#include "../common/normalize_params.h"
#include "footprint.h"
#include "mass_features.code.h"
#include "mass_stages.h"
#include "model.h"
#include "predict.h"
#include "scan.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

typedef struct features_params {
    mf_real3 spacing;
    mf_int3 roi_size;
    MF_NORMALIZE_FIELDS;
} features_params;

static const mf_param params[] = {
    MF_REAL3(features_params, spacing, "[1.5, 1.5, 1.5]", 0.05, 100, "mm",
             "Target spacing along x, y, z, as in training."),
    MF_INT3(features_params, roi_size, "[192, 128, 96]", 16, 1024, "voxels",
            "Size of the center crop along x, y, z: multiples of 16."),
    MF_NORMALIZE_PARAMS(features_params), MF_END};
static const mf_port inputs[] = {
    MF_PORT("model", "model",
            "Model, or an encoder alone. Its averaged (EMA) weights are used if it has them."),
    MF_PORT("volume", "volume", "The scan."), MF_END};
static const mf_port outputs[] = {MF_PORT("features", "features", "Deepest feature map."), MF_END};

static mf_status check(const void *p)
{
    const features_params *o = p;
    for (int i = 0; i < 3; i++)
        if (o->roi_size.v[i] % 16)
            return mf_fail(MF_INVALID, "roi_size: %lld is not a multiple of 16",
                           (long long)o->roi_size.v[i]);
    return mf_normalize_check(&MF_NORMALIZE_OF(o));
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    static const mf_memory_words words = {"encoding a scan", "roi_size", NULL};
    mf_iris iris;
    mf_memory_of of = {.iris = &iris};
    const mf_artifact *model;
    mf_device *device;
    mf_zyx(((const features_params *)p)->roi_size.v, of.crop);
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_model_encoder(model, &iris));
    MF_TRY(mf_task_counting(t, &device));
    mf_status status = mf_memory_check(device, mf_memory_features, &of, &words, &n->device_bytes);
    mf_device_unref(device);
    return status;
}

static mf_status open(mf_task *t, const void *p, void **session)
{
    int64_t crop[3];
    mf_predictor *predictor;
    mf_zyx(((const features_params *)p)->roi_size.v, crop);
    mf_status status = mf_session_open(t, crop, &predictor);
    *session = predictor;
    return status;
}

static void close_session(void *session)
{
    mf_predictor_free(session);
}

/* The box at the center of the scan, normalized with the whole of it; zeros beyond. */
static mf_status see(const mf_artifact *volume, const features_params *o, float *image)
{
    mf_scan_settings settings = {.modality = mf_normalize_modality(o->modality),
                                 .normalize = MF_NORMALIZE_OF(o)};
    mf_grid grid;
    mf_modality modality;
    float *voxels;
    memcpy(settings.spacing, o->spacing.v, sizeof settings.spacing);
    MF_TRY(mf_scan_read(volume, &settings, &grid, &voxels, &modality));
    mf_status status =
        mf_normalize_voxels(voxels, mf_grid_voxels(&grid), modality, &settings.normalize, NULL);
    if (!status) {
        int64_t size[3];
        mf_zyx(grid.size, size);
        int64_t crop[3];
        mf_zyx(o->roi_size.v, crop);
        int64_t lo[3];
        for (int i = 0; i < 3; i++) /* half of what is too much, or lacks, before; rounded down */
            lo[i] = size[i] >= crop[i] ? (size[i] - crop[i]) / 2 : -((crop[i] - size[i]) / 2);
        mf_scan_crop(voxels, size, lo, crop, sizeof(float), image);
    }
    free(voxels);
    return status;
}

static mf_status fill(mf_predictor *predictor, const features_params *o, const mf_artifact *volume,
                      mf_artifact *features)
{
    const mf_iris *iris = mf_predictor_iris(predictor);
    int64_t c = mf_iris_deepest_channels(iris), shape[4] = {c}, crop[3];
    mf_zyx(o->roi_size.v, crop);
    mf_iris_deepest_size(iris, crop, shape + 1);
    int64_t sites = shape[1] * shape[2] * shape[3];
    mf_array *values;
    float *image = malloc((size_t)(crop[0] * crop[1] * crop[2]) * sizeof *image);
    float *raw = malloc((size_t)(sites * c) * sizeof *raw); /* channels last */
    mf_status status = image && raw ? see(volume, o, image) : mf_no_memory(0, "a box of the scan");
    if (!status)
        status = mf_predictor_features(predictor, image, raw);
    if (!status)
        status = mf_array_new(MF_F32, 4, shape, &values);
    if (!status) {
        for (int64_t v = 0; v < sites; v++)
            for (int64_t k = 0; k < c; k++)
                ((float *)values->data)[k * sites + v] = raw[v * c + k];
        status = mf_artifact_add(features, "values", values);
        mf_array_unref(values);
    }
    free(image);
    free(raw);
    return status ? status : mf_artifact_inherit(features, volume);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const mf_artifact *volume;
    mf_artifact *features;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_cancel_point(t));
    MF_TRY(mf_artifact_new("features", &features));
    mf_status status = fill(session, p, volume, features);
    if (status) {
        mf_artifact_unref(features);
        return status;
    }
    return mf_out(t, "features", features);
}

MF_STAGE(
    mf_stage_mass_features, "mass.features", 2,
    "Computes the deepest feature map of a frozen encoder.",
    .help =
        "The scan is resampled to the training spacing and normalized as in training. The "
        "encoder processes the center crop. The feature map has one voxel per 16 voxels of the "
        "crop along each axis; that of an I3D has one per 16 along z, and per 32 along x and y.",
    .params = params, .params_size = sizeof(features_params), .in = inputs, .out = outputs,
    .program = true, .tolerance = 1e-3, .check = check, .needs = needs, .open = open,
    .close = close_session, .run = run);
