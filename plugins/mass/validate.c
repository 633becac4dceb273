/* validate.c - see validate.h. */
#include "validate.h"

#include <stdlib.h>

double mf_validation_mean(const mf_validation *v, const mf_classes *classes)
{
    double sum = 0;
    int64_t n = 0;
    for (int64_t k = 0; k < classes->count; k++)
        if (v->cases[k]) {
            sum += v->dice[k] / (double)v->cases[k];
            n++;
        }
    return n ? sum / (double)n : 0;
}

static void score(const mf_classes *classes, const mf_labelled *s, const float *probability,
                  mf_validation *v)
{
    const uint16_t *truth = s->labels->data;
    int64_t voxels = s->size[0] * s->size[1] * s->size[2];
    for (int64_t k = 0; k < classes->count; k++) {
        int64_t both = 0, found = 0, there = 0;
        for (int64_t i = 0; i < voxels; i++) {
            bool yes = probability[k * voxels + i] >= 0.5f, is = truth[i] == classes->label[k];
            found += yes;
            there += is;
            both += yes && is;
        }
        if (!there)
            continue;
        v->dice[k] += 2 * (double)both / (double)(found + there);
        v->cases[k]++;
    }
}

static mf_status step(void *task, int64_t done, int64_t total)
{
    (void)done;
    (void)total;
    return mf_cancel_point(task);
}

mf_status mf_validate_sample(mf_task *t, mf_predictor *predictor, const mf_priors *priors,
                             const mf_classes *classes, double overlap, const mf_artifact *sample,
                             mf_validation *v)
{
    const mf_segmenting how = {
        .overlap = overlap, .uniform = true, .repeat_last = true, .step = step, .user = t};
    mf_labelled s;
    size_t bytes;
    MF_TRY(mf_labelled_read(sample, &s));
    float *probability = NULL;
    if (mf_size_mul((size_t)mf_array_count(s.image) * sizeof(float), (size_t)classes->count,
                    &bytes))
        probability = malloc(bytes);
    mf_status status = probability
                           ? mf_predictor_segment(predictor, s.image->data, s.size, priors, 0,
                                                  classes->count, &how, probability)
                           : mf_no_memory(0, "%lld probability maps", (long long)classes->count);
    if (!status)
        score(classes, &s, probability, v);
    free(probability);
    mf_labelled_clear(&s);
    return status;
}
