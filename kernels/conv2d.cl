/* conv2d.cl - convolutions of images [N,H,W,..], and the transpose with kernel and stride 2.
 *
 * K, S   side of the filter, stride          I, O   channels in and out
 * UP     the transpose: K is 1, and O counts the channels of four pixels, ordered (y, x, channel)
 * A work-item of a CPU owns MR pixels of a row by NV vectors of VW channels.
 * DEPTHWISE   side of the filter: the kernels of a convolution of each channel by itself instead */
#include "common.clh"
#include "tile.clh"

#ifndef DEPTHWISE

#define OUT_CHANNELS (UP ? O / 4 : O)
/* Where channel n of the sums at pixel (row, column) of image z is stored, and its bias. */
#define PLACE(z, row, column, n)                                                                   \
    (UP ? (((size_t)(z)*2 * h + 2 * (row) + (n) / (2 * OUT_CHANNELS)) * 2 * w + 2 * (column) +     \
           (n) / OUT_CHANNELS % 2) * OUT_CHANNELS + (n) % OUT_CHANNELS                             \
        : (((size_t)(z)*h + (row)) * w + (column)) * O + (n))
#define BIAS_AT(n) (has_bias ? bias[(n) % OUT_CHANNELS] : 0.0f)

#if MF_CPU

#define NR (NV * VW)
#define PIXELS ((MR - 1) * S + K) /* of a row under a tile */
#define LINE ((PIXELS * I + 15) / 16)
#define RUN 64 /* products that are added up by themselves before they join a sum: that rounds less */
/* Channels n .. n + VW - 1 are stored together. */
#if UP && O / 4 % VW
#define WHOLE(n) false
#else
#define WHOLE(n) ((n) + VW <= O)
#endif

/* weight [O,I,K,K], or with UP [I,O/4,2,2] -> [panels,K,K,I,NR], zeros beyond O; range (K K I, panels).
 */
ONE __kernel void pack_conv2d(IN weight, OUT packed)
{
    const int e = get_global_id(0), i = e % I, tap = e / I, n0 = get_global_id(1) * NR;
    packed += ((size_t)get_global_id(1) * K * K * I + e) * NR;
    for (int n = 0; n < NR; n++) {
        const int o = n0 + n;
        const size_t at = UP ? ((size_t)i * OUT_CHANNELS + o % OUT_CHANNELS) * 4 + o / OUT_CHANNELS
                             : ((size_t)o * I + i) * K * K + tap;
        packed[n] = o < O ? weight[at] : 0.0f;
    }
}

/* The pixels of a row from `column` on, of which `width` exist, as a line of whole vectors. `left`
 * floats of x lie behind its first pixel. */
static inline void fetch_line(IN row, int column, int width, long left, float16 *line)
{
    if (column >= 0 && column + PIXELS <= width) {
        for (int e = 0; e < LINE; e++)
            line[e] = load(row + (long)column * I + 16 * e, left - (long)column * I - 16 * e);
        return;
    }
    float *one = (float *)line;
    for (int e = 0; e < PIXELS * I; e++) {
        const int c = column + e / I;
        one[e] = c >= 0 && c < width ? row[(long)column * I + e] : 0.0f;
    }
}

/* Range (h ceil(w / (tiles MR)), panels, N); x has `all` floats. */
ONE __kernel void conv2d(int H, int W, int h, int w, int padding, int tiles, int has_bias, long all,
                         IN x, IN weight, IN bias, OUT y)
{
    const int parts = (w + tiles * MR - 1) / (tiles * MR), n0 = get_global_id(1) * NR;
    const int row = get_global_id(0) / parts, z = get_global_id(2);
    const int first = get_global_id(0) % parts * tiles * MR;
    float16 lines[K][LINE];
    float start[NR];
    for (int n = 0; n < NR; n++)
        start[n] = n0 + n < O ? BIAS_AT(n0 + n) : 0.0f;
    for (int column = first; column < min(w, first + tiles * MR); column += MR) {
        for (int ky = 0; ky < K; ky++) {
            const int from = row * S - padding + ky;
            const long at = ((long)z * H + from) * W * I;
            if (from >= 0 && from < H)
                fetch_line(x + at, column * S - padding, W, all - at, lines[ky]);
            else
                for (int e = 0; e < LINE; e++)
                    lines[ky][e] = (float16)(0.0f);
        }
        vec sums[MR][NV];
        UNROLL for (int i = 0; i < MR; i++)
            UNROLL for (int j = 0; j < NV; j++) sums[i][j] = LOAD(start + j * VW);
        IN b = weight + (size_t)get_global_id(1) * K * K * I * NR;
        for (int ky = 0; ky < K; ky++) {
            const float *a = (const float *)lines[ky];
            for (int run = 0; run < K * I; run += RUN) {
                vec acc[MR][NV];
                UNROLL for (int i = 0; i < MR; i++)
                    UNROLL for (int j = 0; j < NV; j++) acc[i][j] = (vec)(0.0f);
                for (int e = run; e < min(run + RUN, K * I); e++) {
                    vec bv[NV];
                    UNROLL for (int j = 0; j < NV; j++) bv[j] = LOAD(b + j * VW);
                    UNROLL for (int i = 0; i < MR; i++)
                    {
                        const vec av = (vec)(a[i * S * I + e]);
                        UNROLL for (int j = 0; j < NV; j++) acc[i][j] = av * bv[j] + acc[i][j];
                    }
                    b += NR;
                }
                UNROLL for (int i = 0; i < MR; i++)
                    UNROLL for (int j = 0; j < NV; j++) sums[i][j] += acc[i][j];
            }
        }
        UNROLL for (int i = 0; i < MR; i++)
        {
            if (column + i < w) {
                UNROLL for (int j = 0; j < NV; j++)
                {
                    const int n = n0 + j * VW;
                    if (WHOLE(n)) {
                        STORE(sums[i][j], y + PLACE(z, row, column + i, n));
                    } else {
                        float part[VW];
                        STORE(sums[i][j], part);
                        for (int l = 0; l < VW && n + l < O; l++)
                            y[PLACE(z, row, column + i, n + l)] = part[l];
                    }
                }
            }
        }
    }
}

#else

#define A_ALONG_K 0
#define B_ALONG_K !UP

/* Term k of a sum, ordered (I, y, x) as the weight is: pixel m of the image's h w. */
static inline float under(IN x, int H, int W, int w, int padding, int m, int k)
{
    const int row = m / w * S - padding + k / K % K, column = m % w * S - padding + k % K;
    const bool inside = row >= 0 && row < H && column >= 0 && column < W;
    return inside ? x[((size_t)row * W + column) * I + k / (K * K)] : 0.0f;
}

/* Groups (ceil(h w / TM), ceil(O / TN), N). */
GROUP __kernel void conv2d(int H, int W, int h, int w, int padding, int tiles, int has_bias,
                           long all, IN x, IN weight, IN bias, OUT y)
{
    const int m0 = get_group_id(0) * TM, n0 = get_group_id(1) * TN, z = get_group_id(2);
    x += (size_t)z * H * W * I;
    TILE_LOCALS;
#define A_AT(m, k) (m0 + (m) < h * w ? under(x, H, W, w, padding, m0 + (m), k) : 0.0f)
#define B_AT(k, n)                                                                                 \
    (n0 + (n) < O ? weight[UP ? ((size_t)(k)*OUT_CHANNELS + (n0 + (n)) % OUT_CHANNELS) * 4 +       \
                                    (n0 + (n)) / OUT_CHANNELS                                      \
                              : (size_t)(n0 + (n)) * K * K * I + (k)]                              \
                  : 0.0f)
    TILE_PRODUCT(0, K * K * I, A_AT, B_AT)
#define PUT(m, n, value)                                                                           \
    if (m0 + (m) < h * w && n0 + (n) < O)                                                          \
    y[PLACE(z, (m0 + (m)) / w, (m0 + (m)) % w, n0 + (n))] = (value) + BIAS_AT(n0 + (n))
    TILE_PUT(PUT)
}

#endif

#else

#define PIXELS 8

/* weight [C,taps] -> [taps,C]. Range: all. */
ITEMS __kernel void pack_depthwise(int C, int taps, IN weight, OUT packed)
{
    const int i = get_global_id(0);
    if (i < C * taps)
        packed[i] = weight[i % C * taps + i / C];
}

/* x [N,H,W,C], weight [k,k,C] -> y [N,H,W,C], PIXELS of a row a work-item. Range: vectors of C
 * times eights of W, H, N. */
ROWS __kernel void depthwise(int H, int W, int C, int has_bias, IN x, IN weight, IN bias, OUT y)
{
    const int k = DEPTHWISE, blocks = (C + WIDE - 1) / WIDE;
    const int i0 = get_global_id(0) / blocks * PIXELS, c = get_global_id(0) % blocks * WIDE;
    const int j = get_global_id(1), n = get_global_id(2);
    if (i0 >= W)
        return;
    const int left = C - c;
    const wide start = has_bias ? load(bias + c, left) : (wide)(0.0f);
    wide sums[PIXELS];
    UNROLL for (int i = 0; i < PIXELS; i++) sums[i] = start;
    for (int ky = max(k / 2 - j, 0); ky < min(k, H + k / 2 - j); ky++) {
        IN row = x + ((long)n * H + j + ky - k / 2) * W * C + c;
        wide taps[DEPTHWISE];
        UNROLL for (int kx = 0; kx < k; kx++)
            taps[kx] = load(weight + (long)(ky * k + kx) * C + c, left);
        UNROLL for (int e = 0; e < PIXELS + DEPTHWISE - 1; e++)
        {
            const int column = i0 + e - k / 2;
            const wide v =
                column >= 0 && column < W ? load(row + (long)column * C, left) : (wide)(0.0f);
            UNROLL for (int i = 0; i < PIXELS; i++)
                if (e - i >= 0 && e - i < k)
                    sums[i] = taps[e - i] * v + sums[i];
        }
    }
    UNROLL for (int i = 0; i < PIXELS; i++)
        if (i0 + i < W)
            store(sums[i], y + (((long)n * H + j) * W + i0 + i) * C + c, left);
}

#endif
