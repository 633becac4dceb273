/* views.c - the stage augment.views: an endless stream of training pairs. */
#include "crop.h"
#include "draw.h"
#include "pair.h"
#include "views.code.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct views_params {
    int64_t seed;
    mf_int3 patch_size;
    int64_t margin, masks;
    double overlap_ratio, ones_mask_prob, merge_prob;
    bool visible_only, shuffle;
    const char *sampling;
    mf_view_settings weak, strong;
} views_params;

/* A parameter of one view: weak.scale is known to users as weak_scale. */
#define VIEW(kind, type, view, field, fallback, min, max, unit, help)                              \
    {                                                                                              \
#view "_" #field, kind,                                                                    \
            offsetof(views_params, view.field) +                                                   \
                0 * sizeof(_Generic(&((views_params *)0)->view.field, type * : 1)),                \
            fallback, min, max, unit, help, NULL, 0                                                \
    }
#define PROB(view, field, fallback, what)                                                          \
    VIEW(MF_PARAM_REAL, double, view, field, fallback, 0, 1, "", "Probability " what)
/* clang-format off */
#define VIEW_PARAMS(v, affine, shears, multiply, adds, gammas, contrasts, blurs, noises)           \
    PROB(v, affine_prob, affine, "of the affine map (scale, rotation, shear and translation)."),   \
    VIEW(MF_PARAM_REAL3, mf_real3, v, scale, "[0.3, 0.3, 0.3]", 0, 0.95, "",                       \
         "The scale is drawn between 1 - s and 1 / (1 - s), with s along x, y, z."),               \
    VIEW(MF_PARAM_INT3, mf_int3, v, rotate, "[30, 30, 30]", 0, 180, "degrees",                     \
         "Maximum rotation about x, y, z."),                                                       \
    VIEW(MF_PARAM_REAL3, mf_real3, v, shear, shears, 0, 1, "", "Maximum shear along x, y, z."),    \
    VIEW(MF_PARAM_REAL3, mf_real3, v, translate, "[0, 0, 0]", 0, 1, "half extents",                \
         "Maximum translation along x, y, z."),                                                    \
    PROB(v, brightness_prob, "0.2", "of multiplicative brightness."),                              \
    VIEW(MF_PARAM_REALS, mf_reals, v, brightness_range, multiply, 0, 10, "",                       \
         "Minimum and maximum of the brightness factor."),                                         \
    PROB(v, brightness_additive_prob, "0.2", "of additive brightness."),                           \
    VIEW(MF_PARAM_REAL, double, v, brightness_additive_std, adds, 0, 10, "SD of the scan",         \
         "Standard deviation (SD) of the value that is added to all voxels."),                     \
    PROB(v, gamma_prob, "0.2", "of a gamma curve."),                                               \
    VIEW(MF_PARAM_REALS, mf_reals, v, gamma_range, gammas, 0.05, 20, "",                           \
         "Minimum and maximum of gamma."),                                                         \
    PROB(v, contrast_prob, "0.2", "of a change of contrast."),                                     \
    VIEW(MF_PARAM_REALS, mf_reals, v, contrast_range, contrasts, 0, 20, "",                        \
         "Minimum and maximum of the contrast factor."),                                           \
    PROB(v, blur_prob, "0.2", "of a Gaussian blur."),                                              \
    VIEW(MF_PARAM_REALS, mf_reals, v, blur_range, blurs, 0.05, 20, "voxels",                       \
         "Minimum and maximum of the blur's sigma."),                                              \
    PROB(v, gaussian_noise_prob, "0.2", "of Gaussian noise."),                                     \
    VIEW(MF_PARAM_REAL, double, v, gaussian_noise_std, noises, 0, 10, "SD of the scan",            \
         "Standard deviation (SD) of the noise.")

static const mf_param params[] = {
    MF_INT(views_params, seed, "42", 0, 9e15, "", "Random seed."),
    MF_INT3(views_params, patch_size, "[128, 128, 128]", 1, 1024, "voxels",
            "Size of a view along x, y, z."),
    MF_INT(views_params, margin, "40", 0, 1024, "voxels",
           "A crop exceeds patch_size by this along each axis, as far as the sample allows."),
    MF_REAL(views_params, overlap_ratio, "0.67", 0, 1, "",
            "Minimum overlap of the two crops along each axis, as a fraction of the crop."),
    MF_INT(views_params, masks, "13", 1, MF_PAIR_MASKS_MAX, "",
           "Masks per pair. A sample with fewer masks repeats some."),
    MF_REAL(views_params, ones_mask_prob, "1", 0, 1, "",
            "Probability that one mask is replaced by the whole crop."),
    MF_REAL(views_params, merge_prob, "0", 0, 1, "",
            "Probability that some of the masks of a pair, at most half, are unions of 2 to 5 masks "
            "of the sample. A sample with too few masks has none. A part of the official code that "
            "its trainer does not use has 0.05."),
    MF_BOOL(views_params, visible_only, "false",
            "Draw masks whose bounding boxes intersect both crops, if there are any. The official "
            "code draws from all masks."),
    MF_CHOICE(views_params, sampling, "each", "each|weighted",
              "each: every sample once in each epoch. weighted: samples are drawn with replacement, "
              "with probabilities in proportion to the `weight` that mass.prepare or mass.import "
              "gave them (1 where it gave none), as the official code samples mixed data sets."),
    MF_BOOL(views_params, shuffle, "true", "sampling: each. Shuffle the samples in each epoch."),
    VIEW_PARAMS(weak, "0.5", "[0, 0, 0]", "[0.9, 1.1]", "0.1", "[0.8, 1.2]", "[0.8, 1.2]",
                "[0.8, 1.2]", "0.02"),
    VIEW_PARAMS(strong, "0.8", "[0.1, 0.1, 0.1]", "[0.8, 1.3]", "0.15", "[0.8, 1.3]",
                "[0.8, 1.3]", "[0.7, 1.5]", "0.04"),
    MF_END};
/* clang-format on */

static const mf_port inputs[] = {MF_PORT("samples", "sample[]", "Samples, from mass.prepare."),
                                 MF_END};
static const mf_port outputs[] = {
    MF_PORT("pairs", "stream<pair>",
            "Pairs of a weakly augmented reference view and a strongly augmented query view."),
    MF_END};

static mf_status check_view(const mf_view_settings *view, const char *name)
{
    const struct {
        const char *name;
        const mf_reals *range;
    } ranges[] = {{"brightness_range", &view->brightness_range},
                  {"gamma_range", &view->gamma_range},
                  {"contrast_range", &view->contrast_range},
                  {"blur_range", &view->blur_range}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s_%s", name, ranges[i].name);
        MF_TRY(mf_view_check_range(ranges[i].range, full));
    }
    return MF_OK;
}

static mf_status check(const void *p)
{
    const views_params *o = p;
    MF_TRY(check_view(&o->weak, "weak"));
    return check_view(&o->strong, "strong");
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const views_params *o = p;
    double crop = 1, view = 1;
    (void)t;
    for (int i = 0; i < 3; i++) {
        crop *= (double)(o->patch_size.v[i] + o->margin);
        view *= (double)o->patch_size.v[i];
    }
    n->host_bytes = (size_t)(crop * 6 + view * 2 * (4 + (double)o->masks)) + (1u << 20);
    n->cost = view * 2e-7;
    return MF_OK;
}

/* What a sample counts for in weighted sampling: nothing where it has no mask. */
static mf_status weigh(mf_task *t, int64_t k, double *weight)
{
    const mf_artifact *sample;
    size_t count = 0;
    MF_TRY(mf_in_item(t, "samples", (size_t)k, &sample));
    const double *said = mf_artifact_reals(sample, "weight", &count);
    if (said && (count != 1 || !isfinite(*said) || *said < 0))
        return mf_fail(MF_CORRUPT, "sample %lld (%s): its weight is no number of 0 or more",
                       (long long)k, mf_in_name(t, "samples", (size_t)k));
    *weight = !mf_masks_count(sample) ? 0 : said ? *said : 1;
    return MF_OK;
}

static mf_status pick_weighted(mf_task *t, const views_params *o, int64_t n, int64_t i,
                               int64_t *sample)
{
    double *weight = calloc((size_t)n, sizeof *weight);
    mf_status status = weight ? MF_OK : mf_no_memory((size_t)n * sizeof *weight, "weights");
    for (int64_t k = 0; k < n && !status; k++)
        status = weigh(t, k, &weight[k]);
    if (!status)
        *sample = mf_draw_weighted((uint64_t)o->seed, weight, n, i);
    free(weight);
    MF_TRY(status);
    if (*sample >= 0)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "none of the %lld samples has a mask and a weight above 0",
                           (long long)n),
                   "weight: of mass.prepare or mass.import");
}

/* A sample with masks: the one that is drawn, or without weights the next in the list that has any.
 */
static mf_status find_sample(mf_task *t, const views_params *o, int64_t i,
                             const mf_artifact **sample, int64_t *index)
{
    int64_t n = (int64_t)mf_in_count(t, "samples");
    if (n == 0)
        return mf_fail(MF_INVALID, "there are no samples");
    if (!strcmp(o->sampling, "weighted")) {
        MF_TRY(pick_weighted(t, o, n, i, index));
        return mf_in_item(t, "samples", (size_t)*index, sample);
    }
    MF_TRY(mf_draw_each(o->shuffle, (uint64_t)o->seed, n, i, index));
    for (int64_t tried = 0; tried < n; tried++, *index = (*index + 1) % n) {
        MF_TRY(mf_in_item(t, "samples", (size_t)*index, sample));
        if (mf_masks_count(*sample) > 0)
            return MF_OK;
    }
    return mf_hint(
        mf_fail(MF_INVALID, "none of the %lld samples has a mask", (long long)n),
        "see what the stage of the masks says: smaller `min_voxels` or other `sizes` find "
        "more, and label maps need labels");
}

static mf_status item(mf_task *t, const void *p, void *session, int64_t i, mf_artifact **pair)
{
    const views_params *o = p;
    const mf_artifact *sample;
    int64_t index = 0;
    mf_random random;
    mf_pair_settings settings = {
        .size = {o->patch_size.v[2], o->patch_size.v[1], o->patch_size.v[0]},
        .margin = o->margin,
        .overlap_ratio = o->overlap_ratio,
        .masks = o->masks,
        .ones_mask_prob = o->ones_mask_prob,
        .merge_prob = o->merge_prob,
        .visible_only = o->visible_only,
        .weak = o->weak,
        .strong = o->strong};
    (void)session;
    MF_TRY(find_sample(t, o, i, &sample, &index));
    mf_task_random(t, &random);
    const char *name = mf_in_name(t, "samples", (size_t)index);
    MF_TRY(mf_within(mf_pair_make(sample, &settings, &random, pair), "sample %lld (%s)",
                     (long long)index, name));
    MF_TRY(mf_view_mark_scan(sample, pair));
    return mf_view_name(name, pair);
}

static MF_STAGE(
    stage, "augment.views", 2,
    "Draws pairs of overlapping, augmented views of samples, with the same masks in both.",
    .help =
        "An item of the stream shows one sample. Two overlapping crops are drawn around a random "
        "anchor. The reference view gets weak augmentation, the query view strong augmentation: "
        "an affine map followed by a center crop (without the affine map: a random crop), then "
        "brightness, gamma, contrast, blur and noise, each with its own probability. Voxels "
        "outside of a crop are 0. A mask may be empty in a view. Samples without masks are "
        "skipped. The parameters have the names and defaults of the official MASS code where it "
        "has them.",
    .params = params, .params_size = sizeof(views_params), .in = inputs, .out = outputs,
    .random = true, .check = check, .needs = needs, .item = item);
MF_PLUGIN("views", &stage, &mf_stage_augment_crops)
