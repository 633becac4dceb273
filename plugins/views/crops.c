/* crops.c - the stage augment.crops: an endless stream of augmented crops with their label maps. */
#include "crop.h"
#include "crops.code.h"
#include "draw.h"

typedef struct crops_params {
    int64_t seed;
    mf_int3 patch_size;
    int64_t margin;
    bool shuffle;
    double affine_prob;
    mf_real3 scale, translate, shear;
    mf_int3 rotate;
    double brightness_prob, gamma_prob, contrast_prob, blur_prob, gaussian_noise_prob;
    mf_reals brightness_range, gamma_range, contrast_range, blur_range;
    double gaussian_noise_std;
} crops_params;

#define PROB(field, fallback, what)                                                                \
    MF_REAL(crops_params, field, fallback, 0, 1, "", "Probability " what)
static const mf_param params[] = {
    MF_INT(crops_params, seed, "42", 0, 9e15, "", "Random seed."),
    MF_INT3(crops_params, patch_size, "[128, 128, 128]", 1, 1024, "voxels",
            "Size of a crop along x, y, z."),
    MF_INT(crops_params, margin, "20", 0, 1024, "voxels",
           "What is cut and augmented exceeds patch_size by this along each axis, as far as the "
           "sample allows. Then its center remains."),
    MF_BOOL(crops_params, shuffle, "true", "Shuffle the samples in each epoch."),
    PROB(affine_prob, "0.8", "of the affine map (scale, rotation, shear and translation)."),
    MF_REAL3(crops_params, scale, "[0.3, 0.3, 0.3]", 0, 0.95, "",
             "The scale is drawn between 1 - s and 1 / (1 - s), with s along x, y, z."),
    MF_INT3(crops_params, rotate, "[30, 30, 30]", 0, 180, "degrees",
            "Maximum rotation about x, y, z."),
    MF_REAL3(crops_params, shear, "[0.1, 0.1, 0.1]", 0, 1, "", "Maximum shear along x, y, z."),
    MF_REAL3(crops_params, translate, "[0, 0, 0]", 0, 1, "half extents",
             "Maximum translation along x, y, z."),
    PROB(brightness_prob, "0.2", "of multiplicative brightness."),
    MF_REALS(crops_params, brightness_range, "[0.8, 1.3]", 0, 10, "",
             "Minimum and maximum of the brightness factor."),
    PROB(gamma_prob, "0.2", "of a gamma curve."),
    MF_REALS(crops_params, gamma_range, "[0.7, 1.4]", 0.05, 20, "",
             "Minimum and maximum of gamma."),
    PROB(contrast_prob, "0.2", "of a change of contrast."),
    MF_REALS(crops_params, contrast_range, "[0.7, 1.4]", 0, 20, "",
             "Minimum and maximum of the contrast factor."),
    PROB(blur_prob, "0.2", "of a Gaussian blur."),
    MF_REALS(crops_params, blur_range, "[0.7, 1.3]", 0.05, 20, "voxels",
             "Minimum and maximum of the blur's sigma."),
    PROB(gaussian_noise_prob, "0.2", "of Gaussian noise."),
    MF_REAL(crops_params, gaussian_noise_std, "0.02", 0, 10, "SD of the scan",
            "Standard deviation (SD) of the noise."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("samples", "sample[]", "Samples with labels, from mass.prepare."), MF_END};
static const mf_port outputs[] = {
    MF_PORT("crops", "stream<crop>", "Augmented crops with their label maps."), MF_END};

static mf_crop_settings settings_of(const crops_params *o)
{
    return (mf_crop_settings){.size = {o->patch_size.v[2], o->patch_size.v[1], o->patch_size.v[0]},
                              .margin = o->margin,
                              .view = {.affine_prob = o->affine_prob,
                                       .scale = o->scale,
                                       .translate = o->translate,
                                       .shear = o->shear,
                                       .rotate = o->rotate,
                                       .brightness_prob = o->brightness_prob,
                                       .gamma_prob = o->gamma_prob,
                                       .contrast_prob = o->contrast_prob,
                                       .blur_prob = o->blur_prob,
                                       .gaussian_noise_prob = o->gaussian_noise_prob,
                                       .brightness_range = o->brightness_range,
                                       .gamma_range = o->gamma_range,
                                       .contrast_range = o->contrast_range,
                                       .blur_range = o->blur_range,
                                       .gaussian_noise_std = o->gaussian_noise_std}};
}

static mf_status check(const void *p)
{
    const crops_params *o = p;
    MF_TRY(mf_view_check_range(&o->brightness_range, "brightness_range"));
    MF_TRY(mf_view_check_range(&o->gamma_range, "gamma_range"));
    MF_TRY(mf_view_check_range(&o->contrast_range, "contrast_range"));
    return mf_view_check_range(&o->blur_range, "blur_range");
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const crops_params *o = p;
    double large = 1, size = 1;
    (void)t;
    for (int i = 0; i < 3; i++) {
        large *= (double)(o->patch_size.v[i] + o->margin);
        size *= (double)o->patch_size.v[i];
    }
    n->host_bytes = (size_t)(large * 10 + size * 6) + (1u << 20);
    n->cost = large * 1e-7;
    return MF_OK;
}

static mf_status item(mf_task *t, const void *p, void *session, int64_t i, mf_artifact **crop)
{
    const crops_params *o = p;
    const mf_crop_settings settings = settings_of(o);
    const mf_artifact *sample;
    int64_t n = (int64_t)mf_in_count(t, "samples"), index;
    mf_random random;
    (void)session;
    if (n == 0)
        return mf_fail(MF_INVALID, "there are no samples");
    MF_TRY(mf_draw_each(o->shuffle, (uint64_t)o->seed, n, i, &index));
    MF_TRY(mf_in_item(t, "samples", (size_t)index, &sample));
    mf_task_random(t, &random);
    const char *name = mf_in_name(t, "samples", (size_t)index);
    MF_TRY(mf_within(mf_crop_make(sample, &settings, &random, crop), "sample %lld (%s)",
                     (long long)index, name));
    return mf_view_name(name, crop);
}

MF_STAGE(mf_stage_augment_crops, "augment.crops", 1,
         "Draws augmented crops of labelled samples, to train on their labels.",
         .help =
             "An item of the stream shows one sample: a crop of patch_size + margin at a random "
             "place, an affine map on image and labels, then brightness, gamma, contrast, blur "
             "and noise, each with its own probability; then the center of patch_size. Voxels "
             "outside of a crop are 0. A crop may hold no label. Names and defaults of the "
             "parameters are those of the official fine-tuning.",
         .params = params, .params_size = sizeof(crops_params), .in = inputs, .out = outputs,
         .random = true, .check = check, .needs = needs, .item = item);
