/* memory.c - see memory.h. */
#include "memory.h"
#include "blocks.h"

#include <stdio.h>

/* ---- memory attention --------------------------------------------------------------------------
 */

/* q [n or 1,L,C] on k, v [n or 1,S,..] -> [n,L,C]: one head, queries and the first `turned` keys
 * rotated by where they lie (Heo et al. 2024, arXiv 2403.13298). */
static mf_value attention(mf_program *p, const char *name, mf_value q, mf_value k, mf_value v,
                          mf_value rotation, int64_t turned)
{
    int64_t n = mf_dim(p, k, 0), channels = mf_dim(p, q, -1);
    mf_scope(p, "%s", name);
    q = mf_rotary(p, mf_layer_linear(p, "q_proj", q, channels), rotation, mf_dim(p, q, 1));
    k = mf_rotary(p, mf_layer_linear(p, "k_proj", k, channels), rotation, turned);
    v = mf_layer_linear(p, "v_proj", v, channels);
    if (n > 1)
        q = sam2_spread(p, q, n);
    q = mf_layer_linear(p, "out_proj", mf_attention(p, q, k, v, 1), channels);
    mf_scope_end(p);
    return q;
}

void sam2_attention_declare(mf_program *p, const sam2_config *c, const sam2_widths *w,
                            const sam2_attention_shape *s)
{
    int64_t h = c->image / 16, sites = s->slots * h * h, count = sites + s->extra;
    mf_value x = mf_input(p, "picture", MF_F32, SHAPE(1, h * h, c->dim));
    mf_value memory = mf_input(p, "memory", MF_F32, SHAPE(s->batch, count, c->memory_dim));
    mf_value places = mf_input(p, "places", MF_F32, SHAPE(count, c->memory_dim));
    mf_value keys = mf_add_rows(p, memory, places);
    mf_scope(p, "memory_attention");
    mf_value rotation = mf_weight(p, "rotation", SHAPE(h * h, c->dim / 2, 2));
    x = mf_add_rows(p, x, mf_weight(p, "places", SHAPE(h * h, c->dim)));
    for (int64_t i = 0; i < c->memory_layers; i++) {
        mf_scope(p, "layers.%lld", (long long)i);
        mf_value y = mf_layer_normed(p, "norm1", x, 1e-5f);
        x = mf_add(p, x, attention(p, "self_attn", y, y, y, rotation, h * h));
        y = mf_layer_normed(p, "norm2", x, 1e-5f);
        x = sam2_add(p, x, attention(p, "cross_attn_image", y, keys, memory, rotation, sites));
        y = mf_layer_normed(p, "norm3", x, 1e-5f);
        y = mf_relu(p, mf_layer_linear(p, "linear1", y, w->memory));
        x = mf_add(p, x, mf_layer_linear(p, "linear2", y, c->dim));
        mf_scope_end(p);
    }
    mf_output(p, "picture", mf_layer_normed(p, "norm", x, 1e-5f));
    mf_scope_end(p);
}

/* ---- memory encoder ----------------------------------------------------------------------------
 */

/* Masks as the encoder reads them, from -10 to 10: [n,image,image,1] */
static mf_value mask_input(mf_program *p, const sam2_config *c, const sam2_memory_shape *s)
{
    mf_value x;
    if (s->pixels) {
        x = mf_to_float(p, mf_input(p, "masks", MF_U8, SHAPE(s->batch, c->image, c->image, 1)));
    } else {
        x = mf_input(p, "masks", MF_F32, SHAPE(s->batch, c->image / 4, c->image / 4, 1));
        x = mf_sigmoid(p, mf_resize2d(p, x, c->image, c->image, MF_RESAMPLE_BILINEAR));
    }
    return mf_add_rows(p, mf_scale(p, x, 20), mf_weight(p, "mask_shift", SHAPE(1)));
}

/* x [n,image,image,1] -> [n,h,h,dim] */
static mf_value shrink(mf_program *p, const sam2_config *c, const sam2_widths *w, mf_value x)
{
    mf_scope(p, "mask_downsampler.encoder");
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", 3 * i);
        x = sam2_conv(p, name, x, w->mask[i], 3, 2, 1);
        snprintf(name, sizeof name, "%d", 3 * i + 1);
        x = mf_gelu(p, mf_layer_normed(p, name, x, 1e-6f));
    }
    x = mf_layer_linear(p, "12", x, c->dim);
    mf_scope_end(p);
    return x;
}

/* A block of ConvNeXt (Liu et al. 2022): x [n,h,h,C] -> the same shape. */
static mf_value fuse(mf_program *p, const sam2_widths *w, mf_value x)
{
    int64_t channels = mf_dim(p, x, -1);
    mf_scope(p, "dwconv");
    mf_value filter = mf_weight(p, "weight", SHAPE(channels, 1, 7, 7));
    mf_value bias = mf_weight(p, "bias", SHAPE(channels));
    mf_scope_end(p);
    mf_value y = mf_layer_normed(p, "norm", mf_conv2d_depthwise(p, x, filter, bias), 1e-6f);
    y = mf_layer_linear(p, "pwconv2", mf_gelu(p, mf_layer_linear(p, "pwconv1", y, w->fuser)),
                        channels);
    return mf_add(p, x, mf_mul_rows(p, y, mf_weight(p, "gamma", SHAPE(channels))));
}

void sam2_memory_declare(mf_program *p, const sam2_config *c, const sam2_widths *w,
                         const sam2_memory_shape *s)
{
    int64_t h = c->image / 16;
    mf_value picture = mf_input(p, "picture", MF_F32, SHAPE(h, h, c->dim));
    mf_scope(p, "memory_encoder");
    mf_value x = shrink(p, c, w, mask_input(p, c, s));
    x = mf_add_rows(p, x, mf_layer_linear(p, "pix_feat_proj", picture, c->dim));
    for (int64_t i = 0; i < c->fuser_layers; i++) {
        mf_scope(p, "fuser.layers.%lld", (long long)i);
        x = fuse(p, w, x);
        mf_scope_end(p);
    }
    mf_output(p, "memory", mf_layer_linear(p, "out_proj", x, c->memory_dim));
    mf_scope_end(p);
}
