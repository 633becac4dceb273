/* slic.c - the stage slic.masks: supervoxels as class-agnostic masks. */
#include "../common/background.h"
#include "../common/body.h"
#include "../common/normalize_params.h"
#include "choices.h"
#include "clusters.h"
#include "regions.h"
#include "slic.cl.h"
#include "slic.code.h"

#include <massflow/stage.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct slic_params {
    mf_reals sizes, merge_thresholds;
    double compactness;
    int64_t iterations;
    const char *modality;
    double window_low, window_high, percentile_low, percentile_high;
    const char *body_method;
    double threshold;
    int64_t min_voxels, max_masks;
    double max_union_fraction, edge_threshold, min_edge_fraction;
} slic_params;

static const mf_param params[] = {
    MF_REALS(slic_params, sizes, "[12, 18, 28, 48]", 0.1, 1000, "mm",
             "Edge lengths of the supervoxels. SLIC runs once for each."),
    MF_REALS(slic_params, merge_thresholds, "[4, 8]", 0, 100, "%",
             "Neighbours are merged while their means differ by at most this percentage of the "
             "intensity range. Each union is another mask."),
    MF_REAL(slic_params, compactness, "10", 0.01, 1000, "%",
            "Intensity difference, in percent of the range, that weighs as much as a distance of "
            "one edge length."),
    MF_INT(slic_params, iterations, "10", 1, 100, "", "Number of k-means iterations."),
    MF_CHOICE_FOLDED(slic_params, modality, "volume", "volume|" MF_MODALITIES,
                     "Modality that selects the clipping. volume: that of the scan, or a guess if "
                     "the scan does not state it."),
    MF_REAL(slic_params, window_low, "-300", -32768, 32767, "HU",
            "CT: lower bound of the clipping window."),
    MF_REAL(slic_params, window_high, "400", -32768, 32767, "HU",
            "CT: upper bound of the clipping window."),
    MF_REAL(slic_params, percentile_low, "1", 0, 100, "%",
            "MR and PET: percentile of the lower clipping bound."),
    MF_REAL(slic_params, percentile_high, "99", 0, 100, "%",
            "MR and PET: percentile of the upper clipping bound."),
    MF_CHOICE(slic_params, body_method, "auto", "auto|threshold|otsu|none",
              "Method to find the body without the input `body`. auto: neither padding nor air, as "
              "in body.mask. threshold: above `threshold`. otsu: above Otsu's threshold. none: the "
              "whole volume."),
    MF_REAL(slic_params, threshold, "-500", -1e9, 1e9, "HU",
            "auto in CT: air is at or below this value. threshold: the body is above this value, "
            "in the scan's unit."),
    MF_INT(slic_params, min_voxels, "100", 1, 1e9, "voxels",
           "Minimum size. Smaller masks are dropped."),
    MF_REAL(slic_params, max_union_fraction, "0.5", 0, 1, "",
            "Maximum size of a union, as a fraction of the body."),
    MF_REAL(slic_params, edge_threshold, "8", 0, 100, "%",
            "A border is a visible edge where the means differ by this percentage of the intensity "
            "range."),
    MF_REAL(slic_params, min_edge_fraction, "0", 0, 1, "",
            "Minimum fraction of visible edge in the border of a mask. 0: no limit."),
    MF_INT(slic_params, max_masks, "4000", 1, 1000000, "",
           "Maximum number of masks, divided equally among the sizes, and within a size among its "
           "supervoxels and the unions of each threshold. What one of these does not need is for "
           "the others. The largest of each are kept."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("volume", "volume", "The scan."),
    MF_PORT("body", "labels?",
            "Body mask: not 0 inside. Without it, the body is found by `body_method`."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT(
        "masks", "masks",
        "Supervoxels and unions of them. The score is the fraction of visible edge in the border."),
    MF_END};
static const char *const kernels[] = {slic_cl, NULL};

static mf_status check(const void *p)
{
    const slic_params *o = p;
    if (o->sizes.count == 0)
        return mf_fail(MF_INVALID, "sizes is empty: name at least one");
    MF_TRY(mf_normalize_check(&MF_NORMALIZE_OF(o)));
    for (size_t i = 1; i < o->merge_thresholds.count; i++)
        if (o->merge_thresholds.v[i] <= o->merge_thresholds.v[i - 1])
            return mf_fail(MF_INVALID, "merge_thresholds must increase: %g follows %g",
                           o->merge_thresholds.v[i], o->merge_thresholds.v[i - 1]);
    return MF_OK;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const slic_params *o = p;
    const mf_artifact *volume;
    mf_grid grid;
    MF_TRY(mf_in(t, "volume", &volume));
    MF_TRY(mf_artifact_grid(volume, &grid));
    double voxels = (double)mf_grid_voxels(&grid);
    /* volume, level, body, and what finding the body takes: more than slot, label, order later */
    n->host_bytes = (size_t)(voxels * 21) + (64u << 20);
    for (size_t i = 0; i < o->sizes.count; i++) {
        size_t bytes = mf_clusters_bytes(&grid, o->sizes.v[i]);
        n->device_bytes = bytes > n->device_bytes ? bytes : n->device_bytes;
    }
    n->cost = voxels * 3e-8 * (double)(o->iterations * (int64_t)o->sizes.count);
    return MF_OK;
}

/* Supervoxels and unions that became no masks. */
typedef struct left_out {
    int64_t all; /* and those that became masks */
    int64_t outside, small, edgeless, beyond;
} left_out;

/* What one task works with. */
typedef struct work {
    mf_task *task;
    const slic_params *o;
    mf_grid grid;
    int64_t shape[3], voxels; /* z y x */
    mf_modality modality;
    mf_array *levels; /* u16 [voxels + 16] */
    mf_array *slots;  /* u8 [z,y,x] */
    uint8_t *body;    /* [z,y,x], or NULL: all of the image */
    int64_t body_voxels;
    mf_masks_builder *masks;
    left_out left_out;
} work;

static mf_status find_modality(work *w, const mf_artifact *volume, const float *voxels)
{
    const char *text =
        strcmp(w->o->modality, "volume") ? w->o->modality : mf_artifact_text(volume, "modality");
    if (mf_modality_parse(text, &w->modality))
        return MF_OK;
    MF_TRY(mf_modality_guess(voxels, w->voxels, &w->modality));
    mf_log(w->task, "the volume does not state its modality: taken for %s",
           w->modality == MF_MODALITY_CT ? "CT" : "MR or PET");
    return MF_OK;
}

/* The volume's intensities as levels, clipped by modality. */
static mf_status make_levels(work *w, const float *voxels)
{
    double bounds[2] = {w->o->window_low, w->o->window_high};
    const double percents[2] = {w->o->percentile_low, w->o->percentile_high};
    if (w->modality != MF_MODALITY_CT)
        MF_TRY(mf_percentiles(voxels, w->voxels, percents, 2, bounds));
    MF_TRY(mf_array_new(MF_U16, 1, (const int64_t[]){w->voxels + 16}, &w->levels));
    uint16_t *level = w->levels->data;
    float low = (float)bounds[0], high = (float)bounds[1];
    float scale = high > low ? (MF_SLIC_LEVELS - 1) / (high - low) : 0;
    for (int64_t i = 0; i < w->voxels; i++) {
        float v = voxels[i] > low ? (voxels[i] < high ? voxels[i] : high) : low; /* NaN: low */
        level[i] = (uint16_t)((v - low) * scale + 0.5f);
    }
    return MF_OK;
}

static mf_status given_body(work *w)
{
    const mf_volume *labels;
    MF_TRY(mf_in_volume(w->task, "body", MF_U8, &labels));
    if (!mf_grid_equal(&labels->grid, &w->grid, 1e-3))
        return mf_fail(MF_INVALID, "body does not lie on the volume's grid");
    memcpy(w->body, labels->voxels->data, (size_t)w->voxels);
    return MF_OK;
}

/* Otsu's level of the histogram of levels. */
static mf_status otsu_split(const work *w, int *split)
{
    const uint16_t *level = w->levels->data;
    int64_t *bins = calloc(MF_SLIC_LEVELS, sizeof *bins);
    if (!bins)
        return mf_no_memory((size_t)MF_SLIC_LEVELS * sizeof *bins, "a histogram");
    for (int64_t i = 0; i < w->voxels; i++)
        bins[level[i]]++;
    *split = mf_otsu(bins, MF_SLIC_LEVELS);
    free(bins);
    return MF_OK;
}

static mf_status body_above(work *w, const float *voxels)
{
    const bool otsu = !strcmp(w->o->body_method, "otsu");
    const uint16_t *level = w->levels->data;
    int split = 0;
    if (otsu)
        MF_TRY(otsu_split(w, &split));
    for (int64_t i = 0; i < w->voxels; i++)
        w->body[i] = otsu ? level[i] > split : voxels[i] > (float)w->o->threshold;
    return mf_body_clean(w->body, w->shape, 1);
}

static mf_status body_auto(work *w, const float *voxels)
{
    char words[MF_BACKGROUND_WORDS];
    mf_background found;
    const double *size = w->grid.spacing;
    MF_TRY(mf_background_find(voxels, w->shape, (const double[]){size[2], size[1], size[0]},
                              w->modality, w->o->threshold, w->body, &found));
    mf_background_words(&found, words, sizeof words);
    mf_log(w->task, "%s", words);
    return MF_OK;
}

/* A body that is given stays as it is. */
static mf_status make_body(work *w, const float *voxels)
{
    const mf_artifact *given;
    MF_TRY(mf_in(w->task, "body", &given));
    w->body_voxels = w->voxels;
    if (!given && !strcmp(w->o->body_method, "none")) {
        mf_log(w->task, "the body is the whole volume, as requested");
        return MF_OK;
    }
    w->body = malloc((size_t)w->voxels);
    if (!w->body)
        return mf_no_memory((size_t)w->voxels, "a body mask");
    if (given)
        MF_TRY(given_body(w));
    else if (!strcmp(w->o->body_method, "auto"))
        MF_TRY(body_auto(w, voxels));
    else
        MF_TRY(body_above(w, voxels));
    w->body_voxels = 0;
    for (int64_t i = 0; i < w->voxels; i++)
        w->body_voxels += w->body[i] != 0;
    if (given || strcmp(w->o->body_method, "auto"))
        mf_log(w->task, "the body is %.1f%% of the volume (%s)",
               100 * (double)w->body_voxels / (double)w->voxels,
               given ? "input body" : w->o->body_method);
    return MF_OK;
}

static mf_status add_mask(work *w, const mf_regions *r, const int32_t *union_of, const mf_choice *c)
{
    mf_mask mask = {.score = (float)c->edge, .seed_axis = -1, .seed_slice = -1};
    size_t voxels = 1;
    bool added;
    for (int i = 0; i < 3; i++) {
        mask.lo[i] = c->of.lo[i];
        mask.hi[i] = c->of.hi[i];
        voxels *= (size_t)(mask.hi[i] - mask.lo[i]);
    }
    uint8_t *dense = malloc(voxels), *out = dense;
    if (!dense)
        return mf_no_memory(0, "a mask");
    for (int64_t z = mask.lo[0]; z < mask.hi[0]; z++)
        for (int64_t y = mask.lo[1]; y < mask.hi[1]; y++) {
            const int32_t *line = r->of + (z * r->shape[1] + y) * r->shape[2];
            for (int64_t x = mask.lo[2]; x < mask.hi[2]; x++)
                *out++ = union_of[line[x]] == c->region;
        }
    mf_status status = mf_masks_add(w->masks, &mask, dense, &added);
    free(dense);
    return status;
}

/* Whether a region may become a mask; counts why not. *edge: its visible share. */
static bool is_wanted(work *w, const mf_regions *r, int32_t n, double *edge)
{
    left_out *out = &w->left_out;
    out->all++;
    if (!mf_region_inside(r->regions + n))
        out->outside++;
    else if (r->regions[n].voxels < w->o->min_voxels)
        out->small++;
    else if ((*edge = mf_region_edge(r, n, w->o->edge_threshold / 100 * (MF_SLIC_LEVELS - 1))) <
             w->o->min_edge_fraction)
        out->edgeless++;
    else
        return true;
    return false;
}

/* Notes the regions that have grown since the turn before, `parts` (their number of supervoxels
 * then), which it brings up to date. */
static mf_status note_turn(work *w, const mf_regions *r, int32_t *parts, mf_choices *c)
{
    for (int32_t i = 0; i < r->count; i++) {
        double edge;
        if (r->regions[i].parts > parts[i] && is_wanted(w, r, i, &edge))
            MF_TRY(mf_choices_add(c, r, i, edge));
        parts[i] = r->regions[i].parts;
    }
    return mf_choices_turn(c, r);
}

/* Supervoxels, then the unions of each threshold. */
static mf_status note_regions(work *w, mf_regions *r, mf_choices *c)
{
    const mf_reals *thresholds = &w->o->merge_thresholds;
    const int64_t most = (int64_t)(w->o->max_union_fraction * (double)w->body_voxels);
    int32_t *parts = calloc((size_t)(r->count > 0 ? r->count : 1), sizeof *parts);
    mf_status status = parts ? note_turn(w, r, parts, c) : mf_no_memory(0, "a list of regions");
    for (size_t i = 0; !status && i < thresholds->count; i++) {
        status = mf_regions_join(r, thresholds->v[i] / 100 * (MF_SLIC_LEVELS - 1), most);
        if (!status)
            status = note_turn(w, r, parts, c);
    }
    free(parts);
    return status;
}

/* Adds at most `most` masks. */
static mf_status add_masks(work *w, mf_regions *r, int64_t most)
{
    mf_choices c = {0};
    mf_status status = note_regions(w, r, &c);
    if (!status)
        w->left_out.beyond += (int64_t)mf_choices_keep(&c, (size_t)most);
    for (size_t i = 0; !status && i < c.count; i++)
        status = add_mask(w, r, c.union_of[c.list[i].turn], c.list + i);
    mf_choices_free(&c);
    return status;
}

/* Supervoxels of one size, and their unions. */
static mf_status one_size(work *w, mf_queue *queue, const mf_module *module, double size)
{
    mf_clusters clusters;
    mf_regions regions;
    const uint16_t *levels = w->levels->data;
    MF_TRY(mf_clusters_new(levels, w->shape, w->grid.spacing, size, w->o->compactness, &clusters));
    /* Achanta's code joins parts of less than a quarter of the expected volume. */
    int64_t least = w->voxels / clusters.count / 4;
    mf_status status = mf_clusters_iterate(&clusters, queue, module, mf_clusters_run(queue),
                                           w->levels, (int)w->o->iterations, w->slots);
    int32_t *label = status ? NULL : malloc((size_t)w->voxels * sizeof *label);
    if (label)
        mf_clusters_labels(&clusters, w->slots->data, label);
    else if (!status)
        status = mf_no_memory(0, "labels");
    mf_clusters_free(&clusters);
    if (status)
        return status;
    MF_TRY(mf_regions_new(label, w->shape, least, levels, w->body, &regions));
    const int64_t sizes = (int64_t)w->o->sizes.count;
    status = add_masks(w, &regions, (w->o->max_masks + sizes - 1) / sizes);
    mf_regions_free(&regions);
    return status;
}

static mf_status all_sizes(work *w)
{
    mf_queue *queue;
    const mf_module *module;
    MF_TRY(mf_task_queue(w->task, &queue));
    MF_TRY(mf_task_module(w->task, "", &module));
    for (size_t i = 0; i < w->o->sizes.count; i++) {
        MF_TRY(mf_cancel_point(w->task));
        MF_TRY(mf_within(one_size(w, queue, module, w->o->sizes.v[i]), "supervoxels of %g mm",
                         w->o->sizes.v[i]));
        mf_progress(w->task, (int64_t)i + 1, (int64_t)w->o->sizes.count, NULL);
    }
    return MF_OK;
}

/* The volume as f32, owned by the caller: it is large, and dropped as soon as it is read. */
static mf_status read_volume(work *w, const mf_artifact *source, mf_array **voxels)
{
    mf_array *stored;
    MF_TRY(mf_artifact_grid(source, &w->grid));
    w->voxels = mf_grid_voxels(&w->grid);
    mf_zyx(w->grid.size, w->shape);
    MF_TRY(mf_artifact_array(source, "voxels", &stored));
    mf_status status = mf_array_convert(stored, MF_F32, voxels);
    mf_array_unref(stored);
    MF_TRY(status);
    if (w->voxels > 0 && mf_array_count(*voxels) == w->voxels)
        return MF_OK;
    mf_array_unref(*voxels);
    *voxels = NULL;
    return mf_fail(MF_INVALID, "the volume has no voxels, or not as many as its grid");
}

static mf_status make_inputs(work *w, const mf_artifact *source)
{
    mf_array *voxels;
    MF_TRY(read_volume(w, source, &voxels));
    mf_status status = find_modality(w, source, voxels->data);
    if (!status && w->modality == MF_MODALITY_CT)
        status = mf_volume_check_raw(source, "the window in HU");
    if (!status)
        status = make_levels(w, voxels->data);
    if (!status)
        status = make_body(w, voxels->data);
    mf_array_unref(voxels);
    MF_TRY(status);
    return mf_array_new(MF_U8, 3, w->shape, &w->slots);
}

static void say_left_out(const work *w, int64_t masks)
{
    const left_out *out = &w->left_out;
    char small[48], edgeless[64], words[400] = "";
    snprintf(small, sizeof small, "of less than %lld voxels (min_voxels)",
             (long long)w->o->min_voxels);
    snprintf(edgeless, sizeof edgeless, "with less visible edge than %g (min_edge_fraction)",
             w->o->min_edge_fraction);
    const struct {
        int64_t count;
        const char *why;
    } reasons[] = {{out->outside, "outside of the body"},
                   {out->small, small},
                   {out->edgeless, edgeless},
                   {out->beyond, "over the limit (max_masks)"}};
    for (size_t i = 0, at = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].count)
            at += (size_t)snprintf(words + at, sizeof words - at, "%s%lld %s",
                                   at ? ", " : "; dropped: ", (long long)reasons[i].count,
                                   reasons[i].why);
    mf_log(w->task, "%lld masks of %lld supervoxels and unions%s", (long long)masks,
           (long long)out->all, *words ? words : ", none dropped");
    if (masks == 0 && out->all == out->edgeless + out->small)
        mf_log(w->task, "no mask: the volume is constant, or too small for min_voxels");
}

static mf_status make_masks(work *w)
{
    const mf_artifact *source;
    mf_artifact *masks;
    MF_TRY(mf_in(w->task, "volume", &source));
    MF_TRY(make_inputs(w, source));
    MF_TRY(mf_masks_begin(&w->grid, &w->masks));
    MF_TRY(all_sizes(w));
    MF_TRY(mf_artifact_new("masks", &masks));
    mf_status status = mf_masks_finish(w->masks, masks);
    w->masks = NULL;
    if (!status)
        status = mf_artifact_inherit(masks, source);
    if (status) {
        mf_artifact_unref(masks);
        return status;
    }
    say_left_out(w, mf_masks_count(masks));
    return mf_out(w->task, "masks", masks);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    work w = {.task = t, .o = p};
    (void)session;
    mf_status status = make_masks(&w);
    mf_array_unref(w.levels);
    mf_array_unref(w.slots);
    free(w.body);
    mf_masks_abandon(w.masks);
    return status;
}

static MF_STAGE(
    stage, "slic.masks", 5,
    "Computes supervoxels of several sizes as class-agnostic masks, without labels or weights.",
    .help = "SLIC (Achanta et al. 2012) in 3D, with distances in mm. Fragments of supervoxels join "
            "the neighbour with the largest common border. Masks with less than half of their "
            "voxels in the body are dropped. Unions are made by merging neighbours, the most "
            "similar first. The score of a mask is the fraction of its border that is a visible "
            "edge. Supervoxels inside one tissue have a low score and cannot be found again in "
            "another view; min_edge_fraction drops them.",
    .params = params, .params_size = sizeof(slic_params), .in = inputs, .out = outputs,
    .kernels = kernels, .tolerance = 0, .check = check, .needs = needs, .run = run);
MF_PLUGIN("slic", &stage)
