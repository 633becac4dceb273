/* scores.c - AUC, accuracy, confusion. */
#include "scores.h"

#include <math.h>
#include <stdlib.h>

bool mf_scores_auc(const double *score, const bool *positive, int64_t n, double *auc)
{
    double wins = 0;
    int64_t yes = 0;
    for (int64_t i = 0; i < n; i++) {
        yes += positive[i];
        for (int64_t j = 0; j < n && positive[i]; j++)
            if (!positive[j])
                wins += score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0;
    }
    if (yes == 0 || yes == n)
        return false;
    *auc = wins / ((double)yes * (double)(n - yes));
    return true;
}

static mf_status add_auc(const double *probability, const int64_t *truth, int64_t n,
                         int64_t classes, mf_scores *s)
{
    double *score = calloc((size_t)n, sizeof *score), auc, sum = 0;
    bool *positive = calloc((size_t)n, sizeof *positive);
    mf_status status = score && positive ? MF_OK : mf_no_memory(0, "scores");
    int64_t first = classes == 2 ? 1 : 0;
    for (int64_t c = first; c < classes && !status; c++) {
        for (int64_t i = 0; i < n; i++) {
            score[i] = probability[i * classes + c];
            positive[i] = truth[i] == c;
        }
        if (!mf_scores_auc(score, positive, n, &auc))
            continue;
        sum += auc;
        s->auc_classes++;
    }
    s->auc = s->auc_classes ? sum / (double)s->auc_classes : NAN;
    free(score);
    free(positive);
    return status;
}

mf_status mf_scores_make(const double *probability, const int64_t *truth, int64_t n,
                         int64_t classes, mf_scores *scores)
{
    *scores = (mf_scores){0};
    if (n < 1)
        return mf_fail(MF_INVALID, "there are no test cases");
    scores->confusion = calloc((size_t)(classes * classes), sizeof(int64_t));
    if (!scores->confusion)
        return mf_no_memory((size_t)(classes * classes) * sizeof(int64_t), "%lld classes",
                            (long long)classes);
    mf_status status = add_auc(probability, truth, n, classes, scores);
    if (status) {
        mf_scores_clear(scores);
        return status;
    }
    int64_t right = 0, present = 0;
    for (int64_t i = 0; i < n; i++) {
        const double *p = probability + i * classes;
        int64_t best = 0;
        for (int64_t c = 1; c < classes; c++)
            best = p[c] > p[best] ? c : best;
        scores->confusion[truth[i] * classes + best]++;
        right += best == truth[i];
    }
    scores->accuracy = (double)right / (double)n;
    for (int64_t c = 0; c < classes; c++) {
        int64_t all = 0;
        for (int64_t k = 0; k < classes; k++)
            all += scores->confusion[c * classes + k];
        if (all > 0) {
            scores->balanced += (double)scores->confusion[c * classes + c] / (double)all;
            present++;
        }
    }
    scores->balanced /= (double)present;
    return MF_OK;
}

void mf_scores_clear(mf_scores *scores)
{
    free(scores->confusion);
    *scores = (mf_scores){0};
}
