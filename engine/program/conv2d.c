/* conv2d.c - convolutions of images [N,H,W,C]: of all channels, of each by itself, and the
 * transpose with kernel and stride 2. */
#include "conv2d.cl.h"
#include "program/op.h"

#include <stdio.h>

static bool fits(mf_program *p, const char *name, mf_value x, mf_value weight, mf_value bias)
{
    if ((bias.id >= 0 && mf_bad(p, bias)) || !mf_expect(p, name, x, MF_F32, 4) ||
        !mf_expect(p, name, weight, MF_F32, 4))
        return false;
    if (mf_dim(p, x, 1) <= 32768 && mf_dim(p, x, 2) <= 32768)
        return true;
    mf_program_fail(p, "%s of %s: at most 32768 pixels along an axis", name, mf_shape_text(p, x));
    return false;
}

static mf_value wrong(mf_program *p, const char *name, mf_value x, mf_value weight, mf_value bias)
{
    mf_program_fail(p, "%s of %s by weight %s and bias %s", name, mf_shape_text(p, x),
                    mf_shape_text(p, weight), bias.id < 0 ? "none" : mf_shape_text(p, bias));
    return MF_NONE;
}

static bool is_bias(mf_program *p, mf_value bias, int64_t channels)
{
    return bias.id < 0 || (mf_rank(p, bias) == 1 && mf_dim(p, bias, 0) == channels);
}

/* ---- all channels: patches, then a product; i: k, stride, padding ------------------------------
 */

static mf_status record_patches(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    const mf_shape in = mf_shape_of(p, op->in[0]), out = mf_shape_of(p, op->out[0]);
    MF_TRY(mf_record_module(r, conv2d_cl, NULL, &module));
    return MF_RECORD(r, module, "patches",
                     mf_range3(out.dim[2] * out.dim[3], out.dim[1], out.dim[0]), MF_INT(in.dim[1]),
                     MF_INT(in.dim[2]), MF_INT(in.dim[3]), MF_INT(out.dim[1]), MF_INT(out.dim[2]),
                     MF_INT(op->i[0]), MF_INT(op->i[1]), MF_INT(op->i[2]), MF_AT(op->in[0]),
                     MF_AT(op->out[0]));
}

static const mf_op_type patches_type = {"conv2d", NULL, record_patches, 0};

mf_value mf_conv2d(mf_program *p, mf_value x, mf_value weight, mf_value bias, int stride,
                   int padding)
{
    if (!fits(p, "conv2d", x, weight, bias))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x);
    const mf_shape w = mf_shape_of(p, weight);
    const int64_t k = w.dim[2];
    if (w.dim[1] != s.dim[3] || w.dim[3] != k || !is_bias(p, bias, w.dim[0]))
        return wrong(p, "conv2d", x, weight, bias);
    if (stride < 1 || padding < 0 || padding > 32768 || s.dim[1] + 2 * padding < k ||
        s.dim[2] + 2 * padding < k) {
        mf_program_fail(p, "conv2d of %s by weight %s with stride %d, padding %d",
                        mf_shape_text(p, x), mf_shape_text(p, weight), stride, padding);
        return MF_NONE;
    }
    const mf_value rows = mf_reshape(p, weight, 2, (int64_t[]){w.dim[0], w.dim[1] * k * k});
    if (k == 1 && stride == 1 && padding == 0)
        return mf_linear(p, x, rows, bias);
    s.dim[1] = (s.dim[1] + 2 * padding - k) / stride + 1;
    s.dim[2] = (s.dim[2] + 2 * padding - k) / stride + 1;
    s.dim[3] = w.dim[1] * k * k;
    mf_op op = {
        .type = &patches_type, .inputs = 1, .outputs = 1, .in = {x}, .i = {k, stride, padding}};
    return mf_linear(p, mf_op_add(p, &op, &s), rows, bias);
}

/* ---- each channel by itself ------------------------------------------------------------------ */

static mf_status pack_depthwise(mf_recorder *r, const mf_op *op, mf_operand source,
                                mf_operand packed)
{
    const mf_module *module;
    const mf_shape w = mf_shape_of(mf_recorder_program(r), op->in[1]);
    const int64_t taps = w.dim[2] * w.dim[3];
    MF_TRY(mf_record_module(r, conv2d_cl, NULL, &module));
    return MF_RECORD(r, module, "pack_depthwise", mf_range1(taps * w.dim[0]), MF_INT(w.dim[0]),
                     MF_INT(taps), source, packed);
}

static mf_status record_depthwise(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    const mf_shape s = mf_shape_of(p, op->in[0]), w = mf_shape_of(p, op->in[1]);
    const bool bias = op->in[2].id >= 0;
    mf_operand packed;
    MF_TRY(mf_record_module(r, conv2d_cl, NULL, &module));
    MF_TRY(mf_packed(r, op, op->in[1], "depthwise", (size_t)mf_count(p, op->in[1]) * sizeof(float),
                     pack_depthwise, &packed));
    return MF_RECORD(
        r, module, "depthwise",
        mf_range3((s.dim[3] + mf_wide(r) - 1) / mf_wide(r) * s.dim[2], s.dim[1], s.dim[0]),
        MF_INT(s.dim[1]), MF_INT(s.dim[2]), MF_INT(s.dim[3]), MF_INT(w.dim[2]), MF_INT(bias),
        MF_AT(op->in[0]), packed, bias ? MF_AT(op->in[2]) : MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static const mf_op_type depthwise_type = {"conv2d_depthwise", NULL, record_depthwise, 0};

mf_value mf_conv2d_depthwise(mf_program *p, mf_value x, mf_value weight, mf_value bias)
{
    if (!fits(p, "conv2d_depthwise", x, weight, bias))
        return MF_NONE;
    const mf_shape s = mf_shape_of(p, x), w = mf_shape_of(p, weight);
    if (w.dim[0] != s.dim[3] || w.dim[1] != 1 || w.dim[2] != w.dim[3] || w.dim[2] % 2 == 0 ||
        !is_bias(p, bias, w.dim[0]))
        return wrong(p, "conv2d_depthwise", x, weight, bias);
    mf_op op = {.type = &depthwise_type, .inputs = 3, .outputs = 1, .in = {x, weight, bias}};
    return mf_op_add(p, &op, &s);
}

/* ---- transpose: a product, whose columns then go to the four pixels -----------------------------
 */

/* in: [N,H,W,4 O], channels ordered (O, y, x), bias */
static mf_status record_spread(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_shape s = mf_shape_of(mf_recorder_program(r), op->out[0]);
    const bool bias = op->in[1].id >= 0;
    MF_TRY(mf_record_module(r, conv2d_cl, NULL, &module));
    return MF_RECORD(r, module, "spread", mf_range3(s.dim[2] * s.dim[3], s.dim[1], s.dim[0]),
                     MF_INT(s.dim[1]), MF_INT(s.dim[2]), MF_INT(s.dim[3]), MF_INT(bias),
                     MF_AT(op->in[0]), bias ? MF_AT(op->in[1]) : MF_AT(op->in[0]),
                     MF_AT(op->out[0]));
}

static const mf_op_type spread_type = {"conv2d_transpose2", NULL, record_spread, 0};

mf_value mf_conv2d_transpose2(mf_program *p, mf_value x, mf_value weight, mf_value bias)
{
    if (!fits(p, "conv2d_transpose2", x, weight, bias))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x);
    const mf_shape w = mf_shape_of(p, weight);
    if (w.dim[0] != s.dim[3] || w.dim[2] != 2 || w.dim[3] != 2 || !is_bias(p, bias, w.dim[1]))
        return wrong(p, "conv2d_transpose2", x, weight, bias);
    const int64_t pixels = s.dim[0] * s.dim[1] * s.dim[2];
    const mf_value rows = mf_reshape(p, x, 3, (int64_t[]){1, pixels, s.dim[3]});
    const mf_value columns = mf_reshape(p, weight, 3, (int64_t[]){1, w.dim[0], 4 * w.dim[1]});
    const mf_value four = mf_matmul_nn(p, rows, columns);
    s.dim[1] *= 2;
    s.dim[2] *= 2;
    s.dim[3] = w.dim[1];
    mf_op op = {.type = &spread_type, .inputs = 2, .outputs = 1, .in = {four, bias}};
    return mf_bad(p, four) ? MF_NONE : mf_op_add(p, &op, &s);
}
