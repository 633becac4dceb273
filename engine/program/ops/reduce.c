/* reduce.c - sum and mean over an axis, repeat, division of rows. A value is seen as [A, R, B] with
 * the axis in the middle. */
#include "program/ops/shared.h"
#include "program/record/record.h"
#include "reduce.cl.h"

#include <stdio.h>

enum { CHUNK_ROWS = 256, CHUNK_LAST = 4096 };

/* i: A, R, B; f: factor */
static mf_status record_sum(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t a = op->i[0], rows = op->i[1], b = op->i[2];
    int64_t chunk = b == 1 ? CHUNK_LAST : CHUNK_ROWS;
    mf_operand from = MF_AT(op->in[0]);
    MF_TRY(mf_record_module(r, reduce_cl, NULL, &module));
    for (;;) {
        int64_t chunks = (rows + chunk - 1) / chunk;
        mf_operand to = chunks == 1 ? MF_AT(op->out[0])
                                    : mf_scratch(r, (size_t)(a * chunks * b) * sizeof(float));
        float factor = chunks == 1 ? op->f[0] : 1.0f;
        if (b == 1) {
            mf_range range = mf_range_teams(r, chunks);
            range.dims = 2;
            range.global[1] = (size_t)a;
            MF_TRY(MF_RECORD(r, module, "sum_last", range, MF_INT(rows), MF_INT(chunk),
                             MF_FLOAT(factor), from, to));
        } else {
            int64_t vectors = (b + mf_wide(r) - 1) / mf_wide(r);
            MF_TRY(MF_RECORD(r, module, "sum_axis", mf_range3(vectors, chunks, a), MF_INT(rows),
                             MF_INT(b), MF_INT(chunk), MF_FLOAT(factor), from, to));
        }
        if (chunks == 1)
            return MF_OK;
        from = to;
        rows = chunks;
    }
}

static mf_value expand(mf_program *p, mf_value x, int64_t a, int64_t rows, int64_t b, float factor,
                       mf_shape shape);

static void gradient_sum(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_add_gradient(
        p, op->in[0],
        expand(p, grad[0], op->i[0], op->i[1], op->i[2], op->f[0], mf_shape_of(p, op->in[0])));
}

static const mf_op_type sum_type = {"sum", gradient_sum, record_sum, 0};

static mf_value sum(mf_program *p, mf_value x, int64_t a, int64_t rows, int64_t b, float factor,
                    mf_shape shape)
{
    mf_op op = {
        .type = &sum_type, .inputs = 1, .outputs = 1, .in = {x}, .i = {a, rows, b}, .f = {factor}};
    return mf_op_add(p, &op, &shape);
}

static mf_status record_expand(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    MF_TRY(mf_record_module(r, reduce_cl, NULL, &module));
    mf_range range = mf_range_wide(r, op->i[1] * op->i[2]);
    range.dims = 2;
    range.global[1] = (size_t)op->i[0];
    return MF_RECORD(r, module, "expand", range, MF_INT(op->i[1]), MF_INT(op->i[2]),
                     MF_FLOAT(op->f[0]), MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static void gradient_expand(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_add_gradient(
        p, op->in[0],
        sum(p, grad[0], op->i[0], op->i[1], op->i[2], op->f[0], mf_shape_of(p, op->in[0])));
}

static const mf_op_type expand_type = {"repeat", gradient_expand, record_expand, 0, .cheap = true};

static mf_value expand(mf_program *p, mf_value x, int64_t a, int64_t rows, int64_t b, float factor,
                       mf_shape shape)
{
    if (mf_bad(p, x))
        return MF_NONE;
    mf_op op = {.type = &expand_type,
                .inputs = 1,
                .outputs = 1,
                .in = {x},
                .i = {a, rows, b},
                .f = {factor}};
    return mf_op_add(p, &op, &shape);
}

mf_value mf_sum_rows(mf_program *p, mf_value x)
{
    if (mf_bad(p, x))
        return MF_NONE;
    int64_t b = mf_dim(p, x, -1);
    return sum(p, x, 1, mf_count(p, x) / b, b, 1.0f, (mf_shape){1, {b}});
}

static mf_value over_axis(mf_program *p, const char *name, mf_value x, int axis, bool mean)
{
    if (!mf_expect(p, name, x, MF_F32, -1))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x), out = {.rank = 0};
    if (axis < 0)
        axis += s.rank;
    if (axis < 0 || axis >= s.rank) {
        mf_program_fail(p, "%s over axis %d of %s", name, axis, mf_shape_text(p, x));
        return MF_NONE;
    }
    int64_t a = 1, b = 1;
    for (int k = 0; k < s.rank; k++) {
        if (k != axis)
            out.dim[out.rank++] = s.dim[k];
        a *= k < axis ? s.dim[k] : 1;
        b *= k > axis ? s.dim[k] : 1;
    }
    if (out.rank == 0) /* a number is [1] */
        out = (mf_shape){1, {1}};
    return sum(p, x, a, s.dim[axis], b, mean ? 1.0f / (float)s.dim[axis] : 1.0f, out);
}

mf_value mf_sum(mf_program *p, mf_value x, int axis)
{
    return over_axis(p, "sum", x, axis, false);
}

mf_value mf_mean(mf_program *p, mf_value x, int axis)
{
    return over_axis(p, "mean", x, axis, true);
}

mf_value mf_repeat(mf_program *p, mf_value x, int64_t count)
{
    if (!mf_expect(p, "repeat", x, MF_F32, -1))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x), out = {.rank = s.rank + 1, .dim = {count}};
    if (count < 1 || s.rank == MF_MAX_RANK) {
        mf_program_fail(p, "repeat of %s, %lld times", mf_shape_text(p, x), (long long)count);
        return MF_NONE;
    }
    for (int k = 0; k < s.rank; k++)
        out.dim[k + 1] = s.dim[k];
    return expand(p, x, 1, count, mf_count(p, x), 1.0f, out);
}

/* ---- division of rows ------------------------------------------------------------------------ */

static mf_status record_divide(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t n = mf_count(p, op->in[0]);
    MF_TRY(mf_record_module(r, reduce_cl, NULL, &module));
    return MF_RECORD(r, module, "divide_rows", mf_range_wide(r, n), MF_LONG(n),
                     MF_INT(mf_dim(p, op->in[0], 1)), MF_FLOAT(op->f[0]), MF_AT(op->in[0]),
                     MF_AT(op->in[1]), MF_AT(op->out[0]));
}

/* in: g, y [R,C], d [R] */
static mf_status record_divide_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t rows = mf_dim(p, op->in[0], 0);
    MF_TRY(mf_record_module(r, reduce_cl, NULL, &module));
    return MF_RECORD(r, module, "divide_rows_gradient", mf_range1(rows), MF_INT(rows),
                     MF_INT(mf_dim(p, op->in[0], 1)), MF_FLOAT(op->f[0]), MF_AT(op->in[0]),
                     MF_AT(op->in[1]), MF_AT(op->in[2]), MF_AT(op->out[0]));
}

static const mf_op_type divide_gradient_type = {"divide_rows gradient", NULL,
                                                record_divide_gradient, 0};

static void gradient_divide(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_value x = op->in[0], d = op->in[1];
    if (mf_wants_gradient(p, x))
        mf_add_gradient(p, x, mf_divide_rows(p, grad[0], d, op->f[0]));
    if (mf_wants_gradient(p, d)) {
        mf_op g = {.type = &divide_gradient_type,
                   .inputs = 3,
                   .outputs = 1,
                   .in = {grad[0], op->out[0], d},
                   .f = {op->f[0]}};
        mf_shape shape = mf_shape_of(p, d);
        mf_add_gradient(p, d, mf_op_add(p, &g, &shape));
    }
}

static const mf_op_type divide_type = {"divide_rows", gradient_divide, record_divide, 0};

mf_value mf_divide_rows(mf_program *p, mf_value x, mf_value d, float floor)
{
    if (!mf_expect(p, "divide_rows", x, MF_F32, 2) || !mf_expect(p, "divide_rows", d, MF_F32, 1))
        return MF_NONE;
    mf_shape shape = mf_shape_of(p, x);
    if (shape.dim[0] != mf_dim(p, d, 0)) {
        mf_program_fail(p, "divide_rows of %s by %s", mf_shape_text(p, x), mf_shape_text(p, d));
        return MF_NONE;
    }
    mf_op op = {.type = &divide_type, .inputs = 2, .outputs = 1, .in = {x, d}, .f = {floor}};
    return mf_op_add(p, &op, &shape);
}
