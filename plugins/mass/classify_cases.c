/* classify_cases.c - the cases of mass.classify: their scans, their classes, and what is known of
 * a scan when it is first used. */
#include "classify.h"
#include "classify_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

mf_status mf_classify_classes(mf_task *t, const mf_classify_params *o, mf_targets *c)
{
    mf_status status = o->multi_label /* gaps are met where the truth is read */
                           ? mf_targets_columns(o->target, c)
                           : mf_targets_collect(t, o->target, true, c);
    if (status)
        mf_targets_clear(c);
    return status;
}

void mf_case_set_clear(mf_case_set *s)
{
    for (int64_t i = 0; s->map && i < s->truth.n; i++)
        free(s->map[i]);
    free(s->map);
    free(s->scan);
    free(s->known);
    free(s->probability);
    mf_truth_clear(&s->truth);
}

mf_status mf_case_set_read(mf_classify *w, const char *port, mf_case_set *s)
{
    s->port = port;
    MF_TRY(mf_truth_read(w->task, port, &w->classes, !strcmp(w->o->gaps, "leave-out"), &s->truth));
    const size_t n = (size_t)s->truth.n;
    s->scan = calloc(n, sizeof *s->scan);
    s->known = calloc(n, sizeof *s->known);
    s->map = calloc(n, sizeof *s->map);
    s->probability = calloc(n * (size_t)w->classes.count, sizeof *s->probability);
    if (!s->scan || !s->known || !s->map || !s->probability)
        return mf_no_memory(0, "%zu cases", n);
    for (size_t i = 0; i < n; i++) {
        const size_t at = s->truth.at[i];
        mf_array_info info;
        mf_view_scan *scan = &s->scan[i];
        *scan = (mf_view_scan){.array = "voxels", .scale = 1};
        MF_TRY(mf_in_item(w->task, port, at, &scan->artifact));
        if (!mf_artifact_find(scan->artifact, "voxels", &info) || info.dtype != MF_F32 ||
            info.rank != 3)
            return mf_hint(mf_fail(MF_INVALID, "%s case '%s': its voxels are not 32-bit floats",
                                   port, mf_in_case(w->task, port, at)),
                           "connect volumes of mass.normalize");
        memcpy(scan->shape, info.shape, sizeof scan->shape);
    }
    return MF_OK;
}

/* Mean and deviation of a volume, when it is first used. */
mf_status mf_case_set_know(mf_classify *w, mf_case_set *s, int64_t i)
{
    mf_view_scan *scan = &s->scan[i];
    mf_array *voxels;
    if (s->known[i] || !w->o->normalize)
        return MF_OK;
    MF_TRY(mf_artifact_array(scan->artifact, scan->array, &voxels));
    const float *v = voxels->data;
    const int64_t n = mf_array_count(voxels);
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < n; k++)
        sum += (double)v[k];
    scan->mean = sum / (double)n;
    for (int64_t k = 0; k < n; k++)
        squares += ((double)v[k] - scan->mean) * ((double)v[k] - scan->mean);
    const double deviation = sqrt(squares / (double)n);
    scan->scale = deviation > 0 ? 1 / deviation : 1;
    s->known[i] = true;
    mf_array_unref(voxels);
    return MF_OK;
}

const char *mf_case_set_name(const mf_classify *w, const mf_case_set *s, int64_t i)
{
    return mf_in_case(w->task, s->port, s->truth.at[i]);
}
