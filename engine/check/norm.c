/* norm.c - references of instance norm, with and without the ReLU that is fused with it, and of
 * layer norm. */
#include "check/reference.h"

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
