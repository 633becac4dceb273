/* image.cl - ops over the pixels of [N,H,W,C]: max pool, resize, windows. */
#include "common.clh"

/* x [N,2h..,2w..,C] -> y [N,h,w,C]. Range: vectors of C times w, h, N. */
ITEMS __kernel void max_pool2d(int H, int W, int C, IN x, OUT y)
{
    const int h = H / 2, w = W / 2, blocks = (C + WIDE - 1) / WIDE;
    const int i = get_global_id(0) / blocks, c = get_global_id(0) % blocks * WIDE;
    const int j = get_global_id(1), n = get_global_id(2);
    if (i >= w)
        return;
    const int left = C - c;
    const long row = (long)W * C;
    x += (((long)n * H + j * 2) * W + i * 2) * C + c;
    const wide upper = fmax(load(x, left), load(x + C, left));
    const wide lower = fmax(load(x + row, left), load(x + row + C, left));
    store(fmax(upper, lower), y + (((long)n * h + j) * w + i) * C + c, left);
}

/* Output o of `out` lies at (o + 1/2) in / out - 1/2, not below 0; the fraction is exact but for one
 * rounding. Nearest: floor(o in / out). Sides are at most 32768, so that 32 bits hold it all. */
static inline int place(int o, int in, int out, int nearest, float *fraction)
{
    *fraction = 0.0f;
    if (nearest)
        return o * in / out;
    const int unit = 2 * out, at = max((2 * o + 1) * in - out, 0), i = at / unit;
    *fraction = (float)(at - i * unit) / (float)unit;
    return i;
}

/* The same for outputs o, o + 1, ... The quotient in floats is off by one at most. */
static inline wide_int places(int o, int in, int out, int nearest, wide *fraction)
{
    const int unit = nearest ? out : 2 * out;
    const wide_int each = o + LANES;
    const wide_int at = nearest ? each * in : max((2 * each + 1) * in - out, (wide_int)(0));
    wide_int i = WIDE_SUFFIX(convert_int)(WIDE_SUFFIX(convert_float)(at) / (float)unit);
    i -= select((wide_int)(0), (wide_int)(1), i * unit > at);
    i += select((wide_int)(0), (wide_int)(1), at - i * unit >= unit);
    *fraction = nearest ? (wide)(0.0f)
                        : WIDE_SUFFIX(convert_float)(at - i * unit) / (float)unit;
    return i;
}

/* x [N,h,w,C] -> y [N,H,W,C]. Range: vectors of C times W, H, N. */
ITEMS __kernel void resize2d(int h, int w, int H, int W, int C, int nearest, IN x, OUT y)
{
    const int blocks = (C + WIDE - 1) / WIDE;
    const int i = get_global_id(0) / blocks, c = get_global_id(0) % blocks * WIDE;
    const int j = get_global_id(1), n = get_global_id(2);
    if (i >= W)
        return;
    float fy, fx;
    const int y0 = place(j, h, H, nearest, &fy), x0 = place(i, w, W, nearest, &fx);
    const int left = C - c;
    x += (((long)n * h + y0) * w + x0) * C + c;
    y += (((long)n * H + j) * W + i) * C + c;
    if (nearest) {
        store(load(x, left), y, left);
        return;
    }
    const long dy = y0 + 1 < h ? (long)w * C : 0, dx = x0 + 1 < w ? C : 0;
    const wide upper = (1.0f - fx) * load(x, left) + fx * load(x + dx, left);
    const wide lower = (1.0f - fx) * load(x + dy, left) + fx * load(x + dy + dx, left);
    store((1.0f - fy) * upper + fy * lower, y, left);
}

/* One channel: vectors go over W. Range: vectors of W, H, N. */
ITEMS __kernel void resize2d_single(int h, int w, int H, int W, int nearest, IN x, OUT y)
{
    const int i = get_global_id(0) * WIDE, j = get_global_id(1), n = get_global_id(2);
    if (i >= W)
        return;
    float fy;
    wide fx;
    const int y0 = place(j, h, H, nearest, &fy);
    int at[WIDE];
    WIDE_SUFFIX(vstore)(min(places(i, w, W, nearest, &fx), (wide_int)(w - 1)), 0, at);
    IN upper = x + ((long)n * h + y0) * w;
    IN lower = upper + (!nearest && y0 + 1 < h ? w : 0);
    float same[WIDE], column[WIDE], next[WIDE]; /* the last two lie between the rows */
    for (int k = 0; k < WIDE; k++) {
        const int a = at[k], b = min(a + 1, w - 1);
        same[k] = upper[a];
        column[k] = (1.0f - fy) * upper[a] + fy * lower[a];
        next[k] = (1.0f - fy) * upper[b] + fy * lower[b];
    }
    const wide result = (1.0f - fx) * WIDE_SUFFIX(vload)(0, column) +
                        fx * WIDE_SUFFIX(vload)(0, next);
    store(nearest ? WIDE_SUFFIX(vload)(0, same) : result, y + ((long)n * H + j) * W + i, W - i);
}

/* Row `line` of window z: where it starts in the image, and how many of its floats lie there. */
static inline long window_row(int z, int line, int H, int W, int C, int size, long *inside)
{
    const int nh = (H + size - 1) / size, nw = (W + size - 1) / size;
    const int column = z % nw * size, row = z / nw % nh * size + line;
    *inside = row < H ? (long)min(size, W - column) * C : 0;
    return (((long)(z / (nw * nh)) * H + row) * W + column) * C;
}

/* Image x [N,H,W,C] -> y [windows,size,size,C]. Range: vectors of size C, size, windows. */
ITEMS __kernel void window_partition(int H, int W, int C, int size, IN x, OUT y)
{
    const int i = get_global_id(0) * WIDE, line = get_global_id(1), z = get_global_id(2);
    if (i >= size * C)
        return;
    long inside;
    const long at = window_row(z, line, H, W, C, size, &inside) + i;
    const wide v = inside > i ? load(x + at, inside - i) : (wide)(0.0f);
    store(v, y + ((long)z * size + line) * size * C + i, size * C - i);
}

/* The way back. */
ITEMS __kernel void window_merge(int H, int W, int C, int size, IN x, OUT y)
{
    const int i = get_global_id(0) * WIDE, line = get_global_id(1), z = get_global_id(2);
    long inside;
    const long at = window_row(z, line, H, W, C, size, &inside) + i;
    if (i < inside)
        store(load(x + ((long)z * size + line) * size * C + i, inside - i), y + at, inside - i);
}
