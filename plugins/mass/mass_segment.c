/* mass_segment.c - the stage mass.segment: labels are found in a query, by labelled references or
 * by a task embedding. The steps are those of the official scripts. */
#include "../common/normalize_params.h"
#include "footprint.h"
#include "mass_segment.code.h"
#include "mass_stages.h"
#include "model.h"
#include "query.h"
#include "references.h"
#include "session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct segment_params {
    mf_real3 spacing;
    mf_int3 patch_size, body_margin;
    double overlap, threshold;
    mf_labels labels;
    int64_t classes_per_forward;
    bool probabilities;
    const char *like, *reference_crop, *normalize, *body_crop, *window, *last_window_twice,
        *compete, *keep_largest, *flips;
    MF_NORMALIZE_FIELDS;
} segment_params;

#define SWITCH "auto|true|false"

static const mf_param params[] = {
    MF_REAL3(segment_params, spacing, "[1.5, 1.5, 1.5]", 0.05, 100, "mm",
             "Target spacing along x, y, z, as in training."),
    MF_INT3(segment_params, patch_size, "[128, 128, 128]", 16, 512, "voxels",
            "Size of reference crops and of sliding windows along x, y, z: multiples of 16, as in "
            "training for best results."),
    MF_REAL(segment_params, overlap, "0.5", 0, 0.95, "",
            "Overlap of neighbouring windows, as a fraction of the window."),
    MF_REAL(segment_params, threshold, "0.5", 0, 1, "", "Minimum probability of a labelled voxel."),
    MF_LABELS(segment_params, labels, "[]", 1, 65535,
              "Labels to segment, by value or name. Empty: all labels of the references or of the "
              "embedding."),
    MF_CHOICE(segment_params, like, "massflow", "massflow|inference|evaluate",
              "Settings that the parameters with the value auto take. inference: those of the "
              "official inference.py. evaluate: those of evaluate.py. massflow: as inference, but "
              "without the body crop."),
    MF_CHOICE(segment_params, reference_crop, "auto", "auto|" MF_EXAMPLE_PLACES,
              "Position of a reference crop, as in mass.embed: box (massflow, inference), middle "
              "(evaluate) or mean."),
    MF_CHOICE(segment_params, normalize, "auto", "auto|crop|scan",
              "Region that gives clipping bounds, mean and standard deviation of a reference. "
              "crop: its crop "
              "(massflow, inference). scan: the whole scan (evaluate), which is better for small "
              "crops."),
    MF_CHOICE(segment_params, body_crop, "auto", SWITCH,
              "Normalize and segment the query inside the box of the body only: CT above -500 HU; "
              "MR and PET above a thousandth of the 99th percentile. true: inference."),
    MF_INT3(segment_params, body_margin, "[32, 32, 16]", 0, 1024, "voxels",
            "Margin around the body along x, y, z."),
    MF_INT(segment_params, classes_per_forward, "-1", -1, 65535, "",
           "Labels processed together, in ascending order. It changes results, because labels "
           "that are processed together influence each other. 0: all (massflow, inference). "
           "evaluate: 8. -1: as `like`."),
    MF_CHOICE(segment_params, window, "auto", "auto|gaussian|uniform",
              "Weights of overlapping windows. gaussian: massflow, inference. uniform: evaluate."),
    MF_CHOICE(segment_params, last_window_twice, "auto", SWITCH,
              "Place windows as evaluate.py does. If the size of the scan is a multiple of the "
              "step, its last window counts twice. true: evaluate."),
    MF_CHOICE(segment_params, compete, "auto", SWITCH,
              "Each voxel has only its most probable label. false: each label is segmented alone, "
              "and the output `masks` has a mask for each. false: evaluate."),
    MF_CHOICE(
        segment_params, keep_largest, "auto", SWITCH,
        "Keep only the largest connected component of each label. true: massflow, inference."),
    MF_CHOICE(segment_params, flips, "none", "none|x|y|z|xy|xz|yz|xyz",
              "Axes of test-time flips. Probabilities are averaged over all flips of a window "
              "along these axes: 2, 4 or 8 forward passes."),
    MF_BOOL(segment_params, probabilities, "false", "Compute the output `probabilities`."),
    MF_NORMALIZE_PARAMS(segment_params),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT("model", "model", "Model. Its averaged (EMA) weights are used if it has them."),
    MF_PORT("references", "volume[]?", "Labelled example scans. Not with an embedding."),
    MF_PORT("labels", "labels[]?", "Label maps of the references, in the same order."),
    MF_PORT("embedding", "embedding?",
            "Task embeddings of mass.embed or mass.finetune, instead of references."),
    MF_PORT("query", "volume", "Scan to segment."),
    MF_END};
static const mf_port outputs[] = {
    MF_PORT("labels", "labels", "Label map on the grid of the query."),
    MF_PORT("masks", "masks?",
            "With `compete: false`: a mask for each label on the grid of the query, which may "
            "overlap; the array `label` has the labels. Labels without a voxel are missing."),
    MF_PORT("probabilities", "probabilities?",
            "With `probabilities: true`: a probability map for each label on the grid of the "
            "query, by linear interpolation."),
    MF_END};

/* ---- settings -------------------------------------------------------------------------------- */

static bool switched(const char *word, bool otherwise)
{
    return !strcmp(word, "auto") ? otherwise : !strcmp(word, "true");
}

static mf_query query_of(const segment_params *o)
{
    bool evaluate = !strcmp(o->like, "evaluate"), inference = !strcmp(o->like, "inference");
    mf_query q = {
        .scan = {.modality = mf_normalize_modality(o->modality), .normalize = MF_NORMALIZE_OF(o)},
        .windows = {.overlap = o->overlap,
                    .uniform =
                        !strcmp(o->window, "auto") ? evaluate : !strcmp(o->window, "uniform"),
                    .repeat_last = switched(o->last_window_twice, evaluate)},
        .threshold = o->threshold,
        .group = o->classes_per_forward >= 0 ? o->classes_per_forward
                 : evaluate                  ? 8
                                             : 0,
        .compete = switched(o->compete, !evaluate),
        .keep_largest = switched(o->keep_largest, !evaluate),
        .body_crop = switched(o->body_crop, inference),
        .probabilities = o->probabilities};
    for (const char *axis = strcmp(o->flips, "none") ? o->flips : ""; *axis; axis++)
        q.windows.flips |= *axis == 'z' ? 1 : *axis == 'y' ? 2 : 4;
    memcpy(q.scan.spacing, o->spacing.v, sizeof q.scan.spacing);
    mf_zyx(o->body_margin.v, q.margin);
    return q;
}

static mf_references references_of(mf_task *t, const segment_params *o, const mf_query *q)
{
    bool evaluate = !strcmp(o->like, "evaluate");
    mf_references r = {.task = t,
                       .scans = "references",
                       .labels = "labels",
                       .settings = q->scan,
                       .place = evaluate ? MF_EXAMPLE_MIDDLE : MF_EXAMPLE_BOX,
                       .whole_scan = evaluate,
                       .wanted = o->labels};
    memcpy(r.patch_size, o->patch_size.v, sizeof r.patch_size);
    if (strcmp(o->reference_crop, "auto") != 0)
        r.place = mf_example_place_of(o->reference_crop);
    if (strcmp(o->normalize, "auto") != 0)
        r.whole_scan = !strcmp(o->normalize, "scan");
    return r;
}

static mf_status check(const void *p)
{
    const segment_params *o = p;
    int64_t crop[3];
    mf_zyx(o->patch_size.v, crop);
    MF_TRY(mf_iris_check_crop(crop, 512));
    if (query_of(o).windows.repeat_last && o->overlap < 0.5)
        return mf_hint(mf_fail(MF_INVALID,
                               "overlap: windows placed as evaluate.py does leave gaps below 0.5; "
                               "it is %g",
                               o->overlap),
                       "set last_window_twice: false, or overlap to 0.5 or more");
    return mf_normalize_check(&MF_NORMALIZE_OF(o));
}

/* Either references with labels, or an embedding. */
static mf_status check_inputs(mf_task *t, const segment_params *o, const mf_artifact **embedding)
{
    size_t references = mf_in_count(t, "references"), labels = mf_in_count(t, "labels");
    MF_TRY(mf_in(t, "embedding", embedding));
    if (!*embedding && !references && !labels)
        return mf_hint(mf_fail(MF_INVALID, "nothing says which labels to find"),
                       "connect the input embedding, or the inputs references and labels");
    if (!*embedding && references != labels)
        return mf_fail(MF_INVALID, "%zu references with %zu label maps", references, labels);
    if (*embedding && (references || labels))
        return mf_hint(mf_fail(MF_INVALID, "an embedding together with references"),
                       "leave out the input embedding, or the inputs references and labels");
    if (*embedding && strcmp(o->reference_crop, "auto") != 0)
        return mf_hint(mf_fail(MF_INVALID, "reference_crop says how references are cropped; the "
                                           "input is an embedding"),
                       "set it in mass.embed");
    if (*embedding && strcmp(o->normalize, "auto") != 0)
        return mf_hint(mf_fail(MF_INVALID, "normalize says how references are normalized; the "
                                           "input is an embedding"),
                       "set it in mass.embed");
    return MF_OK;
}

/* ---- session --------------------------------------------------------------------------------- */

/* How many labels the references have is known when they are read. */
enum { USUAL_LABELS = 8 };

static int64_t count_labels(const segment_params *o, const mf_artifact *embedding)
{
    mf_array_info info;
    if (o->labels.count)
        return (int64_t)o->labels.count;
    if (embedding && mf_artifact_find(embedding, "labels", &info) && info.shape[0] > 0)
        return info.shape[0];
    return USUAL_LABELS;
}

static mf_status host_needs(mf_task *t, const mf_query *q, int64_t labels, mf_needs *n)
{
    const mf_artifact *scan;
    mf_grid own, grid;
    MF_TRY(mf_in(t, "query", &scan));
    MF_TRY(mf_artifact_grid(scan, &own));
    MF_TRY(mf_resample_grid(&own, q->scan.spacing, &grid));
    size_t bytes = mf_query_host_bytes(q, labels, mf_grid_voxels(&own), mf_grid_voxels(&grid));
    n->host_bytes = bytes > n->host_bytes ? bytes : n->host_bytes;
    return MF_OK;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    static const mf_memory_words words = {"segmentation", "patch_size",
                                          "lower classes_per_forward"};
    const segment_params *o = p;
    const mf_query q = query_of(o);
    mf_iris iris;
    mf_memory_of of = {.iris = &iris};
    const mf_artifact *model, *embedding;
    mf_device *device;
    mf_zyx(o->patch_size.v, of.crop);
    MF_TRY(mf_in(t, "embedding", &embedding));
    int64_t labels = count_labels(o, embedding);
    of.masks = q.group > 0 && q.group < labels ? q.group : labels;
    MF_TRY(host_needs(t, &q, labels, n));
    MF_TRY(mf_in(t, "model", &model));
    MF_TRY(mf_model_iris(model, &iris));
    MF_TRY(mf_task_counting(t, &device));
    mf_status status = mf_memory_check(device, embedding ? mf_memory_query : mf_memory_segment, &of,
                                       &words, &n->device_bytes);
    mf_device_unref(device);
    return status;
}

typedef struct session {
    mf_predictor *predictor;
    char model[MF_FINGERPRINT];
} session;

static void close_session(void *p)
{
    session *s = p;
    if (s)
        mf_predictor_free(s->predictor);
    free(s);
}

static mf_status open_model(mf_task *t, const segment_params *o, session *s)
{
    int64_t crop[3];
    mf_zyx(o->patch_size.v, crop);
    MF_TRY(mf_session_open(t, crop, &s->predictor));
    return mf_embedding_fingerprint(mf_predictor_weights(s->predictor), false, s->model);
}

static mf_status open(mf_task *t, const void *p, void **opened)
{
    session *s = calloc(1, sizeof *s);
    *opened = NULL;
    if (!s)
        return mf_no_memory(sizeof *s, "a model");
    mf_status status = open_model(t, p, s);
    if (status)
        close_session(s);
    else
        *opened = s;
    return status;
}

/* ---- embeddings ------------------------------------------------------------------------------ */

/* Keeps the labels that are wanted. */
static mf_status keep_labels(mf_embedding *e, const mf_iris *iris, mf_ints wanted)
{
    bool *keep = calloc(65536, sizeof *keep);
    int64_t count = 0;
    mf_status status = keep ? MF_OK : mf_no_memory(65536, "labels");
    for (size_t i = 0; i < wanted.count && !status; i++) {
        int64_t k = 0;
        while (k < e->priors.k && e->labels[k] != wanted.v[i])
            k++;
        if (k == e->priors.k)
            status = mf_fail(MF_INVALID,
                             "the embedding has no label %lld; it has %lld labels from "
                             "%lld to %lld",
                             (long long)wanted.v[i], (long long)e->priors.k,
                             (long long)e->labels[0], (long long)e->labels[e->priors.k - 1]);
        else
            keep[wanted.v[i]] = true;
    }
    for (int64_t k = 0; k < e->priors.k && !status; k++) {
        if (wanted.count && !keep[e->labels[k]])
            continue;
        for (int level = 0; level < MF_IRIS_LEVELS; level++) {
            int64_t n = MF_IRIS_TOKENS * iris->channels[4 - level];
            memmove(e->priors.level[level] + count * n, e->priors.level[level] + k * n,
                    (size_t)n * sizeof(float));
        }
        e->labels[count] = e->labels[k];
        e->examples[count++] = e->examples[k];
    }
    if (!status)
        e->priors.k = count;
    free(keep);
    return status;
}

static mf_status select_labels(mf_embedding *e, const mf_iris *iris, const mf_labels *wanted)
{
    int64_t *values;
    size_t count;
    MF_TRY(mf_labels_values(wanted, &e->names, "labels", &values, &count));
    mf_status status = keep_labels(e, iris, (mf_ints){values, count});
    free(values);
    return status;
}

/* Numbers of an embedding that must be those of the parameters. */
static mf_status same_numbers(const char *parameter, const double *made, const double *here,
                              int count)
{
    char texts[2][96];
    bool same = true;
    for (int side = 0; side < 2; side++) {
        size_t n = 0;
        for (int i = 0; i < count; i++)
            n += (size_t)snprintf(texts[side] + n, sizeof texts[side] - n, "%s%g", i ? ", " : "",
                                  side ? here[i] : made[i]);
    }
    for (int i = 0; i < count; i++)
        same = same && fabs(made[i] - here[i]) <= 1e-5 * fabs(here[i]); /* as resampling does */
    return same ? MF_OK
                : mf_hint(mf_fail(MF_INVALID, "the embedding was made with %s %s; here it is %s",
                                  parameter, texts[0], texts[1]),
                          "set the same value in both stages");
}

static mf_status read_embedding(mf_task *t, const segment_params *o, const mf_artifact *a,
                                const session *with, mf_embedding *e)
{
    const mf_iris *iris = mf_predictor_iris(with->predictor);
    const mf_normalize here = MF_NORMALIZE_OF(o);
    const mf_embedding_settings *s = &e->settings;
    MF_TRY(mf_embedding_read(a, iris, with->model, e));
    MF_TRY(same_numbers("spacing", s->spacing, o->spacing.v, 3));
    MF_TRY(same_numbers("window_low, window_high", s->clip.window, here.window, 2));
    MF_TRY(
        same_numbers("percentile_low, percentile_high", s->clip.percentiles, here.percentiles, 2));
    if (memcmp(s->patch_size, o->patch_size.v, sizeof s->patch_size) != 0)
        mf_log(t,
               "the examples of the embedding were crops of %lld x %lld x %lld voxels; windows "
               "are %lld x %lld x %lld",
               (long long)s->patch_size[0], (long long)s->patch_size[1],
               (long long)s->patch_size[2], (long long)o->patch_size.v[0],
               (long long)o->patch_size.v[1], (long long)o->patch_size.v[2]);
    return select_labels(e, iris, &o->labels);
}

/* ---- run ------------------------------------------------------------------------------------- */

static mf_status publish(mf_task *t, mf_query_result *r)
{
    const struct {
        const char *port;
        mf_artifact **artifact;
    } all[] = {{"labels", &r->labels}, {"masks", &r->masks}, {"probabilities", &r->probabilities}};
    mf_status status = MF_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all && !status; i++) {
        mf_artifact *a = *all[i].artifact;
        *all[i].artifact = NULL;
        if (a)
            status = mf_out(t, all[i].port, a);
    }
    mf_query_result_clear(r);
    return status;
}

static mf_status segment(mf_task *t, const segment_params *o, const session *with, mf_embedding *e)
{
    mf_query q = query_of(o);
    const mf_artifact *scan, *embedding;
    mf_query_result result;
    MF_TRY(check_inputs(t, o, &embedding));
    if (embedding) {
        MF_TRY(read_embedding(t, o, embedding, with, e));
    } else {
        mf_references r = references_of(t, o, &q);
        r.model = with->model;
        MF_TRY(mf_references_embed(&r, with->predictor, e));
    }
    q.modality = e->settings.modality;
    MF_TRY(mf_in(t, "query", &scan));
    MF_TRY(mf_within(mf_query_segment(t, with->predictor, &q, scan, e, &result), "the query"));
    return publish(t, &result);
}

static mf_status run(mf_task *t, const void *p, void *opened)
{
    mf_embedding e = {0};
    mf_status status = segment(t, p, opened, &e);
    mf_embedding_clear(&e);
    return status;
}

MF_STAGE(
    mf_stage_mass_segment, "mass.segment", 4,
    "Segments a scan from labelled examples or from task embeddings, without training.",
    .help =
        "For each label and reference, a crop around the label is normalized and encoded as a "
        "task embedding. The embeddings of a label are averaged over the references. Instead of "
        "references, the input `embedding` takes the result of mass.embed or mass.finetune. The "
        "query is processed in overlapping windows, and their probabilities are blended. Each "
        "voxel gets its most probable label, if the probability is at or above `threshold`. With "
        "`keep_largest`, only the largest component of each label remains. Results are on the "
        "grid of the query, with the names of the labels.\n"
        "With `compete: false` each label is segmented alone: a mask of the voxels at or above "
        "the threshold, or of its largest component. Where masks overlap, the label map has the "
        "most probable of their labels.\n"
        "`like` sets the parameters with the value auto. massflow: reference_crop box, normalize "
        "crop, body_crop false, classes_per_forward 0, window gaussian, last_window_twice false, "
        "compete true, keep_largest true. inference: the same with body_crop true. evaluate: "
        "reference_crop middle, normalize scan, body_crop false, classes_per_forward 8, window "
        "uniform, last_window_twice true, compete false, keep_largest false.",
    .params = params, .params_size = sizeof(segment_params), .in = inputs, .out = outputs,
    .program = true, .tolerance = 1e-2, /* part of the voxels, at the edge of the threshold */
    .check = check, .needs = needs, .open = open, .close = close_session, .run = run);
