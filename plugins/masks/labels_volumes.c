/* labels_volumes.c - stage labels.volumes: volumes of labels as features, the baseline of a
 * classifier that sees nothing else. */
#include "labels_volumes.code.h"
#include "masks_stages.h"
#include <stdlib.h>

typedef struct labels_volumes_params {
    mf_labels labels;
} labels_volumes_params;

static const mf_param params[] = {
    MF_LABELS(labels_volumes_params, labels, "[]", 1, INT32_MAX,
              "Labels to measure, by value or name, one feature for each. Empty: one feature, the "
              "volume of all labels together."),
    MF_END};
static const mf_port inputs[] = {MF_PORT("labels", "labels", "Label map; 0 is background."),
                                 MF_END};
static const mf_port outputs[] = {
    MF_PORT("features", "features",
            "Volumes in ml, in the order of `labels`: a feature map of one voxel for probe.train."),
    MF_END};

/* Which feature a label counts for; -1: none. */
static int64_t feature_of(const mf_ints *wanted, int32_t label)
{
    if (!wanted->count)
        return label ? 0 : -1;
    for (size_t i = 0; i < wanted->count; i++)
        if (wanted->v[i] == label)
            return (int64_t)i;
    return -1;
}

/* A label map without any label is most likely the wrong file, or another export. */
static mf_status check_map(const int32_t *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (v[i])
            return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "the label map is empty"),
                   "leave the case out with `where`, or check its file");
}

/* Voxels of each feature. */
static mf_status count_voxels(const mf_ints *wanted, const mf_artifact *labels, int64_t *count)
{
    mf_array *voxels, *wide;
    MF_TRY(mf_artifact_array(labels, "voxels", &voxels));
    mf_status status = mf_array_convert(voxels, MF_I32, &wide);
    mf_array_unref(voxels);
    MF_TRY(status);
    const int32_t *v = wide->data;
    status = check_map(v, mf_array_count(wide));
    for (int64_t i = 0; i < mf_array_count(wide); i++) {
        int64_t k = feature_of(wanted, v[i]);
        if (k >= 0)
            count[k]++;
    }
    mf_array_unref(wide);
    return status;
}

static mf_status fill(const mf_ints *wanted, const mf_artifact *labels, mf_artifact *features)
{
    const int64_t n = wanted->count ? (int64_t)wanted->count : 1;
    const int64_t shape[4] = {n, 1, 1, 1};
    mf_array *values;
    mf_grid grid;
    MF_TRY(mf_artifact_grid(labels, &grid));
    int64_t *count = calloc((size_t)n, sizeof *count);
    if (!count)
        return mf_no_memory((size_t)n * sizeof *count, "volumes of labels");
    mf_status status = count_voxels(wanted, labels, count);
    if (!status)
        status = mf_array_new(MF_F32, 4, shape, &values);
    if (!status) {
        const double ml = grid.spacing[0] * grid.spacing[1] * grid.spacing[2] / 1000;
        for (int64_t k = 0; k < n; k++)
            ((float *)values->data)[k] = (float)((double)count[k] * ml);
        status = mf_artifact_add(features, "values", values);
        mf_array_unref(values);
    }
    free(count);
    return status ? status : mf_artifact_inherit(features, labels);
}

static mf_status check_twice(const mf_ints *wanted)
{
    for (size_t i = 0; i < wanted->count; i++)
        for (size_t k = 0; k < i; k++)
            if (wanted->v[i] == wanted->v[k])
                return mf_fail(MF_INVALID, "labels: %lld is named twice", (long long)wanted->v[i]);
    return MF_OK;
}

/* What is given by value can be said before anything runs. */
static mf_status check(const void *p)
{
    const labels_volumes_params *o = p;
    for (size_t i = 0; i < o->labels.count; i++)
        for (size_t k = 0; k < i; k++) {
            const mf_label *a = &o->labels.v[i], *b = &o->labels.v[k];
            if (!a->name && !b->name && a->value == b->value)
                return mf_fail(MF_INVALID, "labels: %lld is named twice", (long long)a->value);
        }
    return MF_OK;
}

static mf_status measure(const labels_volumes_params *o, const mf_artifact *labels,
                         mf_artifact *features)
{
    mf_names names;
    int64_t *values = NULL;
    size_t count;
    MF_TRY(mf_artifact_names(labels, &names));
    mf_status status = mf_labels_values(&o->labels, &names, "labels", &values, &count);
    mf_names_clear(&names);
    if (!status) {
        const mf_ints wanted = {values, count};
        status = check_twice(&wanted);
        if (!status)
            status = fill(&wanted, labels, features);
    }
    free(values);
    return status;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const mf_artifact *labels;
    mf_artifact *features;
    (void)session;
    MF_TRY(mf_in(t, "labels", &labels));
    MF_TRY(mf_artifact_new("features", &features));
    mf_status status = measure(p, labels, features);
    if (status) {
        mf_artifact_unref(features);
        return status;
    }
    return mf_out(t, "features", features);
}

MF_STAGE(
    labels_volumes, "labels.volumes", 1, "Measures the volumes of labels, as features.",
    .help =
        "A classifier of images should be better than one that knows a volume alone: {use: "
        "probe.train, with: {pooling: mean, standardize: true, dropout: 0}} is a logistic "
        "regression on the result. A label that a case does not have has the volume 0; a label map "
        "without any label is an error.",
    .params = params, .params_size = sizeof(labels_volumes_params), .in = inputs, .out = outputs,
    .check = check, .run = run);
