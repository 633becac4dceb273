/* norm.c - references of instance norm and batch norm, with and without the ReLU that is fused, and
 * of layer norm. */
#include "check/reference.h"

#include <string.h>

/* ---- instance norm; i: whether with ReLU; f: eps --------------------------------------------- */

/* One channel of one n: `voxels` elements, `step` apart. */
typedef struct channel {
    int64_t first, step, voxels;
    double mean, scale; /* scale: 1 / deviation */
} channel;

static channel channel_of(const mf_check_case *c, const double *x, int64_t i)
{
    int64_t n = c->in[0].dim[0], channels = c->in[0].dim[c->in[0].rank - 1];
    channel t = {.step = channels, .voxels = mf_check_count(c, 0) / (n * channels)};
    t.first = i / channels * t.voxels * channels + i % channels;
    double variance = 0;
    for (int64_t u = 0; u < t.voxels; u++)
        t.mean += x[t.first + u * t.step] / (double)t.voxels;
    for (int64_t u = 0; u < t.voxels; u++)
        variance += pow(x[t.first + u * t.step] - t.mean, 2) / (double)t.voxels;
    t.scale = 1 / sqrt(variance + (double)(float)c->f);
    return t;
}

static int64_t channel_count(const mf_check_case *c)
{
    return c->in[0].dim[0] * c->in[0].dim[c->in[0].rank - 1];
}

static mf_value build_instance(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    mf_value y = mf_instance_norm(p, in[0], (float)c->f);
    return c->i[0] ? mf_relu(p, y) : y;
}

/* Mean and deviation are sums over the voxels: what they are wrong by is relative to a deviation,
 * which is 1 here. */
static void value_instance(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < channel_count(c); i++) {
        channel t = channel_of(c, in[0], i);
        for (int64_t u = 0; u < t.voxels; u++) {
            int64_t at = t.first + u * t.step;
            double hat = (in[0][at] - t.mean) * t.scale;
            out[at] = (mf_check_number){c->i[0] ? fmax(hat, 0) : hat, 1 + fabs(hat), t.voxels};
        }
    }
}

static void gradient_instance(const mf_check_case *c, double *const *in, int64_t count,
                              const double *g, mf_check_number *const *dx)
{
    (void)count;
    for (int64_t i = 0; i < channel_count(c); i++) {
        channel t = channel_of(c, in[0], i);
        double mean = 0, dot = 0, mean_size = 0, dot_size = 0;
        for (int64_t u = 0; u < t.voxels; u++) {
            int64_t at = t.first + u * t.step;
            double hat = (in[0][at] - t.mean) * t.scale, v = c->i[0] && hat <= 0 ? 0 : g[at];
            mean += v / (double)t.voxels;
            dot += v * hat / (double)t.voxels;
            mean_size += fabs(v) / (double)t.voxels;
            dot_size += fabs(v) * (1 + fabs(hat)) / (double)t.voxels;
        }
        for (int64_t u = 0; u < t.voxels; u++) {
            int64_t at = t.first + u * t.step;
            double hat = (in[0][at] - t.mean) * t.scale, v = c->i[0] && hat <= 0 ? 0 : g[at];
            double size = fabs(v) + mean_size + (1 + fabs(hat)) * dot_size;
            dx[0][at] =
                (mf_check_number){t.scale * (v - mean - hat * dot), t.scale * size, t.voxels};
        }
    }
}

/* No voxel where rounding decides on which side of the ReLU it lies. */
static void prepare_instance(const mf_check_case *c, double *const *in)
{
    for (int64_t i = 0; i < channel_count(c); i++)
        for (int rounds = 0, moved = c->i[0] != 0; moved && rounds < 8; rounds++) {
            channel t = channel_of(c, in[0], i);
            moved = 0;
            for (int64_t u = 0; u < t.voxels; u++) {
                double *x = &in[0][t.first + u * t.step], hat = (*x - t.mean) * t.scale;
                if (fabs(hat) > 1e-3 || t.voxels == 1)
                    continue;
                *x = (double)(float)(t.mean + (hat < 0 ? -0.01 : 0.01) / t.scale);
                moved = 1;
            }
        }
}

static const mf_check_op op_instance[] = {
    {"instance_norm", build_instance, value_instance, gradient_instance, {4, 8}, prepare_instance},
    {"instance_norm, relu",
     build_instance,
     value_instance,
     gradient_instance,
     {4, 8},
     prepare_instance},
};

/* ---- batch norm of x by gain, bias, running mean and variance; i: whether with ReLU, frozen, ten
 * shares; f: eps --------------------------------------------------------------------------------
 */

static mf_value build_batch(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    const mf_norm_weights w = {in[1], in[2], in[3], in[4]};
    mf_value y = mf_batch_norm(p, in[0], &w, (float)c->f, 0.1f, c->i[1] ? 0 : (float)c->i[2] / 10);
    return c->i[0] ? mf_relu(p, y) : y;
}

/* A channel of all n, by its own statistics or the running ones; *variance: biased. */
static channel batch_channel(const mf_check_case *c, double *const *in, int64_t i, double *variance)
{
    channel t = {.first = i, .step = c->in[1].dim[0]};
    t.voxels = mf_check_count(c, 0) / t.step;
    *variance = 0;
    if (c->i[1]) {
        t.mean = in[3][i];
        *variance = in[4][i];
    }
    for (int64_t u = 0; u < t.voxels && !c->i[1]; u++)
        t.mean += in[0][i + u * t.step] / (double)t.voxels;
    for (int64_t u = 0; u < t.voxels && !c->i[1]; u++)
        *variance += pow(in[0][i + u * t.step] - t.mean, 2) / (double)t.voxels;
    t.scale = 1 / sqrt(*variance + (double)(float)c->f);
    return t;
}

static void value_batch(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    double variance;
    for (int64_t i = 0; i < c->in[1].dim[0]; i++) {
        channel t = batch_channel(c, in, i, &variance);
        for (int64_t u = 0; u < t.voxels; u++) {
            int64_t at = t.first + u * t.step;
            double hat = (in[0][at] - t.mean) * t.scale, y = hat * in[1][i] + in[2][i];
            double size = (1 + fabs(hat)) * fabs(in[1][i]) + fabs(in[2][i]);
            out[at] = (mf_check_number){c->i[0] ? fmax(y, 0) : y, size, t.voxels};
        }
    }
}

static void gradient_batch(const mf_check_case *c, double *const *in, int64_t count,
                           const double *g, mf_check_number *const *dx)
{
    (void)count;
    double variance, share = (double)((float)c->i[2] / 10);
    for (int64_t i = 0; i < c->in[1].dim[0]; i++) {
        channel t = batch_channel(c, in, i, &variance);
        mf_check_number sum = {0}, dot = {0};
        for (int64_t u = 0; u < t.voxels; u++) {
            int64_t at = t.first + u * t.step;
            double hat = (in[0][at] - t.mean) * t.scale;
            double v = c->i[0] && hat * in[1][i] + in[2][i] <= 0 ? 0 : g[at];
            mf_term(&sum, v);
            mf_term_of(&dot, v * hat, fabs(v) * (1 + fabs(hat)));
        }
        dx[1][i] = dot;
        dx[2][i] = sum;
        double mean = c->i[1] ? 0 : sum.value / (double)t.voxels;
        double mean_dot = c->i[1] ? 0 : dot.value / (double)t.voxels;
        for (int64_t u = 0; u < t.voxels; u++) {
            int64_t at = t.first + u * t.step;
            double hat = (in[0][at] - t.mean) * t.scale, scale = t.scale * in[1][i];
            double v = c->i[0] && hat * in[1][i] + in[2][i] <= 0 ? 0 : g[at];
            double size = fabs(v) + (sum.size + (1 + fabs(hat)) * dot.size) / (double)t.voxels;
            dx[0][at] = (mf_check_number){scale * (v - mean - hat * mean_dot), fabs(scale) * size,
                                          t.voxels};
        }
        if (c->i[1])
            continue;
        /* what the running statistics approach */
        dx[3][i] =
            (mf_check_number){share * t.mean, share * (fabs(t.mean) + 1 / t.scale), t.voxels};
        variance *= (double)t.voxels / (double)(t.voxels - 1);
        dx[4][i] = (mf_check_number){share * variance, share * variance, t.voxels};
    }
}

/* No voxel where rounding decides on which side of the ReLU it lies; variances are positive. */
static void prepare_batch(const mf_check_case *c, double *const *in)
{
    double variance;
    for (int64_t i = 0; i < c->in[1].dim[0]; i++) {
        in[4][i] = (double)(float)(0.5 + fabs(in[4][i]));
        for (int rounds = 0, moved = c->i[0] != 0; moved && rounds < 8; rounds++) {
            channel t = batch_channel(c, in, i, &variance);
            moved = 0;
            for (int64_t u = 0; u < t.voxels; u++) {
                double *x = &in[0][t.first + u * t.step];
                double y = (*x - t.mean) * t.scale * in[1][i] + in[2][i];
                if (fabs(y) > 1e-3)
                    continue;
                *x = (double)(float)(*x + (y < 0 ? -0.01 : 0.01) / (t.scale * in[1][i]));
                moved = 1;
            }
        }
    }
}

static const mf_check_op op_batch[] = {
    {"batch_norm", build_batch, value_batch, gradient_batch, {6, 10}, prepare_batch},
    {"batch_norm, relu", build_batch, value_batch, gradient_batch, {6, 10}, prepare_batch},
};

static void add_batch(mf_check_list *list, int relu, int frozen, const int64_t *dim, bool quick,
                      bool model)
{
    const int64_t n = dim[4];
    mf_check_case c = {.op = &op_batch[relu],
                       .inputs = 5,
                       .in = {{5, .low = -1, .high = 3},
                              {1, {n}},
                              {1, {n}},
                              {1, {n}, MF_CHECK_FOLLOWER},
                              {1, {n}, MF_CHECK_FOLLOWER}},
                       .i = {relu, frozen, 5},
                       .f = 1e-5,
                       .quick = quick,
                       .model = model};
    memcpy(c.in[0].dim, dim, 5 * sizeof *dim);
    mf_check_add(list, c);
}

static void add_batches(mf_check_list *list)
{
    static const int64_t sizes[][5] = {
        {2, 3, 1, 5, 3}, {2, 2, 3, 1, 16}, {2, 7, 11, 9, 8}, {1, 5, 6, 7, 20}};
    for (int relu = 0; relu < 2; relu++)
        for (int frozen = 0; frozen < 2; frozen++)
            for (int k = 0; k < COUNT_OF(sizes); k++)
                add_batch(list, relu, frozen, sizes[k], k == 0, false);
    add_batch(list, 1, 0, (const int64_t[]){1, 16, 16, 16, 64}, false, true);
}

/* ---- layer norm; f: eps ---------------------------------------------------------------------- */

static mf_value build_layer(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    return mf_layer_norm(p, in[0], in[1], in[2], (float)c->f);
}

static void row_of(const mf_check_case *c, const double *x, double *mean, double *scale)
{
    int64_t n = c->in[1].dim[0];
    double variance = 0;
    *mean = 0;
    for (int64_t k = 0; k < n; k++)
        *mean += x[k] / (double)n;
    for (int64_t k = 0; k < n; k++)
        variance += (x[k] - *mean) * (x[k] - *mean) / (double)n;
    *scale = 1 / sqrt(variance + (double)(float)c->f);
}

static void value_layer(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    int64_t n = c->in[1].dim[0];
    for (int64_t r = 0; r < mf_check_count(c, 0) / n; r++) {
        const double *x = in[0] + r * n;
        double mean, scale;
        row_of(c, x, &mean, &scale);
        for (int64_t k = 0; k < n; k++) {
            double hat = (x[k] - mean) * scale, gain = in[1][k], bias = in[2][k];
            out[r * n + k] =
                (mf_check_number){hat * gain + bias, (1 + fabs(hat)) * fabs(gain) + fabs(bias), n};
        }
    }
}

static void gradient_layer(const mf_check_case *c, double *const *in, int64_t count,
                           const double *g, mf_check_number *const *dx)
{
    int64_t n = c->in[1].dim[0];
    for (int64_t r = 0; r < count / n; r++) {
        const double *x = in[0] + r * n, *gr = g + r * n;
        double mean, scale, sum = 0, dot = 0, sum_size = 0, dot_size = 0;
        row_of(c, x, &mean, &scale);
        for (int64_t k = 0; k < n; k++) {
            double hat = (x[k] - mean) * scale, v = gr[k] * in[1][k];
            sum += v / (double)n;
            dot += v * hat / (double)n;
            sum_size += fabs(v) / (double)n;
            dot_size += fabs(v) * (1 + fabs(hat)) / (double)n;
            mf_term_of(&dx[1][k], gr[k] * hat, fabs(gr[k]) * (1 + fabs(hat)));
            mf_term(&dx[2][k], gr[k]);
        }
        for (int64_t k = 0; k < n; k++) {
            double hat = (x[k] - mean) * scale, v = gr[k] * in[1][k];
            double size = fabs(v) + sum_size + (1 + fabs(hat)) * dot_size;
            dx[0][r * n + k] = (mf_check_number){scale * (v - sum - hat * dot), scale * size, n};
        }
    }
}

static const mf_check_op op_layer = {
    "layer_norm", build_layer, value_layer, gradient_layer, {5, 8}};

void mf_check_norm(mf_check_list *list)
{
    static const int64_t channels[] = {1, 2, 3, 8, 16, 32, 48};
    for (int relu = 0; relu < 2; relu++) {
        const mf_check_op *op = &op_instance[relu];
        for (int k = 0; k < COUNT_OF(channels); k++) {
            int64_t n = channels[k];
            mf_check_add(list, (mf_check_case){.op = op,
                                               .inputs = 1,
                                               .in = {{5, {2, 3, 1, 5, n}, .low = -1, .high = 3}},
                                               .i = {relu},
                                               .f = 1e-4,
                                               .quick = n == 3});
            /* more than one chunk of voxels, the last one short; a mean 170 deviations from 0 */
            mf_check_add(list,
                         (mf_check_case){.op = op,
                                         .inputs = 1,
                                         .in = {{5, {2, 7, 11, 9, n}, .low = 99, .high = 101}},
                                         .i = {relu},
                                         .f = 1e-5});
        }
        mf_check_add(list, (mf_check_case){.op = op,
                                           .inputs = 1,
                                           .in = {{5, {1, 24, 24, 24, 32}}},
                                           .i = {relu},
                                           .f = 1e-4,
                                           .model = true});
    }
    add_batches(list);
    static const int64_t widths[] = {2, 3, 8, 16, 33, 96};
    for (int k = 0; k < COUNT_OF(widths); k++) {
        int64_t n = widths[k];
        mf_check_add(list, (mf_check_case){.op = &op_layer,
                                           .inputs = 3,
                                           .in = {{3, {2, 3, n}}, {1, {n}}, {1, {n}}},
                                           .f = 1e-5,
                                           .quick = n == 33});
    }
    mf_check_add(list, (mf_check_case){.op = &op_layer,
                                       .inputs = 3,
                                       .in = {{3, {1, 1024, 256}}, {1, {256}}, {1, {256}}},
                                       .f = 1e-5,
                                       .model = true});
}
