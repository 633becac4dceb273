/* elementwise.c - add and mul (also by rows), rotary position, scale, activations, u8 to float. */
#include "elementwise.cl.h"
#include "program/ops/shared.h"
#include "program/record/record.h"

static mf_status module_of(mf_recorder *r, const mf_module **module)
{
    return mf_record_module(r, elementwise_cl, NULL, module);
}

static int64_t count_of(const mf_recorder *r, mf_value x)
{
    return mf_count(mf_recorder_program(r), x);
}

/* ---- fill ------------------------------------------------------------------------------------ */

static mf_status record_fill(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t n = count_of(r, op->out[0]);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, "fill", mf_range_wide(r, n), MF_LONG(n), MF_FLOAT(op->f[0]),
                     MF_AT(op->out[0]));
}

static const mf_op_type fill_type = {"fill", NULL, record_fill, 0, .cheap = true};

mf_value mf_fill_like(mf_program *p, mf_value x, float value)
{
    if (mf_bad(p, x))
        return MF_NONE;
    mf_op op = {.type = &fill_type, .outputs = 1, .f = {value}};
    mf_shape shape = mf_shape_of(p, x);
    return mf_op_add(p, &op, &shape);
}

/* ---- add, mul -------------------------------------------------------------------------------- */

static void gradient_add(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_add_gradient(p, op->in[0], grad[0]);
    mf_add_gradient(p, op->in[1], grad[0]);
}

static void gradient_mul(mf_program *p, const mf_op *op, const mf_value *grad)
{
    for (int k = 0; k < 2; k++)
        if (mf_wants_gradient(p, op->in[k]))
            mf_add_gradient(p, op->in[k], mf_mul(p, op->in[1 - k], grad[0]));
}

static mf_status record_binary(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t n = count_of(r, op->out[0]);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, op->type->name, mf_range_wide(r, n), MF_LONG(n), MF_AT(op->in[0]),
                     MF_AT(op->in[1]), MF_AT(op->out[0]));
}

static const mf_op_type add_type = {"add", gradient_add, record_binary, 3, .cheap = true};
static const mf_op_type mul_type = {"mul", gradient_mul, record_binary, 3, .cheap = true};

static mf_value binary(mf_program *p, const mf_op_type *type, mf_value a, mf_value b)
{
    if (!mf_expect(p, type->name, a, MF_F32, -1) || !mf_expect(p, type->name, b, MF_F32, -1))
        return MF_NONE;
    mf_shape shape = mf_shape_of(p, a);
    if (!mf_shape_equal(shape, mf_shape_of(p, b))) {
        mf_program_fail(p, "%s takes two values of one shape, given %s and %s", type->name,
                        mf_shape_text(p, a), mf_shape_text(p, b));
        return MF_NONE;
    }
    mf_op op = {.type = type, .inputs = 2, .outputs = 1, .in = {a, b}};
    return mf_op_add(p, &op, &shape);
}

mf_value mf_add(mf_program *p, mf_value a, mf_value b)
{
    return binary(p, &add_type, a, b);
}

mf_value mf_mul(mf_program *p, mf_value a, mf_value b)
{
    return binary(p, &mul_type, a, b);
}

/* ---- rows: y [C] against each row of x [R,C]
 * ------------------------------------------------------
 */

/* g [.., shape of y] -> the sum of its rows, in y's shape */
static mf_value sum_of_rows(mf_program *p, mf_value g, mf_value y)
{
    const mf_shape shape = mf_shape_of(p, y);
    const int64_t c = mf_count(p, y), flat[2] = {mf_count(p, g) / c, c};
    return mf_reshape(p, mf_sum(p, mf_reshape(p, g, 2, flat), 0), shape.rank, shape.dim);
}

static void gradient_add_rows(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_add_gradient(p, op->in[0], grad[0]);
    if (mf_wants_gradient(p, op->in[1]))
        mf_add_gradient(p, op->in[1], sum_of_rows(p, grad[0], op->in[1]));
}

static void gradient_mul_rows(mf_program *p, const mf_op *op, const mf_value *grad)
{
    if (mf_wants_gradient(p, op->in[0]))
        mf_add_gradient(p, op->in[0], mf_mul_rows(p, grad[0], op->in[1]));
    if (mf_wants_gradient(p, op->in[1]))
        mf_add_gradient(p, op->in[1], sum_of_rows(p, mf_mul(p, grad[0], op->in[0]), op->in[1]));
}

static mf_status record_rows(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const int64_t n = count_of(r, op->out[0]);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, op->type->name, mf_range_wide(r, n), MF_LONG(n),
                     MF_LONG(count_of(r, op->in[1])), MF_AT(op->in[0]), MF_AT(op->in[1]),
                     MF_AT(op->out[0]));
}

static const mf_op_type add_rows_type = {"add_rows", gradient_add_rows, record_rows, 1,
                                         .cheap = true};
static const mf_op_type mul_rows_type = {"mul_rows", gradient_mul_rows, record_rows, 1,
                                         .cheap = true};

static mf_value by_rows(mf_program *p, const mf_op_type *type, mf_value x, mf_value y)
{
    if (!mf_expect(p, type->name, x, MF_F32, -1) || !mf_expect(p, type->name, y, MF_F32, -1))
        return MF_NONE;
    const mf_shape shape = mf_shape_of(p, x), row = mf_shape_of(p, y);
    bool trailing = row.rank <= shape.rank;
    for (int k = 1; trailing && k <= row.rank; k++)
        trailing = row.dim[row.rank - k] == shape.dim[shape.rank - k];
    if (!trailing) {
        mf_program_fail(p, "%s: %s is not the trailing part of %s", type->name, mf_shape_text(p, y),
                        mf_shape_text(p, x));
        return MF_NONE;
    }
    mf_op op = {.type = type, .inputs = 2, .outputs = 1, .in = {x, y}};
    return mf_op_add(p, &op, &shape);
}

mf_value mf_add_rows(mf_program *p, mf_value x, mf_value y)
{
    return by_rows(p, &add_rows_type, x, y);
}

mf_value mf_mul_rows(mf_program *p, mf_value x, mf_value y)
{
    return by_rows(p, &mul_rows_type, x, y);
}

/* ---- rotary ---------------------------------------------------------------------------------- */

/* in: x [N,L,C], table [T,C/2,2]; i[0]: tokens that turn */
static mf_status record_rotary(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_shape s = mf_shape_of(mf_recorder_program(r), op->in[0]);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, "rotary",
                     mf_range3((s.dim[2] + mf_wide(r) - 1) / mf_wide(r), s.dim[1], s.dim[0]),
                     MF_INT(s.dim[2]), MF_INT(op->i[0]),
                     MF_INT(mf_dim(mf_recorder_program(r), op->in[1], 0)), MF_AT(op->in[0]),
                     MF_AT(op->in[1]), MF_AT(op->out[0]));
}

static const mf_op_type rotary_type = {"rotary", NULL, record_rotary, 1};

mf_value mf_rotary(mf_program *p, mf_value x, mf_value table, int64_t count)
{
    if (!mf_expect(p, "rotary", x, MF_F32, 3) || !mf_expect(p, "rotary", table, MF_F32, 3))
        return MF_NONE;
    const mf_shape s = mf_shape_of(p, x), t = mf_shape_of(p, table);
    if (s.dim[2] % 2 || t.dim[1] != s.dim[2] / 2 || t.dim[2] != 2) {
        mf_program_fail(p, "rotary of %s by a table %s; it must be [T,channels / 2,2]",
                        mf_shape_text(p, x), mf_shape_text(p, table));
        return MF_NONE;
    }
    if (count < 0 || count > s.dim[1] || count % t.dim[0] || s.dim[1] > INT32_MAX ||
        s.dim[2] > INT32_MAX) {
        mf_program_fail(p, "rotary of %lld tokens of %s by a table %s", (long long)count,
                        mf_shape_text(p, x), mf_shape_text(p, table));
        return MF_NONE;
    }
    mf_op op = {.type = &rotary_type, .inputs = 2, .outputs = 1, .in = {x, table}, .i = {count}};
    return mf_op_add(p, &op, &s);
}

/* ---- scale ----------------------------------------------------------------------------------- */

static void gradient_scale(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_add_gradient(p, op->in[0], mf_scale(p, grad[0], op->f[0]));
}

static mf_status record_scale(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t n = count_of(r, op->out[0]);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, "scale", mf_range_wide(r, n), MF_LONG(n), MF_FLOAT(op->f[0]),
                     MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static const mf_op_type scale_type = {"scale", gradient_scale, record_scale, 1, .cheap = true};

mf_value mf_scale(mf_program *p, mf_value x, float factor)
{
    if (!mf_expect(p, "scale", x, MF_F32, -1))
        return MF_NONE;
    mf_op op = {.type = &scale_type, .inputs = 1, .outputs = 1, .in = {x}, .f = {factor}};
    mf_shape shape = mf_shape_of(p, x);
    return mf_op_add(p, &op, &shape);
}

/* ---- activations ----------------------------------------------------------------------------- */

/* Index into the tables below; i[0] of the ops. */
enum { RELU, GELU, SIGMOID, TANH };

static const char *const forward[] = {"relu", "gelu", "sigmoid", "tanh_"};
static const char *const backward[] = {"relu_gradient", "gelu_gradient", "sigmoid_gradient",
                                       "tanh_gradient"};

static mf_status record_unary_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t n = count_of(r, op->out[0]);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, backward[op->i[0]], mf_range_wide(r, n), MF_LONG(n),
                     MF_AT(op->in[0]), MF_AT(op->in[1]), MF_AT(op->out[0]));
}

static const mf_op_type unary_gradient_type = {"activation gradient", NULL, record_unary_gradient,
                                               3};

static void gradient_unary(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_value known = op->i[0] == GELU ? op->in[0] : op->out[0];
    mf_op g = {.type = &unary_gradient_type,
               .inputs = 2,
               .outputs = 1,
               .in = {known, grad[0]},
               .i = {op->i[0]}};
    mf_shape shape = mf_shape_of(p, known);
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static mf_status record_unary(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t n = count_of(r, op->out[0]);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, forward[op->i[0]], mf_range_wide(r, n), MF_LONG(n),
                     MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static const mf_op_type unary_types[] = {
    {"relu", gradient_unary, record_unary, 1, .cheap = true},
    {"gelu", gradient_unary, record_unary, 1, .cheap = true},
    {"sigmoid", gradient_unary, record_unary, 1, .cheap = true},
    {"tanh", gradient_unary, record_unary, 1, .cheap = true},
};

static mf_value unary(mf_program *p, int which, mf_value x)
{
    if (!mf_expect(p, unary_types[which].name, x, MF_F32, -1))
        return MF_NONE;
    mf_op op = {.type = &unary_types[which], .inputs = 1, .outputs = 1, .in = {x}, .i = {which}};
    mf_shape shape = mf_shape_of(p, x);
    return mf_op_add(p, &op, &shape);
}

mf_value mf_relu(mf_program *p, mf_value x)
{
    const mf_op *op = mf_producer(p, x);
    mf_value fused = op && op->type->relu ? op->type->relu(p, op, x) : MF_NONE;
    return fused.id >= 0 ? fused : unary(p, RELU, x);
}

mf_value mf_gelu(mf_program *p, mf_value x)
{
    return unary(p, GELU, x);
}

mf_value mf_sigmoid(mf_program *p, mf_value x)
{
    return unary(p, SIGMOID, x);
}

mf_value mf_tanh(mf_program *p, mf_value x)
{
    return unary(p, TANH, x);
}

/* ---- u8 to float ----------------------------------------------------------------------------- */

static mf_status record_to_float(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t n = count_of(r, op->out[0]);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, "to_float", mf_range_wide(r, n), MF_LONG(n), MF_AT(op->in[0]),
                     MF_AT(op->out[0]));
}

static const mf_op_type to_float_type = {"to_float", NULL, record_to_float, 0, .cheap = true};

mf_value mf_to_float(mf_program *p, mf_value x)
{
    if (!mf_expect(p, "to_float", x, MF_U8, -1))
        return MF_NONE;
    mf_op op = {.type = &to_float_type, .inputs = 1, .outputs = 1, .in = {x}};
    mf_shape shape = mf_shape_of(p, x);
    return mf_op_add(p, &op, &shape);
}
