/* optimizer.cl - gradients summed over runs, and one update of a block of weights.
 *
 * A block holds many weights one after another. chunks[i] = (weight, start, count, 0) are pieces of
 * at most 4096 floats, so that a few launches serve all weights; weights[w] = (first chunk, chunks,
 * touched, 0). A weight that no run gave a gradient is left alone. gain = 1 - beta, rounded once. */
#include "common.clh"

ITEMS __kernel void accumulate(long n, IN g, __global float *sum)
{
    long i = (long)get_global_id(0) * WIDE;
    if (i < n)
        store(load(sum + i, n - i) + load(g + i, n - i), sum + i, n - i);
}

/* kept = sum, and sum starts again from 0 */
ITEMS __kernel void set_aside(long n, __global float *sum, OUT kept)
{
    long i = (long)get_global_id(0) * WIDE;
    if (i >= n)
        return;
    store(load(sum + i, n - i), kept + i, n - i);
    store((wide)(0.0f), sum + i, n - i);
}

/* sums[i] = sum over chunk i of g^2 */
TEAMS __kernel void gradient_sums(__global const int4 *restrict chunks,
                                  __global const int4 *restrict weights, IN g, OUT sums)
{
    TEAM_LOCAL
    int4 chunk = chunks[get_group_id(0)];
    wide all = (wide)(0.0f);
    if (weights[chunk.x].z)
        for (int i = get_local_id(0) * WIDE; i < chunk.z; i += TEAM * WIDE) {
            wide v = load(g + chunk.y + i, chunk.z - i);
            all = v * v + all;
        }
    float total = TEAM_SUM(wide_sum(all));
    if (get_local_id(0) == 0)
        sums[2 * get_group_id(0)] = total;
}

static inline wide lamb_direction(wide p, wide m, wide v, float eps, float decay)
{
    return m / (sqrt(v) + eps) + decay * p;
}

/* Moments (You et al. 2020, Algorithm 2, without debiasing), and per chunk the sums of squares of
 * the weights and of the update's direction. */
TEAMS __kernel void lamb_moments(__global const int4 *restrict chunks,
                                 __global const int4 *restrict weights, IN g, IN p, OUT m, OUT v,
                                 float scale, float beta1, float gain1, float beta2, float gain2, float eps,
                                 float decay, OUT sums)
{
    TEAM_LOCAL
    int4 chunk = chunks[get_group_id(0)];
    wide pp = (wide)(0.0f), uu = (wide)(0.0f);
    if (weights[chunk.x].z)
        for (int i = get_local_id(0) * WIDE; i < chunk.z; i += TEAM * WIDE) {
            long left = chunk.z - i;
            long at = (long)chunk.y + i;
            wide grad = load(g + at, left) * scale;
            wide m1 = beta1 * load(m + at, left) + gain1 * grad;
            wide v1 = beta2 * load(v + at, left) + gain2 * grad * grad;
            store(m1, m + at, left);
            store(v1, v + at, left);
            wide p1 = load(p + at, left);
            wide u = lamb_direction(p1, m1, v1, eps, decay);
            pp = p1 * p1 + pp;
            uu = u * u + uu;
        }
    float p_total = TEAM_SUM(wide_sum(pp));
    float u_total = TEAM_SUM(wide_sum(uu));
    if (get_local_id(0) == 0) {
        sums[2 * get_group_id(0)] = p_total;
        sums[2 * get_group_id(0) + 1] = u_total;
    }
}

/* trust[w] = min(|p|, 10) / |u|, 1 where either is 0 */
ROWS __kernel void lamb_trust(int count, __global const int4 *restrict weights, IN sums, OUT trust)
{
    int w = get_global_id(0);
    if (w >= count)
        return;
    float pp = 0.0f, uu = 0.0f;
    for (int i = weights[w].x; i < weights[w].x + weights[w].y; i++) {
        pp += sums[2 * i];
        uu += sums[2 * i + 1];
    }
    float p = fmin(sqrt(pp), 10.0f), u = sqrt(uu);
    trust[w] = p > 0.0f && u > 0.0f ? p / u : 1.0f;
}

TEAMS __kernel void lamb_apply(__global const int4 *restrict chunks,
                               __global const int4 *restrict weights, IN trust, IN m, IN v, OUT p,
                               float rate, float eps, float decay)
{
    int4 chunk = chunks[get_group_id(0)];
    if (!weights[chunk.x].z)
        return;
    float step = rate * trust[chunk.x];
    for (int i = get_local_id(0) * WIDE; i < chunk.z; i += TEAM * WIDE) {
        long left = chunk.z - i;
        long at = (long)chunk.y + i;
        wide p1 = load(p + at, left);
        wide u = lamb_direction(p1, load(m + at, left), load(v + at, left), eps, decay);
        store(p1 - step * u, p + at, left);
    }
}

/* AdamW (Loshchilov and Hutter 2019): rate1 = rate / (1 - beta1^t), root2 = sqrt(1 - beta2^t). */
TEAMS __kernel void adamw(__global const int4 *restrict chunks,
                          __global const int4 *restrict weights, IN g, OUT m, OUT v, OUT p,
                          float scale, float beta1, float gain1, float beta2, float gain2, float eps,
                          float rate1, float root2, float keep)
{
    int4 chunk = chunks[get_group_id(0)];
    if (!weights[chunk.x].z)
        return;
    for (int i = get_local_id(0) * WIDE; i < chunk.z; i += TEAM * WIDE) {
        long left = chunk.z - i;
        long at = (long)chunk.y + i;
        wide grad = load(g + at, left) * scale;
        wide m1 = beta1 * load(m + at, left) + gain1 * grad;
        wide v1 = beta2 * load(v + at, left) + gain2 * grad * grad;
        store(m1, m + at, left);
        store(v1, v + at, left);
        store(keep * load(p + at, left) - rate1 * m1 / (sqrt(v1) / root2 + eps), p + at, left);
    }
}

/* Running statistics: p moves to scale g by the fraction that stands beside the weight's mark. */
TEAMS __kernel void follow(__global const int4 *restrict chunks, __global const int4 *restrict weights,
                           IN g, OUT p, float scale)
{
    int4 chunk = chunks[get_group_id(0)];
    if (!weights[chunk.x].z)
        return;
    float momentum = as_float(weights[chunk.x].w);
    for (int i = get_local_id(0) * WIDE; i < chunk.z; i += TEAM * WIDE) {
        long left = chunk.z - i;
        long at = (long)chunk.y + i;
        wide p1 = load(p + at, left);
        store((1.0f - momentum) * p1 + momentum * (scale * load(g + at, left)), p + at, left);
    }
}

/* average = decay average + gain p, over the whole block */
ITEMS __kernel void average(long n, float decay, float gain, IN p, OUT mean)
{
    long i = (long)get_global_id(0) * WIDE;
    if (i < n)
        store(decay * load(mean + i, n - i) + gain * load(p + i, n - i), mean + i, n - i);
}
