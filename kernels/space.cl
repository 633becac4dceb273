/* space.cl - ops over the voxels of [N,D,H,W,C]: max pool, trilinear resize and its adjoint, position
 * embedding. */
#include "common.clh"

/* ---- max pool 2x2x2, stride 2 ---------------------------------------------------------------- */

/* x [N,2d..,2h..,2w..,C] -> y [N,d,h,w,C]. Range: vectors of C times w, h, N d. */
ITEMS __kernel void max_pool(int D, int H, int W, int C, IN x, OUT y)
{
    int d = D / 2, h = H / 2, w = W / 2, blocks = (C + WIDE - 1) / WIDE;
    int i = get_global_id(0) / blocks, c = get_global_id(0) % blocks * WIDE;
    int j = get_global_id(1), nz = get_global_id(2);
    if (i >= w)
        return;
    long at = ((((long)(nz / d) * D + nz % d * 2) * H + j * 2) * W + i * 2) * C + c;
    int left = C - c;
    long row = (long)W * C, slab = row * H;
    wide v = load(x + at, left);
    for (int k = 1; k < 8; k++)
        v = fmax(v, load(x + at + (k >> 2) * slab + (k >> 1 & 1) * row + (k & 1) * (long)C, left));
    store(v, y + (((long)nz * h + j) * w + i) * C + c, left);
}

/* dx: g where x is the first largest of its window (z, y, x order, as PyTorch), else 0. Every voxel
 * is written; those of an odd edge belong to no window. Range: vectors of C times ceil(W/2),
 * ceil(H/2), N ceil(D/2). */
ITEMS __kernel void max_pool_gradient(int D, int H, int W, int C, IN x, IN g, OUT dx)
{
    int cells_w = (W + 1) / 2, cells_d = (D + 1) / 2, blocks = (C + WIDE - 1) / WIDE;
    int i = get_global_id(0) / blocks, c = get_global_id(0) % blocks * WIDE;
    int j = get_global_id(1), n = get_global_id(2) / cells_d, k = get_global_id(2) % cells_d;
    if (i >= cells_w)
        return;
    int d = D / 2, h = H / 2, w = W / 2;
    bool whole = i < w && j < h && k < d;
    long at = ((((long)n * D + k * 2) * H + j * 2) * W + i * 2) * C + c;
    int left = C - c;
    long row = (long)W * C, slab = row * H;
    wide largest = (wide)(0.0f), grad = (wide)(0.0f);
    wide_int best = (wide_int)(0);
    if (whole) {
        grad = load(g + ((((long)n * d + k) * h + j) * w + i) * C + c, left);
        largest = load(x + at, left);
        for (int q = 1; q < 8; q++) {
            wide v = load(x + at + (q >> 2) * slab + (q >> 1 & 1) * row + (q & 1) * (long)C, left);
            best = select(best, (wide_int)(q), v > largest);
            largest = fmax(largest, v);
        }
    }
    for (int q = 0; q < 8; q++)
        if (k * 2 + (q >> 2) < D && j * 2 + (q >> 1 & 1) < H && i * 2 + (q & 1) < W)
            store(select((wide)(0.0f), grad, best == q),
                  dx + at + (q >> 2) * slab + (q >> 1 & 1) * row + (q & 1) * (long)C, left);
}

/* ---- trilinear resize, aligned corners -------------------------------------------------------- */

/* Output o of `out` lies at o (in - 1) / (out - 1); the fraction is exact but for one rounding. */
static inline int place(int o, int in, int out, float *fraction)
{
    if (out == 1) {
        *fraction = 0.0f;
        return 0;
    }
    int at = o * (in - 1), i = at / (out - 1);
    *fraction = (float)(at - i * (out - 1)) / (float)(out - 1);
    return i;
}

/* x [N,d,h,w,C] -> y [N,D,H,W,C]. Range: vectors of C times W, H, N D. */
ITEMS __kernel void resize(int d, int h, int w, int D, int H, int W, int C, IN x, OUT y)
{
    int blocks = (C + WIDE - 1) / WIDE;
    int i = get_global_id(0) / blocks, c = get_global_id(0) % blocks * WIDE;
    int j = get_global_id(1), nz = get_global_id(2);
    if (i >= W)
        return;
    float fz, fy, fx;
    int z0 = place(nz % D, d, D, &fz), y0 = place(j, h, H, &fy), x0 = place(i, w, W, &fx);
    int left = C - c;
    long row = (long)w * C, slab = row * h;
    __global const float *at =
        x + ((((long)(nz / D) * d + z0) * h + y0) * w + x0) * C + c;
    long dz = z0 + 1 < d ? slab : 0, dy = y0 + 1 < h ? row : 0, dx = x0 + 1 < w ? C : 0;
    wide a = (1.0f - fx) * load(at, left) + fx * load(at + dx, left);
    wide b = (1.0f - fx) * load(at + dy, left) + fx * load(at + dy + dx, left);
    wide e = (1.0f - fx) * load(at + dz, left) + fx * load(at + dz + dx, left);
    wide f = (1.0f - fx) * load(at + dz + dy, left) + fx * load(at + dz + dy + dx, left);
    wide low = (1.0f - fy) * a + fy * b, high = (1.0f - fy) * e + fy * f;
    store((1.0f - fz) * low + fz * high, y + (((long)nz * H + j) * W + i) * C + c, left);
}

/* Outputs first .. last that lie less than one input from input i. */
static inline int2 touching(int i, int in, int out)
{
    if (in == 1 || out == 1)
        return (int2)(0, out - 1);
    int first = max((i - 1) * (out - 1), 0) / (in - 1);
    int last = min(((i + 1) * (out - 1) + in - 2) / (in - 1), out - 1);
    return (int2)(first, last);
}

/* How much of output o comes from input i, times UNIT(out): whole numbers, so nothing is rounded. */
#define UNIT(out) max((out) - 1, 1)
static inline int share(int o, int i, int in, int out)
{
    return max(UNIT(out) - (int)abs(o * (in - 1) - i * UNIT(out)), 0);
}
/* The same for outputs o, o + 1, ... */
static inline wide shares(int o, int i, int in, int out)
{
    const wide_int apart = (o + LANES) * (in - 1) - i * UNIT(out);
    return WIDE_SUFFIX(convert_float)(max(UNIT(out) - max(apart, -apart), (wide_int)(0)));
}

/* y [N,D,H,W,C] -> x [N,d,h,w,C], the transpose of resize; each x gathers. Vectors go over channels,
 * with one channel over W. Range: vectors of C times w, h, N d. */
ITEMS __kernel void resize_adjoint(int d, int h, int w, int D, int H, int W, int C, IN y, OUT x)
{
    int blocks = (C + WIDE - 1) / WIDE;
    int i = get_global_id(0) / blocks, c = get_global_id(0) % blocks * WIDE;
    int j = get_global_id(1), nz = get_global_id(2);
    if (i >= w)
        return;
    int n = nz / d, k = nz % d;
    int left = C - c;
    int2 zs = touching(k, d, D), ys = touching(j, h, H), xs = touching(i, w, W);
    wide all = (wide)(0.0f);
    for (int oz = zs.x; oz <= zs.y; oz++) {
        wide slab = (wide)(0.0f);
        for (int oy = ys.x; oy <= ys.y; oy++) {
            __global const float *line = y + (((long)n * D + oz) * H + oy) * W * C + c;
            wide row = (wide)(0.0f);
            if (C == 1)
                for (int ox = xs.x; ox <= xs.y; ox += WIDE)
                    row += shares(ox, i, w, W) * load(line + ox, xs.y + 1 - ox);
            else
                for (int ox = xs.x; ox <= xs.y; ox++)
                    row += (float)share(ox, i, w, W) * load(line + (long)ox * C, left);
            slab += (float)share(oy, j, h, H) * row;
        }
        all += (float)share(oz, k, d, D) * slab;
    }
    all /= (float)UNIT(D) * (float)UNIT(H) * (float)UNIT(W);
    __global float *to = x + (((long)nz * h + j) * w + i) * C + c;
    if (C == 1)
        *to = wide_sum(all);
    else
        store(all, to, left);
}

/* ---- position embedding [1,C,X,Y,Z], its corner added to [N,D,H,W,C] ----------------------------
 *
 * The embedding has channels slowest, so a work-item turns a square of WIDE positions by WIDE
 * channels, unless there is but one. Range: squares of a row, H, N D (or X, Y). */

ITEMS __kernel void add_position(int D, int H, int W, int C, int X, int Y, int Z,
                                 __global const float *x, IN embedding, __global float *y)
{
    int blocks = (C + WIDE - 1) / WIDE;
    int c = get_global_id(0) % blocks * WIDE, i = get_global_id(0) / blocks * WIDE;
    int j = get_global_id(1), nz = get_global_id(2);
    if (i >= W)
        return;
    long from = ((long)(nz % D) * Y + j) * Z + i, step = (long)X * Y * Z;
    int left = C - c;
    if (C == 1) {
        const long at = ((long)nz * H + j) * W + i;
        store(load(x + at, W - i) + load(embedding + from, W - i), y + at, W - i);
        return;
    }
    float square[WIDE * WIDE]; /* [channel][position] */
    for (int k = 0; k < WIDE; k++)
        WIDE_SUFFIX(vstore)
        (k < left ? load(embedding + from + (c + k) * step, W - i) : (wide)(0.0f), k, square);
    for (int k = 0; k < WIDE && i + k < W; k++) {
        float column[WIDE];
        for (int q = 0; q < WIDE; q++)
            column[q] = square[q * WIDE + k];
        long at = (((long)nz * H + j) * W + i + k) * C + c;
        store(load(x + at, left) + WIDE_SUFFIX(vload)(0, column), y + at, left);
    }
}

/* The embedding's gradient: sums over n, zero outside the corner. */
ITEMS __kernel void add_position_gradient(int N, int D, int H, int W, int C, int X, int Y, int Z, IN g,
                                          OUT embedding)
{
    int blocks = (C + WIDE - 1) / WIDE;
    int c = get_global_id(0) % blocks * WIDE, k = get_global_id(0) / blocks * WIDE;
    int j = get_global_id(1), i = get_global_id(2);
    if (k >= Z)
        return;
    long to = ((long)i * Y + j) * Z + k, step = (long)X * Y * Z;
    int left = C - c;
    if (C == 1) {
        wide all = (wide)(0.0f);
        if (i < D && j < H && k < W)
            for (int n = 0; n < N; n++)
                all += load(g + (((long)n * D + i) * H + j) * W + k, W - k);
        store(all, embedding + to, Z - k);
        return;
    }
    float square[WIDE * WIDE]; /* [position][channel] */
    for (int q = 0; q < WIDE; q++) {
        wide all = (wide)(0.0f);
        if (i < D && j < H && k + q < W)
            for (int n = 0; n < N; n++)
                all += load(g + ((((long)n * D + i) * H + j) * W + k + q) * C + c, left);
        WIDE_SUFFIX(vstore)(all, q, square);
    }
    for (int q = 0; q < WIDE && q < left; q++) {
        float row[WIDE];
        for (int u = 0; u < WIDE; u++)
            row[u] = square[u * WIDE + q];
        store(WIDE_SUFFIX(vload)(0, row), embedding + to + (c + q) * step, Z - k);
    }
}
