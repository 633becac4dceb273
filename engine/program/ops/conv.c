/* conv.c - 3x3x3 convolution of volumes, channels last, and its gradients. A 1x1x1 convolution
 * is a linear layer on the same matrix. */
#include "conv.cl.h"
#include "program/ops/shared.h"
#include "program/record/record.h"
#include <stdio.h>

static const mf_op_type conv_type, conv_data_type, conv_weights_type;

/* ---- choice of kernels ------------------------------------------------------------------------
 */

typedef struct tiles {
    int in, out;      /* channels */
    int vw, ocb, nr;  /* lanes, vectors a tile, output channels a tile */
    int cb;           /* input channels a block */
    int wide, narrow; /* positions along x a tile */
    int jt;           /* rows of the weight gradient a tile */
    int gn;           /* GPU: 16 gn output channels a tile */
} tiles;

static int64_t blocks(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit;
}

static tiles choose_tiles(int64_t in, int64_t out)
{
    tiles t = {.in = (int)in, .out = (int)out, .gn = 4};
    t.vw = out % 16 == 0 ? 16 : out % 8 == 0 ? 8 : out % 4 == 0 ? 4 : out % 2 == 0 ? 2 : 1;
    const int vectors = t.out / t.vw;
    t.ocb = vectors % 2 == 0 ? 2 : vectors % 3 == 0 ? 3 : 1;
    t.nr = t.vw * t.ocb;
    t.cb = in % 16 == 0 ? 16 : in % 8 == 0 ? 8 : in % 4 == 0 ? 4 : in % 2 == 0 ? 2 : 1;
    /* At least 8 sums to hide the latency of FMA, at most 24 to stay in 32 registers. */
    t.wide = t.ocb == 1 ? 16 : 8;
    t.narrow = t.ocb == 1 ? 8 : 4;
    t.jt = t.ocb == 3 ? (in % 2 == 0 ? 6 : 3) : in % 4 == 0 ? 12 : in % 2 == 0 ? 6 : 3;
    return t;
}

static mf_status conv_module(mf_recorder *r, const tiles *t, const mf_module **module)
{
    char options[128];
    if (mf_recorder_device(r)->plain)
        snprintf(options, sizeof(options),
                 "-DVW=%d -DOCB=%d -DCB=%d -DXB_WIDE=%d -DXB_NARROW=%d -DJT=%d", t->vw, t->ocb,
                 t->cb, t->wide, t->narrow, t->jt);
    else
        snprintf(options, sizeof(options), "-DIC=%d -DOC=%d -DGN=%d", t->in, t->out, t->gn);
    return mf_record_module(r, conv_cl, options, module);
}

/* One channel in and out has kernels of its own on a CPU. */
static bool is_single(const mf_device_info *device, const tiles *t)
{
    return device->plain && t->in == 1 && t->out == 1;
}

/* ---- forward and backward data ----------------------------------------------------------------
 */

static bool is_flipped(const mf_op *op)
{
    return op->type == &conv_data_type;
}

/* Channels in and out as this op sees them; the weight is published [O,I,3,3,3]. */
static tiles op_tiles(const mf_program *p, const mf_op *op)
{
    return choose_tiles(mf_dim(p, op->in[0], 4), mf_dim(p, op->out[0], 4));
}

static mf_status pack_weights(mf_recorder *r, const mf_op *op, mf_operand source, mf_operand packed)
{
    const tiles t = op_tiles(mf_recorder_program(r), op);
    const mf_module *module;
    MF_TRY(conv_module(r, &t, &module));
    const mf_range range = mf_recorder_device(r)->plain ? mf_range2(t.in / t.cb, t.out / t.nr)
                                                        : mf_range1(27 * (int64_t)t.in * t.out);
    return MF_RECORD(r, module, "pack_weights", range, MF_INT(t.in), MF_INT(t.out),
                     MF_INT(is_flipped(op)), source, packed);
}

/* conv: in x, weight, bias or none. Backward data: in dy, weight, none. */
static mf_status conv_record(mf_recorder *r, const mf_op *op)
{
    const mf_program *p = mf_recorder_program(r);
    const mf_device_info *device = mf_recorder_device(r);
    const tiles t = op_tiles(p, op);
    const bool bias = op->in[2].id >= 0;
    const mf_shape s = mf_shape_of(p, op->in[0]);
    const int64_t n = s.dim[0], d = s.dim[1], h = s.dim[2], w = s.dim[3];
    const mf_module *module;
    MF_TRY(conv_module(r, &t, &module));

    char kind[96];
    snprintf(kind, sizeof(kind), "conv %s %d in %d", is_flipped(op) ? "flipped" : "forward",
             device->plain ? t.nr : t.out, device->plain ? t.cb : t.in);
    mf_operand packed;
    MF_TRY(mf_packed(r, op, op->in[1], kind, 27 * (size_t)t.in * (size_t)t.out * sizeof(float),
                     pack_weights, &packed));

    if (is_single(device, &t))
        return MF_RECORD(r, module, "conv_single", mf_range2(h, n * d), MF_INT(n), MF_INT(d),
                         MF_INT(h), MF_INT(w), MF_INT(bias), MF_AT(op->in[0]), packed,
                         bias ? MF_AT(op->in[2]) : packed, MF_AT(op->out[0]));
    const char *kernel = "conv";
    mf_range range;
    if (device->plain) {
        int xb = t.wide;
        if (blocks(w, t.narrow) * t.narrow * 8 < blocks(w, t.wide) * t.wide * 7) {
            kernel = "conv_narrow";
            xb = t.narrow;
        }
        range = mf_range3(h * blocks(w, xb), n * d, t.out / t.nr);
    } else {
        range = (mf_range){
            2,
            {(size_t)blocks(n * d * h * w, 128) * 16, (size_t)blocks(t.out, 16 * t.gn) * 16, 1},
            {16, 16, 1}};
    }
    return MF_RECORD(r, module, kernel, range, MF_INT(t.in), MF_INT(t.out), MF_INT(n), MF_INT(d),
                     MF_INT(h), MF_INT(w), MF_INT(bias), MF_AT(op->in[0]), packed,
                     bias ? MF_AT(op->in[2]) : packed, MF_AT(op->out[0]));
}

/* ---- backward weights -------------------------------------------------------------------------
 */

/* in x, dy -> dw, published [O,I,3,3,3]. */
static mf_status conv_weights_record(mf_recorder *r, const mf_op *op)
{
    const mf_program *p = mf_recorder_program(r);
    const mf_device_info *device = mf_recorder_device(r);
    const tiles t = choose_tiles(mf_dim(p, op->in[0], 4), mf_dim(p, op->in[1], 4));
    const mf_shape s = mf_shape_of(p, op->in[0]);
    const int64_t n = s.dim[0], d = s.dim[1], h = s.dim[2], w = s.dim[3];
    const int64_t elements = 27 * (int64_t)t.in * t.out, all = n * d * h;
    const mf_module *module;
    MF_TRY(conv_module(r, &t, &module));

    /* Work for every core: first the nine planes of the filter apart, where the volumes stay in the
     * cache while they are read nine times, then chunks of rows, their partial sums within 64 MiB.
     */
    const bool cached = (t.in + t.out) * all * w <= 2 * 1024 * 1024;
    const int planes = device->plain && cached && !is_single(device, &t) ? 1 : 9;
    const int64_t groups = device->plain
                               ? t.out / t.nr * (9 / planes)
                               : blocks(27 * (int64_t)t.in, 128) * blocks(t.out, 16 * t.gn);
    int64_t chunks = blocks(8 * (int64_t)device->compute_units, groups);
    const int64_t most = 16 * 1024 * 1024 / elements;
    if (chunks > most)
        chunks = most > 1 ? most : 1;
    if (chunks > all)
        chunks = all;
    const int64_t rows = chunks > 0 ? blocks(all, chunks) : 1;
    chunks = blocks(all, rows);
    const int64_t sweep = blocks(64, w);
    const mf_operand part = mf_scratch(r, (size_t)(chunks * elements) * sizeof(float));
    mf_range range;
    if (device->plain)
        range = mf_range3(chunks, t.out / t.nr, 9 / planes);
    else
        range = (mf_range){3,
                           {(size_t)blocks(27 * (int64_t)t.in, 128) * 16,
                            (size_t)blocks(t.out, 16 * t.gn) * 16, (size_t)chunks},
                           {16, 16, 1}};
    if (is_single(device, &t))
        MF_TRY(MF_RECORD(r, module, "conv_weights_single", mf_range1(chunks), MF_INT(n), MF_INT(d),
                         MF_INT(h), MF_INT(w), MF_INT(rows), MF_INT(sweep), MF_AT(op->in[0]),
                         MF_AT(op->in[1]), part));
    else
        MF_TRY(MF_RECORD(r, module, "conv_weights", range, MF_INT(t.in), MF_INT(t.out), MF_INT(n),
                         MF_INT(d), MF_INT(h), MF_INT(w), MF_INT(rows), MF_INT(sweep),
                         MF_INT(planes), MF_AT(op->in[0]), MF_AT(op->in[1]), part));
    return MF_RECORD(r, module, "conv_weights_sum",
                     mf_range2(device->plain ? t.out / t.vw : t.out, t.in), MF_INT(t.in),
                     MF_INT(t.out), MF_INT(chunks), part, MF_AT(op->out[0]));
}

/* ---- ops --------------------------------------------------------------------------------------
 */

static void conv_gradient(mf_program *p, const mf_op *op, const mf_value *grad)
{
    const mf_value x = op->in[0], weight = op->in[1], bias = op->in[2];
    /* The weights first: after them x is not needed any more, before the gradient of x exists. */
    if (mf_wants_gradient(p, weight))
        mf_add_gradient(p, weight, mf_conv3d_weights(p, x, grad[0]));
    if (mf_wants_gradient(p, x))
        mf_add_gradient(p, x, mf_conv3d_data(p, grad[0], weight));
    if (bias.id >= 0 && mf_wants_gradient(p, bias))
        mf_add_gradient(p, bias, mf_sum_rows(p, grad[0]));
}

/* From one or two channels it takes about as long as a norm. */
static bool conv_is_cheap(const mf_program *p, const mf_op *op)
{
    return mf_dim(p, op->in[0], 4) <= 2 && mf_dim(p, op->out[0], 4) > mf_dim(p, op->in[0], 4);
}

static const mf_op_type conv_type = {"conv3d", conv_gradient, conv_record, 0,
                                     .is_cheap = conv_is_cheap};
static const mf_op_type conv_data_type = {"conv3d backward data", NULL, conv_record, 0};
static const mf_op_type conv_weights_type = {"conv3d backward weights", NULL, conv_weights_record,
                                             0};

mf_value mf_conv3d_data(mf_program *p, mf_value dy, mf_value weight)
{
    if (mf_bad(p, dy) || mf_bad(p, weight))
        return MF_NONE;
    mf_shape out = mf_shape_of(p, dy);
    out.dim[4] = mf_dim(p, weight, 1);
    const mf_op op = {
        .type = &conv_data_type, .inputs = 3, .outputs = 1, .in = {dy, weight, MF_NONE}};
    return mf_op_add(p, &op, &out);
}

mf_value mf_conv3d_weights(mf_program *p, mf_value x, mf_value dy)
{
    if (mf_bad(p, x) || mf_bad(p, dy))
        return MF_NONE;
    const mf_shape out = {5, {mf_dim(p, dy, 4), mf_dim(p, x, 4), 3, 3, 3}};
    const mf_op op = {.type = &conv_weights_type, .inputs = 2, .outputs = 1, .in = {x, dy}};
    return mf_op_add(p, &op, &out);
}

mf_value mf_conv3d(mf_program *p, mf_value x, mf_value weight, mf_value bias)
{
    if (mf_bad(p, x) || mf_bad(p, weight) || (bias.id >= 0 && mf_bad(p, bias)))
        return MF_NONE;
    if (!mf_expect(p, "conv3d", x, MF_F32, 5) || !mf_expect(p, "conv3d", weight, MF_F32, 5))
        return MF_NONE;
    const mf_shape s = mf_shape_of(p, x), w = mf_shape_of(p, weight);
    const int64_t k = w.dim[2];
    if ((k != 1 && k != 3) || w.dim[3] != k || w.dim[4] != k) {
        mf_program_fail(p, "conv3d: the weight is %s, not [O,I,1,1,1] or [O,I,3,3,3]",
                        mf_shape_text(p, weight));
        return MF_NONE;
    }
    if (s.dim[4] != w.dim[1]) {
        mf_program_fail(p, "conv3d: x is %s, but the weight is %s", mf_shape_text(p, x),
                        mf_shape_text(p, weight));
        return MF_NONE;
    }
    if (bias.id >= 0 && (mf_rank(p, bias) != 1 || mf_dim(p, bias, 0) != w.dim[0])) {
        mf_program_fail(p, "conv3d: the weight is %s, but the bias is %s", mf_shape_text(p, weight),
                        mf_shape_text(p, bias));
        return MF_NONE;
    }
    if (k == 1)
        return mf_linear(p, x, mf_reshape(p, weight, 2, w.dim), bias);
    if (w.dim[0] < 1 || w.dim[1] < 1 || w.dim[0] > 8192 || w.dim[1] > 8192) {
        mf_program_fail(p, "conv3d: the weight is %s, not 1 to 8192 channels",
                        mf_shape_text(p, weight));
        return MF_NONE;
    }
    if (s.dim[0] * s.dim[1] * s.dim[2] > INT32_MAX || s.dim[3] > INT32_MAX / 2) {
        mf_program_fail(p, "conv3d: x is %s, more than 2147483647 rows", mf_shape_text(p, x));
        return MF_NONE;
    }
    mf_shape out = s;
    out.dim[4] = w.dim[0];
    const mf_op op = {.type = &conv_type, .inputs = 3, .outputs = 1, .in = {x, weight, bias}};
    return mf_op_add(p, &op, &out);
}
