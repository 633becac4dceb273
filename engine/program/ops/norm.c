/* norm.c - instance norm and batch norm (alone, or with the ReLU after it), layer norm. */
#include "norm.cl.h"
#include "program/ops/shared.h"
#include "program/record/record.h"

/* ---- instance norm: in x [N,V..,C]; out y, stats [N,3,C]; i[0] relu; f[0] eps ------------------
 */

typedef struct sizes {
    int64_t n, v, c, chunk, chunks, blocks;
    bool narrow; /* several voxels a vector */
} sizes;

/* From n, v and c. */
static void fill_sizes(const mf_recorder *r, sizes *s)
{
    int wide = mf_wide(r);
    s->chunk = (s->v + 1023) / 1024;
    s->chunk = s->chunk < 256 ? 256 : (s->chunk + 31) / 32 * 32;
    s->chunks = (s->v + s->chunk - 1) / s->chunk;
    s->narrow = s->c < wide && wide % s->c == 0;
    s->blocks = (s->c + wide - 1) / wide;
}

static sizes sizes_of(const mf_recorder *r, mf_value x)
{
    const mf_program *p = mf_recorder_program(r);
    sizes s = {.n = mf_dim(p, x, 0), .c = mf_dim(p, x, -1)};
    s.v = mf_count(p, x) / (s.n * s.c);
    fill_sizes(r, &s);
    return s;
}

static mf_range by_n(mf_range range, int64_t n)
{
    range.dims = 2;
    range.global[1] = (size_t)n;
    return range;
}

static mf_status record_parts(mf_recorder *r, const mf_module *module, const sizes *s, mf_value x,
                              mf_operand parts)
{
    return MF_RECORD(r, module, s->narrow ? "instance_parts_narrow" : "instance_parts",
                     mf_range2(s->narrow ? s->chunks : s->blocks * s->chunks, s->n), MF_INT(s->v),
                     MF_INT(s->c), MF_INT(s->chunk), MF_INT(s->chunks), MF_AT(x), parts);
}

static mf_status record_instance(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    mf_value x = op->in[0], y = op->out[0], stats = op->out[1];
    sizes s = sizes_of(r, x);
    MF_TRY(mf_record_module(r, norm_cl, NULL, &module));
    mf_operand parts = mf_scratch(r, (size_t)(s.n * s.chunks * 3 * s.c) * sizeof(float));
    MF_TRY(record_parts(r, module, &s, x, parts));
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

/* ---- batch norm: in x, gain, bias, running mean, running variance; out y, stats [1,3,C], moments
 * [2,C]; i: relu, frozen; f: eps, share -----------------------------------------------------------
 *
 * Channels last, so all n together are one of instance norm, with gain and bias. What the running
 * statistics approach comes to them as their gradient (mf_weights_step): it is added up over a
 * batch as gradients are, and a run that is stopped leaves them as they were. */

enum { RELU, FROZEN };

static mf_status batch_module(mf_recorder *r, const mf_module **module)
{
    return mf_record_module(r, norm_cl, "-DAFFINE", module);
}

static sizes batch_sizes(const mf_recorder *r, mf_value x)
{
    const mf_program *p = mf_recorder_program(r);
    sizes s = {.n = 1, .c = mf_dim(p, x, -1)};
    s.v = mf_count(p, x) / s.c;
    fill_sizes(r, &s);
    return s;
}

static mf_status record_batch_apply(mf_recorder *r, const mf_op *op, mf_value stats)
{
    const mf_module *module;
    sizes s = batch_sizes(r, op->in[0]);
    MF_TRY(batch_module(r, &module));
    return MF_RECORD(r, module, "instance_apply", by_n(mf_range_wide(r, s.v * s.c), 1), MF_INT(s.v),
                     MF_INT(s.c), MF_INT(op->i[RELU]), MF_AT(op->in[1]), MF_AT(op->in[2]),
                     MF_AT(op->in[0]), MF_AT(stats), MF_AT(op->out[0]));
}

static mf_status record_batch(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    sizes s = batch_sizes(r, op->in[0]);
    MF_TRY(batch_module(r, &module));
    if (op->i[FROZEN]) {
        MF_TRY(MF_RECORD(r, module, "running_stats", mf_range1(s.blocks), MF_INT(s.c),
                         MF_FLOAT(op->f[0]), MF_AT(op->in[3]), MF_AT(op->in[4]),
                         MF_AT(op->out[1])));
        return record_batch_apply(r, op, op->out[1]);
    }
    mf_operand parts = mf_scratch(r, (size_t)(s.chunks * 3 * s.c) * sizeof(float));
    MF_TRY(record_parts(r, module, &s, op->in[0], parts));
    MF_TRY(MF_RECORD(r, module, "instance_merge", mf_range2(s.blocks, 1), MF_INT(s.v), MF_INT(s.c),
                     MF_INT(s.chunk), MF_INT(s.chunks), MF_FLOAT(op->f[0]), MF_FLOAT(op->f[1]),
                     MF_AT(op->out[2]), parts, MF_AT(op->out[1])));
    return record_batch_apply(r, op, op->out[1]);
}

/* in: x, gain, bias, stats; out: y, as the whole op made it */
static mf_status record_batch_again(mf_recorder *r, const mf_op *op)
{
    return record_batch_apply(r, op, op->in[3]);
}

static const mf_op_type batch_again_type = {"batch_norm again", NULL, record_batch_again, 1};

static mf_op batch_again(const mf_op *op)
{
    return (mf_op){.type = &batch_again_type,
                   .inputs = 4,
                   .outputs = 1,
                   .in = {op->in[0], op->in[1], op->in[2], op->out[1]},
                   .i = {op->i[RELU]}};
}

/* in: x, gain, bias, stats, g; out: dx, gradients of gain and bias */
static mf_status record_batch_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    mf_value x = op->in[0], stats = op->in[3], g = op->in[4];
    sizes s = batch_sizes(r, x);
    MF_TRY(batch_module(r, &module));
    mf_operand parts = mf_scratch(r, (size_t)(s.chunks * 2 * s.c) * sizeof(float));
    mf_operand means = mf_scratch(r, (size_t)(2 * s.c) * sizeof(float));
    MF_TRY(MF_RECORD(r, module,
                     s.narrow ? "instance_gradient_parts_narrow" : "instance_gradient_parts",
                     mf_range2(s.narrow ? s.chunks : s.blocks * s.chunks, 1), MF_INT(s.v),
                     MF_INT(s.c), MF_INT(s.chunk), MF_INT(s.chunks), MF_INT(op->i[RELU]),
                     MF_AT(op->in[1]), MF_AT(op->in[2]), MF_AT(x), MF_AT(stats), MF_AT(g), parts));
    MF_TRY(MF_RECORD(r, module, "batch_gradient_merge", mf_range1(s.blocks), MF_INT(s.v),
                     MF_INT(s.c), MF_INT(s.chunks), MF_INT(op->i[FROZEN]), parts, means,
                     MF_AT(op->out[1]), MF_AT(op->out[2])));
    return MF_RECORD(r, module, "instance_gradient_apply", by_n(mf_range_wide(r, s.v * s.c), 1),
                     MF_INT(s.v), MF_INT(s.c), MF_INT(op->i[RELU]), MF_AT(op->in[1]),
                     MF_AT(op->in[2]), MF_AT(x), MF_AT(stats), means, MF_AT(g), MF_AT(op->out[0]));
}

static const mf_op_type batch_gradient_type = {"batch_norm gradient", NULL, record_batch_gradient,
                                               1 << 4};

/* What x's own statistics say, to the running ones. */
static void add_moments(mf_program *p, const mf_op *op)
{
    const int64_t c = mf_dim(p, op->in[0], -1);
    for (int k = 0; k < 2; k++)
        if (mf_wants_gradient(p, op->in[3 + k]))
            mf_add_gradient(p, op->in[3 + k],
                            mf_reshape(p, mf_slice(p, op->out[2], 0, k, 1), 1, &c));
}

static void gradient_batch(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_op g = {.type = &batch_gradient_type,
               .inputs = 5,
               .outputs = 3,
               .in = {op->in[0], op->in[1], op->in[2], op->out[1], grad[0]},
               .i = {op->i[RELU], op->i[FROZEN]}};
    mf_shape channels = mf_shape_of(p, op->in[1]);
    mf_shape shapes[3] = {mf_shape_of(p, op->in[0]), channels, channels};
    mf_value dx = mf_op_add(p, &g, shapes);
    if (mf_bad(p, dx))
        return;
    const mf_value d_gain = mf_producer(p, dx)->out[1], d_bias = mf_producer(p, dx)->out[2];
    if (mf_wants_gradient(p, op->in[0]))
        mf_add_gradient(p, op->in[0], dx);
    if (mf_wants_gradient(p, op->in[1]))
        mf_add_gradient(p, op->in[1], d_gain);
    if (mf_wants_gradient(p, op->in[2]))
        mf_add_gradient(p, op->in[2], d_bias);
    if (!op->i[FROZEN])
        add_moments(p, op);
}

static mf_value batch_relu(mf_program *p, const mf_op *op, mf_value x);
static const mf_op_type batch_type = {"batch_norm", gradient_batch, record_batch,        1,
                                      batch_relu,   .cheap = true,  .again = batch_again};

static mf_value add_batch(mf_program *p, mf_op op, bool relu)
{
    const int64_t c = mf_dim(p, op.in[0], -1);
    const mf_shape shapes[3] = {mf_shape_of(p, op.in[0]), {3, {1, 3, c}}, {2, {2, c}}};
    op.i[RELU] = relu;
    return mf_op_add(p, &op, shapes);
}

static mf_value batch_relu(mf_program *p, const mf_op *op, mf_value x)
{
    return op->i[RELU] || op->out[0].id != x.id ? MF_NONE : add_batch(p, *op, true);
}

mf_value mf_batch_norm(mf_program *p, mf_value x, const mf_norm_weights *w, float eps,
                       float momentum, float share)
{
    const mf_value in[4] = {w->gain, w->bias, w->mean, w->variance};
    mf_op op = {.type = &batch_type,
                .inputs = 5,
                .outputs = 3,
                .in = {x, w->gain, w->bias, w->mean, w->variance},
                .i = {false, share <= 0},
                .f = {eps, share}};
    if (!mf_expect(p, "batch_norm", x, MF_F32, -1))
        return MF_NONE;
    const int64_t c = mf_rank(p, x) < 2 ? 0 : mf_dim(p, x, -1);
    for (int k = 0; k < 4; k++) {
        if (!mf_expect(p, "batch_norm", in[k], MF_F32, 1))
            return MF_NONE;
        if (mf_dim(p, in[k], 0) != c) {
            mf_program_fail(p, "batch_norm of %s with a weight of %s", mf_shape_text(p, x),
                            mf_shape_text(p, in[k]));
            return MF_NONE;
        }
    }
    const int64_t values = mf_count(p, x) / c;
    if (values > INT32_MAX || (share > 0 && values < 2)) {
        mf_program_fail(p,
                        "batch_norm of %s: %lld values of a channel, where 2 to 2147483647 have a "
                        "mean and a variance",
                        mf_shape_text(p, x), (long long)values);
        return MF_NONE;
    }
    if (share > 0 && !(momentum > 0 && momentum <= 1)) {
        mf_program_fail(p, "batch_norm: momentum is %g, not above 0 and at most 1",
                        (double)momentum);
        return MF_NONE;
    }
    const bool own[2] = {mf_follow(p, w->mean, momentum), mf_follow(p, w->variance, momentum)};
    if (share > 0 && !(own[0] && own[1])) { /* an optimizer would move what they are made of */
        mf_program_fail(p, "batch_norm: the running %s is not a weight, but made of others",
                        own[0] ? "variance" : "mean");
        return MF_NONE;
    }
    return add_batch(p, op, false);
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
