/* blocks.c - see blocks.h. */
#include "blocks.h"

mf_value sam2_conv(mf_program *p, const char *name, mf_value x, int64_t channels, int k, int stride,
                   int padding)
{
    mf_scope(p, "%s", name);
    mf_value w = mf_weight(p, "weight", SHAPE(channels, mf_dim(p, x, -1), k, k));
    mf_value b = mf_weight(p, "bias", SHAPE(channels));
    x = mf_conv2d(p, x, w, b, stride, padding);
    mf_scope_end(p);
    return x;
}

mf_value sam2_transposed(mf_program *p, const char *name, mf_value x, int64_t channels)
{
    mf_scope(p, "%s", name);
    mf_value w = mf_weight(p, "weight", SHAPE(mf_dim(p, x, -1), channels, 2, 2));
    mf_value b = mf_weight(p, "bias", SHAPE(channels));
    x = mf_conv2d_transpose2(p, x, w, b);
    mf_scope_end(p);
    return x;
}

mf_value sam2_perceptron(mf_program *p, const char *name, mf_value x, int count, int64_t width,
                         int64_t channels)
{
    for (int i = 0; i < count; i++) {
        mf_scope(p, "%s.layers", name);
        char layer[12] = {(char)('0' + i)};
        x = mf_layer_linear(p, layer, x, i == count - 1 ? channels : width);
        mf_scope_end(p);
        if (i < count - 1)
            x = mf_relu(p, x);
    }
    return x;
}

mf_value sam2_tokens_of(mf_program *p, mf_value x)
{
    int64_t sites = mf_dim(p, x, 1) * mf_dim(p, x, 2);
    return mf_reshape(p, x, SHAPE(mf_dim(p, x, 0), sites, mf_dim(p, x, -1)));
}

mf_value sam2_map_of(mf_program *p, mf_value x, int64_t h, int64_t w)
{
    return mf_reshape(p, x, SHAPE(mf_dim(p, x, 0), h, w, mf_dim(p, x, -1)));
}

/* x [1,L,C] -> [L,C] */
static mf_value single(mf_program *p, mf_value x)
{
    return mf_reshape(p, x, SHAPE(mf_dim(p, x, 1), mf_dim(p, x, 2)));
}

mf_value sam2_spread(mf_program *p, mf_value x, int64_t n)
{
    return mf_dim(p, x, 0) == n ? x : mf_repeat(p, single(p, x), n);
}

mf_value sam2_add(mf_program *p, mf_value a, mf_value b)
{
    int64_t n = mf_dim(p, a, 0), m = mf_dim(p, b, 0);
    if (n == m)
        return mf_add(p, a, b);
    return n > m ? mf_add_rows(p, a, single(p, b)) : mf_add_rows(p, b, single(p, a));
}
