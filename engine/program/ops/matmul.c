/* matmul.c - products of matrices: linear layers, 1x1x1 convolutions, batches of products.
 *
 * One op, `product`, stands behind all of them: C [M,N] = A B for each matrix of a batch, where
 * either operand may be stored transposed. Its gradients are products again. */
#include "matmul.cl.h"
#include "program/ops/shared.h"
#include "program/record/record.h"
#include <stdio.h>

enum { A_T, B_T, BATCH, ROWS, COLUMNS, DEPTH, KEPT }; /* integers of the op; KEPT: b is a weight */

static const mf_op_type product_type;

static int64_t round_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static int64_t blocks(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit;
}

/* a: [batch, M, K], or [batch, K, M] with a_t. b: [batch, K, N], or [batch, N, K] with b_t. bias
 * [N] or MF_NONE. `out` holds batch * M * N elements. */
static mf_value product(mf_program *p, const int64_t *i, mf_value a, mf_value b, mf_value bias,
                        mf_shape out)
{
    if (i[BATCH] > INT32_MAX || i[ROWS] > INT32_MAX || i[COLUMNS] > INT32_MAX ||
        i[DEPTH] > INT32_MAX) {
        mf_program_fail(p, "matrix product: a side of more than 2147483647 elements");
        return MF_NONE;
    }
    if (i[DEPTH] < 1) {
        mf_program_fail(p, "matrix product: sums of no terms");
        return MF_NONE;
    }
    mf_op op = {.type = &product_type, .inputs = 3, .outputs = 1, .in = {a, b, bias}};
    for (int k = 0; k <= KEPT; k++)
        op.i[k] = i[k];
    return mf_op_add(p, &op, &out);
}

static void product_gradient(mf_program *p, const mf_op *op, const mf_value *grad)
{
    const mf_value a = op->in[0], b = op->in[1], bias = op->in[2], c = grad[0];
    const int64_t batch = op->i[BATCH], m = op->i[ROWS], n = op->i[COLUMNS], k = op->i[DEPTH];
    const int a_t = op->i[A_T] != 0, b_t = op->i[B_T] != 0, kept = op->i[KEPT] != 0;
    /* b, the weights of a layer, first: after them a is not needed any more. */
    if (mf_wants_gradient(p, b)) {
        /* dB [K,N] = A^T dC, and its transpose [N,K] = dC^T A. */
        const mf_value db = b_t ? product(p, (int64_t[]){1, a_t, batch, n, k, m, 0}, c, a, MF_NONE,
                                          mf_shape_of(p, b))
                                : product(p, (int64_t[]){!a_t, 0, batch, k, n, m, 0}, a, c, MF_NONE,
                                          mf_shape_of(p, b));
        mf_add_gradient(p, b, db);
    }
    if (mf_wants_gradient(p, a)) {
        /* dA [M,K] = dC B^T, and its transpose [K,M] = B dC^T. */
        const mf_value da = a_t ? product(p, (int64_t[]){b_t, 1, batch, k, m, n, 0}, b, c, MF_NONE,
                                          mf_shape_of(p, a))
                                : product(p, (int64_t[]){0, !b_t, batch, m, k, n, kept}, c, b,
                                          MF_NONE, mf_shape_of(p, a));
        mf_add_gradient(p, a, da);
    }
    if (bias.id >= 0 && mf_wants_gradient(p, bias))
        mf_add_gradient(p, bias, mf_sum_rows(p, c));
}

/* How a product runs: the tile, and who plays which part. */
typedef struct plan {
    mf_value a, b;
    int64_t batch, m, n, k;
    bool a_t, b_t, c_t, panels;
    int mr, nv, vw, nr;    /* CPU tile: mr rows by nv vectors of vw lanes, nr = vw nv */
    int gn;                /* GPU tile: 128 rows by 16 gn columns */
    int64_t chunks, kc;    /* chunks of a sum that run side by side, and their length */
    int64_t part;          /* of a sum, that one launch does */
    int64_t tiles, across; /* of rows, and panels, that a work-item does (CPU) */
} plan;

/* Columns a tile, in vectors: the one that computes least beyond n; wide ones need fewer loads. */
static int tile_vectors(int64_t n, int vw)
{
    static const struct {
        int vectors, cost;
    } tiles[] = {{4, 100}, {2, 103}, {1, 112}};
    int best = 1;
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < sizeof(tiles) / sizeof(tiles[0]); i++) {
        const int64_t cost = round_up(n, (int64_t)tiles[i].vectors * vw) * tiles[i].cost;
        if (cost < least) {
            least = cost;
            best = tiles[i].vectors;
        }
    }
    return best;
}

/* Work-items go over as many panels of b as stay in the cache, with as many rows of a as stay there
 * too: a is read less often, and longer parts of c's rows are written together. */
static void group_tiles(plan *t, const mf_device_info *device)
{
    t->tiles = t->across = 1;
    if (!device->plain || t->chunks > 1 || t->part < t->k)
        return;
    const int64_t wanted = 8 * (int64_t)device->compute_units * t->batch;
    const int64_t rows = blocks(t->m, t->mr), panels = blocks(t->n, t->nr);
    const int64_t rows_fit = 24 * 1024 / (t->mr * t->k), panels_fit = 128 * 1024 / (t->nr * t->k);
    if (rows < wanted || panels_fit < 1)
        return;
    t->across = blocks(panels, blocks(panels, panels_fit));
    t->tiles = rows / wanted < rows_fit ? rows / wanted : rows_fit;
    t->tiles = t->tiles < 1 ? 1 : t->tiles > 16 ? 16 : t->tiles;
}

static plan plan_product(const mf_device_info *device, const mf_op *op)
{
    plan t = {.a = op->in[0],
              .b = op->in[1],
              .batch = op->i[BATCH],
              .m = op->i[ROWS],
              .n = op->i[COLUMNS],
              .k = op->i[DEPTH],
              .a_t = op->i[A_T] != 0,
              .b_t = op->i[B_T] != 0};
    const bool bias = op->in[2].id >= 0, kept = op->i[KEPT] != 0;
    const bool in_place = !t.b_t && t.n % 16 == 0; /* rows of b can be read as they are */

    /* A few rows against very many columns (a classifier over all voxels): C^T = B^T A^T streams
     * the large matrix once and packs the small one. */
    if (!kept && !bias && !in_place && t.n >= 8 * t.m) {
        t.c_t = true;
        t.a = op->in[1];
        t.b = op->in[0];
        t.m = op->i[COLUMNS];
        t.n = op->i[ROWS];
        t.a_t = op->i[B_T] == 0;
        t.b_t = op->i[A_T] == 0;
    }

    int64_t tiles, shortest;
    if (device->plain) {
        t.vw = kept && t.n <= 8 ? 8 : 16;
        t.panels = kept || t.c_t || !in_place || (t.m >= 64 && !t.a_t);
        if (t.panels) {
            t.nv = tile_vectors(t.n, t.vw);
        } else {
            t.nv = t.n % 64 == 0 ? 4 : t.n % 32 == 0 ? 2 : 1;
        }
        t.nr = t.nv * t.vw;
        t.mr = t.nv == 4 ? 6 : 10;
        tiles = blocks(t.m, t.mr) * blocks(t.n, t.nr) * t.batch;
        shortest = 256;
    } else {
        t.gn = 4;
        tiles = blocks(t.m, 128) * blocks(t.n, 16 * t.gn) * t.batch;
        shortest = 512;
    }

    /* Long sums over few tiles: in chunks, so that every core has work. Where rows of a are columns
     * in memory, also so that a chunk of both operands stays in the cache; if the partial sums
     * would outweigh the operands, c itself takes them, launch after launch. */
    const int64_t wanted = 8 * (int64_t)device->compute_units;
    t.chunks = 1;
    t.part = t.k;
    if (!bias && t.k >= 2 * shortest) {
        if (tiles < wanted)
            t.chunks = blocks(wanted, tiles);
        if (device->plain && t.a_t) {
            const int64_t operands = t.k * (t.m + t.n), fit = blocks(operands, 128 * 1024);
            if (fit > t.chunks && fit * t.m * t.n <= operands / 2)
                t.chunks = fit;
            else if (t.chunks == 1 && !t.panels && !t.c_t && operands > 512 * 1024)
                t.part = blocks(t.k, blocks(operands, 256 * 1024));
        }
        if (t.chunks > t.k / shortest)
            t.chunks = t.k / shortest;
    }
    t.kc = blocks(t.k, t.chunks);
    t.chunks = blocks(t.k, t.kc);
    group_tiles(&t, device);
    return t;
}

static mf_status product_module(mf_recorder *r, const plan *t, const mf_module **module)
{
    char options[96];
    if (mf_recorder_device(r)->plain)
        snprintf(options, sizeof(options), "-DA_T=%d -DMR=%d -DNV=%d -DVW=%d", t->a_t, t->mr, t->nv,
                 t->vw);
    else
        snprintf(options, sizeof(options), "-DA_T=%d -DGN=%d", t->a_t, t->gn);
    return mf_record_module(r, matmul_cl, options, module);
}

static int64_t panel_elements(const plan *t)
{
    return round_up(t->n, t->nr) * t->k;
}

static mf_status pack_panels(mf_recorder *r, const mf_op *op, mf_operand source, mf_operand packed)
{
    const plan t = plan_product(mf_recorder_device(r), op);
    const mf_module *module;
    MF_TRY(product_module(r, &t, &module));
    return MF_RECORD(r, module, "pack_b", mf_range3(blocks(t.n, t.nr), blocks(t.k, 16), t.batch),
                     MF_INT(t.n), MF_INT(t.k), MF_INT(t.b_t), MF_INT(t.b_t ? t.k : t.n),
                     MF_LONG(t.n * t.k), source, packed);
}

static mf_status product_record(mf_recorder *r, const mf_op *op)
{
    const mf_device_info *device = mf_recorder_device(r);
    const plan t = plan_product(device, op);
    const bool bias = op->in[2].id >= 0;
    const mf_module *module;
    MF_TRY(product_module(r, &t, &module));

    mf_operand b = MF_AT(t.b);
    int64_t stride_b = t.n * t.k;
    if (t.panels) {
        char kind[96];
        snprintf(kind, sizeof(kind), "product %s %lldx%lld in %d", t.b_t ? "transposed" : "plain",
                 (long long)t.k, (long long)t.n, t.nr);
        stride_b = panel_elements(&t);
        MF_TRY(mf_packed(r, op, t.b, kind, (size_t)(t.batch * stride_b) * sizeof(float),
                         pack_panels, &b));
    }
    mf_operand c = MF_AT(op->out[0]);
    if (t.chunks > 1)
        c = mf_scratch(r, (size_t)(t.batch * t.chunks * t.m * t.n) * sizeof(float));
    mf_range range = {3, {0, 0, (size_t)(t.batch * t.chunks)}, {1, 1, 1}};
    if (device->plain) {
        range.global[0] = (size_t)blocks(blocks(t.m, t.mr), t.tiles);
        range.global[1] = (size_t)blocks(blocks(t.n, t.nr), t.across);
    } else {
        range.global[0] = (size_t)blocks(t.m, 128) * 16;
        range.global[1] = (size_t)blocks(t.n, 16 * t.gn) * 16;
        range.local[0] = range.local[1] = 16;
    }
    /* One launch, or one for each part of the sums. */
    for (int64_t from = 0; from < t.k; from += t.part) {
        const int64_t to = from + t.part < t.k ? from + t.part : t.k;
        MF_TRY(MF_RECORD(r, module, "matmul", range, MF_INT(t.m), MF_INT(t.n), MF_INT(from),
                         MF_INT(to), MF_INT(t.kc), MF_INT(t.chunks), MF_INT(t.tiles),
                         MF_INT(t.across), MF_INT(t.b_t), MF_INT(t.panels), MF_INT(t.c_t),
                         MF_INT(bias), MF_INT(t.a_t ? t.m : t.k), MF_INT(t.b_t ? t.k : t.n),
                         MF_INT(t.c_t ? t.m : t.n), MF_LONG(t.m * t.k), MF_LONG(stride_b),
                         MF_LONG(t.m * t.n), MF_AT(t.a), b, bias ? MF_AT(op->in[2]) : MF_AT(t.a),
                         c));
    }
    if (t.chunks == 1)
        return MF_OK;
    return MF_RECORD(r, module, "sum_chunks", mf_range2(t.m * t.n, t.batch), MF_INT(t.m * t.n),
                     MF_INT(t.chunks), c, MF_AT(op->out[0]));
}

static const mf_op_type product_type = {"matrix product", product_gradient, product_record, 0};

mf_value mf_linear(mf_program *p, mf_value x, mf_value weight, mf_value bias)
{
    if (mf_bad(p, x) || mf_bad(p, weight) || (bias.id >= 0 && mf_bad(p, bias)))
        return MF_NONE;
    if (!mf_expect(p, "linear", x, MF_F32, -1) || !mf_expect(p, "linear", weight, MF_F32, 2))
        return MF_NONE;
    mf_shape out = mf_shape_of(p, x);
    const int64_t in = mf_dim(p, weight, 1), columns = mf_dim(p, weight, 0);
    if (out.rank < 1 || out.dim[out.rank - 1] != in) {
        mf_program_fail(p, "linear: x is %s, but the weight is %s", mf_shape_text(p, x),
                        mf_shape_text(p, weight));
        return MF_NONE;
    }
    if (bias.id >= 0 && (mf_rank(p, bias) != 1 || mf_dim(p, bias, 0) != columns)) {
        mf_program_fail(p, "linear: the weight is %s, but the bias is %s", mf_shape_text(p, weight),
                        mf_shape_text(p, bias));
        return MF_NONE;
    }
    int64_t rows = 1;
    for (int axis = 0; axis < out.rank - 1; axis++)
        rows *= out.dim[axis];
    out.dim[out.rank - 1] = columns;
    return product(p, (int64_t[]){0, 1, 1, rows, columns, in, 1}, x, weight, bias, out);
}

/* Batches of products: b is [B,N,K] with b_t, else [B,K,N]. */
static mf_value matmul(mf_program *p, const char *name, mf_value a, mf_value b, bool b_t)
{
    if (mf_bad(p, a) || mf_bad(p, b))
        return MF_NONE;
    if (!mf_expect(p, name, a, MF_F32, 3) || !mf_expect(p, name, b, MF_F32, 3))
        return MF_NONE;
    const int64_t batch = mf_dim(p, a, 0), m = mf_dim(p, a, 1), k = mf_dim(p, a, 2);
    const int64_t n = mf_dim(p, b, b_t ? 1 : 2);
    if (mf_dim(p, b, 0) != batch || mf_dim(p, b, b_t ? 2 : 1) != k) {
        mf_program_fail(p, "%s: a is %s, but b is %s", name, mf_shape_text(p, a),
                        mf_shape_text(p, b));
        return MF_NONE;
    }
    return product(p, (int64_t[]){0, b_t, batch, m, n, k, 0}, a, b, MF_NONE,
                   (mf_shape){3, {batch, m, n}});
}

mf_value mf_matmul_nt(mf_program *p, mf_value a, mf_value b)
{
    return matmul(p, "matmul_nt", a, b, true);
}

mf_value mf_matmul_nn(mf_program *p, mf_value a, mf_value b)
{
    return matmul(p, "matmul_nn", a, b, false);
}

mf_value mf_matmul_tn(mf_program *p, mf_value a, mf_value b)
{
    if (mf_bad(p, a) || mf_bad(p, b))
        return MF_NONE;
    const int64_t batch = mf_dim(p, a, 0), k = mf_dim(p, a, 1), m = mf_dim(p, a, 2);
    const int64_t n = mf_dim(p, b, 2);
    return product(p, (int64_t[]){1, 0, batch, m, n, k, 0}, a, b, MF_NONE,
                   (mf_shape){3, {batch, m, n}});
}
