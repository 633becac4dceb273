/* blocks.h - what all parts of SAM 2 are made of, each with its weights under `name`. A published
 * 1x1 convolution is mf_layer_linear. */
#ifndef SAM2_BLOCKS_H
#define SAM2_BLOCKS_H

#include "../../common/layers.h"

/* x [N,H,W,C] -> [N,..,channels], k x k */
mf_value sam2_conv(mf_program *p, const char *name, mf_value x, int64_t channels, int k, int stride,
                   int padding);
/* x [N,H,W,C] -> [N,2H,2W,channels] */
mf_value sam2_transposed(mf_program *p, const char *name, mf_value x, int64_t channels);
/* NAME.layers.0 .. count-1 with ReLU between: x [..., C] -> [..., channels] */
mf_value sam2_perceptron(mf_program *p, const char *name, mf_value x, int count, int64_t width,
                         int64_t channels);
/* x [N,H,W,C] -> [N,H*W,C] */
mf_value sam2_tokens_of(mf_program *p, mf_value x);
/* x [N,L,C] -> [N,h,w,C] */
mf_value sam2_map_of(mf_program *p, mf_value x, int64_t h, int64_t w);
/* x [1,L,C] -> [n,L,C]; as it is where it has n already. */
mf_value sam2_spread(mf_program *p, mf_value x, int64_t n);
/* a [n or 1,L,C] + b [n or 1,L,C] */
mf_value sam2_add(mf_program *p, mf_value a, mf_value b);

#endif
