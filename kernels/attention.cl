/* attention.cl - softmax(q k^T / sqrt(HD)) v for each head, and its gradients, without storing
 * scores (Dao et al. 2022): forward keeps the logarithm of each row's sum of exponentials, backward
 * makes the probabilities again from it.
 *
 * q, o: [N,L,C]; k, v: [N,S,C]; C = heads * HD; lse, delta: [N,heads,L].
 * HD  size of a head       GRADIENTS  1: the kernels of gradients, else those of the forward pass
 * Forward on a CPU: TILES of 8 queries a work-item has room for, PACKED. Gradients: KEYS, and on a
 * CPU RB rows a work-item, whose vectors along a head have VW lanes; there the lanes of scores are
 * 16 columns, read from panels [N,heads,P,HD,16] with P even. */
#include "common.clh"
#include "tile.clh"

#define HEAD ((int)get_global_id(1))
#define BATCH ((int)get_global_id(2))

#if MF_CPU && !GRADIENTS

/* ---- forward: blocks of queries against blocks of KB columns, both kept in private memory
 * ----------
 *
 * A work-item owns up to TILES tiles of 8 queries. For each block of columns it has the keys in
 * panels of 16 and the values by chunks of a head, takes all scores in tiles of 8 x 32, makes
 * probabilities of them, and adds values to the sums in tiles of VR rows by VC vectors. Where many
 * work-items read the same columns these were packed before (PACKED), else each packs for itself.
 */
#define KB 64
#define HW ((HD + 15) / 16) /* whole vectors a head; lanes beyond HD are never stored */
#if HW <= 3
#define VC HW
#elif HW % 3 == 0
#define VC 3
#elif HW % 2 == 0
#define VC 2
#elif HW % 5 == 0
#define VC 5
#else
#define VC 1
#endif
#define VR (VC == 5 ? 4 : 8)
#if PACKED
#define KEPT __global
#else
#define KEPT __private
#endif
/* Vectors of a packed block: keys [KB/16][16 HW], values [HW/VC][KB][VC]. */
#define KEYS_AT(panel, d) ((panel)*16 * HW + (d))
#define VALUES_AT(chunk, column, e) (((chunk)*KB + (column)) * VC + (e))
#define BLOCK (KB * HW)

/* Rows a, b of a matrix, the first or second halves of them interleaved. */
static inline float16 zip(float8 a, float8 b)
{
    float16 both;
    both.even = a;
    both.odd = b;
    return both;
}

/* x: 16 rows C apart, of which `rows` exist (later ones repeat the last), `width` floats wide ->
 * 16 columns. Four perfect shuffles transpose a square. */
static inline void transpose16(IN x, int rows, int C, int width, KEPT float16 *columns)
{
    float16 a[16], b[16];
    if (rows >= 16 && width >= 16) {
        UNROLL for (int i = 0; i < 16; i++) a[i] = vload16(0, x + (size_t)i * C);
    } else {
        UNROLL for (int i = 0; i < 16; i++) a[i] = load(x + (size_t)min(i, rows - 1) * C, width);
    }
    UNROLL for (int stage = 0; stage < 2; stage++)
    {
        UNROLL for (int i = 0; i < 8; i++)
        {
            b[2 * i] = zip(a[i].lo, a[i + 8].lo);
            b[2 * i + 1] = zip(a[i].hi, a[i + 8].hi);
        }
        UNROLL for (int i = 0; i < 8; i++)
        {
            a[2 * i] = zip(b[i].lo, b[i + 8].lo);
            a[2 * i + 1] = zip(b[i].hi, b[i + 8].hi);
        }
    }
    UNROLL for (int i = 0; i < 16; i++) columns[i] = a[i];
}

/* The next `columns` columns of k and v, rows C apart, at most KB. */
static inline void pack_keys(IN k, int columns, int C, KEPT float16 *keys)
{
    for (int j = 0; j < (columns + 15) / 16; j++)
        for (int d = 0; d < HW; d++)
            transpose16(k + (size_t)16 * j * C + 16 * d, columns - 16 * j, C, HD - 16 * d,
                        keys + KEYS_AT(j, 16 * d));
}

static inline void pack_values(IN v, int columns, int C, KEPT float16 *values)
{
    for (int c = 0; c < columns; c++)
        for (int j = 0; j < HW; j++)
            values[VALUES_AT(j / VC, c, j % VC)] = load(v + (size_t)c * C + 16 * j, HD - 16 * j);
}

#if PACKED
/* Range (ceil(S/KB), heads, N). */
ONE __kernel void pack_columns(int S, int C, IN k, IN v, __global float16 *restrict keys,
                               __global float16 *restrict values)
{
    const int s0 = get_global_id(0) * KB;
    const size_t from = ((size_t)BATCH * S + s0) * C + HEAD * HD;
    const size_t to =
        (((size_t)BATCH * get_global_size(1) + HEAD) * get_global_size(0) + get_global_id(0)) *
        BLOCK;
    pack_keys(k + from, min(KB, S - s0), C, keys + to);
    pack_values(v + from, min(KB, S - s0), C, values + to);
}
#endif

/* p[i][0 .. 16 panels) = the dot products of 8 rows with `panels` panels of keys. Short sums,
 * of RUN products, join the long ones: that rounds less. */
#define RUN 64
#define SCORE_TILE(p, rows, keys, panels)                                                          \
    for (int d0 = 0; d0 < HD; d0 += RUN) {                                                         \
        float16 s[8][panels];                                                                      \
        UNROLL for (int i = 0; i < 8; i++) UNROLL for (int u = 0; u < panels; u++) s[i][u] =       \
            (float16)(0.0f);                                                                       \
        for (int d = d0; d < min(d0 + RUN, HD); d++) {                                             \
            float16 column[panels];                                                                \
            UNROLL for (int u = 0; u < panels; u++) column[u] = (keys)[KEYS_AT(u, d)];             \
            UNROLL for (int i = 0; i < 8; i++)                                                     \
            {                                                                                      \
                const float16 a = (float16)((rows)[i * 16 * HW + d]);                              \
                UNROLL for (int u = 0; u < panels; u++) s[i][u] = a * column[u] + s[i][u];         \
            }                                                                                      \
        }                                                                                          \
        UNROLL for (int i = 0; i < 8; i++)                                                         \
            UNROLL for (int u = 0; u < panels; u++)(p)[i * (KB / 16) + u] =                        \
                d0 ? (p)[i * (KB / 16) + u] + s[i][u] : s[i][u];                                   \
    }

/* One instruction each, unlike fmax, which minds NaN. */
static inline float16 larger16(float16 a, float16 b)
{
    return select(b, a, a > b);
}
static inline float largest(float16 x)
{
    const float8 a = select(x.hi, x.lo, x.lo > x.hi);
    const float4 b = select(a.hi, a.lo, a.lo > a.hi);
    const float2 c = select(b.hi, b.lo, b.lo > b.hi);
    return c.x > c.y ? c.x : c.y;
}

/* Scores to probabilities, not yet normalized: returns by how much what was summed before shrinks.
 */
static inline float soften(float16 *p, int count, float *top, float16 *sum)
{
    const int panels = (count + 15) / 16;
    if (count % 16)
        p[panels - 1] =
            select((float16)(-INFINITY), p[panels - 1], LANES < (int16)(count - 16 * (panels - 1)));
    float16 most = p[0];
    for (int j = 1; j < panels; j++)
        most = larger16(most, p[j]);
    float peak = largest(most), shrink = 1.0f;
    if (peak > *top)
        shrink = exp(*top - peak);
    else
        peak = *top;
    float16 all = *sum * shrink;
    for (int j = 0; j < panels; j++) {
        p[j] = exp(p[j] - peak);
        all += p[j];
    }
    *top = peak;
    *sum = all;
    return shrink;
}

/* Range (blocks of `tiles` tiles of 8 rows, heads, N). Rows beyond L repeat the last one. With
 * PACKED, k and v are what pack_columns made. */
ONE __kernel void attention(int L, int S, int C, int tiles, float scale, IN q,
                            __global const void *restrict k, __global const void *restrict v, OUT o,
                            OUT lse)
{
    const int r0 = get_global_id(0) * tiles * 8, count = min(tiles, (L - r0 + 7) / 8) * 8;
    const size_t head = (size_t)BATCH * get_global_size(1) + HEAD;
    float16 rows[TILES * 8][HW], acc[TILES * 8][HW], p[TILES * 8][KB / 16], sum[TILES * 8];
    float top[TILES * 8], total[TILES * 8], shrink[TILES * 8];
#if PACKED
    __global const float16 *keys = (__global const float16 *)k + head * ((S + KB - 1) / KB) * BLOCK;
    __global const float16 *values =
        (__global const float16 *)v + head * ((S + KB - 1) / KB) * BLOCK;
#else
    const size_t from = (size_t)BATCH * S * C + HEAD * HD;
    IN key_rows = (__global const float *)k + from;
    IN value_rows = (__global const float *)v + from;
    float16 keys[BLOCK], values[BLOCK];
#endif
    q += (size_t)BATCH * L * C + HEAD * HD;
    for (int r = 0; r < count; r++) {
        for (int j = 0; j < HW; j++) {
            rows[r][j] = load(q + (size_t)min(r0 + r, L - 1) * C + 16 * j, HD - 16 * j) * scale;
            acc[r][j] = (float16)(0.0f);
        }
        top[r] = -INFINITY;
        sum[r] = (float16)(0.0f);
    }
    for (int s0 = 0; s0 < S; s0 += KB) {
        const int columns = min(KB, S - s0), panels = (columns + 15) / 16;
#if !PACKED
        pack_keys(key_rows + (size_t)s0 * C, columns, C, keys);
        pack_values(value_rows + (size_t)s0 * C, columns, C, values);
#endif
        int j = 0;
        for (; j + 2 <= panels; j += 2)
            for (int r = 0; r < count; r += 8)
                SCORE_TILE(&p[r][j], (const float *)rows[r], keys + KEYS_AT(j, 0), 2)
        if (j < panels)
            for (int r = 0; r < count; r += 8)
                SCORE_TILE(&p[r][j], (const float *)rows[r], keys + KEYS_AT(j, 0), 1)
        for (int r = 0; r < count; r++)
            shrink[r] = soften(p[r], columns, &top[r], &sum[r]);
        for (int d = 0; d < HW / VC; d++)
            for (int r = 0; r < count; r += VR) {
                float16 a[VR][VC];
                UNROLL for (int i = 0; i < VR; i++) UNROLL for (int e = 0; e < VC; e++) a[i][e] =
                    (float16)(0.0f);
                const float *weight = (const float *)p[r];
                for (int c = 0; c < columns; c++) {
                    float16 value[VC];
                    UNROLL for (int e = 0; e < VC; e++) value[e] = values[VALUES_AT(d, c, e)];
                    UNROLL for (int i = 0; i < VR; i++)
                    {
                        const float16 w = (float16)(weight[i * KB + c]);
                        UNROLL for (int e = 0; e < VC; e++) a[i][e] = w * value[e] + a[i][e];
                    }
                }
                UNROLL for (int i = 0; i < VR; i++) UNROLL for (int e = 0; e < VC; e++)
                    acc[r + i][d * VC + e] = acc[r + i][d * VC + e] * shrink[r + i] + a[i][e];
            }
#if PACKED
        keys += BLOCK;
        values += BLOCK;
#endif
    }
    for (int r = 0; r < count; r++)
        total[r] = wide_sum(sum[r]);
    for (int r = 0; r < count; r += 8) /* a scalar log takes ten times as long as a vector's */
        vstore8(vload8(0, top + r) + log(vload8(0, total + r)), 0, top + r);
    o += ((size_t)BATCH * L + r0) * C + HEAD * HD;
    for (int r = 0; r < min(count, L - r0); r++) {
        lse[head * L + r0 + r] = top[r];
        for (int j = 0; j < HW; j++)
            store(acc[r][j] / total[r], o + (size_t)r * C + 16 * j, HD - 16 * j);
    }
}

#elif MF_CPU

#define HV (HD / VW) /* vectors a head */

/* x [N,S,C] -> panels, zeros beyond S; range (P, heads, N). */
ONE __kernel void pack_heads(int S, int C, IN x, OUT panels)
{
    const int s0 = get_global_id(0) * 16;
    x += ((size_t)BATCH * S + s0) * C + HEAD * HD;
    panels +=
        (((size_t)BATCH * get_global_size(1) + HEAD) * get_global_size(0) + get_global_id(0)) * HD *
        16;
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
    UNROLL for (int i = 0; i < RB; i++) UNROLL for (int j = 0; j < HV; j++)
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

#define ONE_BY_ONE _Pragma("unroll 1")
#define BY_FOUR _Pragma("unroll 4")

#if !GRADIENTS

/* 256 work-items own 64 queries of a head and meet its keys 64 at a time:
 *   1. scores: 4 queries by 4 keys an item, from DEPTH channels of both at a time in local memory;
 *   2. probabilities, in local memory: the keys of a query are split over 4 items;
 *   3. values: the sums of 2 queries by VN float4 an item, from TV rows of values in local memory.
 * Sums of up to 256 channels fit in registers. Larger heads are shared out to PARTS groups, each of
 * which takes all scores again, but the values of WIDTH channels only. */
#define BLOCK 64
#define PITCH (BLOCK + 4) /* of what is stored across: no two lanes in a bank */
#define DEPTH (HD % 16 ? 8 : 16)
#define PARTS ((HD + 255) / 256)
#define WIDTH (((HD + PARTS - 1) / PARTS + 3) / 4 * 4)
#define VN ((WIDTH + 31) / 32)
#define VALUES (32 * VN)
#define TV (VN == 1 ? 64 : VN == 2 ? 32 : VN <= 4 ? 16 : 8)
#define TILE (2 * DEPTH * PITCH > TV * VALUES ? 2 * DEPTH * PITCH : TV * VALUES)
/* Probabilities lie by key in the order in which step 1 stores them across: 0, 4 .. 60, 1, 5 .. */
#define KEY_AT(slot) ((slot) % 16 * 4 + (slot) / 16)

/* What an item carries to local memory is fetched before the work on what lies there, which hides
 * how long that takes. Places within 64 rows are counted by int: addresses take half the registers.
 */
#define ACROSS (DEPTH * BLOCK / 256)
#define ALONG (TV * VALUES / 256)
#define CHANNEL_OF(n) ((int)get_local_id(0) % 8 + (n) / 2 * 8) /* 8 lanes read 8 neighbours */
#define ROW_OF(n) ((int)get_local_id(0) / 8 + (n) % 2 * 32)

/* x[row][d + channel] scale, 64 rows C apart of which `rows` exist (later ones repeat the last). */
static inline void fetch_across(IN x, int rows, int C, int d, float scale, float ahead[ACROSS])
{
    UNROLL for (int n = 0; n < ACROSS; n++) ahead[n] =
        d + CHANNEL_OF(n) < HD ? x[min(ROW_OF(n), rows - 1) * C + d + CHANNEL_OF(n)] * scale : 0.0f;
}

static inline void put_across(const float ahead[ACROSS], __local float *to)
{
    UNROLL for (int n = 0; n < ACROSS; n++) to[CHANNEL_OF(n) * PITCH + ROW_OF(n)] = ahead[n];
}

/* x[KEY_AT(from + slot)][channel], 0 beyond `rows` and `width`. */
static inline void fetch_values(IN x, int from, int rows, int C, int width, float ahead[ALONG])
{
    UNROLL for (int n = 0; n < ALONG; n++)
    {
        const int e = n * 256 + get_local_id(0), key = KEY_AT(from + e / VALUES);
        ahead[n] = key < rows && e % VALUES < width ? x[key * C + e % VALUES] : 0.0f;
    }
}

/* Where there are few queries, groups take shares of the keys, and o and lse are [shares,...],
 * which join_shares makes one. Range (256 per 64 queries, heads PARTS, shares N). */
__attribute__((reqd_work_group_size(256, 1, 1))) __kernel void
attention(int L, int S, int C, int shares, float scale, IN q, IN k, IN v, OUT o, OUT lse)
{
    __local float4 tile4[TILE / 4], p4[BLOCK * PITCH / 4];
    __local float shared[256], shrinks[BLOCK];
    __local float *const tile = (__local float *)tile4, *const p = (__local float *)p4;
    const int item = get_local_id(0), r0 = get_group_id(0) * BLOCK;
    const int head = HEAD / PARTS, first = HEAD % PARTS * WIDTH, width = min(WIDTH, HD - first);
    const int sx = item % 16, sy = item / 16;          /* keys 4 sx.., queries 4 sy.. of step 1 */
    const int row = item % BLOCK, part = item / BLOCK; /* of step 2: keys part, part + 4 .. */
    const int vx = item % 8, vy = item / 8; /* channels 4 vx + 32 j.., queries 2 vy, 2 vy + 1 */
    const int batches = get_global_size(2) / shares, batch = BATCH % batches;
    const int keys = ((S + BLOCK - 1) / BLOCK + shares - 1) / shares * BLOCK; /* of a share */
    const int start = BATCH / batches * keys, end = min(S, start + keys);
    q += ((size_t)batch * L + r0) * C + head * HD;
    k += ((size_t)batch * S + start) * C + head * HD;
    v += ((size_t)batch * S + start) * C + head * HD + first;
    float top = -INFINITY, sum = 0.0f; /* sum: of this item's keys only */
    float4 acc[2][VN];
    UNROLL for (int j = 0; j < VN; j++) acc[0][j] = acc[1][j] = (float4)(0.0f);
    for (int s0 = start; s0 < end; s0 += BLOCK) {
        const int count = min(BLOCK, end - s0);
        float4 s[4]; /* by key */
        UNROLL for (int j = 0; j < 4; j++) s[j] = (float4)(0.0f);
        float q_ahead[ACROSS], k_ahead[ACROSS], v_ahead[ALONG];
        fetch_across(q, L - r0, C, 0, scale, q_ahead);
        fetch_across(k, count, C, 0, 1.0f, k_ahead);
        ONE_BY_ONE for (int d = 0; d < HD; d += DEPTH)
        {
            barrier(CLK_LOCAL_MEM_FENCE);
            put_across(q_ahead, tile);
            put_across(k_ahead, tile + DEPTH * PITCH);
            barrier(CLK_LOCAL_MEM_FENCE);
            if (d + DEPTH < HD) {
                fetch_across(q, L - r0, C, d + DEPTH, scale, q_ahead);
                fetch_across(k, count, C, d + DEPTH, 1.0f, k_ahead);
            }
            BY_FOUR for (int e = 0; e < DEPTH; e++)
            {
                const float4 a = tile4[e * (PITCH / 4) + sy];
                const float4 b = tile4[(DEPTH + e) * (PITCH / 4) + sx];
                s[0] = fma(a, (float4)(b.x), s[0]);
                s[1] = fma(a, (float4)(b.y), s[1]);
                s[2] = fma(a, (float4)(b.z), s[2]);
                s[3] = fma(a, (float4)(b.w), s[3]);
            }
        }
        UNROLL for (int j = 0; j < 4; j++) p4[(16 * j + sx) * (PITCH / 4) + sy] = s[j];
        fetch_values(v, 0, count, C, width, v_ahead);
        barrier(CLK_LOCAL_MEM_FENCE);

        const int mine = (count - part + 3) / 4; /* slots of 16 that hold a key */
        __local float *const scores = p + 16 * part * PITCH + row;
        float most = top;
        BY_FOUR for (int i = 0; i < 16; i++) if (i < mine) most = fmax(most, scores[i * PITCH]);
        shared[item] = most;
        barrier(CLK_LOCAL_MEM_FENCE);
        most = fmax(fmax(shared[row], shared[row + BLOCK]),
                    fmax(shared[row + 2 * BLOCK], shared[row + 3 * BLOCK]));
        const float shrink = exp(top - most);
        top = most;
        sum *= shrink;
        BY_FOUR for (int i = 0; i < 16; i++)
        {
            const float e = i < mine ? exp(scores[i * PITCH] - most) : 0.0f;
            sum += e;
            scores[i * PITCH] = e;
        }
        if (!part)
            shrinks[row] = shrink;

        ONE_BY_ONE for (int from = 0; from < BLOCK; from += TV)
        {
            barrier(CLK_LOCAL_MEM_FENCE); /* the first time: for probabilities too */
            UNROLL for (int n = 0; n < ALONG; n++) tile[n * 256 + item] = v_ahead[n];
            if (!from) {
                const float less0 = shrinks[2 * vy], less1 = shrinks[2 * vy + 1];
                UNROLL for (int j = 0; j < VN; j++)
                {
                    acc[0][j] *= less0;
                    acc[1][j] *= less1;
                }
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            if (from + TV < BLOCK)
                fetch_values(v, from + TV, count, C, width, v_ahead);
            BY_FOUR for (int c = 0; c < TV; c++)
            {
                const float2 w = ((__local const float2 *)p4)[(from + c) * (PITCH / 2) + vy];
                UNROLL for (int j = 0; j < VN; j++)
                {
                    const float4 value = tile4[(c * VN + j) * 8 + vx];
                    acc[0][j] = fma((float4)(w.x), value, acc[0][j]);
                    acc[1][j] = fma((float4)(w.y), value, acc[1][j]);
                }
            }
        }
        k += (size_t)BLOCK * C;
        v += (size_t)BLOCK * C;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    shared[item] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (part == 0) {
        sum = (sum + shared[row + BLOCK]) + (shared[row + 2 * BLOCK] + shared[row + 3 * BLOCK]);
        shrinks[row] = sum;
        if (!first && r0 + row < L)
            lse[((size_t)BATCH * (get_global_size(1) / PARTS) + head) * L + r0 + row] =
                top + log(sum);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    o += ((size_t)BATCH * L + r0) * C + head * HD + first;
    UNROLL for (int i = 0; i < 2; i++) UNROLL for (int j = 0; j < VN; j++)
    {
        const int r = 2 * vy + i, channel = 32 * j + 4 * vx;
        if (r0 + r < L && channel < width)
            store(acc[i][j] / shrinks[r], o + (size_t)r * C + channel, width - channel);
    }
}

/* o [shares,N,L,C] and lse [shares,N,heads,L] of shares of the keys -> those of all keys.
 * Range (L C, N). */
ITEMS __kernel void join_shares(int L, int C, int shares, IN o_shares, IN lse_shares, OUT o,
                                OUT lse)
{
    const int row = get_global_id(0) / C, c = get_global_id(0) % C, batches = get_global_size(1);
    if (row >= L)
        return;
    const size_t at = ((size_t)HEAD * L + row) * C + c, step = (size_t)batches * L * C;
    const size_t head = ((size_t)HEAD * (C / HD) + c / HD) * L + row;
    const size_t head_step = (size_t)batches * (C / HD) * L;
    float top = -INFINITY, sum = 0.0f, value = 0.0f;
    for (int i = 0; i < shares; i++)
        top = fmax(top, lse_shares[i * head_step + head]);
    for (int i = 0; i < shares; i++) {
        const float weight = exp(lse_shares[i * head_step + head] - top);
        sum += weight;
        value = fma(weight, o_shares[i * step + at], value);
    }
    o[at] = value / sum;
    if (c % HD == 0)
        lse[head] = top + log(sum);
}

#else

/* One row a work-item, 64 a group; columns pass through local memory TJ at a time. Loops over a
 * head are unrolled, so that a row stays in registers: up to HD 32 on the GPUs of
 * tools/check_kernels. Larger heads give the same results, but spill. */
#define TJ (HD <= 64 ? 32 : HD <= 256 ? 8 : 1)
#define MINE ((int)get_global_id(0))
#define ROWS_OF_64 __attribute__((reqd_work_group_size(64, 1, 1)))
#define FETCH(x, to, count)                                                                        \
    for (int e = get_local_id(0); e < (count)*HD; e += 64)                                         \
    to[e] = x[(size_t)(e / HD) * C + e % HD]

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

#endif

#if GRADIENTS
/* delta = sum over a head of o do, and lse once more, both with rows 16 P apart: what reading them
 * by whole vectors needs. Beyond L lse is infinite, so that probabilities are 0. Range (16 P,
 * heads, N). */
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
#endif
