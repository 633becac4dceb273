/* conv2d.c - convolutions of images [N,H,W,C]: of all channels, of each by itself, and the
 * transpose with kernel and stride 2. */
#include "conv2d.cl.h"
#include "program/record/record.h"

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

/* ---- all channels, and the transpose: i: k, stride, padding, up
 * ----------------------------------
 *
 * The transpose with kernel and stride 2 is a convolution with k 1 to 4 O channels ordered (y, x,
 * O), each quarter of which is stored as a pixel of its own. */

enum { K, STRIDE, PADDING, UP };

static int64_t blocks(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit;
}

/* How a convolution runs: on a CPU tiles of mr pixels of a row by nv vectors of vw channels. */
typedef struct plan {
    int64_t in, out, k, panels, floats; /* out: channels of the sums; floats of the packed weight */
    int mr, nv, vw;
} plan;

static plan plan_conv(const mf_program *p, const mf_op *op)
{
    const mf_shape w = mf_shape_of(p, op->in[1]);
    plan t = {.in = w.dim[1], .out = w.dim[0], .k = op->i[K]};
    if (op->i[UP]) {
        t.in = w.dim[0];
        t.out = 4 * w.dim[1];
    }
    t.vw = t.out > 8 ? 16 : t.out > 4 ? 8 : t.out > 1 ? 4 : 1;
    const int64_t vectors = blocks(t.out, t.vw);
    t.nv = vectors % 4 == 0 ? 4 : vectors % 3 == 0 ? 3 : vectors % 2 == 0 ? 2 : 1;
    t.mr = t.nv == 4 ? 6 : 8;
    t.panels = blocks(vectors, t.nv);
    t.floats = t.panels * t.nv * t.vw * t.k * t.k * t.in;
    return t;
}

static mf_status conv_module(mf_recorder *r, const mf_op *op, const plan *t,
                             const mf_module **module)
{
    char options[128];
    if (mf_recorder_device(r)->plain)
        snprintf(options, sizeof options,
                 "-DK=%d -DS=%d -DI=%d -DO=%d -DUP=%d -DMR=%d -DNV=%d -DVW=%d", (int)t->k,
                 (int)op->i[STRIDE], (int)t->in, (int)t->out, (int)op->i[UP], t->mr, t->nv, t->vw);
    else
        snprintf(options, sizeof options, "-DK=%d -DS=%d -DI=%d -DO=%d -DUP=%d", (int)t->k,
                 (int)op->i[STRIDE], (int)t->in, (int)t->out, (int)op->i[UP]);
    return mf_record_module(r, conv2d_cl, options, module);
}

static mf_status pack_conv(mf_recorder *r, const mf_op *op, mf_operand source, mf_operand packed)
{
    const plan t = plan_conv(mf_recorder_program(r), op);
    const mf_module *module;
    MF_TRY(conv_module(r, op, &t, &module));
    return MF_RECORD(r, module, "pack_conv2d", mf_range2(t.k * t.k * t.in, t.panels), source,
                     packed);
}

/* Tiles of a row that a work-item computes: work for some ten microseconds. */
static int64_t tiles_of(const plan *t, int64_t width)
{
    const int64_t work = (int64_t)t->mr * t->nv * t->vw * t->k * t->k * t->in;
    int64_t tiles = blocks(width, t->mr), most = blocks(1 << 19, work);
    return tiles < most ? tiles : most;
}

static mf_status record_conv(mf_recorder *r, const mf_op *op)
{
    const mf_program *p = mf_recorder_program(r);
    const plan t = plan_conv(p, op);
    const mf_shape in = mf_shape_of(p, op->in[0]), out = mf_shape_of(p, op->out[0]);
    const int64_t h = out.dim[1] >> op->i[UP], w = out.dim[2] >> op->i[UP];
    const bool bias = op->in[2].id >= 0;
    const int64_t tiles = tiles_of(&t, w);
    const mf_module *module;
    MF_TRY(conv_module(r, op, &t, &module));
    mf_operand weight = MF_AT(op->in[1]);
    mf_range range = {
        3,
        {(size_t)blocks(h * w, 128) * 16, (size_t)blocks(t.out, 64) * 16, (size_t)in.dim[0]},
        {16, 16, 1}};
    if (mf_recorder_device(r)->plain) {
        char kind[64];
        snprintf(kind, sizeof kind, "conv2d%s in %d", op->i[UP] ? " up" : "", t.nv * t.vw);
        MF_TRY(mf_packed(r, op, op->in[1], kind, (size_t)t.floats * sizeof(float), pack_conv,
                         &weight));
        range = mf_range3(h * blocks(w, tiles * t.mr), t.panels, in.dim[0]);
    }
    return MF_RECORD(r, module, "conv2d", range, MF_INT(in.dim[1]), MF_INT(in.dim[2]), MF_INT(h),
                     MF_INT(w), MF_INT(op->i[PADDING]), MF_INT(tiles), MF_INT(bias),
                     MF_LONG(mf_count(p, op->in[0])), MF_AT(op->in[0]), weight,
                     bias ? MF_AT(op->in[2]) : MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static const mf_op_type conv_type = {"conv2d", NULL, record_conv, 0};
static const mf_op_type transpose_type = {"conv2d_transpose2", NULL, record_conv, 0};

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
    if (k == 1 && stride == 1 && padding == 0)
        return mf_linear(p, x, mf_reshape(p, weight, 2, w.dim), bias);
    s.dim[1] = (s.dim[1] + 2 * padding - k) / stride + 1;
    s.dim[2] = (s.dim[2] + 2 * padding - k) / stride + 1;
    s.dim[3] = w.dim[0];
    mf_op op = {.type = &conv_type,
                .inputs = 3,
                .outputs = 1,
                .in = {x, weight, bias},
                .i = {[K] = k, [STRIDE] = stride, [PADDING] = padding}};
    return mf_op_add(p, &op, &s);
}

mf_value mf_conv2d_transpose2(mf_program *p, mf_value x, mf_value weight, mf_value bias)
{
    if (!fits(p, "conv2d_transpose2", x, weight, bias))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x);
    const mf_shape w = mf_shape_of(p, weight);
    if (w.dim[0] != s.dim[3] || w.dim[2] != 2 || w.dim[3] != 2 || !is_bias(p, bias, w.dim[1]))
        return wrong(p, "conv2d_transpose2", x, weight, bias);
    s.dim[1] *= 2;
    s.dim[2] *= 2;
    s.dim[3] = w.dim[1];
    mf_op op = {.type = &transpose_type,
                .inputs = 3,
                .outputs = 1,
                .in = {x, weight, bias},
                .i = {[K] = 1, [STRIDE] = 1, [UP] = 1}};
    return mf_op_add(p, &op, &s);
}

/* ---- each channel by itself ------------------------------------------------------------------ */

enum { DEPTHWISE_PIXELS = 8 }; /* of a row, that a work-item computes */

static mf_status depthwise_module(mf_recorder *r, const mf_op *op, const mf_module **module)
{
    char options[32];
    snprintf(options, sizeof options, "-DDEPTHWISE=%d",
             (int)mf_dim(mf_recorder_program(r), op->in[1], 2));
    return mf_record_module(r, conv2d_cl, options, module);
}

static mf_status pack_depthwise(mf_recorder *r, const mf_op *op, mf_operand source,
                                mf_operand packed)
{
    const mf_module *module;
    const mf_shape w = mf_shape_of(mf_recorder_program(r), op->in[1]);
    const int64_t taps = w.dim[2] * w.dim[3];
    MF_TRY(depthwise_module(r, op, &module));
    return MF_RECORD(r, module, "pack_depthwise", mf_range1(taps * w.dim[0]), MF_INT(w.dim[0]),
                     MF_INT(taps), source, packed);
}

static mf_status record_depthwise(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    const mf_shape s = mf_shape_of(p, op->in[0]);
    const bool bias = op->in[2].id >= 0;
    mf_operand packed;
    MF_TRY(depthwise_module(r, op, &module));
    MF_TRY(mf_packed(r, op, op->in[1], "depthwise", (size_t)mf_count(p, op->in[1]) * sizeof(float),
                     pack_depthwise, &packed));
    return MF_RECORD(r, module, "depthwise",
                     mf_range3(blocks(s.dim[3], mf_wide(r)) * blocks(s.dim[2], DEPTHWISE_PIXELS),
                               s.dim[1], s.dim[0]),
                     MF_INT(s.dim[1]), MF_INT(s.dim[2]), MF_INT(s.dim[3]), MF_INT(bias),
                     MF_AT(op->in[0]), packed, bias ? MF_AT(op->in[2]) : MF_AT(op->in[0]),
                     MF_AT(op->out[0]));
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
