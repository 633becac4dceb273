/* iris.c - the model, top to bottom: encoder, task embedding, decoder, classifier, loss. It knows
 * shapes and names; devices, files and training are elsewhere. */
#include "iris.h"
#include "../common/layers.h"

#include <stdio.h>

/* ---- rules ----------------------------------------------------------------------------------- */

mf_status mf_iris_check(const mf_iris *iris)
{
    for (int i = 0; i < MF_IRIS_DEPTHS; i++) {
        int64_t c = iris->channels[i];
        if (c < 1 || c > 65536)
            return mf_fail(MF_INVALID, "channels: %lld is not between 1 and 65536", (long long)c);
        if (i >= MF_IRIS_DEPTHS - MF_IRIS_LEVELS && c % 32)
            return mf_fail(MF_INVALID,
                           "channels: %lld is not a multiple of 32, as the last three must be "
                           "(attention heads have 32 channels)",
                           (long long)c);
    }
    for (int i = 0; i < MF_IRIS_DEPTHS - 1; i++)
        if (iris->blocks[i] < 1 || iris->blocks[i] > MF_IRIS_BLOCKS_MOST)
            return mf_fail(MF_INVALID, "num_block: %lld is not between 1 and %d",
                           (long long)iris->blocks[i], MF_IRIS_BLOCKS_MOST);
    if (iris->positions < 16 || iris->positions > 512)
        return mf_fail(MF_INVALID, "pos_embed_size: %lld is not between 16 and 512",
                       (long long)iris->positions);
    return iris->i3d.width ? mf_i3d_check(&iris->i3d) : MF_OK;
}

mf_status mf_iris_check_crop(const int64_t crop[3], int64_t positions)
{
    for (int i = 0; i < 3; i++)
        if (crop[i] < 16 || crop[i] % 16 || crop[i] > positions)
            return mf_fail(MF_INVALID,
                           "a crop of %lld x %lld x %lld (z y x): each side must be a multiple of "
                           "16, from 16 to %lld",
                           (long long)crop[0], (long long)crop[1], (long long)crop[2],
                           (long long)positions);
    return MF_OK;
}

/* Channels of a level, from its first convolution. */
static mf_status read_channels(mf_iris_find find, const void *self, int depth, mf_iris *iris)
{
    char name[64] = "encoder.inc.conv1.weight";
    int64_t shape[MF_MAX_RANK], before = depth ? iris->channels[depth - 1] : 1;
    int rank;
    if (depth > 0)
        snprintf(name, sizeof name, "encoder.down%d.conv.1.conv1.conv.weight", depth);
    if (!find(self, name, &rank, shape))
        return mf_hint(mf_fail(MF_INVALID, "not an Iris model: it has no tensor %s", name),
                       "encoders that are read are the ResUNet of MASS and I3D-ResNets "
                       "(encoder.conv1.weight)");
    if (rank != 5 || shape[1] != before || shape[2] != 3 || shape[3] != 3 || shape[4] != 3)
        return mf_fail(MF_INVALID,
                       "not an Iris model: %s has another shape than [channels,%lld,3,3,3]", name,
                       (long long)before);
    iris->channels[depth] = shape[0];
    return MF_OK;
}

/* How many tensors there are of a name that is numbered from `first`; at most one more than `most`.
 */
static int64_t count_names(mf_iris_find find, const void *self, const char *format, int at,
                           int first, int64_t most)
{
    for (int n = 0;; n++) {
        char name[64];
        int64_t shape[MF_MAX_RANK];
        int rank;
        snprintf(name, sizeof name, format, at, first + n);
        if (n > most || !find(self, name, &rank, shape))
            return n;
    }
}

/* Its sizes, where the encoder is an I3D; else width 0. */
static mf_status read_i3d(mf_iris_find find, const void *self, mf_i3d *i3d)
{
    int64_t shape[MF_MAX_RANK];
    int rank;
    *i3d = (mf_i3d){0};
    if (!find(self, "encoder.conv1.weight", &rank, shape))
        return MF_OK;
    if (rank != 5 || shape[1] != 3 || shape[2] != 3 || shape[3] != 7 || shape[4] != 7)
        return mf_hint(mf_fail(MF_INVALID, "not an I3D-ResNet: encoder.conv1.weight has another "
                                           "shape than [width,3,3,7,7]"),
                       "mass.inflate makes an I3D of a ResNet of images");
    i3d->width = shape[0];
    if (i3d->width < 1 || i3d->width > MF_I3D_WIDTH_MOST)
        return mf_fail(MF_INVALID,
                       "not an I3D-ResNet: encoder.conv1.weight has %lld filters, not 1 to %d",
                       (long long)i3d->width, MF_I3D_WIDTH_MOST);
    for (int k = 0; k < MF_I3D_STAGES; k++) {
        i3d->blocks[k] = count_names(find, self, "encoder.layer%d.%d.conv1.weight", k + 1, 0,
                                     MF_I3D_BLOCKS_MOST);
        if (i3d->blocks[k] < 1 || i3d->blocks[k] > MF_I3D_BLOCKS_MOST)
            return mf_fail(MF_INVALID,
                           "not an I3D-ResNet: encoder.layer%d has %lld bottlenecks "
                           "(encoder.layer%d.0.conv1.weight, ...), not 1 to %d",
                           k + 1, (long long)i3d->blocks[k], k + 1, MF_I3D_BLOCKS_MOST);
    }
    return MF_OK;
}

/* Of an I3D: the sizes of the decoder, or of an encoder alone its own. */
static mf_status read_decoder(mf_iris_find find, const void *self, bool alone, mf_iris *iris)
{
    for (int i = 0; i < MF_IRIS_DEPTHS; i++) {
        char name[64];
        int64_t shape[MF_MAX_RANK];
        int rank;
        iris->channels[i] = mf_i3d_channels(&iris->i3d, i);
        if (i > 0)
            iris->blocks[i - 1] = 1;
        if (alone)
            continue;
        snprintf(name, sizeof name, "decoder.lateral.%d.weight", 4 - i);
        if (!find(self, name, &rank, shape) || rank != 5 || shape[1] != iris->channels[i])
            return mf_fail(MF_INVALID,
                           "not an Iris model: %s is not there, or is not [channels,%lld,1,1,1]",
                           name, (long long)iris->channels[i]);
        iris->channels[i] = shape[0];
        if (i > 0)
            iris->blocks[i - 1] = count_names(find, self, "decoder.up%d.conv.%d.conv1.conv.weight",
                                              5 - i, 0, MF_IRIS_BLOCKS_MOST);
    }
    return MF_OK;
}

static mf_status read_encoder(mf_iris_find find, const void *self, bool alone, mf_iris *iris)
{
    *iris = (mf_iris){.positions = 0};
    MF_TRY(read_i3d(find, self, &iris->i3d));
    if (iris->i3d.width)
        return read_decoder(find, self, alone, iris);
    for (int i = 0; i < MF_IRIS_DEPTHS; i++) {
        MF_TRY(read_channels(find, self, i, iris));
        if (i > 0)
            iris->blocks[i - 1] = count_names(
                find, self, "encoder.down%d.conv.%d.conv1.conv.weight", i, 1, MF_IRIS_BLOCKS_MOST);
    }
    return MF_OK;
}

mf_status mf_iris_encoder_from_shapes(mf_iris_find find, const void *self, mf_iris *iris)
{
    return read_encoder(find, self, true, iris);
}

mf_status mf_iris_from_shapes(mf_iris_find find, const void *self, mf_iris *iris)
{
    int64_t shape[MF_MAX_RANK];
    int rank;
    MF_TRY(read_encoder(find, self, false, iris));
    if (!find(self, "task_embedding.0.pos_embed.embedding", &rank, shape) || rank != 5 ||
        shape[2] != shape[3] || shape[2] != shape[4])
        return mf_fail(MF_INVALID, "not an Iris model: task_embedding.0.pos_embed.embedding is not "
                                   "there, or is not a cube");
    iris->positions = shape[2];
    return mf_iris_check(iris);
}

/* ---- convolution blocks ---------------------------------------------------------------------- */

static mf_value activated(mf_program *p, mf_value x)
{
    return mf_relu(p, mf_instance_norm(p, x, 1e-4f));
}

/* 3x3x3 convolution without bias.  [N,D,H,W,I] -> [N,D,H,W,channels] */
static mf_value conv(mf_program *p, const char *name, mf_value x, int64_t channels)
{
    mf_scope(p, "%s", name);
    mf_value w = mf_weight(p, "conv.weight", SHAPE(channels, mf_dim(p, x, -1), 3, 3, 3));
    x = mf_conv3d(p, x, w, MF_NONE);
    mf_scope_end(p);
    return x;
}

/* Pre-activation residual block (He et al. 2016): instance norm, ReLU and convolution, twice, plus
 * a shortcut, which has a convolution of its own where the number of channels changes. */
static mf_value residual(mf_program *p, mf_value x, int64_t channels)
{
    mf_value a = activated(p, x), s = x;
    if (mf_dim(p, x, -1) != channels)
        s = conv(p, "shortcut", a, channels);
    mf_value y = conv(p, "conv2", activated(p, conv(p, "conv1", a, channels)), channels);
    y = mf_add(p, y, s);
    mf_keep(p, y);
    return y;
}

/* Residual blocks one after another, numbered from `first` within "conv". */
static mf_value residuals(mf_program *p, mf_value x, int first, int64_t count, int64_t channels)
{
    for (int i = first; i < first + (int)count; i++) {
        mf_scope(p, "conv.%d", i);
        x = residual(p, x, channels);
        mf_scope_end(p);
    }
    return x;
}

/* Instance norm, ReLU, 1x1x1 convolution with bias, as a numbered sequence: the convolution is 2.
 */
static mf_value pointwise(mf_program *p, const char *name, mf_value x, int64_t channels)
{
    mf_scope(p, "%s.2", name);
    mf_value w = mf_weight(p, "weight", SHAPE(channels, mf_dim(p, x, -1), 1, 1, 1));
    mf_value b = mf_weight(p, "bias", SHAPE(channels));
    x = mf_conv3d(p, mf_relu(p, mf_instance_norm(p, x, 1e-5f)), w, b);
    mf_scope_end(p);
    return x;
}

/* ---- attention blocks ------------------------------------------------------------------------ */

static mf_value perceptron(mf_program *p, const char *name, mf_value x, int64_t hidden,
                           int64_t channels)
{
    mf_scope(p, "%s", name);
    x = mf_layer_linear(p, "fc2", mf_gelu(p, mf_layer_linear(p, "fc1", x, hidden)), channels);
    mf_scope_end(p);
    return x;
}

/* Multi-head attention of x [N,L,C] to memory [N,S,C]. The projections of queries, keys and values
 * lie below each other in one published matrix. */
static mf_value attention(mf_program *p, mf_value x, mf_value memory)
{
    int64_t c = mf_dim(p, x, -1);
    mf_scope(p, "fn.mha");
    mf_value w = mf_weight(p, "in_proj_weight", SHAPE(3 * c, c));
    mf_value b = mf_weight(p, "in_proj_bias", SHAPE(3 * c));
    mf_value part[3];
    for (int i = 0; i < 3; i++)
        part[i] =
            mf_linear(p, i ? memory : x, mf_slice(p, w, 0, i * c, c), mf_slice(p, b, 0, i * c, c));
    x = mf_layer_linear(p, "out_proj", mf_attention(p, part[0], part[1], part[2], (int)(c / 32)),
                        c);
    mf_scope_end(p);
    return x;
}

/* The three kinds of block: x + f(norm(x)). */
static mf_value block_end(mf_program *p, mf_value y, mf_value x)
{
    y = mf_add(p, y, x);
    mf_keep(p, y);
    mf_scope_end(p);
    return y;
}

static mf_value self_block(mf_program *p, const char *name, mf_value x)
{
    mf_scope(p, "%s", name);
    mf_value y = mf_layer_normed(p, "norm", x, 1e-4f);
    return block_end(p, attention(p, y, y), x);
}

static mf_value cross_block(mf_program *p, const char *name, mf_value x, mf_value memory)
{
    mf_scope(p, "%s", name);
    mf_value y = mf_layer_normed(p, "norm1", x, 1e-5f);
    return block_end(p, attention(p, y, mf_layer_normed(p, "norm2", memory, 1e-5f)), x);
}

static mf_value mlp_block(mf_program *p, const char *name, mf_value x)
{
    mf_scope(p, "%s", name);
    int64_t c = mf_dim(p, x, -1);
    return block_end(p, perceptron(p, "fn", mf_layer_normed(p, "norm", x, 1e-4f), 4 * c, c), x);
}

/* ---- encoder --------------------------------------------------------------------------------- */

static void resunet(mf_program *p, const mf_iris *iris, mf_value image,
                    mf_value features[MF_IRIS_DEPTHS])
{
    mf_scope(p, "encoder");
    mf_scope(p, "inc");
    mf_value w = mf_weight(p, "conv1.weight", SHAPE(iris->channels[0], 1, 3, 3, 3));
    mf_value x = mf_conv3d(p, image, w, MF_NONE);
    mf_scope(p, "conv2");
    x = residual(p, x, iris->channels[0]);
    mf_scope_end(p);
    mf_scope_end(p);
    features[4] = x;
    for (int depth = 1; depth < MF_IRIS_DEPTHS; depth++) {
        mf_scope(p, "down%d", depth);
        x = residuals(p, mf_max_pool2(p, x), 1, iris->blocks[depth - 1], iris->channels[depth]);
        mf_scope_end(p);
        features[4 - depth] = x;
    }
    mf_scope_end(p);
}

static void i3d(mf_program *p, const mf_iris *iris, mf_value image, mf_value maps[MF_I3D_MAPS])
{
    mf_scope(p, "encoder");
    mf_i3d_encoder(p, &iris->i3d, image, iris->share, maps);
    mf_scope_end(p);
}

/* A map of the I3D with the channels and on the grid of a level. */
static mf_value lateral(mf_program *p, const mf_iris *iris, mf_value image, mf_value map, int depth)
{
    const int64_t c = iris->channels[depth];
    mf_scope(p, "decoder.lateral.%d", 4 - depth);
    mf_value w = mf_weight(p, "weight", SHAPE(c, mf_dim(p, map, -1), 1, 1, 1));
    mf_value b = mf_weight(p, "bias", SHAPE(c));
    map = mf_conv3d(p, map, w, b);
    map = mf_resize(p, map, mf_dim(p, image, 1) >> depth, mf_dim(p, image, 2) >> depth,
                    mf_dim(p, image, 3) >> depth);
    mf_keep(p, map);
    mf_scope_end(p);
    return map;
}

void mf_iris_encoder(mf_program *p, const mf_iris *iris, mf_value image,
                     mf_value features[MF_IRIS_DEPTHS])
{
    mf_value maps[MF_I3D_MAPS];
    if (!iris->i3d.width) {
        resunet(p, iris, image, features);
        return;
    }
    i3d(p, iris, image, maps);
    for (int depth = 0; depth < MF_IRIS_DEPTHS; depth++)
        features[4 - depth] = lateral(p, iris, image, maps[depth], depth);
}

int64_t mf_iris_deepest_channels(const mf_iris *iris)
{
    return iris->i3d.width ? mf_i3d_channels(&iris->i3d, MF_I3D_MAPS - 1)
                           : iris->channels[MF_IRIS_DEPTHS - 1];
}

void mf_iris_deepest_size(const mf_iris *iris, const int64_t crop[3], int64_t size[3])
{
    if (iris->i3d.width)
        mf_i3d_size(MF_I3D_MAPS - 1, crop, size);
    for (int k = 0; k < 3 && !iris->i3d.width; k++)
        size[k] = crop[k] / 16;
}

mf_value mf_iris_deepest(mf_program *p, const mf_iris *iris, mf_value image)
{
    mf_value maps[MF_IRIS_DEPTHS];
    if (!iris->i3d.width) {
        resunet(p, iris, image, maps);
        return maps[0];
    }
    i3d(p, iris, image, maps);
    return maps[MF_I3D_MAPS - 1];
}

/* The same model in training, whose encoder passes `passes` times. */
static mf_iris in_training(const mf_iris *iris, int passes)
{
    mf_iris t = *iris;
    t.share = iris->frozen_norms ? 0 : 1 / (float)passes;
    return t;
}

/* ---- task embedding -------------------------------------------------------------------------- */

/* x [N,d,h,w,C] -> [N,L,C] */
static mf_value tokens_of(mf_program *p, mf_value x)
{
    int64_t sites = mf_dim(p, x, 1) * mf_dim(p, x, 2) * mf_dim(p, x, 3);
    return mf_reshape(p, x, SHAPE(mf_dim(p, x, 0), sites, mf_dim(p, x, -1)));
}

/* Mean over each mask of the feature map, which the official code brings to full resolution first:
 * <mask, up(feature)> = <up^T(mask), feature>, and the right side never leaves the coarse grid.
 * feature [1,d,h,w,C], masks f32 [K,D,H,W,1] -> [K,C] */
static mf_value foreground(mf_program *p, mf_value feature, mf_value masks)
{
    int64_t k = mf_dim(p, masks, 0), voxels = mf_count(p, masks) / (k > 0 ? k : 1);
    mf_value coarse = mf_resize_adjoint(p, masks, mf_dim(p, feature, 1), mf_dim(p, feature, 2),
                                        mf_dim(p, feature, 3));
    mf_value sites = tokens_of(p, feature);
    coarse = mf_reshape(p, coarse, SHAPE(1, k, mf_dim(p, sites, 1)));
    mf_value sum = mf_matmul_nn(p, coarse, sites);
    mf_value volume = mf_sum(p, mf_reshape(p, masks, SHAPE(k, voxels)), 1);
    return mf_divide_rows(p, mf_reshape(p, sum, SHAPE(k, mf_dim(p, feature, -1))), volume, 1);
}

/* A 3x3x3 convolution with bias of [map, mask] for each mask, the channels apart: what the map adds
 * is the same for all.  map [1,D,H,W,1], masks [K,D,H,W,1] -> [K,D,H,W,1] */
static mf_value merge(mf_program *p, mf_value map, mf_value masks)
{
    mf_scope(p, "merge.2");
    mf_value w = mf_weight(p, "weight", SHAPE(1, 2, 3, 3, 3)), b = mf_weight(p, "bias", SHAPE(1));
    map = mf_conv3d(p, map, mf_slice(p, w, 1, 0, 1), b);
    masks = mf_conv3d(p, masks, mf_slice(p, w, 1, 1, 1), MF_NONE);
    map = mf_reshape(p, map, SHAPE(mf_dim(p, map, 1), mf_dim(p, map, 2), mf_dim(p, map, 3), 1));
    masks = mf_add(p, mf_repeat(p, map, mf_dim(p, masks, 0)), masks);
    mf_scope_end(p);
    return masks;
}

/* The feature map with each mask worked into it at full resolution: [K,L,C]. Up to the mask all
 * tasks share one map, and a channel's instance norm does not see the others: `masks` come normed,
 * which is the same for all levels. */
static mf_value marked(mf_program *p, const mf_iris *iris, mf_value feature, mf_value masks,
                       int scale)
{
    int64_t k = mf_dim(p, masks, 0), c = mf_dim(p, feature, -1),
            cell = (int64_t)scale * scale * scale;

    mf_value x = mf_pixel_shuffle3(p, pointwise(p, "expand", feature, cell), scale);
    x = mf_relu(p, mf_instance_norm(p, x, 1e-5f));
    x = merge(p, x, masks);
    mf_value position = mf_weight(p, "pos_embed.embedding",
                                  SHAPE(1, 1, iris->positions, iris->positions, iris->positions));
    x = mf_pixel_unshuffle3(p, mf_add_position(p, x, position), scale);
    x = tokens_of(p, pointwise(p, "squeeze", x, c));
    mf_value plain = tokens_of(p, feature);
    plain = mf_repeat(p, mf_reshape(p, plain, SHAPE(mf_dim(p, plain, 1), c)), k);
    x = mf_add(p, x, plain);
    mf_keep(p, x);
    return x;
}

/* Ten learned queries and the foreground's mean, through two blocks of attention to the marked
 * features: [K,11,C]. */
static mf_value task_tokens(mf_program *p, mf_value mean, mf_value sites)
{
    int64_t k = mf_dim(p, mean, 0), c = mf_dim(p, mean, -1);
    mf_value query = mf_weight(p, "task_query", SHAPE(MF_IRIS_TOKENS - 1, c));
    query = mf_repeat(p, mf_layer_normed(p, "norm_query", query, 1e-5f), k);
    mean = mf_reshape(p, mf_layer_normed(p, "norm_foreground", mean, 1e-5f), SHAPE(k, 1, c));
    mf_value x = mf_layer_normed(p, "norm_combined", mf_concat(p, query, mean, 1), 1e-5f);
    for (int i = 0; i < 2; i++) {
        mf_scope(p, "attn_layers.%d", i);
        x = mlp_block(p, "query_ffn_1", self_block(p, "query_attn_block_1", x));
        x = cross_block(p, "query_aggregate_block", x, sites);
        x = mlp_block(p, "query_aggregate_ffn", x);
        x = mlp_block(p, "query_ffn_2", self_block(p, "query_attn_block_2", x));
        mf_scope_end(p);
    }
    x = mf_layer_normed(p, "norm_post", x, 1e-5f);
    mf_keep(p, x);
    return x;
}

void mf_iris_task_embedding(mf_program *p, const mf_iris *iris,
                            const mf_value features[MF_IRIS_DEPTHS], mf_value masks,
                            mf_value priors[MF_IRIS_LEVELS])
{
    mf_value m = mf_to_float(p, masks);
    m = mf_reshape(p, m,
                   SHAPE(mf_dim(p, m, 0), mf_dim(p, m, 1), mf_dim(p, m, 2), mf_dim(p, m, 3), 1));
    mf_value normed = mf_relu(p, mf_instance_norm(p, m, 1e-5f));
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        mf_scope(p, "task_embedding.%d", i);
        mf_value sites = marked(p, iris, features[i], normed, 16 >> i);
        priors[i] = task_tokens(p, foreground(p, features[i], m), sites);
        mf_scope_end(p);
    }
}

/* ---- decoder and classifier ------------------------------------------------------------------ */

/* The map and the tokens of all tasks meet, twice.  *x [1,d,h,w,C], prior [K,11,C] -> token 0 of
 * each task [K,C] */
static mf_value fuse(mf_program *p, int level, mf_value *x, mf_value prior)
{
    int64_t k = mf_dim(p, prior, 0), c = mf_dim(p, prior, -1);
    int64_t d = mf_dim(p, *x, 1), h = mf_dim(p, *x, 2), w = mf_dim(p, *x, 3);
    mf_value map = tokens_of(p, *x);
    mf_value tokens = mf_reshape(p, prior, SHAPE(1, k * MF_IRIS_TOKENS, c));
    for (int i = 0; i < 2; i++) {
        mf_scope(p, "prior_fuse.%d.attn_layers.%d", level, i);
        tokens = mlp_block(p, "prior_ffn", cross_block(p, "prior_aggregate_block", tokens, map));
        map = mlp_block(p, "feat_ffn", cross_block(p, "feat_aggregate_block", map, tokens));
        tokens = mlp_block(p, "prior_ffn_2", self_block(p, "prior_attn_block", tokens));
        mf_scope_end(p);
    }
    *x = mf_reshape(p, map, SHAPE(1, d, h, w, c));
    tokens = mf_reshape(p, tokens, SHAPE(k, MF_IRIS_TOKENS, c));
    return mf_reshape(p, mf_slice(p, tokens, 1, 0, 1), SHAPE(k, c));
}

/* One level up, beside its skip connection. Level i of the decoder is up1 .. up4. */
static mf_value up(mf_program *p, const mf_iris *iris, int i, mf_value x, mf_value skip)
{
    mf_scope(p, "up%d", i + 1);
    x = mf_resize(p, x, mf_dim(p, skip, 1), mf_dim(p, skip, 2), mf_dim(p, skip, 3));
    x = residuals(p, mf_concat(p, skip, x, 4), 0, iris->blocks[3 - i], iris->channels[3 - i]);
    mf_scope_end(p);
    return x;
}

mf_value mf_iris_decoder(mf_program *p, const mf_iris *iris,
                         const mf_value features[MF_IRIS_DEPTHS],
                         const mf_value priors[MF_IRIS_LEVELS], mf_value posteriors[MF_IRIS_LEVELS])
{
    mf_value x = features[0];
    mf_scope(p, "decoder");
    for (int i = 0; i < MF_IRIS_DEPTHS - 1; i++) {
        if (i < MF_IRIS_LEVELS)
            posteriors[i] = fuse(p, i, &x, priors[i]);
        x = up(p, iris, i, x, features[i + 1]);
    }
    mf_scope_end(p);
    return x;
}

mf_value mf_iris_plain_decoder(mf_program *p, const mf_iris *iris,
                               const mf_value features[MF_IRIS_DEPTHS])
{
    mf_value x = features[0];
    mf_scope(p, "decoder");
    for (int i = 0; i < MF_IRIS_DEPTHS - 1; i++)
        x = up(p, iris, i, x, features[i + 1]);
    mf_scope_end(p);
    return x;
}

mf_value mf_iris_classifier(mf_program *p, const mf_iris *iris, mf_value decoded,
                            const mf_value posteriors[MF_IRIS_LEVELS])
{
    int64_t c = iris->channels[0], k = mf_dim(p, posteriors[0], 0);
    mf_scope(p, "out");
    mf_value w = posteriors[0];
    for (int i = 1; i < MF_IRIS_LEVELS; i++)
        w = mf_concat(p, w, posteriors[i], 1);
    w = mf_layer_normed(p, "norm", w, 1e-5f);
    w = perceptron(p, "classifier_pred.0", w, mf_dim(p, w, -1), c);
    w = perceptron(p, "classifier_pred.1", w, c, c);
    mf_value sites = tokens_of(p, decoded);
    mf_value logits = mf_matmul_nt(p, mf_reshape(p, w, SHAPE(1, k, c)), sites);
    mf_scope_end(p);
    return mf_reshape(p, logits, SHAPE(k, mf_dim(p, sites, 1)));
}

/* ---- whole programs -------------------------------------------------------------------------- */

static mf_value image_input(mf_program *p, const char *name, const int64_t crop[3])
{
    return mf_input(p, name, MF_F32, SHAPE(1, crop[0], crop[1], crop[2], 1));
}

static void embed_reference(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k,
                            mf_value priors[MF_IRIS_LEVELS])
{
    mf_value features[MF_IRIS_DEPTHS];
    mf_value masks = mf_input(p, "reference_masks", MF_U8, SHAPE(k, crop[0], crop[1], crop[2]));
    mf_iris_encoder(p, iris, image_input(p, "reference", crop), features);
    mf_iris_task_embedding(p, iris, features, masks, priors);
}

/* dice, bce, loss of the logits: means over masks. */
static void declare_losses(mf_program *p, mf_value masks, mf_iris_training *t)
{
    int64_t k = mf_dim(p, masks, 0);
    mf_keep(p, t->logits); /* of a few maps: not computed again */
    t->dice = mf_mean(p, mf_reshape(p, mf_dice_loss(p, t->logits, masks), SHAPE(1, k)), 1);
    t->bce = mf_mean(p, mf_reshape(p, mf_bce_loss(p, t->logits, masks), SHAPE(1, k)), 1);
    t->loss = mf_add(p, t->dice, t->bce);
    mf_output(p, "dice", t->dice);
    mf_output(p, "bce", t->bce);
    mf_output(p, "loss", t->loss);
}

void mf_iris_declare_training(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k,
                              mf_iris_training *t)
{
    const mf_iris own = in_training(iris, 2);
    mf_value masks = mf_input(p, "target_masks", MF_U8, SHAPE(k, crop[0] * crop[1] * crop[2]));
    mf_iris_encoder(p, &own, image_input(p, "target", crop), t->features);
    embed_reference(p, &own, crop, k, t->priors);
    t->decoded = mf_iris_decoder(p, iris, t->features, t->priors, t->posteriors);
    t->logits = mf_iris_classifier(p, iris, t->decoded, t->posteriors);
    declare_losses(p, masks, t);
}

void mf_iris_declare_tuning(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k,
                            mf_iris_training *t)
{
    const mf_iris own = in_training(iris, 1);
    mf_value masks = mf_input(p, "target_masks", MF_U8, SHAPE(k, crop[0] * crop[1] * crop[2]));
    mf_iris_encoder(p, &own, image_input(p, "target", crop), t->features);
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "tokens.%d", i);
        t->priors[i] = mf_weight(p, name, SHAPE(k, MF_IRIS_TOKENS, iris->channels[4 - i]));
    }
    t->decoded = mf_iris_decoder(p, iris, t->features, t->priors, t->posteriors);
    t->logits = mf_iris_classifier(p, iris, t->decoded, t->posteriors);
    declare_losses(p, masks, t);
}

void mf_iris_declare_reference(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k)
{
    mf_value priors[MF_IRIS_LEVELS];
    embed_reference(p, iris, crop, k, priors);
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "prior%d", i);
        mf_output(p, name, priors[i]);
    }
}

void mf_iris_declare_query(mf_program *p, const mf_iris *iris, const int64_t crop[3], int64_t k)
{
    mf_value features[MF_IRIS_DEPTHS], priors[MF_IRIS_LEVELS], posteriors[MF_IRIS_LEVELS];
    for (int i = 0; i < MF_IRIS_LEVELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "prior%d", i);
        priors[i] = mf_input(p, name, MF_F32, SHAPE(k, MF_IRIS_TOKENS, iris->channels[4 - i]));
    }
    mf_iris_encoder(p, iris, image_input(p, "target", crop), features);
    mf_value decoded = mf_iris_decoder(p, iris, features, priors, posteriors);
    mf_value logits = mf_iris_classifier(p, iris, decoded, posteriors);
    mf_output(p, "probability", mf_sigmoid(p, logits));
}

void mf_iris_declare_features(mf_program *p, const mf_iris *iris, const int64_t crop[3])
{
    mf_output(p, "features", mf_iris_deepest(p, iris, image_input(p, "image", crop)));
}
