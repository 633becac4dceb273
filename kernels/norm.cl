/* norm.cl - instance norm over [N,V,C] (each n and channel) and layer norm over [rows,C].
 *
 * Instance norm goes over V in chunks of `chunk` voxels: a chunk's mean and sum of squared
 * deviations (M2), merged as Chan, Golub and LeVeque 1979 do; so the variance is as good as a
 * two-pass one. A mean is a pair of floats, what rounding took from the first in the second: an error
 * of the mean would move every voxel of a channel, and tip over the ReLUs near 0. Work-item i of a
 * stage takes channels of block i % blocks in chunk i / blocks.
 *
 * AFFINE: the same for batch norm, which is instance norm of all n together as one, N = 1, with gain and
 * bias [C], and with the statistics that it leaves beside. */
#include "common.clh"

#ifdef AFFINE
#define GAIN_AND_BIAS IN gain, IN bias,
#define IF_AFFINE(...) __VA_ARGS__
#define SCALED(hat, gain, bias) ((hat) * (gain) + (bias))
#define GAINED(scale, gain) ((scale) * (gain))
#else
#define GAIN_AND_BIAS
#define IF_AFFINE(...)
#define SCALED(hat, gain, bias) (hat)
#define GAINED(scale, gain) (scale)
#endif

#define INNER 32 /* voxels added up before they join a longer sum */

/* Parts [N, chunks, 3, C]: mean, the rest of it, M2. Range: blocks * chunks, N. */
ROWS __kernel void instance_parts(int V, int C, int chunk, int chunks, IN x, OUT parts)
{
    int blocks = (C + WIDE - 1) / WIDE;
    int b = get_global_id(0) % blocks * WIDE, k = get_global_id(0) / blocks;
    if (k >= chunks)
        return;
    int left = C - b;
    long n = get_global_id(1);
    int first = k * chunk, end = min(first + chunk, V);
    __global const float *row = x + n * V * C + b;
    wide sum = (wide)(0.0f), rest = (wide)(0.0f), m2 = (wide)(0.0f);
    for (int v = first; v < end; v += INNER) {
        wide part = (wide)(0.0f);
        for (int u = v; u < min(v + INNER, end); u++)
            part += load(row + (long)u * C, left);
        sum += part;
    }
    wide mean = sum / (float)(end - first);
    for (int v = first; v < end; v += INNER) {
        wide part = (wide)(0.0f), squares = (wide)(0.0f);
        for (int u = v; u < min(v + INNER, end); u++) {
            wide d = load(row + (long)u * C, left) - mean;
            part += d;
            squares = d * d + squares;
        }
        rest += part;
        m2 += squares;
    }
    rest /= (float)(end - first);
    __global float *to = parts + (n * chunks + k) * 3 * C + b;
    store(mean, to, left);
    store(rest, to + C, left);
    store(m2 - rest * rest * (float)(end - first), to + 2 * C, left);
}

/* Adds up the lanes of each channel, C a divisor of WIDE, and gives every lane its channel's sum. */
static inline wide fold(wide v, int C)
{
    float t[WIDE], u[WIDE];
    WIDE_SUFFIX(vstore)(v, 0, t);
    for (int c = 0; c < WIDE; c++) {
        float all = 0.0f;
        for (int k = c % C; k < WIDE; k += C)
            all += t[k];
        u[c] = all;
    }
    return WIDE_SUFFIX(vload)(0, u);
}

/* The same for C a divisor of WIDE: a vector holds WIDE / C voxels. Range: chunks, N. */
ROWS __kernel void instance_parts_narrow(int V, int C, int chunk, int chunks, IN x, OUT parts)
{
    int k = get_global_id(0);
    if (k >= chunks)
        return;
    long n = get_global_id(1);
    int first = k * chunk, end = min(first + chunk, V);
    __global const float *row = x + n * V * C;
    long from = (long)first * C, to = (long)end * C;
    wide sum = (wide)(0.0f), rest = (wide)(0.0f), m2 = (wide)(0.0f);
    for (long i = from; i < to; i += INNER * WIDE) {
        wide part = (wide)(0.0f);
        for (long j = i; j < min(i + INNER * WIDE, to); j += WIDE)
            part += load(row + j, to - j);
        sum += part;
    }
    wide mean = fold(sum, C) / (float)(end - first);
    for (long i = from; i < to; i += INNER * WIDE) {
        wide part = (wide)(0.0f), squares = (wide)(0.0f);
        for (long j = i; j < min(i + INNER * WIDE, to); j += WIDE) {
            /* lanes past the end hold the mean of their channel: no deviation */
            wide d = load(row + j, to - j) - mean;
            if (to - j < WIDE) {
                float t[WIDE];
                WIDE_SUFFIX(vstore)(d, 0, t);
                for (int c = 0; c < WIDE; c++)
                    t[c] = c < to - j ? t[c] : 0.0f;
                d = WIDE_SUFFIX(vload)(0, t);
            }
            part += d;
            squares = d * d + squares;
        }
        rest += part;
        m2 += squares;
    }
    rest = fold(rest, C) / (float)(end - first);
    __global float *out = parts + (n * chunks + k) * 3 * C;
    store(mean, out, C);
    store(rest, out + C, C);
    store(fold(m2, C) - rest * rest * (float)(end - first), out + 2 * C, C);
}

/* stats [N,3,C]: mean, the rest of it, 1 / sqrt(variance + eps). Chunks are added up as they differ
 * from the first. AFFINE: moments [2,C], mean and unbiased variance times `share`. Range: blocks, N. */
ROWS __kernel void instance_merge(int V, int C, int chunk, int chunks, float eps,
                                  IF_AFFINE(float share, OUT moments, ) IN parts, OUT stats)
{
    int b = get_global_id(0) * WIDE;
    int left = C - b;
    long n = get_global_id(1);
    if (left <= 0)
        return;
    __global const float *part = parts + n * chunks * 3 * C + b;
    wide first = load(part, left), apart = (wide)(0.0f), m2 = (wide)(0.0f);
    for (int k = 0; k < chunks; k++)
        apart += (load(part + (long)k * 3 * C, left) - first + load(part + ((long)k * 3 + 1) * C, left)) *
                 (float)(min(chunk, V - k * chunk));
    apart /= (float)V;
    wide mean = first + apart, moved = mean - first; /* and what rounding took (Knuth's two-sum) */
    wide rest = (first - (mean - moved)) + (apart - moved);
    for (int k = 0; k < chunks; k++) {
        wide d = (load(part + (long)k * 3 * C, left) - mean) +
                 (load(part + ((long)k * 3 + 1) * C, left) - rest);
        m2 += load(part + ((long)k * 3 + 2) * C, left) + d * d * (float)(min(chunk, V - k * chunk));
    }
    store(mean, stats + n * 3 * C + b, left);
    store(rest, stats + (n * 3 + 1) * C + b, left);
    store(1.0f / sqrt(m2 / (float)V + eps), stats + (n * 3 + 2) * C + b, left);
#ifdef AFFINE
    store(share * (mean + rest), moments + b, left);
    store(share * (m2 / (float)(V - 1)), moments + C + b, left);
#endif
}

#ifdef AFFINE
/* The statistics of frozen batch norm, from the running ones. Range: vectors of C. */
ROWS __kernel void running_stats(int C, float eps, IN mean, IN variance, OUT stats)
{
    const int b = get_global_id(0) * WIDE, left = C - b;
    if (left <= 0)
        return;
    store(load(mean + b, left), stats + b, left);
    store((wide)(0.0f), stats + C + b, left);
    store(1.0f / sqrt(load_rest(variance + b, left, 1.0f) + eps), stats + 2 * C + b, left);
}
#endif

/* What channels i .. i + WIDE of a [.., C] row hold in a table [C]. */
static inline wide channels(__global const float *table, long i, int C)
{
    if (C % WIDE == 0)
        return WIDE_SUFFIX(vload)(0, table + i % C);
    if (C == 1)
        return (wide)(table[0]);
#if MF_CPU
    if (C == 8) {
        const float8 v = vload8(0, table);
        return (wide)(v, v);
    }
    if (C == 4) {
        const float4 v = vload4(0, table);
        return (wide)(v, v, v, v);
    }
#endif
    float t[WIDE];
    int c = i % C;
    for (int k = 0; k < WIDE; k++) {
        t[k] = table[c];
        c = c + 1 == C ? 0 : c + 1;
    }
    return WIDE_SUFFIX(vload)(0, t);
}

/* (x - mean) / deviation. */
#define HAT(x, mean, rest, scale) ((((x) - (mean)) - (rest)) * (scale))

/* y = (x - mean) / deviation (gain + bias), then ReLU if asked. In place. Range: vectors of V C, N. */
ITEMS __kernel void instance_apply(int V, int C, int relu, GAIN_AND_BIAS __global const float *x,
                                   IN stats, __global float *y)
{
    long i = (long)get_global_id(0) * WIDE, left = (long)V * C - i, n = get_global_id(1);
    if (left <= 0)
        return;
    long at = n * V * C + i;
    stats += n * 3 * C;
    wide v = HAT(load(x + at, left), channels(stats, i, C), channels(stats + C, i, C),
                 channels(stats + 2 * C, i, C));
    v = SCALED(v, channels(gain, i, C), channels(bias, i, C));
    store(relu ? fmax(v, 0.0f) : v, y + at, left);
}

/* Parts [N, chunks, 2, C]: sums of g and of g xhat, g masked by the ReLU. */
ROWS __kernel void instance_gradient_parts(int V, int C, int chunk, int chunks, int relu,
                                           GAIN_AND_BIAS IN x, IN stats, IN g, OUT parts)
{
    int blocks = (C + WIDE - 1) / WIDE;
    int b = get_global_id(0) % blocks * WIDE, k = get_global_id(0) / blocks;
    if (k >= chunks)
        return;
    int left = C - b;
    long n = get_global_id(1);
    int first = k * chunk, end = min(first + chunk, V);
    stats += n * 3 * C + b;
    wide mean = load(stats, left), rest = load(stats + C, left), scale = load(stats + 2 * C, left);
    IF_AFFINE(const wide gained = load(gain + b, left); const wide shift = load(bias + b, left);)
    wide sum = (wide)(0.0f), dot = (wide)(0.0f);
    for (int v = first; v < end; v += INNER) {
        wide part = (wide)(0.0f), part_dot = (wide)(0.0f);
        for (int u = v; u < min(v + INNER, end); u++) {
            long at = (n * V + u) * C + b;
            wide hat = HAT(load(x + at, left), mean, rest, scale), grad = load(g + at, left);
            if (relu)
                grad = select((wide)(0.0f), grad, SCALED(hat, gained, shift) > 0.0f);
            part += grad;
            part_dot = grad * hat + part_dot;
        }
        sum += part;
        dot += part_dot;
    }
    __global float *to = parts + (n * chunks + k) * 2 * C + b;
    store(sum, to, left);
    store(dot, to + C, left);
}

/* The same for C a divisor of WIDE. Range: chunks, N. */
ROWS __kernel void instance_gradient_parts_narrow(int V, int C, int chunk, int chunks, int relu,
                                                  GAIN_AND_BIAS IN x, IN stats, IN g, OUT parts)
{
    int k = get_global_id(0);
    if (k >= chunks)
        return;
    long n = get_global_id(1);
    long from = (long)k * chunk * C, to = min(from + (long)chunk * C, (long)V * C);
    stats += n * 3 * C;
    wide mean = channels(stats, 0, C), rest = channels(stats + C, 0, C);
    wide scale = channels(stats + 2 * C, 0, C);
    IF_AFFINE(const wide gained = channels(gain, 0, C); const wide shift = channels(bias, 0, C);)
    wide sum = (wide)(0.0f), dot = (wide)(0.0f);
    for (long i = from; i < to; i += INNER * WIDE) {
        wide part = (wide)(0.0f), part_dot = (wide)(0.0f);
        for (long j = i; j < min(i + INNER * WIDE, to); j += WIDE) {
            long at = n * V * C + j;
            wide hat = HAT(load(x + at, to - j), mean, rest, scale), grad = load(g + at, to - j);
            if (relu)
                grad = select((wide)(0.0f), grad, SCALED(hat, gained, shift) > 0.0f);
            part += grad;
            part_dot = grad * hat + part_dot;
        }
        sum += part;
        dot += part_dot;
    }
    __global float *out = parts + (n * chunks + k) * 2 * C;
    store(fold(sum, C), out, C);
    store(fold(dot, C), out + C, C);
}

/* means [N,2,C] = sums of parts over chunks / V. Range: vectors of 2 C, N. */
ROWS __kernel void instance_gradient_merge(int V, int C, int chunks, IN parts, OUT means)
{
    int b = get_global_id(0) * WIDE;
    int left = 2 * C - b;
    long n = get_global_id(1);
    if (left <= 0)
        return;
    wide sum = (wide)(0.0f);
    for (int k = 0; k < chunks; k++)
        sum += load(parts + (n * chunks + k) * 2 * C + b, left);
    store(sum / (float)V, means + n * 2 * C + b, left);
}

#ifdef AFFINE
/* The gradients of gain and bias, sums of parts over chunks; means as above, or zeros where the
 * statistics do not depend on x. Range: vectors of C. */
ROWS __kernel void batch_gradient_merge(int V, int C, int chunks, int frozen, IN parts, OUT means,
                                        OUT d_gain, OUT d_bias)
{
    const int b = get_global_id(0) * WIDE, left = C - b;
    if (left <= 0)
        return;
    wide sum = (wide)(0.0f), dot = (wide)(0.0f);
    for (int k = 0; k < chunks; k++) {
        sum += load(parts + (long)k * 2 * C + b, left);
        dot += load(parts + ((long)k * 2 + 1) * C + b, left);
    }
    store(sum, d_bias + b, left);
    store(dot, d_gain + b, left);
    store(frozen ? (wide)(0.0f) : sum / (float)V, means + b, left);
    store(frozen ? (wide)(0.0f) : dot / (float)V, means + C + b, left);
}
#endif

/* dx = (g - mean g - xhat mean(g xhat)) / deviation (times gain). In place of g. Range: vectors of
 * V C, N. */
ITEMS __kernel void instance_gradient_apply(int V, int C, int relu, GAIN_AND_BIAS IN x, IN stats,
                                            IN means, __global const float *g, __global float *dx)
{
    long i = (long)get_global_id(0) * WIDE, left = (long)V * C - i, n = get_global_id(1);
    if (left <= 0)
        return;
    long at = n * V * C + i;
    stats += n * 3 * C;
    wide scale = channels(stats + 2 * C, i, C);
    wide hat = HAT(load(x + at, left), channels(stats, i, C), channels(stats + C, i, C), scale);
    wide grad = load(g + at, left);
    if (relu)
        grad = select((wide)(0.0f), grad,
                      SCALED(hat, channels(gain, i, C), channels(bias, i, C)) > 0.0f);
    grad = grad - channels(means + n * 2 * C, i, C) - hat * channels(means + (n * 2 + 1) * C, i, C);
    store(GAINED(scale, channels(gain, i, C)) * grad, dx + at, left);
}

/* ---- layer norm ------------------------------------------------------------------------------ */

/* y [rows,C] = xhat gain + bias; stats [rows,2]: mean, 1 / deviation. */
TEAMS __kernel void layer_norm(long rows, int C, float eps, IN x, IN gain, IN bias, OUT y, OUT stats)
{
    TEAM_LOCAL
    int lane = get_local_id(0) * WIDE;
    FOR_ROWS(row, rows)
    {
        wide all = (wide)(0.0f);
        for (int c = lane; c < C; c += TEAM * WIDE)
            all += load(x + row * C + c, C - c);
        float mean = TEAM_SUM(wide_sum(all)) / C;
        all = (wide)(0.0f);
        for (int c = lane; c < C; c += TEAM * WIDE) {
            wide d = load_rest(x + row * C + c, C - c, mean) - mean;
            all = d * d + all;
        }
        float scale = 1.0f / sqrt(TEAM_SUM(wide_sum(all)) / C + eps);
        for (int c = lane; c < C; c += TEAM * WIDE) {
            wide hat = (load(x + row * C + c, C - c) - mean) * scale;
            store(hat * load(gain + c, C - c) + load(bias + c, C - c), y + row * C + c, C - c);
        }
        if (get_local_id(0) == 0) {
            stats[2 * row] = mean;
            stats[2 * row + 1] = scale;
        }
    }
}

/* dx, and g xhat, whose sum over rows is the gradient of the gain. */
TEAMS __kernel void layer_norm_gradient(long rows, int C, IN x, IN stats, IN gain, IN g, OUT dx,
                                        OUT g_hat)
{
    TEAM_LOCAL
    int lane = get_local_id(0) * WIDE;
    FOR_ROWS(row, rows)
    {
        float mean = stats[2 * row], scale = stats[2 * row + 1];
        wide sum = (wide)(0.0f), dot = (wide)(0.0f);
        for (int c = lane; c < C; c += TEAM * WIDE) {
            wide hat = (load(x + row * C + c, C - c) - mean) * scale;
            wide a = load(g + row * C + c, C - c) * load(gain + c, C - c);
            sum += a;
            dot = a * hat + dot;
        }
        float mean_a = TEAM_SUM(wide_sum(sum)) / C;
        float mean_dot = TEAM_SUM(wide_sum(dot)) / C;
        for (int c = lane; c < C; c += TEAM * WIDE) {
            wide hat = (load(x + row * C + c, C - c) - mean) * scale;
            wide grad = load(g + row * C + c, C - c);
            store(scale * (grad * load(gain + c, C - c) - mean_a - hat * mean_dot), dx + row * C + c,
                  C - c);
            store(grad * hat, g_hat + row * C + c, C - c);
        }
    }
}
