/* strided.c - windows of any size, stride and padding over volumes [N,D,H,W,C]: convolution and max
 * pool.
 *
 * A convolution lays the voxels under each place of its filter out as a row (unfold) and is a
 * linear layer on these rows; its gradients are those of the linear layer and of unfold, which is
 * fold. The rows are cheap to make: they are made again for the gradient. */
#include "program/record/record.h"
#include "strided.cl.h"

#include <stdio.h>
#include <string.h>

/* Along z, y, x. */
typedef struct windows {
    int kernel[3], stride[3], padding[3];
} windows;

enum { MOST = 255 }; /* of each number */

/* As i[0..2] of an op. */
static void put_windows(mf_op *op, const windows *g)
{
    for (int k = 0; k < 3; k++)
        op->i[k] = g->kernel[k] | g->stride[k] << 8 | g->padding[k] << 16;
}

static windows windows_of(const mf_op *op)
{
    windows g;
    for (int k = 0; k < 3; k++) {
        g.kernel[k] = (int)(op->i[k] & MOST);
        g.stride[k] = (int)(op->i[k] >> 8 & MOST);
        g.padding[k] = (int)(op->i[k] >> 16 & MOST);
    }
    return g;
}

/* Whether the windows are ones, and those of x [N,D,H,W,C] can be counted; else the program fails.
 * *out: x's shape with as many voxels as there are windows. */
static bool count_windows(mf_program *p, const char *name, mf_value x, const windows *g,
                          mf_shape *out)
{
    *out = mf_shape_of(p, x);
    for (int k = 0; k < 3; k++) {
        const int64_t room = out->dim[k + 1] + 2 * g->padding[k] - g->kernel[k];
        if (g->kernel[k] < 1 || g->kernel[k] > MOST || g->stride[k] < 1 || g->stride[k] > MOST ||
            g->padding[k] < 0 || g->padding[k] >= g->kernel[k] || out->dim[k + 1] > 32768 ||
            room < 0) {
            mf_program_fail(
                p, "%s of %s by windows of %d x %d x %d, stride %d %d %d, padding %d %d %d", name,
                mf_shape_text(p, x), g->kernel[0], g->kernel[1], g->kernel[2], g->stride[0],
                g->stride[1], g->stride[2], g->padding[0], g->padding[1], g->padding[2]);
            return false;
        }
        out->dim[k + 1] = room / g->stride[k] + 1;
    }
    return true;
}

static mf_status module_of(mf_recorder *r, const mf_op *op, const mf_module **module)
{
    const windows g = windows_of(op);
    char options[192];
    snprintf(options, sizeof options,
             "-DKZ=%d -DKY=%d -DKX=%d -DSZ=%d -DSY=%d -DSX=%d -DPZ=%d -DPY=%d -DPX=%d", g.kernel[0],
             g.kernel[1], g.kernel[2], g.stride[0], g.stride[1], g.stride[2], g.padding[0],
             g.padding[1], g.padding[2]);
    return mf_record_module(r, strided_cl, options, module);
}

static int64_t vectors_of(const mf_recorder *r, int64_t floats)
{
    return (floats + mf_wide(r) - 1) / mf_wide(r);
}

/* A work-item for each vector of `row` floats at each place of `at`. */
static mf_range range_over(const mf_recorder *r, mf_shape at, int64_t row)
{
    return mf_range3(vectors_of(r, row) * at.dim[3], at.dim[2], at.dim[0] * at.dim[1]);
}

/* The voxels and the windows, as kernels take them. */
#define SIZES(large, small, channels)                                                              \
    MF_INT((large).dim[1]), MF_INT((large).dim[2]), MF_INT((large).dim[3]),                        \
        MF_INT((small).dim[1]), MF_INT((small).dim[2]), MF_INT((small).dim[3]), MF_INT(channels)

/* ---- unfold and fold: i[0..2] the windows, i[3] the channels ------------------------------------
 */

static mf_status record_unfold(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    const mf_shape in = mf_shape_of(p, op->in[0]), out = mf_shape_of(p, op->out[0]);
    MF_TRY(module_of(r, op, &module));
    return MF_RECORD(r, module, "unfold", range_over(r, out, out.dim[4]), SIZES(in, out, op->i[3]),
                     MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static mf_status record_fold(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    const mf_shape in = mf_shape_of(p, op->in[0]), out = mf_shape_of(p, op->out[0]);
    MF_TRY(module_of(r, op, &module));
    return MF_RECORD(r, module, "fold", range_over(r, out, out.dim[4]), SIZES(out, in, op->i[3]),
                     MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static const mf_op_type fold_type = {"fold", NULL, record_fold, 0};

static void gradient_unfold(mf_program *p, const mf_op *op, const mf_value *grad)
{
    const mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_op g = *op;
    g.type = &fold_type;
    g.in[0] = grad[0];
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static const mf_op_type unfold_type = {"unfold", gradient_unfold, record_unfold, 0, .cheap = true};

/* x [N,D,H,W,C] -> [N,d,h,w,taps C] */
static mf_value unfold(mf_program *p, mf_value x, const windows *g)
{
    mf_shape out;
    mf_op op = {.type = &unfold_type, .inputs = 1, .outputs = 1, .in = {x}};
    if (!count_windows(p, "conv3d", x, g, &out))
        return MF_NONE;
    put_windows(&op, g);
    op.i[3] = out.dim[4];
    out.dim[4] *= (int64_t)g->kernel[0] * g->kernel[1] * g->kernel[2];
    return mf_op_add(p, &op, &out);
}

/* ---- the last two axes swapped: i: A, R, B ------------------------------------------------------
 */

static mf_status record_swap(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_op whole = {.i = {1 | 1 << 8, 1 | 1 << 8, 1 | 1 << 8}};
    MF_TRY(module_of(r, &whole, &module));
    return MF_RECORD(r, module, "swap_last",
                     mf_range2(vectors_of(r, op->i[1]) * op->i[2], op->i[0]), MF_INT(op->i[1]),
                     MF_INT(op->i[2]), MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static mf_value swap(mf_program *p, mf_value x, int64_t a, int64_t r, int64_t b, mf_shape shape);

static void gradient_swap(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_add_gradient(p, op->in[0],
                    swap(p, grad[0], op->i[0], op->i[2], op->i[1], mf_shape_of(p, op->in[0])));
}

static const mf_op_type swap_type = {"swap_last", gradient_swap, record_swap, 0, .cheap = true};

/* x, seen as [A,R,B] -> [A,B,R], of this shape */
static mf_value swap(mf_program *p, mf_value x, int64_t a, int64_t r, int64_t b, mf_shape shape)
{
    if (mf_bad(p, x))
        return MF_NONE;
    const mf_op op = {.type = &swap_type, .inputs = 1, .outputs = 1, .in = {x}, .i = {a, r, b}};
    return mf_op_add(p, &op, &shape);
}

/* ---- convolution --------------------------------------------------------------------------------
 */

mf_value mf_conv3d_strided(mf_program *p, mf_value x, mf_value weight, mf_value bias,
                           const int stride[3], const int padding[3])
{
    if ((bias.id >= 0 && mf_bad(p, bias)) || !mf_expect(p, "conv3d", x, MF_F32, 5) ||
        !mf_expect(p, "conv3d", weight, MF_F32, 5))
        return MF_NONE;
    const mf_shape s = mf_shape_of(p, x), w = mf_shape_of(p, weight);
    if (s.dim[4] != w.dim[1] || w.dim[2] > MOST || w.dim[3] > MOST || w.dim[4] > MOST) {
        mf_program_fail(p, "conv3d: x is %s, but the weight is %s", mf_shape_text(p, x),
                        mf_shape_text(p, weight));
        return MF_NONE;
    }
    windows g;
    bool plain = true;
    for (int k = 0; k < 3; k++) {
        g.kernel[k] = (int)w.dim[k + 2];
        g.stride[k] = stride[k];
        g.padding[k] = padding[k];
        plain &= stride[k] == 1 && g.kernel[k] == g.kernel[0] && padding[k] == g.kernel[k] / 2;
    }
    if (plain && (g.kernel[0] == 1 || g.kernel[0] == 3))
        return mf_conv3d(p, x, weight, bias);
    const int64_t taps = w.dim[2] * w.dim[3] * w.dim[4];
    if (taps > 1)
        weight =
            swap(p, weight, w.dim[0], w.dim[1], taps, (mf_shape){3, {w.dim[0], taps, w.dim[1]}});
    const int64_t matrix[2] = {w.dim[0], taps * w.dim[1]};
    return mf_linear(p, unfold(p, x, &g), mf_reshape(p, weight, 2, matrix), bias);
}

/* ---- max pool: in x; out y, which tap it is
 * ------------------------------------------------------
 */

static mf_status record_pool(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    const mf_shape in = mf_shape_of(p, op->in[0]), out = mf_shape_of(p, op->out[0]);
    MF_TRY(module_of(r, op, &module));
    return MF_RECORD(r, module, "window_max", range_over(r, out, out.dim[4]),
                     SIZES(in, out, in.dim[4]), MF_AT(op->in[0]), MF_AT(op->out[0]),
                     MF_AT(op->out[1]));
}

/* in: taps, g; out: dx */
static mf_status record_pool_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    const mf_shape small = mf_shape_of(p, op->in[0]), large = mf_shape_of(p, op->out[0]);
    MF_TRY(module_of(r, op, &module));
    return MF_RECORD(r, module, "window_max_gradient", range_over(r, large, large.dim[4]),
                     SIZES(large, small, large.dim[4]), MF_AT(op->in[0]), MF_AT(op->in[1]),
                     MF_AT(op->out[0]));
}

static const mf_op_type pool_gradient_type = {"max_pool3d gradient", NULL, record_pool_gradient, 0};

static void gradient_pool(mf_program *p, const mf_op *op, const mf_value *grad)
{
    const mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_op g = *op;
    g.type = &pool_gradient_type;
    g.inputs = 2;
    g.outputs = 1;
    g.in[0] = op->out[1];
    g.in[1] = grad[0];
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static const mf_op_type pool_type = {"max_pool3d", gradient_pool, record_pool, 0};

mf_value mf_max_pool3d(mf_program *p, mf_value x, int kernel, int stride, int padding)
{
    const windows g = {
        {kernel, kernel, kernel}, {stride, stride, stride}, {padding, padding, padding}};
    mf_shape out[2];
    mf_op op = {.type = &pool_type, .inputs = 1, .outputs = 2, .in = {x}};
    if (!mf_expect(p, "max_pool3d", x, MF_F32, 5) ||
        !count_windows(p, "max_pool3d", x, &g, &out[0]))
        return MF_NONE;
    put_windows(&op, &g);
    out[1] = out[0];
    return mf_op_add(p, &op, out);
}
