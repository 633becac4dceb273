/* small_models.c - small models end to end: a training step in the manner of MASS, and an image
 * through parts of SAM 2, each against the references of its ops, one after another.
 *
 * A model is a table from which both sides are made: the program, by the builders of the ops, and
 * what it should compute, by their references, forward and backward. What the whole may be wrong by
 * is found by trial: the references are run again with each result moved at random within the bound
 * of its op. An element of the device may be as far off as the farthest of its kind in these
 * trials. */
#include "check/reference.h"
#include "check/resources.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 64, TRIALS = 6 };

/* A leaf (op NULL) or an op of earlier nodes. */
typedef struct node {
    const char *op; /* a name of the list, or "view" */
    int in[MF_CHECK_INPUTS];
    int64_t i[MF_CHECK_INTS];
    double f;
    mf_check_kind kind; /* of leaves, as the fields behind */
    int rank;
    int64_t dim[MF_MAX_RANK];
    double high; /* random values of -high .. high */
    const char *output;
} node;

#define WEIGHT(high, rank, ...)                                                                    \
    {                                                                                              \
        NULL, {0}, {0}, 0, MF_CHECK_TRAINED, rank, {__VA_ARGS__}, high                             \
    }
#define INPUT(high, rank, ...)                                                                     \
    {                                                                                              \
        NULL, {0}, {0}, 0, MF_CHECK_CONSTANT, rank, {__VA_ARGS__}, high                            \
    }
#define MASK(rank, ...)                                                                            \
    {                                                                                              \
        NULL, {0}, {0}, 0, MF_CHECK_MASK, rank, {__VA_ARGS__}, 1                                   \
    }

/* Encoder with a residual block, attention on the coarse grid, decoder with a skip connection, two
 * tasks, Dice and cross entropy. */
static const node mass[] = {
    [0] = INPUT(2, 5, 1, 8, 8, 8, 1),
    [1] = WEIGHT(0.3, 5, 8, 1, 3, 3, 3),
    [2] = {"conv3d", {0, 1}},
    [3] = {"instance_norm, relu", {2}, {1}, 1e-4},
    [4] = WEIGHT(0.12, 5, 8, 8, 3, 3, 3),
    [5] = {"conv3d", {3, 4}},
    [6] = {"add", {5, 2}},
    [7] = {"max_pool2", {6}},
    [8] = {"instance_norm, relu", {7}, {1}, 1e-4},
    [9] = WEIGHT(0.12, 5, 32, 8, 3, 3, 3),
    [10] = {"conv3d", {8, 9}},
    [11] = {"view", {10}, {1, 64, 32}},
    [12] = WEIGHT(1, 1, 32),
    [13] = WEIGHT(0.5, 1, 32),
    [14] = {"layer_norm", {11, 12, 13}, .f = 1e-5},
    [15] = WEIGHT(0.3, 2, 32, 32),
    [16] = WEIGHT(0.3, 1, 32),
    [17] = {"linear", {14, 15, 16}},
    [18] = WEIGHT(0.3, 2, 32, 32),
    [19] = {"linear", {14, 18}},
    [20] = WEIGHT(0.3, 2, 32, 32),
    [21] = {"linear", {14, 20}},
    [22] = {"attention", {17, 19, 21}, {1}},
    [23] = {"add", {22, 11}},
    [24] = WEIGHT(0.3, 2, 48, 32),
    [25] = {"linear", {23, 24}},
    [26] = {"gelu", {25}, {2}},
    [27] = WEIGHT(0.3, 2, 16, 48),
    [28] = {"linear", {26, 27}},
    [29] = {"view", {28}, {1, 4, 4, 4, 16}},
    [30] = {"resize", {29}, {8, 8, 8, 0}},
    [31] = {"concat", {30, 6}, {4}},
    [32] = {"instance_norm, relu", {31}, {1}, 1e-4},
    [33] = WEIGHT(0.1, 5, 8, 24, 3, 3, 3),
    [34] = {"conv3d", {32, 33}},
    [35] = {"view", {34}, {1, 512, 8}},
    [36] = WEIGHT(1, 3, 1, 2, 8),
    [37] = {"matmul_nt", {36, 35}, {1}},
    [38] = {"view", {37}, {2, 512}, .output = "logits"},
    [39] = MASK(2, 2, 512),
    [40] = {"dice_loss", {38, 39}},
    [41] = {"bce_loss", {38, 39}},
    [42] = {"add", {40, 41}},
    [43] = {"mean", {42}, {0, 1}, .output = "loss"},
};

/* Patches, a block with attention in windows that overhang the map, pooling, rotary positions, and
 * the way up to a mask. */
static const node sam2[] = {
    [0] = INPUT(2, 4, 1, 32, 32, 3),
    [1] = WEIGHT(0.1, 4, 32, 3, 7, 7),
    [2] = WEIGHT(0.3, 1, 32),
    [3] = {"conv2d", {0, 1, 2}, {4, 3, 1}},
    [4] = WEIGHT(0.5, 3, 8, 8, 32),
    [5] = {"add_rows", {3, 4}},
    [6] = WEIGHT(1, 1, 32),
    [7] = WEIGHT(0.5, 1, 32),
    [8] = {"layer_norm", {5, 6, 7}, .f = 1e-6},
    [9] = {"window_partition", {8}, {5}},
    [10] = WEIGHT(0.3, 2, 32, 32),
    [11] = WEIGHT(0.3, 1, 32),
    [12] = {"linear", {9, 10, 11}},
    [13] = WEIGHT(0.3, 2, 32, 32),
    [14] = {"linear", {9, 13}},
    [15] = WEIGHT(0.3, 2, 32, 32),
    [16] = {"linear", {9, 15}},
    [17] = {"attention", {12, 14, 16}, {1}},
    [18] = {"window_merge", {17}, {5, 1, 8, 8}},
    [19] = {"add", {18, 5}},
    [20] = {"max_pool2d", {19}},
    [21] = {"view", {20}, {1, 16, 32}},
    [22] = INPUT(1, 3, 16, 16, 2),
    [23] = {"rotary", {21, 22}, {16}},
    [24] = {"view", {23}, {1, 4, 4, 32}},
    [25] = WEIGHT(0.2, 4, 32, 16, 2, 2),
    [26] = WEIGHT(0.3, 1, 16),
    [27] = {"conv2d_transpose2", {24, 25, 26}, {1}},
    [28] = {"gelu", {27}, {2}},
    [29] = WEIGHT(0.2, 4, 16, 1, 7, 7),
    [30] = WEIGHT(0.3, 1, 16),
    [31] = {"conv2d_depthwise", {28, 29, 30}, {1}},
    [32] = WEIGHT(0.3, 2, 1, 16),
    [33] = {"linear", {31, 32}},
    [34] = {"resize2d, bilinear", {33}, {32, 32, MF_RESAMPLE_BILINEAR}},
    [35] = {"sigmoid", {34}, {3}, .output = "mask"},
};

/* ---- view: another shape, i: its sizes ------------------------------------------------------- */

static mf_value build_view(mf_program *p, const mf_value *in, const mf_check_case *c)
{
    int rank = 0;
    while (rank < MF_CHECK_INTS && c->i[rank])
        rank++;
    return mf_reshape(p, in[0], rank, c->i);
}

static void value_view(const mf_check_case *c, double *const *in, mf_check_number *out)
{
    for (int64_t i = 0; i < mf_check_count(c, 0); i++)
        mf_term(&out[i], in[0][i]);
}

static const mf_check_op op_view = {"view", build_view, value_view, mf_check_moved, {0, 0}};

/* ---- both sides ------------------------------------------------------------------------------ */

typedef struct model {
    const node *nodes;
    int count;
    mf_program *program;
    mf_weights *weights;
    mf_executable *executable;
    mf_check_case cases[NODES];
    int64_t elements[NODES];
    int rank[NODES];
    int64_t shape[NODES][MF_MAX_RANK];
    double *x[NODES], *dx[NODES];          /* of one pass */
    double *want[NODES], *gradient[NODES]; /* of the exact one */
    double far[NODES], far_gradient[NODES];
    float *floats;
} model;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a check");
}

static const mf_check_op *find_op(const mf_check_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->cases[i].op->name, name))
            return list->cases[i].op;
    return !strcmp(name, op_view.name) ? &op_view : NULL;
}

static void leaf_name(int n, char name[16])
{
    snprintf(name, 16, "x%d", n);
}

static int operands(const node *n)
{
    int count = 1;
    while (count < MF_CHECK_INPUTS && n->in[count])
        count++;
    return count;
}

/* Node n as a case of its op, by the shapes of what comes before. */
static mf_status settle(model *m, const mf_check_list *list, int n)
{
    const node *from = &m->nodes[n];
    mf_check_case *c = &m->cases[n];
    *c = (mf_check_case){.op = find_op(list, from->op), .inputs = operands(from), .f = from->f};
    memcpy(c->i, from->i, sizeof c->i);
    if (!c->op)
        return mf_fail(MF_INTERNAL, "a model of the checks has op \"%s\"", from->op);
    for (int k = 0; k < c->inputs; k++) {
        c->in[k].rank = m->rank[from->in[k]];
        memcpy(c->in[k].dim, m->shape[from->in[k]], sizeof c->in[k].dim);
    }
    return MF_OK;
}

static mf_status declare(model *m, const mf_check_list *list)
{
    mf_program *p = m->program;
    mf_value values[NODES];
    for (int n = 0; n < m->count; n++) {
        const node *from = &m->nodes[n];
        char name[16];
        leaf_name(n, name);
        if (from->op) {
            mf_value in[MF_CHECK_INPUTS];
            MF_TRY(settle(m, list, n));
            for (int k = 0; k < m->cases[n].inputs; k++)
                in[k] = values[from->in[k]];
            values[n] = m->cases[n].op->build(p, in, &m->cases[n]);
        } else if (from->kind == MF_CHECK_TRAINED) {
            values[n] = mf_weight(p, name, from->rank, from->dim);
        } else {
            values[n] = mf_input(p, name, from->kind == MF_CHECK_MASK ? MF_U8 : MF_F32, from->rank,
                                 from->dim);
        }
        MF_TRY(mf_program_status(p));
        m->rank[n] = mf_rank(p, values[n]);
        m->elements[n] = mf_count(p, values[n]);
        for (int d = 0; d < m->rank[n]; d++)
            m->shape[n][d] = mf_dim(p, values[n], d);
        if (from->output)
            mf_output(p, from->output, values[n]);
    }
    if (m->elements[m->count - 1] == 1)
        mf_differentiate(p, values[m->count - 1]);
    return mf_program_status(p);
}

static bool trained(const model *m, int n)
{
    return m->elements[m->count - 1] == 1 && !m->nodes[n].op &&
           m->nodes[n].kind == MF_CHECK_TRAINED;
}

static mf_status allocate(model *m)
{
    int64_t most = 0;
    for (int n = 0; n < m->count; n++) {
        size_t size = (size_t)m->elements[n] + 1;
        most = m->elements[n] > most ? m->elements[n] : most;
        m->x[n] = calloc(size, sizeof(double));
        m->dx[n] = calloc(size, sizeof(double));
        m->want[n] = calloc(size, sizeof(double));
        m->gradient[n] = calloc(size, sizeof(double));
        if (!m->x[n] || !m->dx[n] || !m->want[n] || !m->gradient[n])
            return no_memory();
    }
    m->floats = calloc((size_t)most + 1, sizeof(float));
    return m->floats ? MF_OK : no_memory();
}

static void fill_leaf(model *m, int n, uint64_t *state)
{
    const node *from = &m->nodes[n];
    for (int64_t i = 0; i < m->elements[n]; i++)
        m->x[n][i] = from->kind == MF_CHECK_MASK
                         ? (double)(mf_check_uniform(state) < 0.4)
                         : (double)(float)(from->high * (2 * mf_check_uniform(state) - 1));
}

static mf_status set_leaf(model *m, int n)
{
    char name[16];
    uint8_t *bytes = (uint8_t *)m->floats;
    leaf_name(n, name);
    for (int64_t i = 0; i < m->elements[n]; i++)
        if (m->nodes[n].kind == MF_CHECK_MASK)
            bytes[i] = (uint8_t)m->x[n][i];
        else
            m->floats[i] = (float)m->x[n][i];
    if (m->nodes[n].kind == MF_CHECK_TRAINED)
        return mf_weights_set(m->weights, (size_t)mf_weights_find(m->weights, name), m->floats);
    return mf_executable_set(m->executable, name, m->floats);
}

/* A result with, in a trial, what its op may be wrong by. */
static double moved(const mf_check_number *n, double roundings, uint64_t *trial)
{
    if (!trial)
        return n->value;
    return n->value + mf_check_bound(n, roundings) * (2 * mf_check_uniform(trial) - 1);
}

static mf_status forward(model *m, int n, uint64_t *trial)
{
    const mf_check_case *c = &m->cases[n];
    double *in[MF_CHECK_INPUTS];
    mf_check_number *out = calloc((size_t)m->elements[n] + 1, sizeof *out);
    if (!out)
        return no_memory();
    for (int k = 0; k < c->inputs; k++)
        in[k] = m->x[m->nodes[n].in[k]];
    c->op->value(c, in, out);
    for (int64_t i = 0; i < m->elements[n]; i++)
        m->x[n][i] = moved(&out[i], c->op->roundings[0], trial);
    free(out);
    return MF_OK;
}

static mf_status backward(model *m, int n, uint64_t *trial)
{
    const mf_check_case *c = &m->cases[n];
    double *in[MF_CHECK_INPUTS];
    mf_check_number *dx[MF_CHECK_INPUTS] = {NULL};
    bool complete = true;
    for (int k = 0; k < c->inputs; k++) {
        int from = m->nodes[n].in[k];
        in[k] = m->x[from];
        if (!m->nodes[from].op && m->nodes[from].kind == MF_CHECK_MASK)
            continue;
        dx[k] = calloc((size_t)m->elements[from] + 1, sizeof **dx);
        complete &= dx[k] != NULL;
    }
    if (complete)
        c->op->gradient(c, in, m->elements[n], m->dx[n], dx);
    for (int k = 0; k < c->inputs; k++) {
        int from = m->nodes[n].in[k];
        for (int64_t i = 0; complete && dx[k] && i < m->elements[from]; i++)
            m->dx[from][i] += moved(&dx[k][i], c->op->roundings[1], trial);
        free(dx[k]);
    }
    return complete ? MF_OK : no_memory();
}

/* One pass of the references. */
static mf_status pass(model *m, uint64_t *trial)
{
    int last = m->count - 1;
    for (int n = 0; n < m->count; n++)
        if (m->nodes[n].op)
            MF_TRY(forward(m, n, trial));
    for (int n = 0; n < m->count; n++)
        memset(m->dx[n], 0, (size_t)m->elements[n] * sizeof(double));
    m->dx[last][0] = 1;
    for (int n = last; n >= 0 && m->elements[last] == 1; n--)
        if (m->nodes[n].op)
            MF_TRY(backward(m, n, trial));
    return MF_OK;
}

static double farthest(double far, const double *a, const double *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        far = fmax(far, fabs(a[i] - b[i]));
    return far;
}

/* What comes out, and how far trials are from it. */
static mf_status find_wanted(model *m)
{
    MF_TRY(pass(m, NULL));
    for (int n = 0; n < m->count; n++) {
        memcpy(m->want[n], m->x[n], (size_t)m->elements[n] * sizeof(double));
        memcpy(m->gradient[n], m->dx[n], (size_t)m->elements[n] * sizeof(double));
    }
    for (uint64_t trial = 1; trial <= TRIALS; trial++) {
        uint64_t state = trial * 2654435761u;
        MF_TRY(pass(m, &state));
        for (int n = 0; n < m->count; n++) {
            m->far[n] = farthest(m->far[n], m->x[n], m->want[n], m->elements[n]);
            m->far_gradient[n] =
                farthest(m->far_gradient[n], m->dx[n], m->gradient[n], m->elements[n]);
        }
    }
    return MF_OK;
}

static mf_status compare(model *m, int n, const char *what, const double *want, double far,
                         mf_check_result *result)
{
    mf_check_number *numbers = calloc((size_t)m->elements[n] + 1, sizeof *numbers);
    if (!numbers)
        return no_memory();
    for (int64_t i = 0; i < m->elements[n]; i++)
        numbers[i] = (mf_check_number){want[i], far / FLT_EPSILON, 1};
    mf_check_compare(result, what, m->rank[n], m->shape[n], m->elements[n], m->floats, numbers, 1);
    free(numbers);
    return MF_OK;
}

static mf_status run_device(model *m, mf_check_result *result)
{
    for (int n = 0; n < m->count; n++)
        if (!m->nodes[n].op)
            MF_TRY(set_leaf(m, n));
    m->executable->poison = true;
    MF_TRY(mf_weights_clear_gradients(m->weights));
    MF_TRY(mf_executable_run(m->executable));
    for (int n = 0; n < m->count; n++) {
        if (!m->nodes[n].output)
            continue;
        MF_TRY(mf_executable_get(m->executable, m->nodes[n].output, m->floats));
        MF_TRY(compare(m, n, m->nodes[n].output, m->want[n], m->far[n], result));
    }
    for (int n = 0; n < m->count; n++) {
        char name[16], what[32];
        if (!trained(m, n))
            continue;
        leaf_name(n, name);
        snprintf(what, sizeof what, "gradient of weight %d", n);
        MF_TRY(mf_weights_get_gradient(m->weights, (size_t)mf_weights_find(m->weights, name),
                                       m->floats));
        MF_TRY(compare(m, n, what, m->gradient[n], m->far_gradient[n], result));
    }
    return MF_OK;
}

static mf_status run_model(model *m, const mf_check_list *list, mf_device *device,
                           mf_check_result *result, mf_check_labels *labels)
{
    uint64_t state = 88172645463325252u;
    MF_TRY(mf_program_new(&m->program));
    MF_TRY(mf_weights_new(device, &m->weights));
    MF_TRY(declare(m, list));
    MF_TRY(mf_program_compile(m->program, m->weights, &m->executable));
    mf_check_note_executable(m->executable, result, labels);
    MF_TRY(allocate(m));
    for (int n = 0; n < m->count; n++)
        if (!m->nodes[n].op)
            fill_leaf(m, n, &state);
    MF_TRY(find_wanted(m));
    return run_device(m, result);
}

static void clear(model *m)
{
    mf_executable_free(m->executable);
    mf_weights_free(m->weights);
    mf_program_free(m->program);
    for (int n = 0; n < m->count; n++) {
        free(m->x[n]);
        free(m->dx[n]);
        free(m->want[n]);
        free(m->gradient[n]);
    }
    free(m->floats);
    free(m);
}

/* i: which model */
static mf_status run(const mf_check_case *c, mf_device *device, mf_check_result *result,
                     mf_check_labels *labels)
{
    mf_check_list list;
    model *m = calloc(1, sizeof *m);
    if (!m)
        return no_memory();
    m->nodes = c->i[0] ? sam2 : mass;
    m->count = c->i[0] ? COUNT_OF(sam2) : COUNT_OF(mass);
    mf_status status = mf_check_list_make(NULL, &list);
    if (!status)
        status = run_model(m, &list, device, result, labels);
    mf_check_list_clear(&list);
    clear(m);
    return status;
}

static const mf_check_op ops[] = {{"model: MASS, a step", .own = run},
                                  {"model: SAM 2, a mask", .own = run}};

void mf_check_model(mf_check_list *list)
{
    for (int i = 0; i < COUNT_OF(ops); i++)
        mf_check_add(list, (mf_check_case){.op = &ops[i], .i = {i}});
}
