/* op.h - an op, and how an op family is written. Seen by engine/program only.
 *
 * A family is one C file of engine/program/ops and one .cl file of kernels. It includes this
 * header, record/record.h and, for what families share, ops/shared.h. For each op the C file holds
 *
 * - the builder, a function of <massflow/program.h>: checks shapes (mf_program_fail), fills an
 * mf_op and hands it to mf_op_add. After an error builders return MF_NONE and add nothing;
 * - `gradient`: adds more ops through the same builders and passes each result on with
 *   mf_add_gradient. Ops that only gradients use have builders in ops/shared.h;
 * - `record`: runs once at compile. It chooses kernels for shape and device, asks for scratch and
 *   packed weights, and records launches. Launches name their operands; where those lie in memory
 * is decided after all ops are recorded, so scratch is planned like any value, and replay only
 *   enqueues.
 *
 * Values are dense and row-major, channels last, without padding: fewer than 16 channels or a
 * multiple of 16 take the fast paths, other counts are computed correctly by slower ones. Storage
 * starts at a multiple of 256 bytes. Spatial sizes, batch and mask counts are kernel arguments,
 * never macros; channels, filter and tile sizes may be macros. */
#ifndef MF_PROGRAM_OP_H
#define MF_PROGRAM_OP_H

#include <massflow/program.h>

enum { MF_OP_INPUTS = 6, MF_OP_OUTPUTS = 3, MF_OP_INTS = 8, MF_OP_FLOATS = 4 };

typedef struct mf_op mf_op;
typedef struct mf_recorder mf_recorder;

struct mf_op {
    const struct mf_op_type *type;
    int inputs, outputs;
    mf_value in[MF_OP_INPUTS]; /* MF_NONE for an optional one that is absent */
    mf_value out[MF_OP_OUTPUTS];
    int64_t i[MF_OP_INTS]; /* parameters, as the family defines them */
    float f[MF_OP_FLOATS];
    int32_t scope; /* set by mf_op_add */
};

typedef struct mf_op_type {
    const char *name; /* as errors and profiles show it */
    /* `op` is a copy that stays valid while ops are added. grad[k] is d loss / d out[k], MF_NONE
     * where loss does not depend on that output (at least one is there). NULL: the op has none, and
     * a program that needs it fails. */
    void (*gradient)(mf_program *p, const mf_op *op, const mf_value *grad);
    mf_status (*record)(mf_recorder *r, const mf_op *op);
    /* Bit k: the kernels allow out[0] to take the storage of in[k] (each element is read before it
     * is written, by the same work-item); done where that is the last use of in[k]. */
    unsigned in_place;
    /* The builder of this op fused with the ReLU of its out[0], x; NULL: there is none. MF_NONE
     * where this op cannot take it. The plain op is dropped as dead when nothing else uses it. */
    mf_value (*relu)(mf_program *p, const mf_op *op, mf_value x);
    /* Quick enough to be computed twice rather than kept for a gradient: it moves or touches each
     * element once. */
    bool cheap;
    bool (*is_cheap)(const mf_program *p, const mf_op *op); /* instead, where it depends on sizes */
    /* The op that makes out[0] again from inputs and other outputs of `op`, which are kept. NULL:
     * `op` once more. */
    mf_op (*again)(const mf_op *op);
} mf_op_type;

typedef struct mf_shape {
    int rank;
    int64_t dim[MF_MAX_RANK];
} mf_shape;

/* ---- building -------------------------------------------------------------------------------- */

/* True where a builder must return MF_NONE: the program has failed already, or x is MF_NONE or
 * belongs to no value. (A missing optional operand is checked by the caller.) */
bool mf_bad(const mf_program *p, mf_value x);

mf_shape mf_shape_of(const mf_program *p, mf_value x);
mf_dtype mf_dtype_of(const mf_program *p, mf_value x);
bool mf_shape_equal(mf_shape a, mf_shape b);
/* "[1,8,8,8,32]" in one of a few buffers of the program, for messages. */
const char *mf_shape_text(mf_program *p, mf_value x);

/* Fails the program and returns false unless x has this dtype (and this rank; rank -1: any). */
bool mf_expect(mf_program *p, const char *op, mf_value x, mf_dtype dtype, int rank);

/* Adds the op; outputs[k] is the shape of out[k], all f32. Sizes are checked for overflow here.
 * Returns out[0]; the others (statistics kept for the gradient, ...) are read from mf_producer. */
mf_value mf_op_add(mf_program *p, const mf_op *op, const mf_shape *outputs);

/* The op that makes x, NULL for inputs and weights; valid until the next op is added. */
const mf_op *mf_producer(const mf_program *p, mf_value x);

/* ---- gradients ------------------------------------------------------------------------------- */

/* Whether d loss / d x is needed (loss depends on a weight through x): skip the work if not. */
bool mf_wants_gradient(const mf_program *p, mf_value x);
/* d loss / d x += g (same shape as x). */
void mf_add_gradient(mf_program *p, mf_value x, mf_value g);
/* Of a weight that is a running statistic: a step moves it by `momentum` of the way to its
 * gradient, which is what it follows. Other values are left alone. False for what an op makes. */
bool mf_follow(mf_program *p, mf_value x, float momentum);

#endif
