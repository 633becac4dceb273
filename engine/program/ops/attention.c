/* attention.c - multi-head attention without projections; scores are never stored. */
#include "attention.cl.h"
#include "program/record/record.h"
#include <math.h>
#include <stdio.h>

static const mf_op_type attention_type, gradient_type;

enum { HEADS };
enum {
    COLUMNS = 64,  /* of a packed block: KB of the kernels */
    CHANNELS = 256 /* of a head to a group, forward on a GPU: the kernels' PARTS follow from it */
};

static int64_t blocks(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit;
}

/* What the kernels take apart a head size into; see attention.cl. */
typedef struct sizes {
    int64_t batch, heads, l, s, c, head;
    int vw, rb, tiles;
    int64_t q_panels, k_panels; /* 16 rows each, even */
    float scale;
} sizes;

static sizes sizes_of(const mf_program *p, const mf_op *op)
{
    const mf_shape q = mf_shape_of(p, op->in[0]), k = mf_shape_of(p, op->in[1]);
    sizes z = {
        .batch = q.dim[0], .heads = op->i[HEADS], .l = q.dim[1], .s = k.dim[1], .c = q.dim[2]};
    z.head = z.c / z.heads;
    z.vw = z.head % 16 == 0 ? 16 : z.head % 8 == 0 ? 8 : z.head % 4 == 0 ? 4 : z.head % 2 ? 1 : 2;
    /* 16 sums of rb rows by one head, 16 of rb rows by two vectors of scores. */
    const int64_t rb = 16 * z.vw / z.head;
    z.rb = rb > 8 ? 8 : rb < 1 ? 1 : (int)rb;
    z.q_panels = 2 * blocks(z.l, 32);
    z.k_panels = 2 * blocks(z.s, 32);
    z.tiles = z.head <= 128   ? 32
              : z.head <= 256 ? 16
              : z.head <= 512 ? 8
                              : 4; /* what a stack and a cache hold */
    z.scale = (float)(1.0 / sqrt((double)z.head));
    return z;
}

static mf_status forward_module(mf_recorder *r, const sizes *z, bool packed,
                                const mf_module **module)
{
    char options[128];
    snprintf(options, sizeof(options), "-DGRADIENTS=0 -DHD=%d -DTILES=%d -DPACKED=%d", (int)z->head,
             z->tiles, packed);
    return mf_record_module(r, attention_cl, options, module);
}

static mf_status gradient_module(mf_recorder *r, const sizes *z, bool keys,
                                 const mf_module **module)
{
    char options[128];
    snprintf(options, sizeof(options), "-DGRADIENTS=1 -DHD=%d -DVW=%d -DRB=%d -DKEYS=%d",
             (int)z->head, z->vw, z->rb, keys);
    return mf_record_module(r, attention_cl, options, module);
}

/* Work-items over `rows`: tiles of them on a CPU, groups of 64 on a GPU. */
static mf_range range_of(mf_recorder *r, const sizes *z, int64_t rows)
{
    if (mf_recorder_device(r)->plain)
        return mf_range3(blocks(rows, z->rb), z->heads, z->batch);
    return (mf_range){
        3, {(size_t)blocks(rows, 64) * 64, (size_t)z->heads, (size_t)z->batch}, {64, 1, 1}};
}

/* x [N,rows,C] in the form in which its dot products are taken: panels on a CPU, x on a GPU. */
static mf_status columns_of(mf_recorder *r, const sizes *z, const mf_module *module, mf_value x,
                            int64_t rows, int64_t panels, mf_operand *form)
{
    *form = MF_AT(x);
    if (!mf_recorder_device(r)->plain)
        return MF_OK;
    *form = mf_scratch(r, (size_t)(z->batch * panels * 16 * z->c) * sizeof(float));
    return MF_RECORD(r, module, "pack_heads", mf_range3(panels, z->heads, z->batch), MF_INT(rows),
                     MF_INT(z->c), MF_AT(x), *form);
}

/* On a CPU, work-items of `tiles` tiles of 8 rows: as many as there is room for, since each goes
 * over all columns, but every core has some, and all about the same number. */
static mf_range forward_range(mf_recorder *r, const sizes *z, int64_t *tiles)
{
    const int64_t all = blocks(z->l, 8), wanted = 4 * (int64_t)mf_recorder_device(r)->compute_units;
    int64_t parts = blocks(all, z->tiles);
    if (parts * z->heads * z->batch < wanted)
        parts = blocks(wanted, z->heads * z->batch);
    *tiles = blocks(all, parts);
    return mf_range3(blocks(all, *tiles), z->heads, z->batch);
}

/* On a GPU groups of 256 take 64 rows each; where that makes few groups, the columns are shared out
 * too, four blocks or more to a share, and the results of shares joined. */
static mf_status shares_record(mf_recorder *r, const sizes *z, const mf_op *op)
{
    const mf_module *module;
    MF_TRY(forward_module(r, z, false, &module));
    const int64_t parts = blocks(z->head, CHANNELS), columns = blocks(z->s, COLUMNS);
    const int64_t groups = blocks(z->l, 64) * z->heads * parts * z->batch;
    const int64_t wanted = blocks(4 * (int64_t)mf_recorder_device(r)->compute_units, groups);
    const int64_t most = blocks(columns, 4), each = blocks(columns, wanted < most ? wanted : most);
    const int64_t shares = blocks(columns, each);
    mf_operand o = MF_AT(op->out[0]), lse = MF_AT(op->out[1]);
    if (shares > 1) {
        o = mf_scratch(r, (size_t)(shares * z->batch * z->l * z->c) * sizeof(float));
        lse = mf_scratch(r, (size_t)(shares * z->batch * z->heads * z->l) * sizeof(float));
    }
    const mf_range range = {
        3,
        {(size_t)blocks(z->l, 64) * 256, (size_t)(z->heads * parts), (size_t)(shares * z->batch)},
        {256, 1, 1}};
    MF_TRY(MF_RECORD(r, module, "attention", range, MF_INT(z->l), MF_INT(z->s), MF_INT(z->c),
                     MF_INT(shares), MF_FLOAT(z->scale), MF_AT(op->in[0]), MF_AT(op->in[1]),
                     MF_AT(op->in[2]), o, lse));
    if (shares == 1)
        return MF_OK;
    const mf_range all = {
        2, {(size_t)blocks(z->l * z->c, 64) * 64, (size_t)z->batch, 1}, {64, 1, 1}};
    return MF_RECORD(r, module, "join_shares", all, MF_INT(z->l), MF_INT(z->c), MF_INT(shares), o,
                     lse, MF_AT(op->out[0]), MF_AT(op->out[1]));
}

/* in q, k, v -> o, lse */
static mf_status attention_record(mf_recorder *r, const mf_op *op)
{
    const sizes z = sizes_of(mf_recorder_program(r), op);
    if (!mf_recorder_device(r)->plain)
        return shares_record(r, &z, op);
    const mf_module *module;
    int64_t tiles;
    const mf_range range = forward_range(r, &z, &tiles);
    /* Packing takes as long as a few rows' share of the work, so it pays from a few blocks on. */
    const bool packed = blocks(z.l, 8 * tiles) >= 3;
    MF_TRY(forward_module(r, &z, packed, &module));
    mf_operand k = MF_AT(op->in[1]), v = MF_AT(op->in[2]);
    if (packed) {
        const int64_t parts = blocks(z.s, COLUMNS), vectors = blocks(z.head, 16);
        const size_t bytes =
            (size_t)(z.batch * z.heads * parts * COLUMNS * vectors * 16) * sizeof(float);
        k = mf_scratch(r, bytes);
        v = mf_scratch(r, bytes);
        MF_TRY(MF_RECORD(r, module, "pack_columns", mf_range3(parts, z.heads, z.batch), MF_INT(z.s),
                         MF_INT(z.c), MF_AT(op->in[1]), MF_AT(op->in[2]), k, v));
    }
    return MF_RECORD(r, module, "attention", range, MF_INT(z.l), MF_INT(z.s), MF_INT(z.c),
                     MF_INT(tiles), MF_FLOAT(z.scale), MF_AT(op->in[0]), k, v, MF_AT(op->out[0]),
                     MF_AT(op->out[1]));
}

/* in q, k, v, o, lse, do -> dq, dk, dv */
static mf_status gradient_record(mf_recorder *r, const mf_op *op)
{
    const sizes z = sizes_of(mf_recorder_program(r), op);
    const mf_operand q = MF_AT(op->in[0]), k = MF_AT(op->in[1]), v = MF_AT(op->in[2]);
    const mf_operand o = MF_AT(op->in[3]), lse = MF_AT(op->in[4]), grad = MF_AT(op->in[5]);
    const mf_module *queries, *keys;
    MF_TRY(gradient_module(r, &z, false, &queries));
    MF_TRY(gradient_module(r, &z, true, &keys));

    const int64_t wide = 16 * z.q_panels, heads = z.batch * z.heads;
    const mf_operand delta = mf_scratch(r, (size_t)(heads * z.l) * sizeof(float));
    const mf_operand delta_wide = mf_scratch(r, (size_t)(heads * wide) * sizeof(float));
    const mf_operand lse_wide = mf_scratch(r, (size_t)(heads * wide) * sizeof(float));
    const mf_range range = {
        3, {(size_t)blocks(wide, 64) * 64, (size_t)z.heads, (size_t)z.batch}, {64, 1, 1}};
    MF_TRY(MF_RECORD(r, queries, "attention_delta", range, MF_INT(z.l), MF_INT(z.c),
                     MF_INT(z.q_panels), o, grad, lse, delta, delta_wide, lse_wide));

    mf_operand of_q, of_k, of_v, of_grad;
    MF_TRY(columns_of(r, &z, queries, op->in[1], z.s, z.k_panels, &of_k));
    MF_TRY(columns_of(r, &z, queries, op->in[2], z.s, z.k_panels, &of_v));
    MF_TRY(MF_RECORD(r, queries, "attention_gradient", range_of(r, &z, z.l), MF_INT(z.l),
                     MF_INT(z.s), MF_INT(z.c), MF_INT(z.k_panels), MF_FLOAT(z.scale), q, grad, k, v,
                     of_k, of_v, lse, delta, MF_AT(op->out[0]), MF_AT(op->out[0])));
    MF_TRY(columns_of(r, &z, queries, op->in[0], z.l, z.q_panels, &of_q));
    MF_TRY(columns_of(r, &z, queries, op->in[5], z.l, z.q_panels, &of_grad));
    return MF_RECORD(r, keys, "attention_gradient", range_of(r, &z, z.s), MF_INT(z.s), MF_INT(z.l),
                     MF_INT(z.c), MF_INT(z.q_panels), MF_FLOAT(z.scale), k, v, q, grad, of_q,
                     of_grad, lse_wide, delta_wide, MF_AT(op->out[1]), MF_AT(op->out[2]));
}

static void attention_gradient(mf_program *p, const mf_op *op, const mf_value *grad)
{
    bool wanted = false;
    for (int k = 0; k < 3; k++)
        wanted = wanted || mf_wants_gradient(p, op->in[k]);
    if (!wanted || grad[0].id < 0)
        return;
    const mf_op gradient = {
        .type = &gradient_type,
        .inputs = 6,
        .outputs = 3,
        .in = {op->in[0], op->in[1], op->in[2], op->out[0], op->out[1], grad[0]},
        .i = {[HEADS] = op->i[HEADS]}};
    mf_shape shapes[3];
    for (int k = 0; k < 3; k++)
        shapes[k] = mf_shape_of(p, op->in[k]);
    const mf_value first = mf_op_add(p, &gradient, shapes);
    const mf_op *made = mf_producer(p, first);
    if (!made)
        return;
    const mf_value results[3] = {made->out[0], made->out[1], made->out[2]};
    for (int k = 0; k < 3; k++)
        if (mf_wants_gradient(p, op->in[k]))
            mf_add_gradient(p, op->in[k], results[k]);
}

static const mf_op_type attention_type = {"attention", attention_gradient, attention_record, 0};
static const mf_op_type gradient_type = {"attention gradient", NULL, gradient_record, 0};

mf_value mf_attention(mf_program *p, mf_value q, mf_value k, mf_value v, int heads)
{
    if (mf_bad(p, q) || mf_bad(p, k) || mf_bad(p, v))
        return MF_NONE;
    if (!mf_expect(p, "attention", q, MF_F32, 3) || !mf_expect(p, "attention", k, MF_F32, 3) ||
        !mf_expect(p, "attention", v, MF_F32, 3))
        return MF_NONE;
    const mf_shape sq = mf_shape_of(p, q), sk = mf_shape_of(p, k), sv = mf_shape_of(p, v);
    if (!mf_shape_equal(sk, sv) || sq.dim[0] != sk.dim[0] || sq.dim[2] != sk.dim[2]) {
        mf_program_fail(p, "attention: q is %s, but k is %s and v is %s", mf_shape_text(p, q),
                        mf_shape_text(p, k), mf_shape_text(p, v));
        return MF_NONE;
    }
    if (heads < 1 || sq.dim[2] < 1 || sq.dim[2] % heads || sq.dim[2] / heads > 1024) {
        mf_program_fail(p, "attention: %lld channels do not make %d heads of 1 to 1024 channels",
                        (long long)sq.dim[2], heads);
        return MF_NONE;
    }
    if (sq.dim[2] > INT32_MAX / 64) { /* 64 rows of a kernel are counted by int */
        mf_program_fail(p, "attention: %lld channels, not 1 to %d", (long long)sq.dim[2],
                        INT32_MAX / 64);
        return MF_NONE;
    }
    if (sq.dim[1] < 1 || sk.dim[1] < 1 || sq.dim[1] > INT32_MAX / 2 || sk.dim[1] > INT32_MAX / 2) {
        mf_program_fail(p, "attention: q is %s and k is %s, not 1 to 1073741823 tokens",
                        mf_shape_text(p, q), mf_shape_text(p, k));
        return MF_NONE;
    }
    const mf_op op = {.type = &attention_type,
                      .inputs = 3,
                      .outputs = 2,
                      .in = {q, k, v},
                      .i = {[HEADS] = heads}};
    return mf_op_add(p, &op, (mf_shape[]){sq, {3, {sq.dim[0], heads, sq.dim[1]}}});
}
