/* loss.cl - softmax, and the losses: Dice and binary cross entropy per mask, cross entropy. */
#include "common.clh"

/* ---- softmax over rows of C ------------------------------------------------------------------- */

TEAMS __kernel void softmax(long rows, int C, IN x, OUT y)
{
    TEAM_LOCAL
    int lane = get_local_id(0) * WIDE;
    FOR_ROWS(r, rows)
    {
        long row = r * C;
        wide most = (wide)(-INFINITY), all = (wide)(0.0f);
        for (int c = lane; c < C; c += TEAM * WIDE)
            most = fmax(most, load_rest(x + row + c, C - c, -INFINITY));
        float largest = TEAM_MAX(wide_max(most));
        for (int c = lane; c < C; c += TEAM * WIDE) {
            wide e = exp(load_rest(x + row + c, C - c, -INFINITY) - largest);
            store(e, y + row + c, C - c);
            all += e;
        }
        float scale = 1.0f / TEAM_SUM(wide_sum(all));
        for (int c = lane; c < C; c += TEAM * WIDE)
            store(scale * load(y + row + c, C - c), y + row + c, C - c);
    }
}

/* dx = y (g - sum(g y)) */
TEAMS __kernel void softmax_gradient(long rows, int C, IN y, IN g, OUT dx)
{
    TEAM_LOCAL
    int lane = get_local_id(0) * WIDE;
    FOR_ROWS(r, rows)
    {
        long row = r * C;
        wide all = (wide)(0.0f);
        for (int c = lane; c < C; c += TEAM * WIDE)
            all = load(y + row + c, C - c) * load(g + row + c, C - c) + all;
        float mean = TEAM_SUM(wide_sum(all));
        for (int c = lane; c < C; c += TEAM * WIDE)
            store(load(y + row + c, C - c) * (load(g + row + c, C - c) - mean), dx + row + c,
                  C - c);
    }
}

/* ---- losses per mask: logits [K,V], target u8 [K,V] -------------------------------------------- */

/* 1 / (1 + e^-x) from e = exp(-|x|). */
static inline wide logistic(wide x, wide e)
{
    return select(e, (wide)(1.0f), x >= 0.0f) / (1.0f + e);
}

/* Lanes past the end, of which `left` are not. */
static inline wide mask_rest(wide v, int left)
{
    if (left >= WIDE)
        return v;
    float t[WIDE];
    WIDE_SUFFIX(vstore)(v, 0, t);
    for (int k = 0; k < WIDE; k++)
        t[k] = k < left ? t[k] : 0.0f;
    return WIDE_SUFFIX(vload)(0, t);
}

/* parts [K,chunks,4]: TP = sum p t, FP = sum p (1 - t), FN = sum (1 - p) t, BCE. Range: teams of
 * chunks, K. */
TEAMS __kernel void mask_parts(int V, int chunk, IN logits, __global const uchar *restrict target,
                               OUT parts)
{
    TEAM_LOCAL
    int k = get_group_id(0), chunks = get_num_groups(0);
    long row = (long)get_global_id(1) * V;
    int first = k * chunk, end = min(first + chunk, V);
    wide tp = (wide)(0.0f), fp = tp, fn = tp, bce = tp;
    for (int v = first + get_local_id(0) * WIDE; v < end; v += TEAM * WIDE) {
        int left = end - v;
        wide x = load_rest(logits + row + v, left, -INFINITY), t = load_u8(target + row + v, left);
        wide e = exp(-fabs(x)), p = logistic(x, e);
        tp += p * t;
        fp += p * (1.0f - t);
        fn += (1.0f - p) * t;
        bce += mask_rest(fmax(x, 0.0f) - x * t + log1p(e), left);
    }
    float sums[4];
    sums[0] = TEAM_SUM(wide_sum(tp));
    sums[1] = TEAM_SUM(wide_sum(fp));
    sums[2] = TEAM_SUM(wide_sum(fn));
    sums[3] = TEAM_SUM(wide_sum(bce));
    if (get_local_id(0) == 0)
        for (int i = 0; i < 4; i++)
            parts[((long)get_global_id(1) * chunks + k) * 4 + i] = sums[i];
}

static inline float4 kahan_sums(int chunks, IN parts)
{
    float4 all = (float4)(0.0f), lost = (float4)(0.0f);
    for (int i = 0; i < chunks; i++) {
        float4 v = vload4(i, parts) - lost;
        float4 next = all + v;
        lost = (next - all) - v;
        all = next;
    }
    return all;
}

#define TINY 1e-6f

/* loss [K], and sums [K,4] for the gradient. */
ROWS __kernel void dice_merge(int K, int chunks, IN parts, OUT loss, OUT sums)
{
    int k = get_global_id(0);
    if (k >= K)
        return;
    float4 s = kahan_sums(chunks, parts + (long)k * chunks * 4);
    float a = clamp(s.y / (s.y + s.z + TINY), 0.2f, 0.8f);
    loss[k] = 1.0f - s.x / (s.x + a * s.y + (1.0f - a) * s.z + TINY);
    vstore4(s, k, sums);
}

/* d loss / d logits. With L = 1 - TP / B, B = TP + a FP + (1 - a) FN + tiny:
 *   dL/dTP = -(B - TP) / B^2, dL/dFP = TP / B^2 (a + (FP - FN) da/dFP), likewise FN;
 *   a = FP / S, S = FP + FN + tiny: da/dFP = (FN + tiny) / S^2, da/dFN = -FP / S^2, 0 where clamped.
 * Range: vectors of V, K. */
ITEMS __kernel void dice_gradient(int V, IN logits, __global const uchar *restrict target, IN sums,
                                  IN g, OUT dx)
{
    int v = get_global_id(0) * WIDE, k = get_global_id(1);
    int left = V - v;
    long at = (long)k * V + v;
    if (left <= 0)
        return;
    float4 s = vload4(k, sums);
    float total = s.y + s.z + TINY, ratio = s.y / total, a = clamp(ratio, 0.2f, 0.8f);
    float free_alpha = ratio >= 0.2f && ratio <= 0.8f ? 1.0f : 0.0f;
    float b = s.x + a * s.y + (1.0f - a) * s.z + TINY;
    float slope = free_alpha * (s.y - s.z) / (total * total);
    float d_tp = -(b - s.x) / (b * b);
    float d_fp = s.x / (b * b) * (a + slope * (s.z + TINY));
    float d_fn = s.x / (b * b) * (1.0f - a - slope * s.y);
    wide x = load(logits + at, left), t = load_u8(target + at, left);
    wide e = exp(-fabs(x)), p = logistic(x, e);
    wide dp = t * (d_tp - d_fn) + (1.0f - t) * d_fp;
    /* p (1 - p) = e / (1 + e)^2, without cancellation */
    store(g[k] * dp * e / ((1.0f + e) * (1.0f + e)), dx + at, left);
}

ROWS __kernel void bce_merge(int K, int V, int chunks, IN parts, OUT loss)
{
    int k = get_global_id(0);
    if (k < K)
        loss[k] = kahan_sums(chunks, parts + (long)k * chunks * 4).w / V;
}

ITEMS __kernel void bce_gradient(int V, IN logits, __global const uchar *restrict target, IN g, OUT dx)
{
    int v = get_global_id(0) * WIDE, k = get_global_id(1);
    int left = V - v;
    long at = (long)k * V + v;
    if (left <= 0)
        return;
    wide x = load(logits + at, left);
    wide p = logistic(x, exp(-fabs(x)));
    store(g[k] / V * (p - load_u8(target + at, left)), dx + at, left);
}

/* ---- cross entropy of rows: logits and target [N,C], weight [N] -------------------------------- */

/* rows [N,4]: loss, largest logit, log of the sum of exponentials, sum of the target. */
ROWS __kernel void cross_rows(int N, int C, IN logits, IN target, OUT rows)
{
    int n = get_global_id(0);
    if (n >= N)
        return;
    __global const float *x = logits + (long)n * C, *t = target + (long)n * C;
    wide most = (wide)(-INFINITY), all = (wide)(0.0f);
    for (int c = 0; c < C; c += WIDE)
        most = fmax(most, load_rest(x + c, C - c, -INFINITY));
    float largest = wide_max(most);
    for (int c = 0; c < C; c += WIDE)
        all += exp(load_rest(x + c, C - c, -INFINITY) - largest);
    float log_sum = log(wide_sum(all)), loss = 0.0f, sum = 0.0f;
    for (int c = 0; c < C; c++) {
        loss += t[c] * (log_sum - (x[c] - largest));
        sum += t[c];
    }
    vstore4((float4)(loss, largest, log_sum, sum), n, rows);
}

/* loss [1] = sum(w l) / sum(w); total [1] = sum(w). One work-item. */
ROWS __kernel void cross_merge(int N, IN rows, IN weight, OUT loss, OUT total)
{
    if (get_global_id(0) > 0)
        return;
    float all = 0.0f, weights = 0.0f;
    for (int n = 0; n < N; n++) {
        all += weight[n] * rows[4 * n];
        weights += weight[n];
    }
    loss[0] = all / weights;
    total[0] = weights;
}

/* The same of many rows, in chunks: parts [chunks,2] = sum(w l), sum(w) of each. */
ROWS __kernel void cross_parts(int N, int chunk, IN rows, IN weight, OUT parts)
{
    int first = get_global_id(0) * chunk;
    if (first >= N)
        return;
    float all = 0.0f, weights = 0.0f;
    for (int n = first; n < min(first + chunk, N); n++) {
        all += weight[n] * rows[4 * n];
        weights += weight[n];
    }
    vstore2((float2)(all, weights), get_global_id(0), parts);
}

/* One work-item. */
ROWS __kernel void cross_merge_parts(int chunks, IN parts, OUT loss, OUT total)
{
    if (get_global_id(0) > 0)
        return;
    float2 all = (float2)(0.0f);
    for (int i = 0; i < chunks; i++)
        all += vload2(i, parts);
    loss[0] = all.x / all.y;
    total[0] = all.y;
}

ITEMS __kernel void cross_gradient(int N, int C, IN logits, IN target, IN weight, IN rows, IN total,
                                   IN g, OUT dx)
{
    long i = get_global_id(0);
    if (i >= (long)N * C)
        return;
    float4 row = vload4(i / C, rows);
    float p = exp(logits[i] - row.y - row.z);
    dx[i] = g[0] * weight[i / C] / total[0] * (row.w * p - target[i]);
}
