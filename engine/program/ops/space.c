/* space.c - ops over the voxels of [N,D,H,W,C]: max pool, trilinear resize and its adjoint,
 * position embedding. */
#include "program/record/record.h"
#include "space.cl.h"

static int64_t blocks_of(const mf_recorder *r, int64_t channels)
{
    return (channels + mf_wide(r) - 1) / mf_wide(r);
}

/* Coordinates are 32-bit in kernels, and products of two of them are formed there. */
static bool fits(mf_program *p, const char *name, mf_value x)
{
    for (int k = 1; k < 4; k++)
        if (mf_dim(p, x, k) > 32768) {
            mf_program_fail(p, "%s of %s: at most 32768 voxels along an axis", name,
                            mf_shape_text(p, x));
            return false;
        }
    return true;
}

/* ---- max pool -------------------------------------------------------------------------------- */

static mf_status record_pool(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    mf_shape s = mf_shape_of(mf_recorder_program(r), op->in[0]);
    MF_TRY(mf_record_module(r, space_cl, NULL, &module));
    return MF_RECORD(
        r, module, "max_pool",
        mf_range3(blocks_of(r, s.dim[4]) * (s.dim[3] / 2), s.dim[2] / 2, s.dim[0] * (s.dim[1] / 2)),
        MF_INT(s.dim[1]), MF_INT(s.dim[2]), MF_INT(s.dim[3]), MF_INT(s.dim[4]), MF_AT(op->in[0]),
        MF_AT(op->out[0]));
}

/* in: x, g; out: dx */
static mf_status record_pool_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    mf_shape s = mf_shape_of(mf_recorder_program(r), op->in[0]);
    MF_TRY(mf_record_module(r, space_cl, NULL, &module));
    return MF_RECORD(r, module, "max_pool_gradient",
                     mf_range3(blocks_of(r, s.dim[4]) * ((s.dim[3] + 1) / 2), (s.dim[2] + 1) / 2,
                               s.dim[0] * ((s.dim[1] + 1) / 2)),
                     MF_INT(s.dim[1]), MF_INT(s.dim[2]), MF_INT(s.dim[3]), MF_INT(s.dim[4]),
                     MF_AT(op->in[0]), MF_AT(op->in[1]), MF_AT(op->out[0]));
}

static const mf_op_type pool_gradient_type = {"max_pool2 gradient", NULL, record_pool_gradient, 0};

static void gradient_pool(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_op g = {.type = &pool_gradient_type, .inputs = 2, .outputs = 1, .in = {op->in[0], grad[0]}};
    mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static const mf_op_type pool_type = {"max_pool2", gradient_pool, record_pool, 0, .cheap = true};

mf_value mf_max_pool2(mf_program *p, mf_value x)
{
    if (!mf_expect(p, "max_pool2", x, MF_F32, 5) || !fits(p, "max_pool2", x))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x);
    if (s.dim[1] < 2 || s.dim[2] < 2 || s.dim[3] < 2) {
        mf_program_fail(p, "max_pool2 of %s: an axis has fewer than 2 voxels", mf_shape_text(p, x));
        return MF_NONE;
    }
    for (int k = 1; k < 4; k++)
        s.dim[k] /= 2;
    mf_op op = {.type = &pool_type, .inputs = 1, .outputs = 1, .in = {x}};
    return mf_op_add(p, &op, &s);
}

/* ---- resize ---------------------------------------------------------------------------------- */

/* Both directions: in [N,..,C], out [N,..,C]; the coarse side of a resize is its input. */
static mf_status record_resize(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    bool adjoint = op->i[0];
    const mf_program *p = mf_recorder_program(r);
    mf_shape in = mf_shape_of(p, adjoint ? op->out[0] : op->in[0]);
    mf_shape out = mf_shape_of(p, adjoint ? op->in[0] : op->out[0]);
    mf_shape s = adjoint ? in : out; /* what is written */
    MF_TRY(mf_record_module(r, space_cl, NULL, &module));
    return MF_RECORD(r, module, adjoint ? "resize_adjoint" : "resize",
                     mf_range3(blocks_of(r, s.dim[4]) * s.dim[3], s.dim[2], s.dim[0] * s.dim[1]),
                     MF_INT(in.dim[1]), MF_INT(in.dim[2]), MF_INT(in.dim[3]), MF_INT(out.dim[1]),
                     MF_INT(out.dim[2]), MF_INT(out.dim[3]), MF_INT(s.dim[4]), MF_AT(op->in[0]),
                     MF_AT(op->out[0]));
}

static void gradient_resize(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_shape s = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0],
                    op->i[0] ? mf_resize(p, grad[0], s.dim[1], s.dim[2], s.dim[3])
                             : mf_resize_adjoint(p, grad[0], s.dim[1], s.dim[2], s.dim[3]));
}

static const mf_op_type resize_types[2] = {
    {"resize", gradient_resize, record_resize, 0, .cheap = true},
    {"resize_adjoint", gradient_resize, record_resize, 0, .cheap = true},
};

static mf_value resize(mf_program *p, mf_value x, int64_t depth, int64_t height, int64_t width,
                       bool adjoint)
{
    const mf_op_type *type = &resize_types[adjoint];
    if (!mf_expect(p, type->name, x, MF_F32, 5) || !fits(p, type->name, x))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x);
    if (depth < 1 || height < 1 || width < 1 || depth > 32768 || height > 32768 || width > 32768) {
        mf_program_fail(p, "%s of %s to %lld x %lld x %lld", type->name, mf_shape_text(p, x),
                        (long long)depth, (long long)height, (long long)width);
        return MF_NONE;
    }
    s.dim[1] = depth;
    s.dim[2] = height;
    s.dim[3] = width;
    mf_op op = {.type = type, .inputs = 1, .outputs = 1, .in = {x}, .i = {adjoint}};
    return mf_op_add(p, &op, &s);
}

mf_value mf_resize(mf_program *p, mf_value x, int64_t depth, int64_t height, int64_t width)
{
    return resize(p, x, depth, height, width, false);
}

mf_value mf_resize_adjoint(mf_program *p, mf_value x, int64_t depth, int64_t height, int64_t width)
{
    return resize(p, x, depth, height, width, true);
}

/* ---- position embedding -----------------------------------------------------------------------
 */

/* Squares of positions by channels that cover a row. */
static int64_t squares(const mf_recorder *r, int64_t positions, int64_t channels)
{
    return blocks_of(r, channels) * blocks_of(r, positions);
}

static mf_status record_position(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    mf_shape s = mf_shape_of(p, op->in[0]), e = mf_shape_of(p, op->in[1]);
    MF_TRY(mf_record_module(r, space_cl, NULL, &module));
    return MF_RECORD(r, module, "add_position",
                     mf_range3(squares(r, s.dim[3], s.dim[4]), s.dim[2], s.dim[0] * s.dim[1]),
                     MF_INT(s.dim[1]), MF_INT(s.dim[2]), MF_INT(s.dim[3]), MF_INT(s.dim[4]),
                     MF_INT(e.dim[2]), MF_INT(e.dim[3]), MF_INT(e.dim[4]), MF_AT(op->in[0]),
                     MF_AT(op->in[1]), MF_AT(op->out[0]));
}

/* in: g; out: the embedding's gradient */
static mf_status record_position_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    mf_shape s = mf_shape_of(p, op->in[0]), e = mf_shape_of(p, op->out[0]);
    MF_TRY(mf_record_module(r, space_cl, NULL, &module));
    return MF_RECORD(r, module, "add_position_gradient",
                     mf_range3(squares(r, e.dim[4], s.dim[4]), e.dim[3], e.dim[2]),
                     MF_INT(s.dim[0]), MF_INT(s.dim[1]), MF_INT(s.dim[2]), MF_INT(s.dim[3]),
                     MF_INT(s.dim[4]), MF_INT(e.dim[2]), MF_INT(e.dim[3]), MF_INT(e.dim[4]),
                     MF_AT(op->in[0]), MF_AT(op->out[0]));
}

static const mf_op_type position_gradient_type = {"add_position gradient", NULL,
                                                  record_position_gradient, 0};

static void gradient_position(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_add_gradient(p, op->in[0], grad[0]);
    if (!mf_wants_gradient(p, op->in[1]))
        return;
    mf_op g = {.type = &position_gradient_type, .inputs = 1, .outputs = 1, .in = {grad[0]}};
    mf_shape shape = mf_shape_of(p, op->in[1]);
    mf_add_gradient(p, op->in[1], mf_op_add(p, &g, &shape));
}

static const mf_op_type position_type = {"add_position", gradient_position, record_position, 1,
                                         .cheap = true};

mf_value mf_add_position(mf_program *p, mf_value x, mf_value embedding)
{
    if (!mf_expect(p, "add_position", x, MF_F32, 5) ||
        !mf_expect(p, "add_position", embedding, MF_F32, 5))
        return MF_NONE;
    mf_shape s = mf_shape_of(p, x), e = mf_shape_of(p, embedding);
    if (e.dim[0] != 1 || e.dim[1] != s.dim[4] || e.dim[2] < s.dim[1] || e.dim[3] < s.dim[2] ||
        e.dim[4] < s.dim[3]) {
        mf_program_fail(p, "add_position of %s with an embedding of %s", mf_shape_text(p, x),
                        mf_shape_text(p, embedding));
        return MF_NONE;
    }
    mf_op op = {.type = &position_type, .inputs = 2, .outputs = 1, .in = {x, embedding}};
    return mf_op_add(p, &op, &s);
}
