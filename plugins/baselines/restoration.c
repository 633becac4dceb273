/* restoration.c - see restoration.h. */
#include "restoration.h"
#include "../common/layers.h"

static mf_value activated(mf_program *p, mf_value x)
{
    return mf_relu(p, mf_instance_norm(p, x, 1e-4f));
}

/* ---- decoders -------------------------------------------------------------------------------- */

/* x [N,D,H,W,C] -> [N,D,H,W,channels], a convolution of edge k with a bias. */
static mf_value conv(mf_program *p, const char *name, mf_value x, int64_t channels, int64_t k)
{
    mf_scope(p, "%s", name);
    mf_value w = mf_weight(p, "weight", SHAPE(channels, mf_dim(p, x, -1), k, k, k));
    mf_value b = mf_weight(p, "bias", SHAPE(channels));
    x = mf_conv3d(p, x, w, b);
    mf_scope_end(p);
    return x;
}

/* x on the grid of a level: the image's, halved so often along each axis. */
static mf_value on_level(mf_program *p, mf_value x, mf_value image, int level)
{
    return mf_resize(p, x, mf_dim(p, image, 1) >> level, mf_dim(p, image, 2) >> level,
                     mf_dim(p, image, 3) >> level);
}

/* A convolution before each doubling: most of its work is done on coarse maps. */
static mf_value light_decoder(mf_program *p, const mf_iris *iris, mf_value image, mf_value x)
{
    for (int level = MF_IRIS_DEPTHS - 2; level >= 0; level--) {
        mf_scope(p, "up%d", MF_IRIS_DEPTHS - 1 - level);
        mf_value w =
            mf_weight(p, "weight", SHAPE(iris->channels[level], mf_dim(p, x, -1), 3, 3, 3));
        x = mf_conv3d(p, activated(p, x), w, MF_NONE);
        mf_keep(p, x);
        x = on_level(p, x, image, level);
        mf_scope_end(p);
    }
    return conv(p, "out", activated(p, x), 1, 3);
}

/* Each site of the deepest map -> the 16 x 16 x 16 voxels that it stands for. */
static mf_value linear_decoder(mf_program *p, mf_value deepest)
{
    return mf_pixel_shuffle3(p, conv(p, "out", activated(p, deepest), 16 * 16 * 16, 1), 16);
}

/* What is hidden has one value that is learned. */
static mf_value with_token(mf_program *p, mf_value image, mf_value mask)
{
    return mf_add(p, image, mf_mul_rows(p, mask, mf_weight(p, "mask_token", SHAPE(1))));
}

mf_value mf_restoration_apply(mf_program *p, mf_restoration_kind kind, const mf_iris *iris,
                              mf_value image, mf_value mask)
{
    mf_value features[MF_IRIS_DEPTHS];
    if (kind == MF_RESTORATION_SIMMIM && mask.id >= 0) {
        mf_scope(p, "restoration");
        image = with_token(p, image, mask);
        mf_scope_end(p);
    }
    mf_value x;
    if (kind == MF_RESTORATION_GENESIS) {
        mf_iris_encoder(p, iris, image, features);
        x = mf_iris_plain_decoder(p, iris, features);
    } else {
        x = mf_iris_deepest(p, iris, image);
        if (iris->i3d.width) /* whose map is coarser along y and x */
            x = on_level(p, x, image, MF_IRIS_DEPTHS - 1);
    }
    mf_scope(p, "restoration");
    x = kind == MF_RESTORATION_MAE      ? light_decoder(p, iris, image, x)
        : kind == MF_RESTORATION_SIMMIM ? linear_decoder(p, x)
                                        : conv(p, "out", x, 1, 1);
    mf_scope_end(p);
    return x;
}

/* ---- loss ------------------------------------------------------------------------------------ */

static mf_value absolute(mf_program *p, mf_value x)
{
    return mf_add(p, mf_relu(p, x), mf_relu(p, mf_scale(p, x, -1)));
}

mf_value mf_restoration_loss(mf_program *p, mf_restoration_kind kind, const mf_iris *iris,
                             const int64_t crop[3])
{
    const int64_t shape[5] = {1, crop[0], crop[1], crop[2], 1},
                  voxels = crop[0] * crop[1] * crop[2];
    mf_value image = mf_input(p, "image", MF_F32, 5, shape);
    mf_value mask = kind == MF_RESTORATION_SIMMIM ? mf_input(p, "mask", MF_F32, 5, shape) : MF_NONE;
    mf_value restored = mf_restoration_apply(p, kind, iris, image, mask);
    mf_keep(p, restored);
    mf_output(p, "restored", restored);
    mf_value off = mf_add(p, restored, mf_input(p, "target", MF_F32, 5, shape));
    off = kind == MF_RESTORATION_SIMMIM ? absolute(p, off) : mf_mul(p, off, off);
    off = mf_mul(p, off, mf_input(p, "weight", MF_F32, 5, shape));
    mf_value loss = mf_sum(p, mf_reshape(p, off, SHAPE(1, voxels)), 1);
    mf_output(p, "loss", loss);
    return loss;
}
