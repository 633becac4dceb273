/* shared.h - builders for gradients that more than one family uses. */
#ifndef MF_PROGRAM_OPS_SHARED_H
#define MF_PROGRAM_OPS_SHARED_H

#include "program/ir/op.h"

/* Sum over all axes but the last: x [..., C] -> [C] (gradient of a bias). */
mf_value mf_sum_rows(mf_program *p, mf_value x);
/* Of a 3x3x3 convolution: dy [N,D,H,W,O], weight [O,I,3,3,3] -> dx [N,D,H,W,I]; x [N,D,H,W,I] ->
 * dw [O,I,3,3,3]. */
mf_value mf_conv3d_data(mf_program *p, mf_value dy, mf_value weight);
mf_value mf_conv3d_weights(mf_program *p, mf_value x, mf_value dy);
/* a [B,K,M], b [B,K,N] -> a^T b [B,M,N] */
mf_value mf_matmul_tn(mf_program *p, mf_value a, mf_value b);
/* f32 of x's shape, every element `value`. */
mf_value mf_fill_like(mf_program *p, mf_value x, float value);

#endif
