/* strided.cl - windows of any size, stride and padding over [N,D,H,W,C]: their voxels laid out as rows
 * (unfold), rows added back (fold), the largest of a window; and the last two axes swapped.
 *
 * KZ, KY, KX  size of the window     SZ, SY, SX  stride     PZ, PY, PX  padding before the volume
 * Window (oz, oy, ox) begins at voxel (oz SZ - PZ, oy SY - PY, ox SX - PX). Its voxels are counted in
 * the order z, y, x: tap = (kz KY + ky) KX + kx. */
#include "common.clh"

#define TAPS (KZ * KY * KX)

/* x [N,D,H,W,C] -> y [N,d,h,w,TAPS C], zeros where a window leaves the volume. Range: vectors of TAPS C
 * times w, h, N d. */
ITEMS __kernel void unfold(int D, int H, int W, int d, int h, int w, int C, IN x, OUT y)
{
    const int row = TAPS * C, vectors = (row + WIDE - 1) / WIDE;
    const int i = get_global_id(0) / vectors, e = get_global_id(0) % vectors * WIDE;
    const int j = get_global_id(1), nz = get_global_id(2);
    if (i >= w)
        return;
    const int z0 = nz % d * SZ - PZ, y0 = j * SY - PY, x0 = i * SX - PX;
    const long n = nz / d, to = (((long)nz * h + j) * w + i) * row + e;
    if (C % WIDE == 0) {
        const int tap = e / C, c = e % C;
        const int z = z0 + tap / (KY * KX), v = y0 + tap / KX % KY, u = x0 + tap % KX;
        const bool inside = z >= 0 && z < D && v >= 0 && v < H && u >= 0 && u < W;
        wide value = (wide)(0.0f);
        if (inside)
            value = WIDE_SUFFIX(vload)(0, x + (((n * D + z) * H + v) * W + u) * C + c);
        WIDE_SUFFIX(vstore)(value, 0, y + to);
        return;
    }
    for (int k = 0; k < WIDE && e + k < row; k++) {
        const int tap = (e + k) / C, c = (e + k) % C;
        const int z = z0 + tap / (KY * KX), v = y0 + tap / KX % KY, u = x0 + tap % KX;
        const bool inside = z >= 0 && z < D && v >= 0 && v < H && u >= 0 && u < W;
        y[to + k] = inside ? x[(((n * D + z) * H + v) * W + u) * C + c] : 0.0f;
    }
}

/* The window whose tap k lies at voxel `at`; -1: there is none. */
static inline int window(int at, int k, int stride, int padding, int count)
{
    const int from = at + padding - k;
    return from >= 0 && from % stride == 0 && from / stride < count ? from / stride : -1;
}

/* The transpose of unfold: y [N,d,h,w,TAPS C] -> x [N,D,H,W,C]; each voxel gathers. Range: vectors of
 * C times W, H, N D. */
ITEMS __kernel void fold(int D, int H, int W, int d, int h, int w, int C, IN y, OUT x)
{
    const int blocks = (C + WIDE - 1) / WIDE;
    const int i = get_global_id(0) / blocks, c = get_global_id(0) % blocks * WIDE;
    const int j = get_global_id(1), nz = get_global_id(2), left = C - c;
    if (i >= W)
        return;
    const long n = nz / D;
    wide sum = (wide)(0.0f);
    for (int kz = 0; kz < KZ; kz++) {
        const int oz = window(nz % D, kz, SZ, PZ, d);
        for (int ky = 0; ky < KY && oz >= 0; ky++) {
            const int oy = window(j, ky, SY, PY, h);
            for (int kx = 0; kx < KX && oy >= 0; kx++) {
                const int ox = window(i, kx, SX, PX, w);
                if (ox >= 0)
                    sum += load(y + ((((n * d + oz) * h + oy) * w + ox) * TAPS +
                                     (kz * KY + ky) * KX + kx) * C + c,
                                left);
            }
        }
    }
    store(sum, x + (((long)nz * H + j) * W + i) * C + c, left);
}

/* y: the largest of each window, taps: which it is, the first of equals, as PyTorch. What lies outside
 * of the volume counts as less than all. Range: vectors of C times w, h, N d. */
ITEMS __kernel void window_max(int D, int H, int W, int d, int h, int w, int C, IN x, OUT y, OUT taps)
{
    const int blocks = (C + WIDE - 1) / WIDE;
    const int i = get_global_id(0) / blocks, c = get_global_id(0) % blocks * WIDE;
    const int j = get_global_id(1), nz = get_global_id(2), left = C - c;
    if (i >= w)
        return;
    const int z0 = nz % d * SZ - PZ, y0 = j * SY - PY, x0 = i * SX - PX;
    const long n = nz / d;
    wide largest = (wide)(-INFINITY), which = (wide)(0.0f);
    bool first = true;
    for (int kz = max(0, -z0); kz < min(KZ, D - z0); kz++)
        for (int ky = max(0, -y0); ky < min(KY, H - y0); ky++)
            for (int kx = max(0, -x0); kx < min(KX, W - x0); kx++) {
                const wide v = load(x + (((n * D + z0 + kz) * H + y0 + ky) * W + x0 + kx) * C + c,
                                    left);
                const wide tap = (wide)((float)((kz * KY + ky) * KX + kx));
                const wide_int more = first ? (wide_int)(-1) : (v > largest) | (v != v);
                which = select(which, tap, more);
                largest = select(largest, v, more);
                first = false;
            }
    const long to = (((long)nz * h + j) * w + i) * C + c;
    store(largest, y + to, left);
    store(which, taps + to, left);
}

/* dx: the sum of g over the windows whose largest is here. Range: vectors of C times W, H, N D. */
ITEMS __kernel void window_max_gradient(int D, int H, int W, int d, int h, int w, int C, IN taps, IN g,
                                        OUT dx)
{
    const int blocks = (C + WIDE - 1) / WIDE;
    const int i = get_global_id(0) / blocks, c = get_global_id(0) % blocks * WIDE;
    const int j = get_global_id(1), nz = get_global_id(2), left = C - c;
    if (i >= W)
        return;
    const long n = nz / D;
    wide sum = (wide)(0.0f);
    for (int kz = 0; kz < KZ; kz++) {
        const int oz = window(nz % D, kz, SZ, PZ, d);
        for (int ky = 0; ky < KY && oz >= 0; ky++) {
            const int oy = window(j, ky, SY, PY, h);
            for (int kx = 0; kx < KX && oy >= 0; kx++) {
                const int ox = window(i, kx, SX, PX, w);
                if (ox < 0)
                    continue;
                const long at = (((n * d + oz) * h + oy) * w + ox) * C + c;
                const wide tap = (wide)((float)((kz * KY + ky) * KX + kx));
                sum += select((wide)(0.0f), load(g + at, left), load(taps + at, left) == tap);
            }
        }
    }
    store(sum, dx + (((long)nz * H + j) * W + i) * C + c, left);
}

/* x [A,R,B] -> y [A,B,R]. Range: vectors of R times B, A. */
ITEMS __kernel void swap_last(int R, int B, IN x, OUT y)
{
    const int vectors = (R + WIDE - 1) / WIDE;
    const int b = get_global_id(0) / vectors, r = get_global_id(0) % vectors * WIDE;
    if (b >= B)
        return;
    const long at = (long)get_global_id(1) * R * B;
    for (int k = 0; k < WIDE && r + k < R; k++)
        y[at + (long)b * R + r + k] = x[at + (long)(r + k) * B + b];
}
