/* quality.c - AUC with its interval, decisions, calibration. */
#include "quality.h"

#include <math.h>
#include <stdlib.h>

static const double z95 = 1.959963984540054; /* standard normal at 0.975 */

/* The mean of those that are numbers; NaN of none. */
typedef struct mean {
    double sum;
    int64_t count;
} mean;

static void add(mean *m, double value)
{
    if (isnan(value))
        return;
    m->sum += value;
    m->count++;
}

static double of(const mean *m)
{
    return m->count ? m->sum / (double)m->count : NAN;
}

int64_t mf_quality_best(const double *p, int64_t classes)
{
    int64_t best = 0;
    for (int64_t c = 1; c < classes; c++)
        best = p[c] > p[best] ? c : best;
    return best;
}

/* What is measured, and room for it. */
typedef struct work {
    const double *p;
    const uint8_t *truth;
    int64_t n, classes;
    bool multi_label;
    double *share; /* [n]: of each case, of one AUC */
    double *part;  /* [n]: of each case, of the mean of AUCs */
} work;

static bool is(const work *w, int64_t i, int64_t c)
{
    return w->truth[i * w->classes + c];
}

static double p_of(const work *w, int64_t i, int64_t c)
{
    return w->p[i * w->classes + c];
}

static bool decided(const work *w, int64_t i, int64_t c)
{
    if (w->multi_label)
        return p_of(w, i, c) > 0.5;
    return mf_quality_best(w->p + i * w->classes, w->classes) == c;
}

/* ---- AUC ------------------------------------------------------------------------------------- *
 * V(i) of a positive case is the part of the negative ones that score below it, of a negative one
 * the part of the positive ones above it; ties count half (DeLong et al. 1988, "structural
 * components"). AUC is the mean of either kind, and its variance S10 / m + S01 / n. */

/* share[i]: what case i adds to AUC's variance, its root, with its sign. */
static void auc_of(const work *w, int64_t c, mf_class_quality *q)
{
    const int64_t m = q->positives, n = w->n - m;
    double sum = 0, variance = 0;
    q->auc = q->auc_low = q->auc_high = NAN;
    if (m == 0 || n == 0)
        return;
    for (int64_t i = 0; i < w->n; i++)
        w->share[i] = 0;
    for (int64_t i = 0; i < w->n; i++)
        for (int64_t j = 0; j < w->n; j++) {
            if (!is(w, i, c) || is(w, j, c))
                continue;
            double a = p_of(w, i, c), b = p_of(w, j, c), win = a > b ? 1 : a == b ? 0.5 : 0;
            w->share[i] += win / (double)n;
            w->share[j] += win / (double)m;
            sum += win;
        }
    q->auc = sum / ((double)m * (double)n);
    if (m == 1 || n == 1)
        return;
    for (int64_t i = 0; i < w->n; i++) {
        const double k = (double)(is(w, i, c) ? m : n);
        w->share[i] = (w->share[i] - q->auc) / sqrt(k * (k - 1));
        variance += w->share[i] * w->share[i];
    }
    q->auc_low = fmax(0, q->auc - z95 * sqrt(variance));
    q->auc_high = fmin(1, q->auc + z95 * sqrt(variance));
}

/* Of all: one class of two, or the mean with each case's components of all classes added. */
static void auc_of_all(work *w, mf_quality *q)
{
    mean auc = {0, 0};
    double variance = 0;
    bool known = true; /* the interval */
    const bool second = w->classes == 2 && !w->multi_label;
    for (int64_t c = second ? 1 : 0; c < w->classes; c++) {
        auc_of(w, c, &q->of[c]);
        add(&auc, q->of[c].auc);
        if (isnan(q->of[c].auc))
            continue;
        known = known && !isnan(q->of[c].auc_low);
        for (int64_t i = 0; i < w->n; i++)
            w->part[i] += w->share[i];
    }
    if (second)
        auc_of(w, 0, &q->of[0]);
    q->all.auc = of(&auc);
    q->all.auc_low = q->all.auc_high = NAN;
    if (!auc.count || !known)
        return;
    for (int64_t i = 0; i < w->n; i++)
        variance += w->part[i] * w->part[i];
    const double deviation = sqrt(variance) / (double)auc.count;
    q->all.auc_low = fmax(0, q->all.auc - z95 * deviation);
    q->all.auc_high = fmin(1, q->all.auc + z95 * deviation);
}

/* ---- decisions ------------------------------------------------------------------------------- */

static double part_of(int64_t a, int64_t b)
{
    return b > 0 ? (double)a / (double)b : NAN;
}

/* *sensitivity: NaN where no case has the class. */
static void decisions_of(const work *w, int64_t c, mf_class_quality *q, double *sensitivity)
{
    int64_t true_positive = 0, true_negative = 0, positive = 0, predicted = 0;
    mean balanced = {0, 0};
    for (int64_t i = 0; i < w->n; i++) {
        bool yes = decided(w, i, c), truth = is(w, i, c);
        positive += truth;
        predicted += yes;
        true_positive += yes && truth;
        true_negative += !yes && !truth;
    }
    *sensitivity = part_of(true_positive, positive);
    add(&balanced, *sensitivity);
    add(&balanced, part_of(true_negative, w->n - positive));
    q->positives = positive;
    q->accuracy = part_of(true_positive + true_negative, w->n);
    q->balanced_accuracy = balanced.count == 2 ? of(&balanced) : NAN;
    q->f1 = part_of(2 * true_positive, positive + predicted);
}

static void decisions_of_all(const work *w, mf_quality *q)
{
    mean sensitivity = {0, 0}, balanced = {0, 0}, f1 = {0, 0}, accuracy = {0, 0};
    for (int64_t c = 0; c < w->classes; c++) {
        double own;
        decisions_of(w, c, &q->of[c], &own);
        add(&sensitivity, own);
        add(&balanced, q->of[c].balanced_accuracy);
        add(&f1, q->of[c].f1);
        add(&accuracy, q->of[c].accuracy);
    }
    q->all.positives = w->n;
    q->all.f1 = of(&f1);
    q->all.balanced_accuracy = of(w->multi_label ? &balanced : &sensitivity);
    q->all.accuracy = of(&accuracy);
    if (w->multi_label)
        return;
    int64_t right = 0;
    for (int64_t i = 0; i < w->n; i++)
        right += is(w, i, mf_quality_best(w->p + i * w->classes, w->classes));
    q->all.accuracy = part_of(right, w->n);
}

/* ---- calibration ----------------------------------------------------------------------------- */

typedef struct bins {
    double confidence[MF_QUALITY_BINS], right[MF_QUALITY_BINS];
} bins;

static void put(bins *b, double p, bool right)
{
    int i = (int)(p * MF_QUALITY_BINS);
    i = i < 0 ? 0 : i >= MF_QUALITY_BINS ? MF_QUALITY_BINS - 1 : i;
    b->confidence[i] += p;
    b->right[i] += right;
}

/* sum over bins of (cases of the bin / n) |mean confidence - part that is right| */
static double error_of(const bins *b, int64_t n)
{
    double sum = 0;
    for (int i = 0; i < MF_QUALITY_BINS; i++)
        sum += fabs(b->confidence[i] - b->right[i]);
    return sum / (double)n;
}

/* -log of the probability of what is true, at most that of 1e-12. */
static double surprise(double p)
{
    return -log(fmax(p, 1e-12));
}

static void calibration(const work *w, mf_quality *q)
{
    mean brier = {0, 0}, ece = {0, 0}, log_loss = {0, 0};
    bins top = {{0}, {0}};
    for (int64_t c = 0; c < w->classes; c++) {
        mf_class_quality *own = &q->of[c];
        bins b = {{0}, {0}};
        own->brier = own->log_loss = 0;
        for (int64_t i = 0; i < w->n; i++) {
            double p = p_of(w, i, c), d = p - is(w, i, c);
            put(&b, p, is(w, i, c));
            own->brier += d * d / (double)w->n;
            own->log_loss += surprise(is(w, i, c) ? p : 1 - p) / (double)w->n;
        }
        own->ece = error_of(&b, w->n);
        add(&brier, own->brier);
        add(&ece, own->ece);
        add(&log_loss, own->log_loss);
    }
    q->all.brier = of(&brier);
    q->all.ece = of(&ece);
    q->all.log_loss = of(&log_loss);
    if (w->multi_label)
        return;
    q->all.log_loss = 0;
    for (int64_t i = 0; i < w->n; i++) {
        const int64_t best = mf_quality_best(w->p + i * w->classes, w->classes);
        put(&top, p_of(w, i, best), is(w, i, best));
        for (int64_t c = 0; c < w->classes; c++)
            if (is(w, i, c))
                q->all.log_loss += surprise(p_of(w, i, c)) / (double)w->n;
    }
    q->all.ece = error_of(&top, w->n);
}

mf_status mf_quality_make(const double *probability, const uint8_t *truth, int64_t n,
                          int64_t classes, bool multi_label, mf_quality *q)
{
    work w = {probability, truth, n, classes, multi_label, NULL, NULL};
    *q = (mf_quality){0};
    if (n < 1)
        return mf_fail(MF_INVALID, "there are no cases to judge by");
    q->of = calloc((size_t)classes, sizeof *q->of);
    w.share = calloc((size_t)n, sizeof *w.share);
    w.part = calloc((size_t)n, sizeof *w.part);
    mf_status status =
        q->of && w.share && w.part ? MF_OK : mf_no_memory(0, "scores of %lld cases", (long long)n);
    if (!status) {
        decisions_of_all(&w, q);
        auc_of_all(&w, q);
        calibration(&w, q);
    } else {
        mf_quality_clear(q);
    }
    free(w.share);
    free(w.part);
    return status;
}

void mf_quality_clear(mf_quality *q)
{
    free(q->of);
    *q = (mf_quality){0};
}
