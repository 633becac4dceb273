/* shape.c - ops that move elements: reshape, slice, concat, pixel shuffles. */
#include "program/ir/program.h"
#include "program/record/record.h"
#include "shape.cl.h"

/* ---- reshape: another shape for the same storage ----------------------------------------------
 */

static void gradient_reshape(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_shape s = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0], mf_reshape(p, grad[0], s.rank, s.dim));
}

static const mf_op_type reshape_type = {"reshape", gradient_reshape, NULL, 0, .cheap = true};

mf_value mf_reshape(mf_program *p, mf_value x, int rank, const int64_t *shape)
{
    if (mf_bad(p, x)) {
        mf_expect(p, "reshape", x, MF_F32, -1);
        return MF_NONE;
    }
    mf_shape s = {.rank = rank};
    int64_t count = 1;
    bool fits = rank >= 0 && rank <= MF_MAX_RANK;
    for (int k = 0; k < rank && fits; k++) {
        s.dim[k] = shape[k];
        fits = !__builtin_mul_overflow(count, shape[k], &count) && shape[k] > 0;
    }
    if (!fits || count != mf_count(p, x)) {
        mf_program_fail(p, "reshape of %s to %lld elements of rank %d", mf_shape_text(p, x),
                        (long long)count, rank);
        return MF_NONE;
    }
    mf_op op = {.type = &reshape_type, .inputs = 1, .outputs = 1, .in = {x}};
    mf_value y = mf_op_add(p, &op, &s);
    if (!mf_bad(p, y)) {
        mf_value_record *v = mf_value_of(p, y);
        const mf_value_record *from = mf_value_of(p, x);
        v->storage = from->storage;
        v->dtype = from->dtype;
        v->bytes = from->bytes;
    }
    return y;
}

/* ---- slice and pad along an axis; a value is [A, R, B] with the axis in the middle -------------
 */

/* Vectors of a row; kernels number all of them in 32 bits. */
static mf_status count_vectors(const mf_recorder *r, int64_t rows, int64_t count, int64_t *vectors)
{
    *vectors = (count + mf_wide(r) - 1) / mf_wide(r);
    return rows <= INT32_MAX / *vectors
               ? MF_OK
               : mf_fail(MF_UNSUPPORTED, "%lld rows of %lld elements are more than it counts",
                         (long long)rows, (long long)count);
}

/* part of each of `rows` rows of x to each row of y */
static mf_status copy_part(mf_recorder *r, int64_t rows, int64_t count, mf_value x, int64_t x_row,
                           int64_t from, mf_value y, int64_t y_row, int64_t to)
{
    const mf_module *module;
    int64_t vectors;
    MF_TRY(count_vectors(r, rows, count, &vectors));
    MF_TRY(mf_record_module(r, shape_cl, NULL, &module));
    return MF_RECORD(r, module, "copy_part", mf_range1(rows * vectors), MF_INT(rows),
                     MF_INT(vectors), MF_LONG(count), MF_LONG(x_row), MF_LONG(from), MF_LONG(y_row),
                     MF_LONG(to), MF_AT(x), MF_AT(y));
}

/* i: A, elements of a row of the whole (R B) and of the part, where in it the part starts */
static mf_status record_slice(mf_recorder *r, const mf_op *op)
{
    return copy_part(r, op->i[0], op->i[2], op->in[0], op->i[1], op->i[3], op->out[0], op->i[2], 0);
}

static mf_status record_pad(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t vectors;
    MF_TRY(count_vectors(r, op->i[0], op->i[1], &vectors));
    MF_TRY(mf_record_module(r, shape_cl, NULL, &module));
    return MF_RECORD(r, module, "pad", mf_range1(op->i[0] * vectors), MF_INT(op->i[0]),
                     MF_INT(vectors), MF_LONG(op->i[1]), MF_LONG(op->i[2]), MF_LONG(op->i[3]),
                     MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static const mf_op_type slice_type;

static void gradient_pad(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_op g = *op;
    g.type = &slice_type;
    g.in[0] = grad[0];
    mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static const mf_op_type pad_type = {"pad", gradient_pad, record_pad, 0, .cheap = true};

static void gradient_slice(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_op g = *op;
    g.type = &pad_type;
    g.in[0] = grad[0];
    mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static const mf_op_type slice_type = {"slice", gradient_slice, record_slice, 0, .cheap = true};

/* Products of the axes before and after `axis`. */
static void around(mf_shape s, int axis, int64_t *before, int64_t *after)
{
    *before = *after = 1;
    for (int k = 0; k < s.rank; k++) {
        *before *= k < axis ? s.dim[k] : 1;
        *after *= k > axis ? s.dim[k] : 1;
    }
}

mf_value mf_slice(mf_program *p, mf_value x, int axis, int64_t start, int64_t count)
{
    if (!mf_expect(p, "slice", x, MF_F32, -1))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x);
    if (axis < 0)
        axis += s.rank;
    if (axis < 0 || axis >= s.rank || start < 0 || count < 1 || start > s.dim[axis] ||
        count > s.dim[axis] - start) {
        mf_program_fail(p, "slice of %s: %lld from %lld along axis %d", mf_shape_text(p, x),
                        (long long)count, (long long)start, axis);
        return MF_NONE;
    }
    int64_t a, b;
    around(s, axis, &a, &b);
    mf_op op = {.type = &slice_type,
                .inputs = 1,
                .outputs = 1,
                .in = {x},
                .i = {a, s.dim[axis] * b, count * b, start * b}};
    s.dim[axis] = count;
    return mf_op_add(p, &op, &s);
}

/* ---- concat ---------------------------------------------------------------------------------- */

/* i: A, Ra B, Rb B, axis, Ra, Rb */
static mf_status record_concat(mf_recorder *r, const mf_op *op)
{
    int64_t all = op->i[1] + op->i[2];
    MF_TRY(copy_part(r, op->i[0], op->i[1], op->in[0], op->i[1], 0, op->out[0], all, 0));
    return copy_part(r, op->i[0], op->i[2], op->in[1], op->i[2], 0, op->out[0], all, op->i[1]);
}

static void gradient_concat(mf_program *p, const mf_op *op, const mf_value *grad)
{
    int axis = (int)op->i[3];
    for (int k = 0; k < 2; k++)
        if (mf_wants_gradient(p, op->in[k]))
            mf_add_gradient(p, op->in[k],
                            mf_slice(p, grad[0], axis, k ? op->i[4] : 0, op->i[4 + k]));
}

static const mf_op_type concat_type = {"concat", gradient_concat, record_concat, 0, .cheap = true};

mf_value mf_concat(mf_program *p, mf_value a, mf_value b, int axis)
{
    if (!mf_expect(p, "concat", a, MF_F32, -1) || !mf_expect(p, "concat", b, MF_F32, -1))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, a), t = mf_shape_of(p, b);
    if (axis < 0)
        axis += s.rank;
    bool fits = s.rank == t.rank && axis >= 0 && axis < s.rank;
    for (int k = 0; fits && k < s.rank; k++)
        fits = k == axis || s.dim[k] == t.dim[k];
    if (!fits) {
        mf_program_fail(p, "concat of %s and %s along axis %d", mf_shape_text(p, a),
                        mf_shape_text(p, b), axis);
        return MF_NONE;
    }
    int64_t before, after;
    around(s, axis, &before, &after);
    mf_op op = {
        .type = &concat_type,
        .inputs = 2,
        .outputs = 1,
        .in = {a, b},
        .i = {before, s.dim[axis] * after, t.dim[axis] * after, axis, s.dim[axis], t.dim[axis]}};
    s.dim[axis] += t.dim[axis];
    return mf_op_add(p, &op, &s);
}

/* ---- pixel shuffles ---------------------------------------------------------------------------
 */

/* Coarse [N,d,h,w,C s^3] and fine [N,ds,hs,ws,C] hold the same elements. i: scale, order (0: coarse
 * channels are (C, sz, sy, sx), 1: (sz, sy, sx, C)), 1 for coarse -> fine, then N d h w C. */
static mf_status record_trade(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t s = op->i[0];
    MF_TRY(mf_record_module(r, shape_cl, NULL, &module));
    return MF_RECORD(r, module, "trade", mf_range3(op->i[6], op->i[5] * s, op->i[3] * op->i[4] * s),
                     MF_INT(op->i[4]), MF_INT(op->i[5]), MF_INT(op->i[6]), MF_INT(op->i[7]),
                     MF_INT(s), MF_INT(op->i[1]), MF_INT(op->i[2]), MF_AT(op->in[0]),
                     MF_AT(op->out[0]));
}

static void gradient_trade(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_op g = *op;
    g.in[0] = grad[0];
    g.i[2] = !op->i[2];
    mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static const mf_op_type trade_type = {"pixel shuffle", gradient_trade, record_trade, 0,
                                      .cheap = true};

mf_value mf_pixel_shuffle3(mf_program *p, mf_value x, int scale)
{
    if (!mf_expect(p, "pixel_shuffle3", x, MF_F32, 5))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x);
    int64_t cube = (int64_t)scale * scale * scale;
    if (scale < 1 || scale > 64 || s.dim[4] % cube) {
        mf_program_fail(p, "pixel_shuffle3 of %s by %d", mf_shape_text(p, x), scale);
        return MF_NONE;
    }
    mf_op op = {.type = &trade_type,
                .inputs = 1,
                .outputs = 1,
                .in = {x},
                .i = {scale, 0, 1, s.dim[0], s.dim[1], s.dim[2], s.dim[3], s.dim[4] / cube}};
    mf_shape out = {
        5, {s.dim[0], s.dim[1] * scale, s.dim[2] * scale, s.dim[3] * scale, s.dim[4] / cube}};
    return mf_op_add(p, &op, &out);
}

mf_value mf_pixel_unshuffle3(mf_program *p, mf_value x, int scale)
{
    if (!mf_expect(p, "pixel_unshuffle3", x, MF_F32, 5))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x);
    if (scale < 1 || scale > 64 || s.dim[1] % scale || s.dim[2] % scale || s.dim[3] % scale) {
        mf_program_fail(p, "pixel_unshuffle3 of %s by %d", mf_shape_text(p, x), scale);
        return MF_NONE;
    }
    int64_t d = s.dim[1] / scale, h = s.dim[2] / scale, w = s.dim[3] / scale;
    mf_op op = {.type = &trade_type,
                .inputs = 1,
                .outputs = 1,
                .in = {x},
                .i = {scale, 1, 0, s.dim[0], d, h, w, s.dim[4]}};
    mf_shape out = {5, {s.dim[0], d, h, w, s.dim[4] * scale * scale * scale}};
    return mf_op_add(p, &op, &out);
}
