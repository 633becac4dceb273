/* sam2_masks.c - stage sam2.masks: class-agnostic masks on some slices of a scan, by SAM 2. */
#include "masks/generate.h"
#include "model/session.h"
#include "sam2_masks.code.h"
#include "sam2_stages.h"
#include "shared/area.h"
#include "shared/collect.h"
#include "shared/seeds.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct masks_params {
    const char *profile, *axis;
    int64_t points_per_side, points_per_batch, crop_n_layers, crop_n_points_downscale_factor;
    double pred_iou_thresh, stability_score_thresh, stability_score_offset, mask_threshold;
    double box_nms_thresh, crop_nms_thresh, crop_overlap_ratio;
    int64_t min_mask_region_area;
    bool adaptive_area, use_m2m, multimask_output;
    mf_reals point_grids;
    double physical_interval_mm, min_body_fraction, checkpoint_interval;
    int64_t min_slices_per_sample, dense_factor, max_masks_per_slice, device_memory;
} masks_params;

static const mf_param params[] = {
    MF_CHOICE(masks_params, profile, "auto", "auto|mass|totalseg_mr|head_ct",
              "Thresholds of MASS. auto: those of the profile of the slices. mass: predicted IoU "
              "0.4, stability 0.7. totalseg_mr: 0.3, 0.7. head_ct: 0.3, 0.5."),
    MF_CHOICE(masks_params, axis, "slices", "slices|z|y|x|all",
              "Axis of the seed slices. slices: that of the input. all: z, y and x."),
    MF_INT(masks_params, points_per_side, "32", 1, 512, "",
           "Point prompts along each side of an image."),
    MF_INT_MARKED(masks_params, points_per_batch, "128", 1, 4096, "", MF_NO_CACHE,
                  "Point prompts per batch of the decoder."),
    MF_REAL(masks_params, pred_iou_thresh, "-1", -1, 1, "",
            "Minimum predicted IoU. -1: from the profile. 0: no limit."),
    MF_REAL(masks_params, stability_score_thresh, "-1", -1, 1, "",
            "Minimum stability score. -1: from the profile. 0: no limit."),
    MF_REAL(masks_params, stability_score_offset, "1", 0, 100, "",
            "Shift of the mask threshold, up and down, for the stability score."),
    MF_REAL(masks_params, mask_threshold, "0", -100, 100, "",
            "Logits above this value belong to the mask."),
    MF_REAL(masks_params, box_nms_thresh, "0.5", 0, 1, "",
            "Box IoU of the non-maximum suppression within a crop. The mask with the higher "
            "predicted IoU is kept."),
    MF_INT(masks_params, crop_n_layers, "2", 0, 4, "",
           "Layers of crops in addition to the whole image. Layer i has 4^i crops."),
    MF_REAL(masks_params, crop_nms_thresh, "0.5", 0, 1, "",
            "Box IoU of the non-maximum suppression between crops. The mask of the smaller crop is "
            "kept."),
    MF_REAL(masks_params, crop_overlap_ratio, "0.5", 0, 1, "",
            "Overlap of the crops of the first layer, as a fraction of the shorter side."),
    MF_INT(masks_params, crop_n_points_downscale_factor, "1", 1, 512, "",
           "Points per side are divided by this factor in each further layer."),
    MF_REALS(masks_params, point_grids, "[]", 0, 1, "",
             "Custom points instead of a grid: x, y, x, y, ... as fractions of width and height of "
             "a crop. All layers have the same points."),
    MF_INT(
        masks_params, min_mask_region_area, "-1", -1, 1e6, "pixels",
        "Maximum area of holes and sprinkles that are removed, in pixels of the low-resolution "
        "logits. -1: min_pixels of the slices for a model of 1024 px, scaled for others. 0: none."),
    MF_BOOL(masks_params, adaptive_area, "false",
            "min_mask_region_area is for pixels of 1 mm2 and is scaled to the pixels of the scan."),
    MF_BOOL(masks_params, use_m2m, "false",
            "Refine each mask by another pass through the decoder (mask to mask)."),
    MF_BOOL(masks_params, multimask_output, "true", "Three masks per point. false: one."),
    MF_REAL(masks_params, physical_interval_mm, "30", 0.01, 1e6, "mm",
            "Distance between seed slices."),
    MF_INT(masks_params, min_slices_per_sample, "10", 1, 1e6, "",
           "Minimum number of seed slices. All slices if there are fewer."),
    MF_INT(masks_params, dense_factor, "3", 1, 1000, "",
           "Factor of the number of seed slices where the input `dense` is not 0."),
    MF_INT(masks_params, max_masks_per_slice, "70", 1, 1e6, "",
           "Maximum number of masks per slice. Those of the smallest crops come first."),
    MF_REAL(masks_params, min_body_fraction, "0.9", 0, 1, "",
            "With the input `body`: minimum fraction of a mask inside the body."),
    SAM2_MEMORY_PARAM(masks_params),
    MF_REAL_MARKED(masks_params, checkpoint_interval, "120", 0, 1e9, "s", MF_NO_CACHE,
                   "Minimum time between two checkpoints. Checkpoints are saved between slices."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("slices", "slices", "The scan as RGB slices, from window.rgb."),
    MF_PORT("model", "model", "A SAM 2 model."),
    MF_PORT("body", "labels?", "Body mask: slices are seeded, and masks kept, where it is not 0."),
    MF_PORT("dense", "labels?", "Region with more seed slices: where it is not 0."), MF_END};
static const mf_port outputs[] = {MF_PORT("seeds", "seeds", "2D masks of single slices."), MF_END};

/* ---- options --------------------------------------------------------------------------------- */

static mf_status check(const void *p)
{
    const masks_params *o = p;
    int64_t side = o->points_per_side;
    if (o->point_grids.count % 2)
        return mf_fail(MF_INVALID,
                       "point_grids: %zu numbers; x and y of each point are an even "
                       "count",
                       o->point_grids.count);
    for (int64_t layer = 1; layer <= o->crop_n_layers; layer++)
        side /= o->crop_n_points_downscale_factor;
    if (side < 1 && !o->point_grids.count)
        return mf_hint(mf_fail(MF_INVALID, "no points are left in crop layer %lld",
                               (long long)o->crop_n_layers),
                       "points_per_side %lld over crop_n_points_downscale_factor %lld in each "
                       "layer: lower the factor or crop_n_layers",
                       (long long)o->points_per_side, (long long)o->crop_n_points_downscale_factor);
    return MF_OK;
}

/* The two thresholds that differ between profiles. */
static void thresholds(const masks_params *o, const char *of_slices, double *iou, double *stability)
{
    const char *name = strcmp(o->profile, "auto") ? o->profile : of_slices ? of_slices : "mass";
    const bool head = !strcmp(name, "head_ct");
    *iou = o->pred_iou_thresh >= 0                ? o->pred_iou_thresh
           : head || !strcmp(name, "totalseg_mr") ? 0.3
                                                  : 0.4;
    *stability = o->stability_score_thresh >= 0 ? o->stability_score_thresh : head ? 0.5 : 0.7;
}

/* MASS's adaptive area: meant for pixels of 1 mm2, at most 4 times more or less, and a plane's. */
static int64_t adapted(int64_t area, const sam2_stack *s, int axis)
{
    int64_t h, w;
    double pixel = 1;
    for (int a = 0; a < 3; a++)
        pixel *= a == axis ? 1 : sam2_stack_spacing(s, a);
    sam2_stack_size(s, axis, &h, &w);
    const double base = area > 1 ? (double)area : 1;
    const double low = fmax(4, floor(base / 4)), high = fmax(low + 1, 4 * base);
    const double most = fmin(fmin(250000, high), (double)(h * w));
    return (int64_t)fmin(fmax(fmax(1, rint(base / pixel)), low), most);
}

/* Profiles are meant for the official models, whose logits have 256 x 256 pixels. */
static int64_t area_of(const masks_params *o, const mf_artifact *slices, const sam2_stack *s,
                       int axis, int64_t image)
{
    int64_t area = o->min_mask_region_area;
    if (area < 0 && !mf_artifact_int(slices, "min_pixels", &area))
        area = 0;
    if (o->adaptive_area && area > 0)
        area = adapted(area, s, axis);
    return o->min_mask_region_area < 0 ? sam2_area_for(area, image) : area;
}

static sam2_generate_options options_of(const masks_params *o, const mf_artifact *slices)
{
    sam2_generate_options g = {.points_per_side = o->points_per_side,
                               .points_per_batch = o->points_per_batch,
                               .stability_score_offset = o->stability_score_offset,
                               .mask_threshold = o->mask_threshold,
                               .box_nms_thresh = o->box_nms_thresh,
                               .crop_nms_thresh = o->crop_nms_thresh,
                               .crop_overlap_ratio = o->crop_overlap_ratio,
                               .crop_n_layers = o->crop_n_layers,
                               .crop_n_points_downscale_factor = o->crop_n_points_downscale_factor,
                               .use_m2m = o->use_m2m,
                               .multimask_output = o->multimask_output,
                               .point_grids = o->point_grids.count ? o->point_grids.v : NULL,
                               .grid_points = (int64_t)o->point_grids.count / 2,
                               .threads = 1};
    thresholds(o, mf_artifact_text(slices, "profile"), &g.pred_iou_thresh,
               &g.stability_score_thresh);
    return g;
}

/* ---- needs ----------------------------------------------------------------------------------- */

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const masks_params *o = p;
    const mf_artifact *slices, *model;
    sam2_config config;
    mf_grid grid;
    int64_t batches;
    MF_TRY(mf_in(t, "slices", &slices));
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_artifact_grid(slices, &grid));
    MF_TRY(sam2_config_of(model, &config));
    const sam2_generate_options g = options_of(o, slices);
    MF_TRY(sam2_generate_batches(512, 512, &g, &batches));
    const double pixels = (double)(config.image * config.image);
    /* slices and labels; logits of a batch, twice with m2m; weights while they are read */
    n->host_bytes = (size_t)((double)mf_grid_voxels(&grid) * 5 +
                             (double)o->points_per_batch * pixels * (o->use_m2m ? 2.25 : 1)) +
                    (1u << 30);
    n->cpu = 4;
    n->cost = (double)(o->min_slices_per_sample * batches) * pixels * 1e-6;
    return sam2_session_needs(t, o->device_memory, o->points_per_batch, 0, &grid, n);
}

/* ---- the work -------------------------------------------------------------------------------- */

typedef struct work {
    mf_task *task;
    const masks_params *o;
    sam2_predictor *predictor;
    sam2_generate_options options;
    const mf_artifact *slices;
    sam2_stack stack;
    const mf_volume *body, *dense; /* or NULL */
    float *input;                  /* [image, image, 3] */
    sam2_features features;        /* of the crop that is looked at */
    sam2_list list;
    int64_t before, total; /* batches before this slice, and of all slices */
    int64_t outside;       /* masks that do not lie in the body */
    char words[64];
} work;

static mf_status look(void *self, const sam2_picture *crop)
{
    work *w = self;
    MF_TRY(mf_cancel_point(w->task));
    MF_TRY(sam2_picture_still(crop, sam2_predictor_config(w->predictor)->image, w->input));
    sam2_features_clear(&w->features);
    return sam2_encode(w->predictor, w->input, &w->features);
}

static mf_status decode(void *self, const sam2_prompts *prompts, sam2_answers *answers)
{
    work *w = self;
    return sam2_decode(w->predictor, &w->features, prompts, answers);
}

static void choose(void *self, const sam2_answers *answers, int64_t batch, int32_t *index)
{
    sam2_choose_single(sam2_predictor_config(((work *)self)->predictor), answers, batch, index);
}

static mf_status step(void *self, int64_t done, int64_t total)
{
    work *w = self;
    (void)total;
    mf_progress(w->task, w->before + done, w->total, w->words);
    return mf_cancel_point(w->task);
}

/* Pixels of a patch that lie in the body. */
static int64_t inside_body(const work *w, const sam2_patch *p, int axis, int64_t slice)
{
    const mf_grid *g = &w->body->grid;
    const uint8_t *body = w->body->voxels->data;
    int64_t inside = 0, bit = 0;
    for (int64_t y = p->lo[0]; y < p->hi[0]; y++)
        for (int64_t x = p->lo[1]; x < p->hi[1]; x++, bit++) {
            int64_t at[3], end[3];
            if (!(p->bits[bit >> 3] >> (bit & 7) & 1))
                continue;
            sam2_slice_box(axis, slice, (int64_t[]){y, x}, (int64_t[]){y + 1, x + 1}, at, end);
            inside += body[(at[0] * g->size[1] + at[1]) * g->size[0] + at[2]] != 0;
        }
    return inside;
}

static mf_status keep(work *w, const sam2_proposal *t, int axis, int64_t slice)
{
    const int64_t lo[2] = {t->patch.lo[0], t->patch.lo[1]},
                  hi[2] = {t->patch.hi[0], t->patch.hi[1]};
    sam2_found found = {.mask = {.score = t->iou, .seed_axis = axis, .seed_slice = (int32_t)slice},
                        .stability = t->stability,
                        .point = {t->point[0], t->point[1]}};
    memcpy(found.crop, t->crop, sizeof found.crop);
    sam2_slice_box(axis, slice, lo, hi, found.mask.lo, found.mask.hi);
    uint8_t *dense = malloc((size_t)((hi[0] - lo[0]) * (hi[1] - lo[1])));
    if (!dense)
        return mf_no_memory((size_t)((hi[0] - lo[0]) * (hi[1] - lo[1])), "a mask");
    sam2_patch_crop(&t->patch, lo, hi, hi[1] - lo[1], dense);
    mf_status status = sam2_list_add(&w->list, &found, dense);
    free(dense);
    return status;
}

static mf_status keep_some(work *w, const sam2_proposals *proposals, int axis, int64_t slice)
{
    int64_t kept = 0, outside = 0;
    for (int64_t i = 0; i < proposals->count && kept < w->o->max_masks_per_slice; i++) {
        const sam2_proposal *t = proposals->item + i;
        const double area = (double)sam2_patch_area(&t->patch) + 1e-6;
        if (w->body &&
            (double)inside_body(w, &t->patch, axis, slice) / area < w->o->min_body_fraction) {
            outside++;
            continue;
        }
        MF_TRY(keep(w, t, axis, slice));
        kept++;
    }
    w->outside += outside;
    mf_log(w->task, "slice %lld across %c: %lld masks, %lld outside of the body, %lld kept",
           (long long)slice, "zyx"[axis], (long long)proposals -> count, (long long)outside,
           (long long)kept);
    return MF_OK;
}

static mf_status search(work *w, int axis, int64_t slice)
{
    int64_t h, width;
    sam2_proposals proposals;
    const sam2_eye eye = {w,   sam2_predictor_config(w->predictor)->image, look, decode, choose,
                          step};
    sam2_stack_size(&w->stack, axis, &h, &width);
    uint8_t *rgb = malloc((size_t)(h * width * 3));
    if (!rgb)
        return mf_no_memory((size_t)(h * width * 3), "a slice");
    sam2_stack_slice(&w->stack, axis, slice, rgb);
    const sam2_picture picture = {rgb, h, width, width};
    w->options.min_mask_region_area = area_of(w->o, w->slices, &w->stack, axis, eye.image);
    mf_status status = sam2_generate(&eye, &picture, &w->options, &proposals);
    free(rgb);
    MF_TRY(status);
    status = keep_some(w, &proposals, axis, slice);
    sam2_proposals_clear(&proposals);
    return status;
}

/* ---- which slices ---------------------------------------------------------------------------- */

typedef struct seed {
    int axis;
    int64_t slice, batches;
} seed;

typedef struct plan {
    seed *seed;
    int64_t count;
} plan;

/* Which slices across an axis a label map marks, u8 for free(); NULL without one. */
static mf_status marked(const work *w, const mf_volume *labels, int axis, uint8_t **has)
{
    *has = NULL;
    if (!labels)
        return MF_OK;
    *has = malloc((size_t)sam2_stack_count(&w->stack, axis));
    if (!*has)
        return mf_no_memory(0, "a list of slices");
    sam2_project(&labels->grid, labels->voxels->data, axis, *has);
    return MF_OK;
}

static mf_status slices_of(const work *w, int axis, int64_t **slices, int64_t *chosen)
{
    const sam2_seeding how = {w->o->physical_interval_mm, w->o->min_slices_per_sample,
                              w->o->dense_factor};
    uint8_t *body, *dense = NULL;
    *slices = NULL;
    mf_status status = marked(w, w->body, axis, &body);
    if (!status)
        status = marked(w, w->dense, axis, &dense);
    if (!status)
        status = sam2_seed_slices(&how, sam2_stack_count(&w->stack, axis),
                                  sam2_stack_spacing(&w->stack, axis), body, dense, slices, chosen);
    free(body);
    free(dense);
    return status;
}

static mf_status add_axis(work *w, int axis, plan *p)
{
    int64_t *slices, chosen, h, width, batches;
    MF_TRY(slices_of(w, axis, &slices, &chosen));
    sam2_stack_size(&w->stack, axis, &h, &width);
    mf_status status = sam2_generate_batches(h, width, &w->options, &batches);
    seed *more = status ? NULL : realloc(p->seed, (size_t)(p->count + chosen) * sizeof *more);
    if (!status && !more)
        status = mf_no_memory(0, "a list of slices");
    if (more)
        p->seed = more;
    for (int64_t i = 0; i < chosen && !status; i++) {
        p->seed[p->count++] = (seed){axis, slices[i], batches};
        w->total += batches;
    }
    free(slices);
    return status;
}

static mf_status make_plan(work *w, plan *p)
{
    const char *axis = w->o->axis;
    if (strcmp(axis, "all"))
        return add_axis(w,
                        !strcmp(axis, "slices") ? w->stack.axis
                        : axis[0] == 'z'        ? 0
                        : axis[0] == 'y'        ? 1
                                                : 2,
                        p);
    for (int a = 0; a < 3; a++)
        MF_TRY(add_axis(w, a, p));
    return MF_OK;
}

/* ---- checkpoints: what was found on the first i slices of the plan --------------------------- */

static mf_status save(work *w, int64_t i)
{
    mf_artifact *state;
    MF_TRY(sam2_list_save(&w->list, &state));
    mf_status status = mf_checkpoint_save(w->task, i, state, false);
    mf_artifact_unref(state);
    return status;
}

static mf_status resume(work *w, const plan *p, int64_t *i)
{
    mf_artifact *state;
    *i = 0;
    MF_TRY(mf_checkpoint_load(w->task, p->count, i, &state));
    if (!state)
        return MF_OK;
    mf_status status = sam2_list_load(&w->list, state);
    mf_artifact_unref(state);
    if (!status)
        mf_log(w->task, "resumes after %lld of %lld slices, with %lld masks", (long long)*i,
               (long long)p->count, (long long)w->list.count);
    return status;
}

static mf_status search_all(work *w, const plan *p)
{
    int64_t done;
    MF_TRY(resume(w, p, &done));
    mf_progress(w->task, 0, w->total, NULL);
    for (int64_t i = 0; i < p->count; i++) {
        const seed *s = p->seed + i;
        snprintf(w->words, sizeof w->words, "slice %lld of %lld, %lld masks", (long long)i + 1,
                 (long long)p->count, (long long)w->list.count);
        mf_status status = i < done ? MF_OK : search(w, s->axis, s->slice);
        if (status && mf_error_code(status) == MF_CANCELLED && i > done)
            mf_log_error(w->task, save(w, i)); /* what has been found is kept */
        MF_TRY(mf_within(status, "slice %lld across %c", (long long)s->slice, "zyx"[s->axis]));
        w->before += s->batches;
        if (i >= done && i + 1 < p->count && mf_checkpoint_due(w->task, w->o->checkpoint_interval))
            MF_TRY(save(w, i + 1));
    }
    mf_progress(w->task, w->total, w->total, NULL);
    return MF_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

static mf_status read_labels(work *w, const char *port, const mf_volume **labels)
{
    const mf_artifact *a;
    *labels = NULL;
    MF_TRY(mf_in(w->task, port, &a));
    if (!a)
        return MF_OK;
    MF_TRY(mf_in_volume(w->task, port, MF_U8, labels));
    if (!mf_grid_equal(&(*labels)->grid, &w->stack.grid, 0.01))
        return mf_fail(MF_INVALID, "%s does not lie on the slices' grid", port);
    return MF_OK;
}

static mf_status publish(work *w)
{
    static const char *const kept[] = {"min_pixels", "min_voxels"};
    mf_artifact *seeds;
    MF_TRY(sam2_list_publish(&w->list, "seeds", &w->stack.grid, w->slices, &seeds));
    for (int i = 0; i < 2; i++) {
        int64_t value;
        mf_status status = mf_artifact_int(w->slices, kept[i], &value)
                               ? mf_artifact_set_int(seeds, kept[i], value)
                               : MF_OK;
        if (status) {
            mf_artifact_unref(seeds);
            return status;
        }
    }
    return mf_out(w->task, "seeds", seeds);
}

static mf_status find(work *w)
{
    plan p = {0};
    MF_TRY(mf_in(w->task, "slices", &w->slices));
    MF_TRY(sam2_stack_read(w->slices, &w->stack));
    MF_TRY(read_labels(w, "body", &w->body));
    MF_TRY(read_labels(w, "dense", &w->dense));
    w->options = options_of(w->o, w->slices);
    w->options.threads = mf_task_threads(w->task);
    const int64_t image = sam2_predictor_config(w->predictor)->image;
    w->input = malloc((size_t)(image * image * 3) * sizeof *w->input);
    mf_status status = w->input ? make_plan(w, &p) : mf_no_memory(0, "a picture");
    if (!status)
        status = search_all(w, &p);
    free(p.seed);
    MF_TRY(status);
    if (w->list.count == 0 && w->outside > 0)
        mf_log(w->task,
               "no mask is kept: %lld were found, none with %g%% of it in the body: look at the "
               "body, or lower min_body_fraction",
               (long long)w->outside, 100 * w->o->min_body_fraction);
    else if (w->list.count == 0)
        mf_log(w->task, "no mask was found on any of the slices that were searched");
    return publish(w);
}

static mf_status open(mf_task *t, const void *p, void **session)
{
    return sam2_session_open(t, ((const masks_params *)p)->device_memory, false, session);
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    work *w = calloc(1, sizeof *w);
    if (!w)
        return mf_no_memory(sizeof *w, "searching slices");
    w->task = t;
    w->o = p;
    w->predictor = session;
    mf_status status = find(w);
    sam2_features_clear(&w->features);
    sam2_list_clear(&w->list);
    sam2_stack_clear(&w->stack);
    free(w->input);
    free(w);
    return status;
}

MF_STAGE(
    mf_stage_sam2_masks, "sam2.masks", 2,
    "Finds class-agnostic 2D masks on some slices of a scan with SAM 2.",
    .help = "The automatic mask generator of SAM 2: point prompts on a grid over each slice and "
            "over its crops, three masks per point. Kept are masks with a high predicted IoU and a "
            "high stability score that do not touch the edge of a crop, without duplicates. "
            "sam2.propagate propagates them to 3D masks. Parameters have their official names. "
            "Their defaults are those of MASS (docs/sam2.md).",
    .params = params, .params_size = sizeof(masks_params), .in = inputs, .out = outputs,
    .program = true, .tolerance = 1e-2, /* pixels at the edge of a threshold */
    .check = check, .needs = needs, .open = open, .close = sam2_session_close, .run = run,
    .saves = true);
