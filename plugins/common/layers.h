/* layers.h - layers that the models of several plugins declare, each with its weights under `name`.
 */
#ifndef MF_COMMON_LAYERS_H
#define MF_COMMON_LAYERS_H

#include <massflow/program.h>

/* A rank and its sizes, as ops take them. */
#define SHAPE(...)                                                                                 \
    (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[])             \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* x [..., C] -> [..., channels] */
static inline mf_value mf_layer_linear(mf_program *p, const char *name, mf_value x,
                                       int64_t channels)
{
    mf_scope(p, "%s", name);
    mf_value w = mf_weight(p, "weight", SHAPE(channels, mf_dim(p, x, -1)));
    mf_value b = mf_weight(p, "bias", SHAPE(channels));
    x = mf_linear(p, x, w, b);
    mf_scope_end(p);
    return x;
}

/* Over the last axis, with gain and bias. */
static inline mf_value mf_layer_normed(mf_program *p, const char *name, mf_value x, float eps)
{
    mf_scope(p, "%s", name);
    int64_t channels = mf_dim(p, x, -1);
    mf_value gain = mf_weight(p, "weight", SHAPE(channels));
    mf_value bias = mf_weight(p, "bias", SHAPE(channels));
    x = mf_layer_norm(p, x, gain, bias, eps);
    mf_scope_end(p);
    return x;
}

#endif
