/* norm.c - instance norm (alone, or with the ReLU after it), layer norm. */
#include "norm.cl.h"
#include "program/ops/shared.h"
#include "program/record/record.h"

/* ---- instance norm: in x [N,V..,C]; out y, stats [N,3,C]; i[0] relu; f[0] eps ------------------
 */

typedef struct sizes {
    int64_t n, v, c, chunk, chunks, blocks;
    bool narrow; /* several voxels a vector */
} sizes;

static sizes sizes_of(const mf_recorder *r, mf_value x)
{
    const mf_program *p = mf_recorder_program(r);
    sizes s = {.n = mf_dim(p, x, 0), .c = mf_dim(p, x, -1)};
    int wide = mf_wide(r);
    s.v = mf_count(p, x) / (s.n * s.c);
    s.chunk = (s.v + 1023) / 1024;
    s.chunk = s.chunk < 256 ? 256 : (s.chunk + 31) / 32 * 32;
    s.chunks = (s.v + s.chunk - 1) / s.chunk;
    s.narrow = s.c < wide && wide % s.c == 0;
    s.blocks = (s.c + wide - 1) / wide;
    return s;
}

static mf_range by_n(mf_range range, int64_t n)
{
    range.dims = 2;
    range.global[1] = (size_t)n;
    return range;
}

static mf_status record_instance(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    mf_value x = op->in[0], y = op->out[0], stats = op->out[1];
    sizes s = sizes_of(r, x);
    MF_TRY(mf_record_module(r, norm_cl, NULL, &module));
    mf_operand parts = mf_scratch(r, (size_t)(s.n * s.chunks * 3 * s.c) * sizeof(float));
    MF_TRY(MF_RECORD(r, module, s.narrow ? "instance_parts_narrow" : "instance_parts",
                     mf_range2(s.narrow ? s.chunks : s.blocks * s.chunks, s.n), MF_INT(s.v),
                     MF_INT(s.c), MF_INT(s.chunk), MF_INT(s.chunks), MF_AT(x), parts));
    MF_TRY(MF_RECORD(r, module, "instance_merge", mf_range2(s.blocks, s.n), MF_INT(s.v),
                     MF_INT(s.c), MF_INT(s.chunk), MF_INT(s.chunks), MF_FLOAT(op->f[0]), parts,
                     MF_AT(stats)));
    return MF_RECORD(r, module, "instance_apply", by_n(mf_range_wide(r, s.v * s.c), s.n),
                     MF_INT(s.v), MF_INT(s.c), MF_INT(op->i[0]), MF_AT(x), MF_AT(stats), MF_AT(y));
}

/* in: x, stats; out: y, as the whole op made it */
static mf_status record_instance_again(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    sizes s = sizes_of(r, op->in[0]);
    MF_TRY(mf_record_module(r, norm_cl, NULL, &module));
    return MF_RECORD(r, module, "instance_apply", by_n(mf_range_wide(r, s.v * s.c), s.n),
                     MF_INT(s.v), MF_INT(s.c), MF_INT(op->i[0]), MF_AT(op->in[0]), MF_AT(op->in[1]),
                     MF_AT(op->out[0]));
}

static const mf_op_type instance_again_type = {"instance_norm again", NULL, record_instance_again,
                                               1};

static mf_op instance_again(const mf_op *op)
{
    return (mf_op){.type = &instance_again_type,
                   .inputs = 2,
                   .outputs = 1,
                   .in = {op->in[0], op->out[1]},
                   .i = {op->i[0]}};
}

/* in: x, stats, g; out: dx */
static mf_status record_instance_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    mf_value x = op->in[0], stats = op->in[1], g = op->in[2];
    sizes s = sizes_of(r, x);
    MF_TRY(mf_record_module(r, norm_cl, NULL, &module));
    mf_operand parts = mf_scratch(r, (size_t)(s.n * s.chunks * 2 * s.c) * sizeof(float));
    mf_operand means = mf_scratch(r, (size_t)(s.n * 2 * s.c) * sizeof(float));
    MF_TRY(MF_RECORD(r, module,
                     s.narrow ? "instance_gradient_parts_narrow" : "instance_gradient_parts",
                     mf_range2(s.narrow ? s.chunks : s.blocks * s.chunks, s.n), MF_INT(s.v),
                     MF_INT(s.c), MF_INT(s.chunk), MF_INT(s.chunks), MF_INT(op->i[0]), MF_AT(x),
                     MF_AT(stats), MF_AT(g), parts));
    MF_TRY(MF_RECORD(r, module, "instance_gradient_merge", by_n(mf_range_wide(r, 2 * s.c), s.n),
                     MF_INT(s.v), MF_INT(s.c), MF_INT(s.chunks), parts, means));
    return MF_RECORD(r, module, "instance_gradient_apply", by_n(mf_range_wide(r, s.v * s.c), s.n),
                     MF_INT(s.v), MF_INT(s.c), MF_INT(op->i[0]), MF_AT(x), MF_AT(stats), means,
                     MF_AT(g), MF_AT(op->out[0]));
}

static const mf_op_type instance_gradient_type = {"instance_norm gradient", NULL,
                                                  record_instance_gradient, 4};

static void gradient_instance(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_op g = {.type = &instance_gradient_type,
               .inputs = 3,
               .outputs = 1,
               .in = {op->in[0], op->out[1], grad[0]},
               .i = {op->i[0]}};
    mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static mf_value instance_relu(mf_program *p, const mf_op *op, mf_value x);
static const mf_op_type instance_type = {
    "instance_norm", gradient_instance, record_instance,        1,
    instance_relu,   .cheap = true,     .again = instance_again};

static mf_value instance_norm(mf_program *p, mf_value x, float eps, bool relu)
{
    mf_op op = {
        .type = &instance_type, .inputs = 1, .outputs = 2, .in = {x}, .i = {relu}, .f = {eps}};
    mf_shape shapes[2] = {mf_shape_of(p, x), {3, {mf_dim(p, x, 0), 3, mf_dim(p, x, -1)}}};
    return mf_op_add(p, &op, shapes);
}

mf_value mf_instance_norm(mf_program *p, mf_value x, float eps)
{
    if (!mf_expect(p, "instance_norm", x, MF_F32, -1))
        return MF_NONE;
    if (mf_rank(p, x) < 3) {
        mf_program_fail(p, "instance_norm takes [N,...,C], given %s", mf_shape_text(p, x));
        return MF_NONE;
    }
    return instance_norm(p, x, eps, false);
}

static mf_value instance_relu(mf_program *p, const mf_op *op, mf_value x)
{
    if (op->i[0] || op->out[0].id != x.id)
        return MF_NONE;
    return instance_norm(p, op->in[0], op->f[0], true);
}

/* ---- layer norm: in x, gain, bias; out y, stats [rows,2]; f[0] eps -----------------------------
 */

static mf_status record_layer(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t c = mf_dim(p, op->in[0], -1), rows = mf_count(p, op->in[0]) / c;
    MF_TRY(mf_record_module(r, norm_cl, NULL, &module));
    return MF_RECORD(r, module, "layer_norm", mf_range_rows(r, rows), MF_LONG(rows), MF_INT(c),
                     MF_FLOAT(op->f[0]), MF_AT(op->in[0]), MF_AT(op->in[1]), MF_AT(op->in[2]),
                     MF_AT(op->out[0]), MF_AT(op->out[1]));
}

/* in: x, stats, gain, g; out: dx, g xhat */
static mf_status record_layer_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t c = mf_dim(p, op->in[0], -1), rows = mf_count(p, op->in[0]) / c;
    MF_TRY(mf_record_module(r, norm_cl, NULL, &module));
    return MF_RECORD(r, module, "layer_norm_gradient", mf_range_rows(r, rows), MF_LONG(rows),
                     MF_INT(c), MF_AT(op->in[0]), MF_AT(op->in[1]), MF_AT(op->in[2]),
                     MF_AT(op->in[3]), MF_AT(op->out[0]), MF_AT(op->out[1]));
}

static const mf_op_type layer_gradient_type = {"layer_norm gradient", NULL, record_layer_gradient,
                                               0};

static void gradient_layer(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_value x = op->in[0], gain = op->in[1];
    mf_op g = {.type = &layer_gradient_type,
               .inputs = 4,
               .outputs = 2,
               .in = {x, op->out[1], gain, grad[0]}};
    mf_shape shapes[2] = {mf_shape_of(p, x), mf_shape_of(p, x)};
    mf_value dx = mf_op_add(p, &g, shapes);
    if (mf_bad(p, dx))
        return;
    mf_value g_hat = mf_producer(p, dx)->out[1];
    mf_add_gradient(p, x, dx);
    if (mf_wants_gradient(p, gain))
        mf_add_gradient(p, gain, mf_sum_rows(p, g_hat));
    if (mf_wants_gradient(p, op->in[2]))
        mf_add_gradient(p, op->in[2], mf_sum_rows(p, grad[0]));
}

static const mf_op_type layer_type = {"layer_norm", gradient_layer, record_layer, 0, .cheap = true};

mf_value mf_layer_norm(mf_program *p, mf_value x, mf_value gain, mf_value bias, float eps)
{
    if (!mf_expect(p, "layer_norm", x, MF_F32, -1) ||
        !mf_expect(p, "layer_norm", gain, MF_F32, 1) ||
        !mf_expect(p, "layer_norm", bias, MF_F32, 1))
        return MF_NONE;
    int64_t c = mf_dim(p, x, -1);
    if (mf_rank(p, x) < 1 || mf_dim(p, gain, 0) != c || mf_dim(p, bias, 0) != c) {
        mf_program_fail(p, "layer_norm of %s with gain %s and bias %s", mf_shape_text(p, x),
                        mf_shape_text(p, gain), mf_shape_text(p, bias));
        return MF_NONE;
    }
    mf_op op = {.type = &layer_type, .inputs = 3, .outputs = 2, .in = {x, gain, bias}, .f = {eps}};
    mf_shape shapes[2] = {mf_shape_of(p, x), {2, {mf_count(p, x) / c, 2}}};
    return mf_op_add(p, &op, shapes);
}
