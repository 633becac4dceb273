/* conv.cl - 3x3x3 convolution with zero padding, channels last, and its two gradients.
 *
 * IC, OC  channels in and out: arguments on a CPU, macros on a GPU, where indices are divided by
 *         them
 * CB      input channels a block (divides IC), NR = VW * OCB output channels a tile (divides OC);
 *         on a GPU both are the whole
 * XB_WIDE, XB_NARROW  positions along x a work-item (CPU), for long and for short rows
 * JT      rows of the weight gradient a tile (divides 3 IC)
 *
 * Packed weights: [OC/NR][kd][kh][IC/CB][kw][CB][NR]. Backward data is forward with `flip`: channels
 * exchanged, taps reversed. */
#include "common.clh"
#include "tile.clh"

#if MF_CPU
#define NR (VW * OCB)
#define CHANNELS int IC, int OC
#else
#define NR OC
#define CB IC
#define VW 1
#define CHANNELS int in_channels, int out_channels
#endif

/* Element (oc, ic, tap) of w: published [OC,IC,27], with flip [IC,OC,27] and taps reversed. */
#define PUBLISHED(oc, ic, tap)                                                                     \
    (flip ? w[((size_t)(ic) * OC + (oc)) * 27 + 26 - (tap)]                                        \
          : w[((size_t)(oc) * IC + (ic)) * 27 + (tap)])

#if MF_CPU
/* Range (IC/CB, OC/NR): an item a block, so that the 27 taps are read as they lie. */
ONE __kernel void pack_weights(CHANNELS, int flip, IN w, OUT packed)
{
    const int cb = get_global_id(0), ob = get_global_id(1);
    for (int c = 0; c < CB; c++)
        for (int tap = 0; tap < 27; tap++)
            for (int r = 0; r < NR; r++)
                packed[(((((size_t)ob * 9 + tap / 3) * (IC / CB) + cb) * 3 + tap % 3) * CB + c) * NR +
                       r] = PUBLISHED(ob * NR + r, cb * CB + c, tap);
}
#else
/* One item an element. */
ITEMS __kernel void pack_weights(CHANNELS, int flip, IN w, OUT packed)
{
    const int e = get_global_id(0), oc = e % OC, ic = e / OC % IC;
    const int kw = e / (OC * IC) % 3, row = e / (OC * IC * 3);
    if (row < 9)
        packed[e] = PUBLISHED(oc, ic, row * 3 + kw);
}
#endif

#if MF_CPU

#if CB == 1
#define COPY(from, to) (*(to) = *(from))
#define CLEAR(to) (*(to) = 0.0f)
#else
#define COPY(from, to) CAT(vstore, CB)(CAT(vload, CB)(0, from), 0, to)
#define CLEAR(to) CAT(vstore, CB)((CAT(float, CB))(0.0f), 0, to)
#endif

/* x [N,D,H,W,IC] -> y [N,D,H,W,OC]; range (H * ceil(W/XB), N * D, OC/NR): a work-item makes XB
 * positions of one row by NR channels. A macro, because PoCL keeps the tile of an inlined function
 * in memory. The last tile of a row moves left to end at W. Products of one row of the filter and
 * CB channels are added up by themselves before they join the sums, which keeps rounding small. */
#define CONV(NAME, XB)                                                                             \
    ONE __kernel void NAME(CHANNELS, int N, int D, int H, int W, int has_bias, IN x, IN w,         \
                           IN bias, OUT y)                                                         \
    {                                                                                              \
        const int tiles = (W + XB - 1) / XB;                                                       \
        const int row = get_global_id(0) / tiles, from = get_global_id(0) % tiles * XB;            \
        const int z = get_global_id(1) % D, n = get_global_id(1) / D, ob = get_global_id(2);       \
        const int x0 = max(0, min(from, W - XB));                                                  \
        const bool inside = x0 >= 1 && x0 + XB < W;                                                \
        float staged[(XB + 2) * CB];                                                               \
        vec sums[XB][OCB];                                                                         \
        UNROLL for (int j = 0; j < OCB; j++)                                                       \
        {                                                                                          \
            const vec start = has_bias ? LOAD(bias + ob * NR + j * VW) : (vec)(0.0f);              \
            UNROLL for (int i = 0; i < XB; i++) sums[i][j] = start;                                \
        }                                                                                          \
        for (int kd = 0; kd < 3; kd++) {                                                           \
            if (z + kd < 1 || z + kd > D)                                                          \
                continue;                                                                          \
            for (int kh = 0; kh < 3; kh++) {                                                       \
                if (row + kh < 1 || row + kh > H)                                                  \
                    continue;                                                                      \
                __global const float *v = w + (size_t)((ob * 3 + kd) * 3 + kh) * 3 * IC * NR;      \
                __global const float *line =                                                       \
                    x + (((size_t)n * D + z + kd - 1) * H + row + kh - 1) * W * IC;                \
                for (int cb = 0; cb < IC; cb += CB) {                                              \
                    if (inside) {                                                                  \
                        __global const float *from_x = line + (size_t)(x0 - 1) * IC + cb;          \
                        UNROLL for (int i = 0; i < XB + 2; i++)                                    \
                            COPY(from_x + i * IC, staged + i * CB);                                \
                    } else {                                                                       \
                        for (int i = 0; i < XB + 2; i++) {                                         \
                            const int at = x0 - 1 + i;                                             \
                            if (at >= 0 && at < W)                                                 \
                                COPY(line + (size_t)at * IC + cb, staged + i * CB);                \
                            else                                                                   \
                                CLEAR(staged + i * CB);                                            \
                        }                                                                          \
                    }                                                                              \
                    vec acc[XB][OCB];                                                              \
                    UNROLL for (int i = 0; i < XB; i++)                                            \
                        UNROLL for (int j = 0; j < OCB; j++) acc[i][j] = (vec)(0.0f);              \
                    const float *s = staged;                                                       \
                    for (int k = 0; k < 3 * CB; k++) {                                             \
                        vec wv[OCB];                                                               \
                        UNROLL for (int j = 0; j < OCB; j++) wv[j] = LOAD(v + j * VW);             \
                        UNROLL for (int i = 0; i < XB; i++)                                        \
                        {                                                                          \
                            const vec a = (vec)(s[i * CB]);                                        \
                            UNROLL for (int j = 0; j < OCB; j++)                                   \
                                acc[i][j] = a * wv[j] + acc[i][j];                                 \
                        }                                                                          \
                        v += NR;                                                                   \
                        s++;                                                                       \
                    }                                                                              \
                    UNROLL for (int i = 0; i < XB; i++)                                            \
                        UNROLL for (int j = 0; j < OCB; j++) sums[i][j] += acc[i][j];              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        y += ((((size_t)n * D + z) * H + row) * W + x0) * OC + ob * NR;                            \
        UNROLL for (int i = 0; i < XB; i++)                                                        \
        {                                                                                          \
            if (x0 + i >= from && x0 + i < W)                                                      \
                UNROLL for (int j = 0; j < OCB; j++)                                               \
                    STORE(sums[i][j], y + (size_t)i * OC + j * VW);                                \
        }                                                                                          \
    }

CONV(conv, XB_WIDE)
CONV(conv_narrow, XB_NARROW)

#if VW == 1 && OCB == 1 && CB == 1
/* One channel on both sides: vectors go along x. `left`, `here` and `right` are a row of x seen from
 * positions x0 .. x0 + 15 through the three taps of a row; beyond W they are 0. */
#define NEIGHBOURS(row, x0)                                                                        \
    const float16 here = load((row) + (x0), W - (x0));                                             \
    const float before = (x0) > 0 ? (row)[(x0) - 1] : 0.0f;                                        \
    const float after = (x0) + 16 < W ? (row)[(x0) + 16] : 0.0f;                                   \
    const float16 left =                                                                           \
        (float16)(before, here.s0, here.s12, here.s3456, here.s789abcde);                          \
    const float16 right = (float16)(here.s1, here.s23, here.s4567, here.s89abcdef, after)

/* x, y [N,D,H,W]; range (H, N D). */
ONE __kernel void conv_single(int N, int D, int H, int W, int has_bias, IN x, IN w, IN bias, OUT y)
{
    const int row = get_global_id(0), slab = get_global_id(1), z = slab % D;
    for (int x0 = 0; x0 < W; x0 += 16) {
        float16 sum = (float16)(has_bias ? bias[0] : 0.0f);
        for (int kd = max(0, 1 - z); kd < min(3, D + 1 - z); kd++)
            for (int kh = max(0, 1 - row); kh < min(3, H + 1 - row); kh++) {
                IN line = x + ((long)(slab + kd - 1) * H + row + kh - 1) * W;
                IN tap = w + (kd * 3 + kh) * 3;
                NEIGHBOURS(line, x0);
                sum += tap[0] * left + tap[1] * here + tap[2] * right;
            }
        store(sum, y + ((long)slab * H + row) * W + x0, W - x0);
    }
}

/* As conv_weights below; range (chunks). */
ONE __kernel void conv_weights_single(int N, int D, int H, int W, int rows, int sweep, IN x, IN dy,
                                      OUT part)
{
    const int begin = get_global_id(0) * rows, end = min(N * D * H, begin + rows);
    float16 sums[27];
    for (int t = 0; t < 27; t++)
        sums[t] = (float16)(0.0f);
    for (int r0 = begin; r0 < end; r0 += sweep)
        for (int plane = 0; plane < 9; plane++) {
            float16 a = (float16)(0.0f), b = (float16)(0.0f), c = (float16)(0.0f);
            for (int r = r0; r < min(end, r0 + sweep); r++) {
                const int z = r / H % D + plane / 3 - 1, row = r % H + plane % 3 - 1;
                if (z < 0 || z >= D || row < 0 || row >= H)
                    continue;
                IN line = x + ((long)(r / H + plane / 3 - 1) * H + row) * W;
                for (int x0 = 0; x0 < W; x0 += 16) {
                    const float16 g = load(dy + (long)r * W + x0, W - x0);
                    NEIGHBOURS(line, x0);
                    a += g * left;
                    b += g * here;
                    c += g * right;
                }
            }
            sums[plane * 3] += a;
            sums[plane * 3 + 1] += b;
            sums[plane * 3 + 2] += c;
        }
    for (int t = 0; t < 27; t++)
        part[get_global_id(0) * 27 + t] = wide_sum(sums[t]);
}
#endif

/* One position of a tile of the weight gradient; A_AT(i) is row i of the tile. */
#define WEIGHTS_STEP(A_AT)                                                                         \
    {                                                                                              \
        vec gv[OCB];                                                                               \
        UNROLL for (int j = 0; j < OCB; j++) gv[j] = LOAD(g + j * VW);                             \
        UNROLL for (int i = 0; i < JT; i++)                                                        \
        {                                                                                          \
            const vec a = (vec)(A_AT(i));                                                          \
            UNROLL for (int j = 0; j < OCB; j++) acc[i][j] = a * gv[j] + acc[i][j];                \
        }                                                                                          \
    }
#define INSIDE(i) s[i]
#define AT_EDGE(i) (j0 + (i) >= low && j0 + (i) < high ? s[i] : 0.0f)

/* x [N,D,H,W,IC], dy [N,D,H,W,OC] -> part [chunks,27,IC,OC], a chunk being `rows` rows of x and a
 * sweep `sweep` rows between visits to the sums. Range (chunks, OC/NR, 9/planes): a work-item does
 * `planes` pairs (kd, kh). For such a pair the values (kw, ic) of a position are 3 IC neighbours in
 * memory: j counts them. */
ONE __kernel void conv_weights(CHANNELS, int N, int D, int H, int W, int rows, int sweep, int planes,
                               IN x, IN dy, OUT part)
{
    const int ob = get_global_id(1), begin = get_global_id(0) * rows;
    const int end = min(N * D * H, begin + rows), plane0 = get_global_id(2) * planes;
    part += get_global_id(0) * ((size_t)27 * IC * OC) + ob * NR;
    for (int r0 = begin; r0 < end; r0 += sweep) {
        const int r1 = min(end, r0 + sweep);
        for (int plane = plane0; plane < plane0 + planes; plane++) {
            const int kd = plane / 3, kh = plane % 3;
            for (int j0 = 0; j0 < 3 * IC; j0 += JT) {
                /* At the first position of a row taps with j < IC fall outside, at the last those
                 * with j >= 2 IC: of this tile all, none or some. */
                const int first = j0 + JT <= IC, last = W - (j0 >= 2 * IC);
                const bool first_cut = j0 < IC && j0 + JT > IC;
                const bool last_cut = j0 < 2 * IC && j0 + JT > 2 * IC;
                const int from = first + first_cut, to = last - last_cut;
                __global float *sums = part + ((size_t)plane * 3 * IC + j0) * OC;
                vec acc[JT][OCB];
                UNROLL for (int i = 0; i < JT; i++)
                    UNROLL for (int j = 0; j < OCB; j++) acc[i][j] = (vec)(0.0f);
                for (int r = r0; r < r1; r++) {
                    const int z = r / H % D + kd - 1, row = r % H + kh - 1;
                    if (z < 0 || z >= D || row < 0 || row >= H)
                        continue;
                    /* One position left of the row: touched only where j lies inside of it. */
                    IN line = x + (((size_t)(r / H - r / H % D + z) * H + row) * W - 1) * IC + j0;
                    IN grads = dy + (size_t)r * W * OC + ob * NR;
                    if (first_cut || (W == 1 && last_cut)) {
                        const int low = IC, high = W == 1 ? 2 * IC : 3 * IC;
                        IN s = line;
                        IN g = grads;
                        WEIGHTS_STEP(AT_EDGE)
                    }
                    for (int at = from; at < to; at++) {
                        IN s = line + (size_t)at * IC;
                        IN g = grads + (size_t)at * OC;
                        WEIGHTS_STEP(INSIDE)
                    }
                    if (last_cut && W > 1) {
                        const int low = 0, high = 2 * IC;
                        IN s = line + (size_t)(W - 1) * IC;
                        IN g = grads + (size_t)(W - 1) * OC;
                        WEIGHTS_STEP(AT_EDGE)
                    }
                }
                UNROLL for (int i = 0; i < JT; i++)
                    UNROLL for (int j = 0; j < OCB; j++)
                {
                    __global float *to = sums + (size_t)i * OC + j * VW;
                    STORE(r0 == begin ? acc[i][j] : acc[i][j] + LOAD(to), to);
                }
            }
        }
    }
}

#else

#define A_ALONG_K A_ALONG
#define B_ALONG_K 0

/* Value (kd, kh, kw, ic) = tap * IC + ic of the neighbourhood of position p = ((n D + z) H + y) W
 * + x. */
static inline float neighbour(int N, int D, int H, int W, IN x, long p, int k)
{
    const int tap = k / IC, at = p % W + tap % 3 - 1, row = p / W % H + tap / 3 % 3 - 1;
    const long slab = p / W / H;
    const int z = slab % D + tap / 9 - 1;
    if (slab >= (long)N * D || at < 0 || at >= W || row < 0 || row >= H || z < 0 || z >= D)
        return 0.0f;
    return x[(((size_t)(slab - slab % D + z) * H + row) * W + at) * IC + k % IC];
}

/* Groups (ceil(N D H W / TM), ceil(OC / TN)). */
GROUP __kernel void conv(CHANNELS, int N, int D, int H, int W, int has_bias, IN x, IN w, IN bias,
                         OUT y)
{
    const long m0 = (long)get_group_id(0) * TM, M = (long)N * D * H * W;
    const int n0 = get_group_id(1) * TN;
    TILE_LOCALS;
#define A_ALONG 1
#define A_AT(m, k) neighbour(N, D, H, W, x, m0 + (m), k)
#define B_AT(k, n) (n0 + (n) < OC ? w[(size_t)(k) * OC + n0 + (n)] : 0.0f)
    TILE_PRODUCT(0, 27 * IC, A_AT, B_AT)
#undef A_ALONG
#undef A_AT
#undef B_AT
#define PUT(m, n, value)                                                                           \
    if (m0 + (m) < M && n0 + (n) < OC)                                                             \
    y[(size_t)(m0 + (m)) * OC + n0 + (n)] = (value) + (has_bias ? bias[n0 + (n)] : 0.0f)
    TILE_PUT(PUT)
#undef PUT
}

/* Groups (ceil(27 IC / TM), ceil(OC / TN), chunks); a chunk is `rows` rows. */
GROUP __kernel void conv_weights(CHANNELS, int N, int D, int H, int W, int rows, int sweep,
                                 int planes, IN x, IN dy, OUT part)
{
    const int m0 = get_group_id(0) * TM, n0 = get_group_id(1) * TN;
    const long p0 = (long)get_group_id(2) * rows * W;
    const int length = min((long)rows * W, (long)N * D * H * W - p0);
    part += get_group_id(2) * (size_t)(27 * IC * OC);
    TILE_LOCALS;
#define A_ALONG 0
#define A_AT(m, k) (m0 + (m) < 27 * IC ? neighbour(N, D, H, W, x, p0 + (k), m0 + (m)) : 0.0f)
#define B_AT(k, n) (n0 + (n) < OC ? dy[(size_t)(p0 + (k)) * OC + n0 + (n)] : 0.0f)
    TILE_PRODUCT(0, length, A_AT, B_AT)
#define PUT(m, n, value)                                                                           \
    if (m0 + (m) < 27 * IC && n0 + (n) < OC)                                                       \
    part[(size_t)(m0 + (m)) * OC + n0 + (n)] = value
    TILE_PUT(PUT)
}

#endif

/* part [chunks,27,IC,OC] -> dw, published [OC,IC,27]; range (OC/VW, IC). */
ROWS __kernel void conv_weights_sum(CHANNELS, int chunks, IN part, OUT dw)
{
    const int o0 = get_global_id(0) * VW, ic = get_global_id(1);
    if (o0 >= OC)
        return;
    for (int tap = 0; tap < 27; tap++) {
        float sum[VW];
        for (int l = 0; l < VW; l++)
            sum[l] = 0.0f;
        for (int i = 0; i < chunks; i++)
            for (int l = 0; l < VW; l++)
                sum[l] += part[(((size_t)i * 27 + tap) * IC + ic) * OC + o0 + l];
        for (int l = 0; l < VW; l++)
            dw[((size_t)(o0 + l) * IC + ic) * 27 + tap] = sum[l];
    }
}
