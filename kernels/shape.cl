/* shape.cl - elements moved: parts of rows copied, rows padded, channels traded for space. */
#include "common.clh"

/* Row a of y from `to` on = row a of x from `from` on, `count` elements. Range: rows times vectors of
 * count. */
ITEMS __kernel void copy_part(uint rows, uint vectors, long count, long x_row, long from, long y_row, long to, IN x,
                              OUT y)
{
    uint id = get_global_id(0), row = id / vectors;
    long a = row, i = (long)(id - row * vectors) * WIDE;
    if (a < rows)
        store(load(x + a * x_row + from + i, count - i), y + a * y_row + to + i, count - i);
}

/* Row a of y = zeros but for row a of x at `to`. Range: rows times vectors of y's row. */
ITEMS __kernel void pad(uint rows, uint vectors, long y_row, long x_row, long to, IN x, OUT y)
{
    uint id = get_global_id(0), row = id / vectors;
    long a = row, i = (long)(id - row * vectors) * WIDE;
    if (a >= rows)
        return;
    long left = y_row - i, at = i - to;
    if (at + WIDE <= 0 || at >= x_row) {
        store((wide)(0.0f), y + a * y_row + i, left);
        return;
    }
    if (at >= 0 && at + WIDE <= x_row) {
        store(load(x + a * x_row + at, WIDE), y + a * y_row + i, left);
        return;
    }
    for (int k = 0; k < WIDE && k < left; k++) {
        bool inside = at + k >= 0 && at + k < x_row;
        y[a * y_row + i + k] = inside ? x[a * x_row + at + k] : 0.0f;
    }
}

/* Coarse [N,d,h,w,C s^3] and fine [N,ds,hs,ws,C]; see shape.c. An item moves the s fine voxels of a
 * row that one coarse voxel holds. Range: w, fine y, fine z times n. */
ITEMS __kernel void trade(int d, int h, int w, int C, int s, int order, int to_fine, IN x, OUT y)
{
    const int cx = get_global_id(0), fy = get_global_id(1), nz = get_global_id(2);
    if (cx >= w)
        return;
    const int fz = nz % (d * s), n = nz / (d * s), cube = s * s * s;
    const long sub = (long)((fz % s) * s + fy % s) * s * (order ? C : 1);
    const long coarse =
        ((((long)n * d + fz / s) * h + fy / s) * w + cx) * C * cube + sub;
    const long fine = ((((long)nz * h * s + fy) * w + cx) * s) * C;
    __global const float *from = x + (to_fine ? coarse : fine);
    __global float *to = y + (to_fine ? fine : coarse);
    if (order || C == 1) { /* the run lies together on both sides */
        int i = 0;
        for (; i + WIDE <= s * C; i += WIDE)
            store(load(from + i, WIDE), to + i, WIDE);
        for (; i < s * C; i++)
            to[i] = from[i];
        return;
    }
    for (int c = 0; c < C; c++)
        for (int i = 0; i < s; i++) {
            const long there = (long)c * cube + i, here = (long)i * C + c;
            to[to_fine ? here : there] = from[to_fine ? there : here];
        }
}
