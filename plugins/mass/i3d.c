/* i3d.c - see i3d.h. Names within the current scope: conv1, bn1, layer1.0.conv1, ... */
#include "i3d.h"
#include "../common/layers.h"

enum { EXPANSION = 4 }; /* of a bottleneck's last filter */

mf_status mf_i3d_check(const mf_i3d *i3d)
{
    if (i3d->width < 1 || i3d->width > MF_I3D_WIDTH_MOST)
        return mf_fail(MF_INVALID, "i3d_width: %lld is not between 1 and %d", (long long)i3d->width,
                       MF_I3D_WIDTH_MOST);
    for (int k = 0; k < MF_I3D_STAGES; k++)
        if (i3d->blocks[k] < 1 || i3d->blocks[k] > MF_I3D_BLOCKS_MOST)
            return mf_fail(MF_INVALID, "i3d_blocks: %lld is not between 1 and %d",
                           (long long)i3d->blocks[k], MF_I3D_BLOCKS_MOST);
    return MF_OK;
}

int64_t mf_i3d_channels(const mf_i3d *i3d, int map)
{
    return map ? i3d->width * EXPANSION << (map - 1) : i3d->width;
}

void mf_i3d_size(int map, const int64_t crop[3], int64_t size[3])
{
    for (int k = 0; k < 3; k++) {
        const int64_t stride = (int64_t)(k ? 2 : 1) << map;
        size[k] = (crop[k] + stride - 1) / stride;
    }
}

static mf_value conv(mf_program *p, const char *name, mf_value x, int64_t channels, int kernel,
                     int stride)
{
    const int strides[3] = {stride, stride, stride},
              padding[3] = {kernel / 2, kernel / 2, kernel / 2};
    mf_scope(p, "%s", name);
    mf_value w = mf_weight(p, "weight", SHAPE(channels, mf_dim(p, x, -1), kernel, kernel, kernel));
    x = mf_conv3d_strided(p, x, w, MF_NONE, strides, padding);
    mf_scope_end(p);
    return x;
}

static mf_value norm(mf_program *p, const char *name, mf_value x, float share)
{
    const int64_t c = mf_dim(p, x, -1);
    mf_scope(p, "%s", name);
    const mf_norm_weights w = {mf_weight(p, "weight", 1, &c), mf_weight(p, "bias", 1, &c),
                               mf_weight(p, "running_mean", 1, &c),
                               mf_weight(p, "running_var", 1, &c)};
    x = mf_batch_norm(p, x, &w, 1e-5f, 0.1f, share);
    mf_scope_end(p);
    return x;
}

/* Filters 1x1x1, 3x3x3 with the stride, 1x1x1, and a shortcut, which has a filter of its own in the
 * first block of a stage. */
static mf_value bottleneck(mf_program *p, mf_value x, int64_t width, int stride, bool first,
                           float share)
{
    mf_value shortcut = x;
    mf_value y = mf_relu(p, norm(p, "bn1", conv(p, "conv1", x, width, 1, 1), share));
    y = mf_relu(p, norm(p, "bn2", conv(p, "conv2", y, width, 3, stride), share));
    y = norm(p, "bn3", conv(p, "conv3", y, EXPANSION * width, 1, 1), share);
    if (first) {
        mf_scope(p, "downsample");
        shortcut = norm(p, "1", conv(p, "0", x, EXPANSION * width, 1, stride), share);
        mf_scope_end(p);
    }
    y = mf_relu(p, mf_add(p, y, shortcut));
    mf_keep(p, y);
    return y;
}

/* The filter of images has three channels, which see the same image: their sum is the filter of
 * one. */
static mf_value stem(mf_program *p, const mf_i3d *i3d, mf_value image, float share)
{
    static const int stride[3] = {1, 2, 2}, padding[3] = {1, 3, 3};
    const int64_t one[5] = {i3d->width, 1, 3, 7, 7};
    mf_value w = mf_weight(p, "conv1.weight", SHAPE(i3d->width, 3, 3, 7, 7));
    w = mf_reshape(p, mf_sum(p, w, 1), 5, one);
    mf_value x = mf_conv3d_strided(p, image, w, MF_NONE, stride, padding);
    x = mf_relu(p, norm(p, "bn1", x, share));
    mf_keep(p, x);
    return x;
}

void mf_i3d_encoder(mf_program *p, const mf_i3d *i3d, mf_value image, float share,
                    mf_value maps[MF_I3D_MAPS])
{
    maps[0] = stem(p, i3d, image, share);
    mf_value x = mf_max_pool3d(p, maps[0], 3, 2, 1);
    for (int stage = 0; stage < MF_I3D_STAGES; stage++) {
        for (int i = 0; i < (int)i3d->blocks[stage]; i++) {
            mf_scope(p, "layer%d.%d", stage + 1, i);
            x = bottleneck(p, x, i3d->width << stage, stage > 0 && i == 0 ? 2 : 1, i == 0, share);
            mf_scope_end(p);
        }
        maps[stage + 1] = x;
    }
}
