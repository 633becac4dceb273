/* loss.c - softmax, and the losses: Dice and binary cross entropy per mask, cross entropy. */
#include "loss.cl.h"
#include "program/record/record.h"

enum { CHUNK = 4096 }; /* elements of a mask that a team sums */

static mf_status module_of(mf_recorder *r, const mf_module **module)
{
    return mf_record_module(r, loss_cl, NULL, module);
}

static mf_range with_rows(mf_range range, int64_t rows)
{
    range.dims = 2;
    range.global[1] = (size_t)rows;
    return range;
}

/* ---- softmax --------------------------------------------------------------------------------- */

static mf_status record_softmax(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t c = mf_dim(p, op->in[0], -1), rows = mf_count(p, op->in[0]) / c;
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, "softmax", mf_range_rows(r, rows), MF_LONG(rows), MF_INT(c),
                     MF_AT(op->in[0]), MF_AT(op->out[0]));
}

/* in: y, g; out: dx */
static mf_status record_softmax_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t c = mf_dim(p, op->in[0], -1), rows = mf_count(p, op->in[0]) / c;
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, "softmax_gradient", mf_range_rows(r, rows), MF_LONG(rows),
                     MF_INT(c), MF_AT(op->in[0]), MF_AT(op->in[1]), MF_AT(op->out[0]));
}

static const mf_op_type softmax_gradient_type = {"softmax gradient", NULL, record_softmax_gradient,
                                                 0};

static void gradient_softmax(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_op g = {
        .type = &softmax_gradient_type, .inputs = 2, .outputs = 1, .in = {op->out[0], grad[0]}};
    mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static const mf_op_type softmax_type = {"softmax", gradient_softmax, record_softmax, 0};

mf_value mf_softmax(mf_program *p, mf_value x)
{
    if (!mf_expect(p, "softmax", x, MF_F32, -1))
        return MF_NONE;
    mf_op op = {.type = &softmax_type, .inputs = 1, .outputs = 1, .in = {x}};
    mf_shape shape = mf_shape_of(p, x);
    return mf_op_add(p, &op, &shape);
}

/* ---- Dice and binary cross entropy ------------------------------------------------------------
 */

/* Sums of every chunk of every mask, as scratch [K,chunks,4]. */
static mf_status record_parts(mf_recorder *r, const mf_module *module, const mf_op *op,
                              int64_t *chunks, mf_operand *parts)
{
    const mf_program *p = mf_recorder_program(r);
    int64_t k = mf_dim(p, op->in[0], 0), v = mf_dim(p, op->in[0], 1);
    *chunks = (v + CHUNK - 1) / CHUNK;
    *parts = mf_scratch(r, (size_t)(k * *chunks * 4) * sizeof(float));
    return MF_RECORD(r, module, "mask_parts", with_rows(mf_range_teams(r, *chunks), k), MF_INT(v),
                     MF_INT(CHUNK), MF_AT(op->in[0]), MF_AT(op->in[1]), *parts);
}

static mf_status record_dice(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    int64_t chunks, k = mf_dim(mf_recorder_program(r), op->in[0], 0);
    mf_operand parts;
    MF_TRY(module_of(r, &module));
    MF_TRY(record_parts(r, module, op, &chunks, &parts));
    return MF_RECORD(r, module, "dice_merge", mf_range1(k), MF_INT(k), MF_INT(chunks), parts,
                     MF_AT(op->out[0]), MF_AT(op->out[1]));
}

/* in: logits, target, sums, g; out: d logits */
static mf_status record_dice_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t k = mf_dim(p, op->in[0], 0), v = mf_dim(p, op->in[0], 1);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, "dice_gradient", with_rows(mf_range_wide(r, v), k), MF_INT(v),
                     MF_AT(op->in[0]), MF_AT(op->in[1]), MF_AT(op->in[2]), MF_AT(op->in[3]),
                     MF_AT(op->out[0]));
}

static const mf_op_type dice_gradient_type = {"dice_loss gradient", NULL, record_dice_gradient, 0};

static void gradient_dice(mf_program *p, const mf_op *op, const mf_value *grad)
{
    if (grad[0].id < 0)
        return;
    mf_op g = {.type = &dice_gradient_type,
               .inputs = 4,
               .outputs = 1,
               .in = {op->in[0], op->in[1], op->out[1], grad[0]}};
    mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static const mf_op_type dice_type = {"dice_loss", gradient_dice, record_dice, 0};

static mf_status record_bce(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t chunks, k = mf_dim(p, op->in[0], 0);
    mf_operand parts;
    MF_TRY(module_of(r, &module));
    MF_TRY(record_parts(r, module, op, &chunks, &parts));
    return MF_RECORD(r, module, "bce_merge", mf_range1(k), MF_INT(k),
                     MF_INT(mf_dim(p, op->in[0], 1)), MF_INT(chunks), parts, MF_AT(op->out[0]));
}

/* in: logits, target, g; out: d logits */
static mf_status record_bce_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t k = mf_dim(p, op->in[0], 0), v = mf_dim(p, op->in[0], 1);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, "bce_gradient", with_rows(mf_range_wide(r, v), k), MF_INT(v),
                     MF_AT(op->in[0]), MF_AT(op->in[1]), MF_AT(op->in[2]), MF_AT(op->out[0]));
}

static const mf_op_type bce_gradient_type = {"bce_loss gradient", NULL, record_bce_gradient, 0};

static void gradient_bce(mf_program *p, const mf_op *op, const mf_value *grad)
{
    mf_op g = {.type = &bce_gradient_type,
               .inputs = 3,
               .outputs = 1,
               .in = {op->in[0], op->in[1], grad[0]}};
    mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static const mf_op_type bce_type = {"bce_loss", gradient_bce, record_bce, 0};

static mf_value mask_loss(mf_program *p, const mf_op_type *type, int outputs, mf_value logits,
                          mf_value target)
{
    if (!mf_expect(p, type->name, logits, MF_F32, 2) || !mf_expect(p, type->name, target, MF_U8, 2))
        return MF_NONE;
    if (!mf_shape_equal(mf_shape_of(p, logits), mf_shape_of(p, target)) ||
        mf_dim(p, logits, 1) > INT32_MAX) {
        mf_program_fail(p, "%s of logits %s and target %s", type->name, mf_shape_text(p, logits),
                        mf_shape_text(p, target));
        return MF_NONE;
    }
    int64_t k = mf_dim(p, logits, 0);
    mf_op op = {.type = type, .inputs = 2, .outputs = outputs, .in = {logits, target}};
    return mf_op_add(p, &op, (mf_shape[]){{1, {k}}, {2, {k, 4}}});
}

mf_value mf_dice_loss(mf_program *p, mf_value logits, mf_value target)
{
    return mask_loss(p, &dice_type, 2, logits, target);
}

mf_value mf_bce_loss(mf_program *p, mf_value logits, mf_value target)
{
    return mask_loss(p, &bce_type, 1, logits, target);
}

/* ---- cross entropy -----------------------------------------------------------------------------
 */

/* Rows of cases are summed one after another; those of voxels in chunks, or rounding adds up. */
enum { MERGED_AT_ONCE = 4096, CROSS_CHUNK = 512 };

/* in: logits, target, weight; out: loss [1], rows [N,4], total [1] */
static mf_status record_cross(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t n = mf_dim(p, op->in[0], 0), c = mf_dim(p, op->in[0], 1);
    MF_TRY(module_of(r, &module));
    MF_TRY(MF_RECORD(r, module, "cross_rows", mf_range1(n), MF_INT(n), MF_INT(c), MF_AT(op->in[0]),
                     MF_AT(op->in[1]), MF_AT(op->out[1])));
    if (n <= MERGED_AT_ONCE)
        return MF_RECORD(r, module, "cross_merge", mf_range1(1), MF_INT(n), MF_AT(op->out[1]),
                         MF_AT(op->in[2]), MF_AT(op->out[0]), MF_AT(op->out[2]));
    int64_t chunks = (n + CROSS_CHUNK - 1) / CROSS_CHUNK;
    mf_operand parts = mf_scratch(r, (size_t)chunks * 2 * sizeof(float));
    MF_TRY(MF_RECORD(r, module, "cross_parts", mf_range1(chunks), MF_INT(n), MF_INT(CROSS_CHUNK),
                     MF_AT(op->out[1]), MF_AT(op->in[2]), parts));
    return MF_RECORD(r, module, "cross_merge_parts", mf_range1(1), MF_INT(chunks), parts,
                     MF_AT(op->out[0]), MF_AT(op->out[2]));
}

/* in: logits, target, weight, rows, total, g; out: d logits */
static mf_status record_cross_gradient(mf_recorder *r, const mf_op *op)
{
    const mf_module *module;
    const mf_program *p = mf_recorder_program(r);
    int64_t n = mf_dim(p, op->in[0], 0), c = mf_dim(p, op->in[0], 1);
    MF_TRY(module_of(r, &module));
    return MF_RECORD(r, module, "cross_gradient", mf_range1(n * c), MF_INT(n), MF_INT(c),
                     MF_AT(op->in[0]), MF_AT(op->in[1]), MF_AT(op->in[2]), MF_AT(op->in[3]),
                     MF_AT(op->in[4]), MF_AT(op->in[5]), MF_AT(op->out[0]));
}

static const mf_op_type cross_gradient_type = {"cross_entropy gradient", NULL,
                                               record_cross_gradient, 0};

static void gradient_cross(mf_program *p, const mf_op *op, const mf_value *grad)
{
    if (mf_wants_gradient(p, op->in[1]) || mf_wants_gradient(p, op->in[2])) {
        mf_program_fail(p, "cross_entropy has no gradient for its target and row weights");
        return;
    }
    mf_op g = {.type = &cross_gradient_type,
               .inputs = 6,
               .outputs = 1,
               .in = {op->in[0], op->in[1], op->in[2], op->out[1], op->out[2], grad[0]}};
    mf_shape shape = mf_shape_of(p, op->in[0]);
    mf_add_gradient(p, op->in[0], mf_op_add(p, &g, &shape));
}

static const mf_op_type cross_type = {"cross_entropy", gradient_cross, record_cross, 0};

mf_value mf_cross_entropy(mf_program *p, mf_value logits, mf_value target, mf_value weight)
{
    if (!mf_expect(p, "cross_entropy", logits, MF_F32, 2) ||
        !mf_expect(p, "cross_entropy", target, MF_F32, 2) ||
        !mf_expect(p, "cross_entropy", weight, MF_F32, 1))
        return MF_NONE;
    int64_t n = mf_dim(p, logits, 0);
    if (!mf_shape_equal(mf_shape_of(p, logits), mf_shape_of(p, target)) ||
        mf_dim(p, weight, 0) != n) {
        mf_program_fail(p, "cross_entropy of logits %s, target %s and weight %s",
                        mf_shape_text(p, logits), mf_shape_text(p, target),
                        mf_shape_text(p, weight));
        return MF_NONE;
    }
    mf_op op = {.type = &cross_type, .inputs = 3, .outputs = 3, .in = {logits, target, weight}};
    return mf_op_add(p, &op, (mf_shape[]){{1, {1}}, {2, {n, 4}}, {1, {1}}});
}
