/* conv2d.cl - convolutions of images [N,H,W,C]; see conv2d.c. */
#include "common.clh"

/* x [N,H,W,I] -> y [N,h,w,I k k], the pixels under each output; zeros outside. Range: w I k k, h, N. */
ITEMS __kernel void patches(int H, int W, int I, int h, int w, int k, int stride, int padding, IN x,
                            OUT y)
{
    const int j = get_global_id(1), n = get_global_id(2), length = I * k * k;
    const int i = get_global_id(0) / length, e = get_global_id(0) % length;
    if (i >= w)
        return;
    const int row = j * stride - padding + e / k % k, column = i * stride - padding + e % k;
    const bool inside = row >= 0 && row < H && column >= 0 && column < W;
    y[(((long)n * h + j) * w + i) * length + e] =
        inside ? x[(((long)n * H + row) * W + column) * I + e / (k * k)] : 0.0f;
}

/* weight [C,taps] -> [taps,C]. Range: all. */
ITEMS __kernel void pack_depthwise(int C, int taps, IN weight, OUT packed)
{
    const int i = get_global_id(0);
    if (i < C * taps)
        packed[i] = weight[i % C * taps + i / C];
}

/* x [N,H,W,C], weight [k,k,C] -> y [N,H,W,C]. Range: vectors of C times W, H, N. */
ITEMS __kernel void depthwise(int H, int W, int C, int k, int has_bias, IN x, IN weight, IN bias,
                              OUT y)
{
    const int blocks = (C + WIDE - 1) / WIDE;
    const int i = get_global_id(0) / blocks, c = get_global_id(0) % blocks * WIDE;
    const int j = get_global_id(1), n = get_global_id(2);
    if (i >= W)
        return;
    const long left = C - c;
    wide sum = has_bias ? load(bias + c, left) : (wide)(0.0f);
    for (int ky = max(k / 2 - j, 0); ky < min(k, H + k / 2 - j); ky++)
        for (int kx = max(k / 2 - i, 0); kx < min(k, W + k / 2 - i); kx++) {
            const long from = (((long)n * H + j + ky - k / 2) * W + i + kx - k / 2) * C + c;
            sum += load(weight + (long)(ky * k + kx) * C + c, left) * load(x + from, left);
        }
    store(sum, y + (((long)n * H + j) * W + i) * C + c, left);
}

/* x [N,H/2,W/2,O,2,2] -> y [N,H,W,O] + bias. Range: W O, H, N. */
ITEMS __kernel void spread(int H, int W, int O, int has_bias, IN x, IN bias, OUT y)
{
    const int i = get_global_id(0) / O, o = get_global_id(0) % O;
    const int j = get_global_id(1), n = get_global_id(2);
    if (i >= W)
        return;
    const long pixel = ((long)n * (H / 2) + j / 2) * (W / 2) + i / 2;
    y[(((long)n * H + j) * W + i) * O + o] =
        x[(pixel * O + o) * 4 + j % 2 * 2 + i % 2] + (has_bias ? bias[o] : 0.0f);
}
