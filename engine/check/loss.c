/* loss.c - references of softmax and of the losses. */
#include "check/reference.h"

/* ---- softmax --------------------------------------------------------------------------------- */

static mf_value build_softmax(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_softmax(p, in[0]);
}

/* Log of the sum of exponentials, and what the distances to the largest come to: an exponent is
 * rounded relative to its size before exp. */
static double log_sum_exp(const double *x, int64_t n, double *most, double *distance)
{
    double all = 0, weighted = 0;
    *most = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        *most = fmax(*most, x[i]);
    for (int64_t i = 0; i < n; i++) {
        all += exp(x[i] - *most);
        weighted += exp(x[i] - *most) * (*most - x[i]);
    }
    *distance = weighted / all;
    return *most + log(all);
}

static void value_softmax(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t n = c->in[0].dim[1];
    for (int64_t r = 0; r < c->in[0].dim[0]; r++) {
        const double *x = in[0] + r * n;
        double most, distance, sum = log_sum_exp(x, n, &most, &distance);
        for (int64_t i = 0; i < n; i++) {
            double y = exp(x[i] - sum);
            out[r * n + i] = (mf_check_number){y, y * (1 + most - x[i] + distance), n};
        }
    }
}

static void gradient_softmax(const mf_check_case *c, double *const *in, int64_t count,
                             const double *g, mf_check_number *const *dx)
{
    int64_t n = c->in[0].dim[1];
    for (int64_t r = 0; r < count / n; r++) {
        const double *x = in[0] + r * n, *gr = g + r * n;
        double most, distance, sum = log_sum_exp(x, n, &most, &distance), dot = 0, size = 0;
        for (int64_t i = 0; i < n; i++) {
            dot += exp(x[i] - sum) * gr[i];
            size += exp(x[i] - sum) * fabs(gr[i]) * (1 + most - x[i] + distance);
        }
        for (int64_t i = 0; i < n; i++) {
            double y = exp(x[i] - sum), own = 1 + most - x[i] + distance;
            dx[0][r * n + i] = (mf_check_number){y * (gr[i] - dot),
                                                 y * (own * (fabs(gr[i]) + fabs(dot)) + size), n};
        }
    }
}

/* exp 3, division 2.5, product 0.5; in the gradient twice, and products */
static const mf_check_op op_softmax = {
    "softmax", build_softmax, value_softmax, gradient_softmax, {6, 14}};

/* ---- Dice ------------------------------------------------------------------------------------ */

static mf_value build_dice(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_dice_loss(p, in[0], in[1]);
}

/* What a mask's loss is made of. `size_fn`: 1 - p cancels where p is near 1. */
typedef struct dice {
    double tp, fp, fn, size_fn, alpha, slope, under;
    double d_tp, d_fp, d_fn, size_tp, size_fp, size_dfn;
} dice;

static double logistic(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* With L = 1 - TP / B, B = TP + a FP + (1 - a) FN + tiny, a = FP / S, S = FP + FN + tiny. */
static dice dice_of(const double *x, const double *t, int64_t n)
{
    const double tiny = 1e-6;
    dice d = {0};
    for (int64_t i = 0; i < n; i++) {
        double p = logistic(x[i]);
        d.tp += p * t[i];
        d.fp += p * (1 - t[i]);
        d.fn += logistic(-x[i]) * t[i];
        d.size_fn += t[i];
    }
    double s = d.fp + d.fn + tiny, ratio = d.fp / s;
    d.alpha = fmin(fmax(ratio, 0.2), 0.8);
    d.slope = ratio >= 0.2 && ratio <= 0.8 ? (d.fp - d.fn) / (s * s) : 0;
    d.under = d.tp + d.alpha * d.fp + (1 - d.alpha) * d.fn + tiny;
    double square = d.under * d.under, slope = fabs(d.slope) * (1 + d.size_fn / s);
    d.d_tp = -(d.under - d.tp) / square;
    d.d_fp = d.tp / square * (d.alpha + d.slope * (d.fn + tiny));
    d.d_fn = d.tp / square * (1 - d.alpha - d.slope * d.fp);
    d.size_tp = (d.under + d.tp) / square;
    d.size_fp = d.tp / square * (d.alpha + slope * (d.size_fn + tiny));
    d.size_dfn = d.tp / square * (1 + slope * d.fp);
    return d;
}

static void value_dice(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t n = c->in[0].dim[1];
    for (int64_t r = 0; r < c->in[0].dim[0]; r++) {
        dice d = dice_of(in[0] + r * n, in[1] + r * n, n);
        out[r] =
            (mf_check_number){1 - d.tp / d.under,
                              1 + d.size_tp * d.tp + d.size_fp * d.fp + d.size_dfn * d.size_fn, n};
    }
}

static void gradient_dice(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                          mf_check_number *const *dx)
{
    int64_t n = c->in[0].dim[1];
    for (int64_t r = 0; r < count; r++) {
        const double *x = in[0] + r * n, *t = in[1] + r * n;
        dice d = dice_of(x, t, n);
        /* each of the sums stands to the power of 2 or less in what they are multiplied with */
        double sums = 2 * (1 + d.size_fn / (d.fn + 1e-6));
        for (int64_t i = 0; i < n; i++) {
            double p = logistic(x[i]), slope = p * logistic(-x[i]);
            double dp = t[i] * (d.d_tp - d.d_fn) + (1 - t[i]) * d.d_fp;
            double size = t[i] * (d.size_tp + d.size_dfn) + (1 - t[i]) * d.size_fp;
            dx[0][r * n + i] =
                (mf_check_number){g[r] * dp * slope, fabs(g[r]) * slope * size * sums, n};
        }
    }
}

/* p: exp 3, division 2.5, sum 0.5; then products and two divisions */
static const mf_check_op op_dice = {"dice_loss", build_dice, value_dice, gradient_dice, {12, 24}};

/* ---- binary cross entropy -------------------------------------------------------------------- */

static mf_value build_bce(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_bce_loss(p, in[0], in[1]);
}

static void value_bce(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t n = c->in[0].dim[1];
    for (int64_t e = 0; e < mf_check_count(c, 0); e++) {
        double x = in[0][e], t = in[1][e], part = log1p(exp(-fabs(x)));
        mf_term_of(&out[e / n], (fmax(x, 0) - x * t + part) / (double)n,
                   (fmax(x, 0) + fabs(x) * t + part) / (double)n);
    }
}

static void gradient_bce(const mf_check_case *c, double *const *in, int64_t count, const double *g,
                         mf_check_number *const *dx)
{
    int64_t n = c->in[0].dim[1];
    (void)count;
    for (int64_t e = 0; e < mf_check_count(c, 0); e++) {
        double p = logistic(in[0][e]), t = in[1][e];
        mf_term_of(&dx[0][e], g[e / n] / (double)n * (t > 0 ? -logistic(-in[0][e]) : p),
                   fabs(g[e / n]) / (double)n * (p + t));
    }
}

/* exp 3, log1p 2, division 2.5 */
static const mf_check_op op_bce = {"bce_loss", build_bce, value_bce, gradient_bce, {8, 9}};

/* ---- cross entropy --------------------------------------------------------------------------- */

static mf_value build_cross(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    (void)c;
    return mf_cross_entropy(p, in[0], in[1], in[2]);
}

static void value_cross(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t n = c->in[0].dim[1];
    double weights = 0;
    for (int64_t r = 0; r < c->in[0].dim[0]; r++)
        weights += in[2][r];
    for (int64_t e = 0; e < mf_check_count(c, 0); e++) {
        const double *x = in[0] + e / n * n;
        double most, distance, sum = log_sum_exp(x, n, &most, &distance);
        double w = in[2][e / n] * in[1][e] / weights;
        mf_term_of(&out[0], w * (sum - in[0][e]),
                   w * (1 + fabs(sum - most) + distance + most - in[0][e]));
    }
}

static void gradient_cross(const mf_check_case *c, double *const *in, int64_t count,
                           const double *g, mf_check_number *const *dx)
{
    int64_t n = c->in[0].dim[1], rows = c->in[0].dim[0];
    double weights = 0;
    (void)count;
    for (int64_t r = 0; r < rows; r++)
        weights += in[2][r];
    for (int64_t r = 0; r < rows; r++) {
        const double *x = in[0] + r * n, *t = in[1] + r * n;
        double most, distance, sum = log_sum_exp(x, n, &most, &distance), all = 0;
        for (int64_t i = 0; i < n; i++)
            all += t[i];
        for (int64_t i = 0; i < n; i++) {
            double w = g[0] * in[2][r] / weights, p = exp(x[i] - sum);
            /* the exponent is made of the logit, the largest and the log */
            double exponent = 1 + fabs(x[i]) + fabs(most) + fabs(sum - most) + distance;
            dx[0][r * n + i] = (mf_check_number){w * (all * p - t[i]),
                                                 fabs(w) * (all * p * exponent + t[i]), n + rows};
        }
    }
}

/* exp and log 3 each, division 2.5 */
static const mf_check_op op_cross = {
    "cross_entropy", build_cross, value_cross, gradient_cross, {10, 10}};

void mf_check_loss(mf_check_list *list)
{
    static const int64_t softmax[][2] = {{1, 1}, {3, 2}, {5, 7}, {2, 16}, {3, 100}, {1024, 100}};
    for (int s = 0; s < COUNT_OF(softmax); s++)
        for (int wide = 0; wide < 2; wide++)
            mf_check_add(list, (mf_check_case){.op = &op_softmax,
                                               .inputs = 1,
                                               .in = {{2,
                                                       {softmax[s][0], softmax[s][1]},
                                                       .low = wide ? -40 : -3,
                                                       .high = wide ? 40 : 3}},
                                               .quick = s == 2 && !wide,
                                               .model = s == COUNT_OF(softmax) - 1 && !wide});
    /* logits that lean down or up bring alpha below, inside and above its bounds */
    static const double lows[] = {-7, -2, 0};
    static const int64_t masks[][2] = {{1, 3}, {3, 77}, {2, 160}, {3, 9001}, {8, 32 * 32 * 32}};
    for (int s = 0; s < COUNT_OF(masks); s++)
        for (int k = 0; k < 3; k++)
            mf_check_add(
                list,
                (mf_check_case){
                    .op = &op_dice,
                    .inputs = 2,
                    .in = {{2, {masks[s][0], masks[s][1]}, .low = lows[k], .high = lows[k] + 5},
                           {2, {masks[s][0], masks[s][1]}, MF_CHECK_MASK}},
                    .quick = s == 1 && k == 1,
                    .model = s == COUNT_OF(masks) - 1 && k == 1});
    for (int s = 0; s < COUNT_OF(masks); s++)
        mf_check_add(list,
                     (mf_check_case){.op = &op_bce,
                                     .inputs = 2,
                                     .in = {{2, {masks[s][0], masks[s][1]}, .low = -30, .high = 30},
                                            {2, {masks[s][0], masks[s][1]}, MF_CHECK_MASK}},
                                     .quick = s == 1,
                                     .model = s == COUNT_OF(masks) - 1});
    static const int64_t cross[][2] = {{1, 2}, {5, 3}, {9, 20}, {5000, 3}, {100, 33}};
    for (int s = 0; s < COUNT_OF(cross); s++)
        mf_check_add(
            list, (mf_check_case){.op = &op_cross,
                                  .inputs = 3,
                                  .in = {{2, {cross[s][0], cross[s][1]}},
                                         {2, {cross[s][0], cross[s][1]}, MF_CHECK_CONSTANT, 0, 1},
                                         {1, {cross[s][0]}, MF_CHECK_CONSTANT, 0.1, 2}},
                                  .quick = s == 1,
                                  .model = s == COUNT_OF(cross) - 1});
}
