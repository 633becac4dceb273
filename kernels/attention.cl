/* attention.cl - softmax(q k^T / sqrt(HD)) v for each head, and its gradients, without storing
 * scores (Dao et al. 2022): forward keeps the logarithm of each row's sum of exponentials, backward
 * makes the probabilities again from it.
 *
 * q, o: [N,L,C]; k, v: [N,S,C]; C = heads * HD; lse, delta: [N,heads,L].
 * HD   size of a head       RB   rows a work-item (CPU); its vectors along a head have VW lanes
 * On a CPU the lanes of scores are 16 columns, read from panels [N,heads,P,HD,16] with P even. */
#include "common.clh"
#include "tile.clh"

#define HEAD ((int)get_global_id(1))
#define BATCH ((int)get_global_id(2))

#if MF_CPU

#define HV (HD / VW) /* vectors a head */

/* x [N,S,C] -> panels, zeros beyond S; range (P, heads, N). */
ONE __kernel void pack_heads(int S, int C, IN x, OUT panels)
{
    const int s0 = get_global_id(0) * 16;
    x += ((size_t)BATCH * S + s0) * C + HEAD * HD;
    panels += (((size_t)BATCH * get_global_size(1) + HEAD) * get_global_size(0) +
               get_global_id(0)) * HD * 16;
    for (int d = 0; d < HD; d++)
        for (int s = 0; s < 16; s++)
            panels[d * 16 + s] = s0 + s < S ? x[(size_t)s * C + d] : 0.0f;
}

/* out[i] = the dot products of rows[i] with 32 columns, the two panels at p. */
#define SCORES(out, rows, p)                                                                       \
    UNROLL for (int i = 0; i < RB; i++) out[i][0] = out[i][1] = (float16)(0.0f);                   \
    for (int d = 0; d < HD; d++) {                                                                 \
        const float16 c0 = vload16(d, p), c1 = vload16(HD + d, p);                                 \
        UNROLL for (int i = 0; i < RB; i++)                                                        \
        {                                                                                          \
            const float16 a = (float16)(rows[i][d]);                                               \
            out[i][0] = a * c0 + out[i][0];                                                        \
            out[i][1] = a * c1 + out[i][1];                                                        \
        }                                                                                          \
    }

/* sums[i] += sum over `count` columns of weights[i][column] times the column's row of x. */
#define ACCUMULATE(sums, weights, count, x)                                                        \
    for (int c = 0; c < (count); c++) {                                                            \
        vec xv[HV];                                                                                \
        UNROLL for (int j = 0; j < HV; j++) xv[j] = LOAD((x) + (size_t)c * C + j * VW);            \
        UNROLL for (int i = 0; i < RB; i++)                                                        \
        {                                                                                          \
            const vec a = (vec)(weights[i][c]);                                                    \
            UNROLL for (int j = 0; j < HV; j++) sums[i][j] = a * xv[j] + sums[i][j];               \
        }                                                                                          \
    }

/* Range (ceil(L/RB), heads, N); `keys` are the panels of k. Rows beyond L repeat the last one. */
ONE __kernel void attention(int L, int S, int C, int P, float scale, IN q, IN keys, IN v, OUT o,
                            OUT lse)
{
    const int r0 = get_global_id(0) * RB;
    const size_t head = (size_t)BATCH * get_global_size(1) + HEAD;
    keys += head * P * HD * 16;
    v += (size_t)BATCH * S * C + HEAD * HD;
    float rows[RB][HD], top[RB], weights[RB][32];
    float16 sum[RB];
    vec acc[RB][HV];
    for (int i = 0; i < RB; i++) {
        IN row = q + ((size_t)BATCH * L + min(r0 + i, L - 1)) * C + HEAD * HD;
        for (int d = 0; d < HD; d++)
            rows[i][d] = row[d] * scale;
        top[i] = -INFINITY;
        sum[i] = (float16)(0.0f);
    }
    UNROLL for (int i = 0; i < RB; i++)
        UNROLL for (int j = 0; j < HV; j++) acc[i][j] = (vec)(0.0f);
    for (int s0 = 0; s0 < S; s0 += 32) {
        const int count = min(32, S - s0);
        float16 s[RB][2];
        SCORES(s, rows, keys)
        keys += 32 * HD;
        if (count < 32) {
            UNROLL for (int i = 0; i < RB; i++)
            {
                s[i][0] = select((float16)(-INFINITY), s[i][0], LANES < (int16)(count));
                s[i][1] = select((float16)(-INFINITY), s[i][1], LANES + 16 < (int16)(count));
            }
        }
        UNROLL for (int i = 0; i < RB; i++)
        {
            const float most = fmax(top[i], wide_max(fmax(s[i][0], s[i][1])));
            const float shrink = exp(top[i] - most);
            const float16 e0 = exp(s[i][0] - most), e1 = exp(s[i][1] - most);
            top[i] = most;
            sum[i] = sum[i] * shrink + e0 + e1;
            vstore16(e0, 0, weights[i]);
            vstore16(e1, 1, weights[i]);
            UNROLL for (int j = 0; j < HV; j++) acc[i][j] *= shrink;
        }
        ACCUMULATE(acc, weights, count, v)
        v += (size_t)32 * C;
    }
    o += ((size_t)BATCH * L + r0) * C + HEAD * HD;
    lse += head * L + r0;
    UNROLL for (int i = 0; i < RB; i++)
    {
        if (r0 + i < L) {
            const float total = wide_sum(sum[i]);
            lse[i] = top[i] + log(total);
            UNROLL for (int j = 0; j < HV; j++)
                STORE(acc[i][j] / total, o + (size_t)i * C + j * VW);
        }
    }
}

#if KEYS
#define STATISTIC(x, i, half) vload16(half, x##_here)
#else
#define STATISTIC(x, i, half) x##_row[i]
#endif

/* The gradients of queries, or with KEYS of keys and values, `rows` being theirs and `columns` the
 * others. With p the probabilities and ds = p (do v^T - delta) scale:
 *            x1  x2  c1  c2  panels1, 2     y1              y2
 *   queries  q   do  k   v   of k, v        dq = ds k
 *   KEYS     k   v   q   do  of q, do       dk = ds^T q     dv = p^T do
 * Range (ceil(rows/RB), heads, N). With KEYS, lse and delta are padded: [N,heads,16 P]. */
ONE __kernel void attention_gradient(int rows, int columns, int C, int P, float scale, IN x1, IN x2,
                                     IN c1, IN c2, IN panels1, IN panels2, IN lse, IN delta, OUT y1,
                                     OUT y2)
{
    const int r0 = get_global_id(0) * RB;
    const size_t head = (size_t)BATCH * get_global_size(1) + HEAD;
    const size_t at_rows = ((size_t)BATCH * rows + r0) * C + HEAD * HD;
    const size_t at_columns = (size_t)BATCH * columns * C + HEAD * HD;
    panels1 += head * P * HD * 16;
    panels2 += head * P * HD * 16;
    c1 += at_columns;
    c2 += at_columns;
    float rows1[RB][HD], rows2[RB][HD], p[RB][32], ds[RB][32];
    vec acc1[RB][HV];
#if KEYS
    vec acc2[RB][HV];
    lse += head * P * 16;
    delta += head * P * 16;
#else
    float lse_row[RB], delta_row[RB];
#endif
    for (int i = 0; i < RB; i++) {
        const int row = min(i, rows - 1 - r0);
        for (int d = 0; d < HD; d++) {
            rows1[i][d] = x1[at_rows + (size_t)row * C + d] * scale;
            rows2[i][d] = x2[at_rows + (size_t)row * C + d];
        }
#if !KEYS
        lse_row[i] = lse[head * rows + r0 + row];
        delta_row[i] = delta[head * rows + r0 + row];
#endif
    }
    UNROLL for (int i = 0; i < RB; i++)
        UNROLL for (int j = 0; j < HV; j++)
    {
        acc1[i][j] = (vec)(0.0f);
#if KEYS
        acc2[i][j] = (vec)(0.0f);
#endif
    }
    for (int s0 = 0; s0 < columns; s0 += 32) {
        const int count = min(32, columns - s0);
        float16 s[RB][2];
#if KEYS
        IN lse_here = lse + s0;
        IN delta_here = delta + s0;
#endif
        SCORES(s, rows1, panels1)
        UNROLL for (int i = 0; i < RB; i++)
        {
            vstore16(exp(s[i][0] - STATISTIC(lse, i, 0)), 0, p[i]);
            vstore16(exp(s[i][1] - STATISTIC(lse, i, 1)), 1, p[i]);
        }
        SCORES(s, rows2, panels2)
        UNROLL for (int i = 0; i < RB; i++)
        {
            vstore16(vload16(0, p[i]) * (s[i][0] - STATISTIC(delta, i, 0)) * scale, 0, ds[i]);
            vstore16(vload16(1, p[i]) * (s[i][1] - STATISTIC(delta, i, 1)) * scale, 1, ds[i]);
        }
        ACCUMULATE(acc1, ds, count, c1)
#if KEYS
        ACCUMULATE(acc2, p, count, c2)
#endif
        panels1 += 32 * HD;
        panels2 += 32 * HD;
        c1 += (size_t)32 * C;
        c2 += (size_t)32 * C;
    }
    UNROLL for (int i = 0; i < RB; i++)
    {
        if (r0 + i < rows)
            UNROLL for (int j = 0; j < HV; j++)
        {
            STORE(acc1[i][j], y1 + at_rows + (size_t)i * C + j * VW);
#if KEYS
            STORE(acc2[i][j], y2 + at_rows + (size_t)i * C + j * VW);
#endif
        }
    }
}

#else

/* One row a work-item, 64 a group; columns pass through local memory TJ at a time. Loops over a head
 * are unrolled, so that a row stays in registers. */
#define TJ (HD <= 64 ? 32 : HD <= 256 ? 8 : 1)
#define ONE_BY_ONE _Pragma("unroll 1")
#define MINE ((int)get_global_id(0))
#define ROWS_OF_64 __attribute__((reqd_work_group_size(64, 1, 1)))
#define FETCH(x, to, count)                                                                        \
    for (int e = get_local_id(0); e < (count) * HD; e += 64)                                       \
    to[e] = x[(size_t)(e / HD) * C + e % HD]

/* Range (L, heads, N); `keys` is k itself. */
ROWS_OF_64 __kernel void attention(int L, int S, int C, int P, float scale, IN q, IN keys, IN v,
                                   OUT o, OUT lse)
{
    __local float k_tile[TJ * HD], v_tile[TJ * HD];
    const size_t head = (size_t)BATCH * get_global_size(1) + HEAD;
    const size_t at = ((size_t)BATCH * L + min(MINE, L - 1)) * C + HEAD * HD;
    keys += (size_t)BATCH * S * C + HEAD * HD;
    v += (size_t)BATCH * S * C + HEAD * HD;
    float row[HD], acc[HD], top = -INFINITY, sum = 0.0f;
    UNROLL for (int d = 0; d < HD; d++)
    {
        row[d] = q[at + d] * scale;
        acc[d] = 0.0f;
    }
    for (int s0 = 0; s0 < S; s0 += TJ) {
        const int count = min(TJ, S - s0);
        barrier(CLK_LOCAL_MEM_FENCE);
        FETCH(keys, k_tile, count);
        FETCH(v, v_tile, count);
        barrier(CLK_LOCAL_MEM_FENCE);
        ONE_BY_ONE for (int c = 0; c < count; c++)
        {
            float s = 0.0f;
            UNROLL for (int d = 0; d < HD; d++)
                s = fma(row[d], k_tile[c * HD + d], s);
            const float most = fmax(top, s), shrink = exp(top - most), e = exp(s - most);
            top = most;
            sum = sum * shrink + e;
            UNROLL for (int d = 0; d < HD; d++)
                acc[d] = fma(e, v_tile[c * HD + d], acc[d] * shrink);
        }
        keys += (size_t)TJ * C;
        v += (size_t)TJ * C;
    }
    if (MINE >= L)
        return;
    lse[head * L + MINE] = top + log(sum);
    UNROLL for (int d = 0; d < HD; d++)
        o[at + d] = acc[d] / sum;
}

/* As the CPU form; panels are not read. Range (rows, heads, N). */
ROWS_OF_64 __kernel void attention_gradient(int rows, int columns, int C, int P, float scale, IN x1,
                                            IN x2, IN c1, IN c2, IN panels1, IN panels2, IN lse,
                                            IN delta, OUT y1, OUT y2)
{
    __local float tile1[TJ * HD], tile2[TJ * HD];
    const size_t head = (size_t)BATCH * get_global_size(1) + HEAD;
    const int mine = min(MINE, rows - 1);
    const size_t at = ((size_t)BATCH * rows + mine) * C + HEAD * HD;
    c1 += (size_t)BATCH * columns * C + HEAD * HD;
    c2 += (size_t)BATCH * columns * C + HEAD * HD;
    lse += head * (KEYS ? P * 16 : rows);
    delta += head * (KEYS ? P * 16 : rows);
    float row1[HD], row2[HD], acc1[HD];
#if KEYS
    float acc2[HD];
#endif
    UNROLL for (int d = 0; d < HD; d++)
    {
        row1[d] = x1[at + d] * scale;
        row2[d] = x2[at + d];
        acc1[d] = 0.0f;
#if KEYS
        acc2[d] = 0.0f;
#endif
    }
    for (int s0 = 0; s0 < columns; s0 += TJ) {
        const int count = min(TJ, columns - s0);
        barrier(CLK_LOCAL_MEM_FENCE);
        FETCH(c1, tile1, count);
        FETCH(c2, tile2, count);
        barrier(CLK_LOCAL_MEM_FENCE);
        ONE_BY_ONE for (int c = 0; c < count; c++)
        {
            const int which = KEYS ? s0 + c : mine;
            float s = 0.0f, dp = 0.0f;
            UNROLL for (int d = 0; d < HD; d++)
            {
                s = fma(row1[d], tile1[c * HD + d], s);
                dp = fma(row2[d], tile2[c * HD + d], dp);
            }
            const float p = exp(s - lse[which]), ds = p * (dp - delta[which]) * scale;
            UNROLL for (int d = 0; d < HD; d++)
            {
                acc1[d] = fma(ds, tile1[c * HD + d], acc1[d]);
#if KEYS
                acc2[d] = fma(p, tile2[c * HD + d], acc2[d]);
#endif
            }
        }
        c1 += (size_t)TJ * C;
        c2 += (size_t)TJ * C;
    }
    if (MINE >= rows)
        return;
    UNROLL for (int d = 0; d < HD; d++)
    {
        y1[at + d] = acc1[d];
#if KEYS
        y2[at + d] = acc2[d];
#endif
    }
}

#endif

/* delta = sum over a head of o do, and lse once more, both with rows 16 P apart: what reading them
 * by whole vectors needs. Beyond L lse is infinite, so that probabilities are 0. Range (16 P, heads,
 * N). */
ITEMS __kernel void attention_delta(int L, int C, int P, IN o, IN grad, IN lse, OUT delta,
                                    OUT delta_wide, OUT lse_wide)
{
    const int row = get_global_id(0);
    if (row >= 16 * P)
        return;
    const size_t head = (size_t)BATCH * get_global_size(1) + HEAD;
    const size_t at = ((size_t)BATCH * L + row) * C + HEAD * HD;
    float sum = 0.0f;
    if (row < L) {
        for (int d = 0; d < HD; d++)
            sum = fma(o[at + d], grad[at + d], sum);
        delta[head * L + row] = sum;
    }
    delta_wide[head * 16 * P + row] = sum;
    lse_wide[head * 16 * P + row] = row < L ? lse[head * L + row] : INFINITY;
}
