/* mass_segment.c - the stage mass.segment: labels shown on references are found in a query, without
 * training. The steps are those of the official inference. */
#include "../common/normalize_params.h"
#include "footprint.h"
#include "largest.h"
#include "mass_segment.code.h"
#include "mass_stages.h"
#include "model.h"
#include "predict.h"
#include "scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct segment_params {
    mf_real3 spacing;
    mf_int3 patch_size;
    double overlap, threshold;
    mf_ints labels;
    bool keep_largest;
    const char *normalize;
    MF_NORMALIZE_FIELDS;
} segment_params;

static const mf_param params[] = {
    MF_REAL3(segment_params, spacing, "[1.5, 1.5, 1.5]", 0.05, 100, "mm",
             "Target spacing along x, y, z, as in training."),
    MF_INT3(segment_params, patch_size, "[128, 128, 128]", 16, 512, "voxels",
            "Size of reference crops and of sliding windows along x, y, z: multiples of 16, as in "
            "training for best results."),
    MF_REAL(segment_params, overlap, "0.5", 0, 0.95, "",
            "Overlap of neighbouring windows, as a fraction of the window."),
    MF_REAL(segment_params, threshold, "0.5", 0, 1, "", "Minimum probability of a labelled voxel."),
    MF_INTS(segment_params, labels, "[]", 1, 65535, "",
            "Labels to segment. Empty: all labels of the references."),
    MF_BOOL(segment_params, keep_largest, "true",
            "Keep only the largest connected component of each label."),
    MF_CHOICE(segment_params, normalize, "crop", "crop|scan",
              "Region that gives mean and standard deviation of a reference. crop: its crop, as in "
              "the official code. scan: the whole scan, which is better for small crops."),
    MF_NORMALIZE_PARAMS(segment_params),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("model", "model", "Model. Its averaged (EMA) weights are used if it has them."),
    MF_PORT("references", "volume[]", "Labelled example scans."),
    MF_PORT("labels", "labels[]", "Label maps of the references, in the same order."),
    MF_PORT("query", "volume", "Scan to segment."), MF_END};
static const mf_port outputs[] = {
    MF_PORT("labels", "labels", "Label map on the grid of the query."), MF_END};

/* ---- session --------------------------------------------------------------------------------- */

static mf_status check(const void *p)
{
    const segment_params *o = p;
    int64_t crop[3];
    mf_zyx(o->patch_size.v, crop);
    MF_TRY(mf_iris_check_crop(crop, 512));
    return mf_normalize_check(&MF_NORMALIZE_OF(o));
}

/* How many labels the references have is known when they are read. */
enum { USUAL_LABELS = 8 };

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    static const mf_memory_words words = {"segmentation", "patch_size", NULL};
    const segment_params *o = p;
    mf_iris iris;
    mf_memory_of of = {.iris = &iris,
                       .masks = o->labels.count ? (int64_t)o->labels.count : USUAL_LABELS};
    const mf_artifact *model;
    mf_device *device;
    mf_zyx(o->patch_size.v, of.crop);
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_model_iris(model, &iris));
    MF_TRY(mf_task_counting(t, &device));
    mf_status status = mf_memory_check(device, mf_memory_segment, &of, &words, &n->device_bytes);
    mf_device_unref(device);
    return status;
}

static mf_status open(mf_task *t, const void *p, void **session)
{
    int64_t crop[3];
    const mf_artifact *model;
    mf_tensors weights = {0};
    mf_predictor *predictor = NULL;
    mf_queue *queue;
    *session = NULL;
    mf_zyx(((const segment_params *)p)->patch_size.v, crop);
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_task_queue(t, &queue));
    mf_status status = mf_model_read(model, true, &weights);
    if (!status)
        status = mf_predictor_new(mf_queue_device(queue), &weights, crop, &predictor);
    mf_tensors_clear(&weights);
    *session = predictor;
    return status;
}

static void close_session(void *session)
{
    mf_predictor_free(session);
}

/* ---- references ------------------------------------------------------------------------------ */

typedef struct work {
    mf_task *task;
    const segment_params *o;
    mf_scan_settings settings;
    mf_predictor *predictor;
    int64_t crop[3];
    int64_t label[65536]; /* the labels to find, ascending */
    int64_t count;
    mf_priors priors; /* sums, then means over references */
    int64_t *seen;    /* references that show label i */
} work;

/* The voxels of reference i's labels as u16, and their grid. */
static mf_status read_labels(work *w, size_t i, mf_grid *grid, mf_array **labels)
{
    const mf_artifact *a;
    mf_array *raw;
    MF_TRY(mf_in_item(w->task, "labels", i, &a));
    MF_TRY(mf_artifact_grid(a, grid));
    MF_TRY(mf_artifact_array(a, "voxels", &raw));
    mf_status status = mf_array_convert(raw, MF_U16, labels);
    mf_array_unref(raw);
    return status;
}

/* Which labels to find: those asked for, or all that some reference has. */
static mf_status choose_labels(work *w, size_t references)
{
    bool *there = calloc(65536, sizeof *there);
    if (!there)
        return mf_no_memory(65536 * sizeof *there, "labels");
    for (size_t i = 0; i < w->o->labels.count; i++)
        there[w->o->labels.v[i]] = true;
    mf_status status = MF_OK;
    for (size_t i = 0; i < references && !w->o->labels.count && !status; i++) {
        mf_grid grid;
        mf_array *labels;
        status = read_labels(w, i, &grid, &labels);
        if (status)
            break;
        for (int64_t v = 0; v < mf_array_count(labels); v++)
            there[((const uint16_t *)labels->data)[v]] = true;
        mf_array_unref(labels);
    }
    for (int64_t label = 1; label < 65536; label++)
        if (there[label])
            w->label[w->count++] = label;
    free(there);
    if (!status && w->count == 0)
        status = mf_fail(MF_INVALID, "the references have no label other than 0");
    return status;
}

/* The crop of a reference around one label: image f32 and mask u8 [crop]. False without voxels. */
static bool crop_reference(const work *w, const mf_grid *grid, const float *voxels,
                           const uint16_t *labels, int64_t label, float *image, uint8_t *mask)
{
    int64_t size[3];
    mf_zyx(grid->size, size);
    int64_t lo[3] = {INT64_MAX, INT64_MAX, INT64_MAX}, hi[3] = {-1, -1, -1}, at[3];
    const uint16_t *from = labels;
    for (at[0] = 0; at[0] < size[0]; at[0]++)
        for (at[1] = 0; at[1] < size[1]; at[1]++)
            for (at[2] = 0; at[2] < size[2]; at[2]++)
                if (*from++ == label)
                    for (int i = 0; i < 3; i++) {
                        lo[i] = at[i] < lo[i] ? at[i] : lo[i];
                        hi[i] = at[i] > hi[i] ? at[i] : hi[i];
                    }
    if (hi[0] < 0)
        return false;
    int64_t start[3], count = w->crop[0] * w->crop[1] * w->crop[2];
    for (int i = 0; i < 3; i++)
        start[i] = (int64_t)rint((double)(lo[i] + hi[i]) / 2) - w->crop[i] / 2;
    mf_scan_crop(voxels, size, start, w->crop, sizeof(float), image);
    uint16_t *cut = (uint16_t *)(void *)mask; /* room for u16: narrowed in place below */
    mf_scan_crop(labels, size, start, w->crop, sizeof(uint16_t), cut);
    for (int64_t v = 0; v < count; v++)
        mask[v] = cut[v] == label;
    return true;
}

static mf_status embed_label(work *w, int64_t i, const mf_grid *grid, const float *voxels,
                             const uint16_t *labels, mf_modality modality, float *image,
                             uint8_t *mask)
{
    mf_priors priors;
    int64_t count = w->crop[0] * w->crop[1] * w->crop[2];
    if (!crop_reference(w, grid, voxels, labels, w->label[i], image, mask))
        return MF_OK;
    if (!strcmp(w->o->normalize, "crop"))
        MF_TRY(mf_normalize_voxels(image, count, modality, &w->settings.normalize, NULL));
    MF_TRY(mf_predictor_embed(w->predictor, image, mask, 1, &priors));
    mf_priors_add(mf_predictor_iris(w->predictor), &w->priors, i, &priors, 1);
    mf_priors_clear(&priors);
    w->seen[i]++;
    return MF_OK;
}

static mf_status embed_reference(work *w, size_t index, float *image, uint8_t *mask)
{
    const mf_artifact *volume;
    mf_grid grid, labels_grid;
    mf_modality modality;
    mf_array *labels;
    float *voxels;
    MF_TRY(mf_in_item(w->task, "references", index, &volume));
    MF_TRY(mf_scan_read(volume, &w->settings, &grid, &voxels, &modality));
    uint16_t *here = calloc((size_t)mf_grid_voxels(&grid), sizeof *here);
    mf_status status =
        here ? read_labels(w, index, &labels_grid, &labels) : mf_no_memory(0, "labels");
    if (!status) {
        status = mf_within(mf_resample_nearest(&labels_grid, labels->data, &grid, here, 2),
                           "its labels");
        mf_array_unref(labels);
    }
    if (!status && !strcmp(w->o->normalize, "scan"))
        status = mf_normalize_voxels(voxels, mf_grid_voxels(&grid), modality,
                                     &w->settings.normalize, NULL);
    for (int64_t i = 0; i < w->count && !status; i++) {
        status = mf_cancel_point(w->task);
        if (!status)
            status = embed_label(w, i, &grid, voxels, here, modality, image, mask);
    }
    free(here);
    free(voxels);
    return status;
}

/* The mean embedding of each label over the references that show it. */
static mf_status embed(work *w)
{
    const mf_iris *iris = mf_predictor_iris(w->predictor);
    size_t references = mf_in_count(w->task, "references");
    size_t count = (size_t)(w->crop[0] * w->crop[1] * w->crop[2]);
    if (references == 0 || references != mf_in_count(w->task, "labels"))
        return mf_fail(MF_INVALID, "%zu references with %zu label maps", references,
                       mf_in_count(w->task, "labels"));
    MF_TRY(choose_labels(w, references));
    MF_TRY(mf_priors_make(iris, w->count, &w->priors));
    w->seen = calloc((size_t)w->count, sizeof *w->seen);
    float *image = malloc(count * sizeof *image);
    uint8_t *mask = malloc(count * sizeof(uint16_t));
    mf_status status = w->seen && image && mask ? MF_OK : mf_no_memory(0, "a crop");
    for (size_t i = 0; i < references && !status; i++)
        status = mf_within(embed_reference(w, i, image, mask), "reference %zu (%s)", i,
                           mf_in_case(w->task, "references", i));
    free(image);
    free(mask);
    for (int64_t i = 0; i < w->count && !status; i++) {
        if (!w->seen[i])
            return mf_fail(MF_INVALID, "no reference has voxels of label %lld",
                           (long long)w->label[i]);
        for (int level = 0; level < MF_IRIS_LEVELS; level++) {
            int64_t n = MF_IRIS_TOKENS * iris->channels[4 - level];
            for (int64_t v = 0; v < n; v++)
                w->priors.level[level][i * n + v] /= (float)w->seen[i];
        }
    }
    return status;
}

/* ---- query ----------------------------------------------------------------------------------- */

static mf_status step(void *user, int64_t done, int64_t total)
{
    mf_progress(user, done, total, NULL);
    return mf_cancel_point(user);
}

/* Labels u16 on the training grid. */
static mf_status find(work *w, const mf_artifact *query, mf_grid *grid, uint16_t **labels)
{
    mf_modality modality;
    float *voxels;
    size_t bytes;
    MF_TRY(mf_scan_read(query, &w->settings, grid, &voxels, &modality));
    int64_t size[3];
    mf_zyx(grid->size, size);
    int64_t count = mf_grid_voxels(grid);
    float *probability = NULL;
    *labels = calloc((size_t)count, sizeof **labels);
    if (mf_size_mul((size_t)count * sizeof(float), (size_t)w->count, &bytes))
        probability = malloc(bytes);
    mf_status status =
        *labels && probability
            ? mf_normalize_voxels(voxels, count, modality, &w->settings.normalize, NULL)
            : mf_no_memory(0, "%lld probability maps", (long long)w->count);
    if (!status)
        status = mf_predictor_segment(w->predictor, voxels, size, &w->priors, w->o->overlap, step,
                                      w->task, probability);
    if (!status)
        mf_window_compete(probability, w->count, count, w->o->threshold, w->label, *labels);
    free(probability);
    free(voxels);
    if (!status && w->o->keep_largest)
        status = mf_largest_component(*labels, size);
    return status;
}

static mf_status publish(work *w, const mf_artifact *query, const mf_grid *grid,
                         const uint16_t *labels)
{
    mf_grid own;
    mf_array *voxels;
    mf_artifact *result;
    MF_TRY(mf_artifact_grid(query, &own));
    int64_t shape[3];
    mf_zyx(own.size, shape);
    MF_TRY(mf_array_new(MF_U16, 3, shape, &voxels));
    mf_status status = mf_resample_nearest(grid, labels, &own, voxels->data, 2);
    if (!status)
        status = mf_artifact_new("labels", &result);
    if (status) {
        mf_array_unref(voxels);
        return status;
    }
    status = mf_artifact_add(result, "voxels", voxels);
    mf_array_unref(voxels);
    if (!status)
        status = mf_artifact_set_grid(result, &own);
    if (!status)
        status = mf_artifact_inherit(result, query);
    if (status) {
        mf_artifact_unref(result);
        return status;
    }
    return mf_out(w->task, "labels", result);
}

static mf_status segment(work *w)
{
    const mf_artifact *query;
    mf_grid grid;
    uint16_t *labels = NULL;
    MF_TRY(embed(w));
    MF_TRY(mf_in(w->task, "query", &query));
    mf_status status = mf_within(find(w, query, &grid, &labels), "the query");
    if (!status)
        status = publish(w, query, &grid, labels);
    free(labels);
    return status;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const segment_params *o = p;
    work *w = calloc(1, sizeof *w);
    if (!w)
        return mf_no_memory(sizeof *w, "segmenting");
    w->task = t;
    w->o = o;
    w->predictor = session;
    mf_zyx(o->patch_size.v, w->crop);
    memcpy(w->settings.spacing, o->spacing.v, sizeof w->settings.spacing);
    w->settings.modality = mf_normalize_modality(o->modality);
    w->settings.normalize = MF_NORMALIZE_OF(o);
    mf_status status = segment(w);
    mf_priors_clear(&w->priors);
    free(w->seen);
    free(w);
    return status;
}

MF_STAGE(
    mf_stage_mass_segment, "mass.segment", 2,
    "Segments a scan from labelled examples, in context: without training.",
    .help = "For each label and reference, a crop around the label is normalized and encoded as a "
            "task embedding. The embeddings of a label are averaged over the references. The query "
            "is processed in overlapping windows, and their probabilities are blended with "
            "Gaussian weights. Each voxel gets its most probable label, if the probability is at "
            "or above `threshold`. With `keep_largest`, only the largest component of each label "
            "remains. The result is on the grid of the query.",
    .params = params, .params_size = sizeof(segment_params), .in = inputs, .out = outputs,
    .program = true, .tolerance = 1e-2, /* part of the voxels, at the edge of the threshold */
    .check = check, .needs = needs, .open = open, .close = close_session, .run = run);
