/* classes.c - see classes.h. */
#include "classes.h"
#include "../common/label_values.h"
#include "../common/port_names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LABELS = 65536 };

/* ---- samples --------------------------------------------------------------------------------- */

void mf_labelled_clear(mf_labelled *s)
{
    mf_array_unref(s->image);
    mf_array_unref(s->labels);
    *s = (mf_labelled){0};
}

static mf_status read_labels(const mf_artifact *sample, mf_array **labels)
{
    mf_array_info info;
    if (!mf_artifact_find(sample, "labels", &info) || info.dtype != MF_U16 || info.rank != 3)
        return mf_hint(mf_fail(MF_INVALID, "the sample has no labels"),
                       "connect the input `labels` of mass.prepare");
    return mf_artifact_array(sample, "labels", labels);
}

mf_status mf_labelled_read(const mf_artifact *sample, mf_labelled *s)
{
    *s = (mf_labelled){0};
    MF_TRY(read_labels(sample, &s->labels));
    mf_status status = mf_artifact_array(sample, "image", &s->image);
    if (!status && (s->image->dtype != MF_F32 || s->image->rank != 3 ||
                    memcmp(s->image->shape, s->labels->shape, sizeof s->size) != 0))
        status = mf_fail(MF_INVALID, "the sample's image and its labels differ in size");
    if (status)
        mf_labelled_clear(s);
    else
        memcpy(s->size, s->image->shape, sizeof s->size);
    return status;
}

/* ---- classes --------------------------------------------------------------------------------- */

int mf_classes_index(const mf_classes *c, int64_t label)
{
    for (int i = 0; i < (int)c->count; i++)
        if (c->label[i] == label)
            return i;
    return -1;
}

void mf_classes_masks(const mf_classes *c, const uint16_t *labels, int64_t n, uint8_t *masks)
{
    for (int64_t k = 0; k < c->count; k++)
        for (int64_t v = 0; v < n; v++)
            masks[k * n + v] = labels[v] == c->label[k];
}

/* Counts into cases [LABELS] the samples that hold each label. */
static mf_status count_labels(const mf_artifact *sample, int64_t *cases)
{
    mf_array *labels;
    MF_TRY(read_labels(sample, &labels));
    bool *there = calloc(LABELS, sizeof *there);
    mf_status status = there ? MF_OK : mf_no_memory(LABELS * sizeof *there, "labels");
    for (int64_t v = 0; v < mf_array_count(labels) && !status; v++)
        there[((const uint16_t *)labels->data)[v]] = true;
    for (int64_t label = 0; label < LABELS && !status; label++)
        cases[label] += there[label];
    free(there);
    mf_array_unref(labels);
    return status;
}

/* Voxels of the first sample and of this one must be as large. */
static mf_status same_spacing(mf_task *t, const char *port, size_t i, const mf_artifact *sample,
                              mf_grid *first)
{
    mf_grid grid;
    MF_TRY(mf_artifact_grid(sample, &grid));
    if (i == 0)
        *first = grid;
    for (int a = 0; a < 3; a++)
        if (fabs(grid.spacing[a] - first->spacing[a]) > 1e-5 * first->spacing[a])
            return mf_hint(
                mf_fail(MF_INVALID, "its voxels have %g x %g x %g mm, those of %s %g x %g x %g mm",
                        grid.spacing[0], grid.spacing[1], grid.spacing[2], mf_in_name(t, port, 0),
                        first->spacing[0], first->spacing[1], first->spacing[2]),
                "prepare all samples with one `spacing`");
    return MF_OK;
}

/* An estimate: what labels a data set has shows in a few samples, spread over the list. */
enum { LOOKED_AT = 16 };
mf_status mf_classes_estimate(mf_task *t, const char *port, const mf_labels *wanted, int64_t *count)
{
    const size_t n = mf_in_count(t, port), looked = n < LOOKED_AT ? n : LOOKED_AT;
    *count = (int64_t)wanted->count;
    if (wanted->count == 0) {
        int64_t *cases = calloc(LABELS, sizeof *cases);
        mf_status status = cases ? MF_OK : mf_no_memory(LABELS * sizeof *cases, "labels");
        for (size_t i = 0; i < looked && !status; i++) {
            const mf_artifact *sample;
            status = mf_in_item(t, port, i * n / looked, &sample);
            if (!status)
                status = count_labels(sample, cases);
        }
        for (int64_t label = 1; label < LABELS && !status; label++)
            *count += cases[label] > 0;
        free(cases);
        MF_TRY(status);
    }
    *count = *count < 1 ? 1 : *count > MF_CLASSES_MOST ? MF_CLASSES_MOST : *count;
    return MF_OK;
}

static mf_status choose(mf_ints wanted, const int64_t *cases, const char *port, mf_classes *c)
{
    for (int64_t label = 1; label < LABELS; label++) {
        bool asked = false;
        for (size_t i = 0; i < wanted.count; i++)
            asked |= wanted.v[i] == label;
        if (wanted.count ? !asked : !cases[label])
            continue;
        if (c->count == MF_CLASSES_MOST)
            return mf_hint(mf_fail(MF_INVALID, "more than %d labels", MF_CLASSES_MOST),
                           "choose with the parameter `labels`");
        c->label[c->count] = label;
        c->cases[c->count++] = cases[label];
    }
    return c->count ? MF_OK
                    : mf_hint(mf_fail(MF_INVALID, "the samples of `%s` have no label other than 0",
                                      port),
                              "check their label maps, and `select_labels` of labels.load");
}

mf_status mf_classes_largest(mf_task *t, const char *port, const char *name, double *voxels)
{
    *voxels = 0;
    for (size_t i = 0; i < mf_in_count(t, port); i++) {
        const mf_artifact *item;
        mf_array_info info;
        double count = 1;
        MF_TRY(mf_in_item(t, port, i, &item));
        if (!mf_artifact_find(item, name, &info))
            continue;
        for (int k = 0; k < info.rank; k++)
            count *= (double)info.shape[k];
        *voxels = count > *voxels ? count : *voxels;
    }
    return MF_OK;
}

/* By the names of the samples. */
static mf_status choose_by_name(const mf_labels *wanted, const mf_names *names,
                                const int64_t *cases, const char *port, mf_classes *c)
{
    int64_t *values;
    size_t count;
    MF_TRY(mf_labels_values(wanted, names, "labels", &values, &count));
    mf_status status = mf_label_values_check(values, count);
    if (!status)
        status = choose((mf_ints){values, count}, cases, port, c);
    free(values);
    return status;
}

mf_status mf_classes_find(mf_task *t, const char *port, const mf_labels *wanted, mf_names *names,
                          mf_classes *c)
{
    size_t n = mf_in_count(t, port);
    mf_grid first = {0};
    *c = (mf_classes){0};
    *names = (mf_names){0};
    if (n == 0)
        return mf_hint(mf_fail(MF_INVALID, "there is no sample in `%s`", port),
                       "its selection in the graph chooses no case");
    int64_t *cases = calloc(LABELS, sizeof *cases);
    if (!cases)
        return mf_no_memory(LABELS * sizeof *cases, "labels");
    mf_status status = MF_OK;
    for (size_t i = 0; i < n && !status; i++) {
        const mf_artifact *sample;
        status = mf_cancel_point(t);
        if (!status)
            status = mf_in_item(t, port, i, &sample);
        if (!status)
            status = same_spacing(t, port, i, sample, &first);
        if (!status)
            status = count_labels(sample, cases);
        status = mf_within(status, "sample %zu of `%s` (%s)", i, port, mf_in_name(t, port, i));
    }
    if (!status)
        status = mf_port_names(t, (const char *const[]){port, NULL}, names);
    if (!status)
        status = choose_by_name(wanted, names, cases, port, c);
    if (status)
        mf_names_clear(names);
    free(cases);
    return status;
}
