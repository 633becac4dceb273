/* op.h - how an op family is written. Seen by engine/program only.
 *
 * A family is one C file and one .cl file. For each op the C file holds
 *
 *   the builder    a function of program.h: checks shapes (mf_program_fail), fills an mf_op and
 * hands it to mf_op_add. After an error builders return MF_NONE and add nothing. `gradient` adds
 * more ops through the same builders and passes each result on with mf_add_gradient. Ops that only
 * gradients use have builders declared at the end of this file. `record`       runs once at
 * compile: chooses kernels for shape and device, asks for scratch and packed weights, records
 * launches. Launches name their operands; where those lie in memory is decided after all ops are
 * recorded, so scratch is planned like any value, and replay only enqueues.
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
} mf_op_type;

struct mf_op {
    const mf_op_type *type;
    int inputs, outputs;
    mf_value in[MF_OP_INPUTS]; /* MF_NONE for an optional one that is absent */
    mf_value out[MF_OP_OUTPUTS];
    int64_t i[MF_OP_INTS]; /* parameters, as the family defines them */
    float f[MF_OP_FLOATS];
    int32_t scope; /* set by mf_op_add */
};

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

/* The op that makes x, NULL for inputs and weights; valid until the next op is added. For peephole
 * fusion: mf_relu of an instance norm adds the fused op, and the plain one is dropped as dead when
 * nothing else uses it. */
const mf_op *mf_producer(const mf_program *p, mf_value x);

/* ---- gradients ------------------------------------------------------------------------------- */

/* Whether d loss / d x is needed (loss depends on a weight through x): skip the work if not. */
bool mf_wants_gradient(const mf_program *p, mf_value x);
/* d loss / d x += g (same shape as x). */
void mf_add_gradient(mf_program *p, mf_value x, mf_value g);

/* ---- recording ------------------------------------------------------------------------------- */

typedef struct mf_operand {
    enum {
        MF_OPERAND_VALUE,   /* index: value id */
        MF_OPERAND_SCRATCH, /* index: given by mf_scratch */
        MF_OPERAND_PACKED,  /* index: given by mf_packed */
        MF_OPERAND_INT,     /* `int` */
        MF_OPERAND_LONG,    /* `long` */
        MF_OPERAND_FLOAT,
        MF_OPERAND_LOCAL /* i bytes of local memory */
    } kind;
    int32_t index;
    int64_t i;
    float f;
} mf_operand;

#define MF_AT(value) ((mf_operand){.kind = MF_OPERAND_VALUE, .index = (value).id})
#define MF_INT(n) ((mf_operand){.kind = MF_OPERAND_INT, .i = (n)})
#define MF_LONG(n) ((mf_operand){.kind = MF_OPERAND_LONG, .i = (n)})
#define MF_FLOAT(x) ((mf_operand){.kind = MF_OPERAND_FLOAT, .f = (x)})
#define MF_LOCAL(bytes) ((mf_operand){.kind = MF_OPERAND_LOCAL, .i = (int64_t)(bytes)})

const mf_program *mf_recorder_program(const mf_recorder *r);
const mf_device_info *mf_recorder_device(const mf_recorder *r);

/* A built module; `options` as for mf_module_build, or NULL. */
MF_MUST_USE mf_status mf_record_module(mf_recorder *r, const char *source, const char *options,
                                       const mf_module **module);

/* Memory that lives during this op only. */
mf_operand mf_scratch(mf_recorder *r, size_t bytes);

/* A packed form of `source`, `bytes` long, for the kernels of this op. Where source is a weight (or
 * a reshape of one), the copy is kept beside the weights under (weight, kind), shared by all ops
 * and programs that name the same, and made again by `pack` before the first run after each update;
 * so `kind` must tell the packing and its tile sizes ("conv3 forward 32"). Where source is
 * computed, the copy is scratch, and the launches of `pack` are recorded here, in each run. `pack`
 * may not ask for scratch or packed operands itself. */
typedef mf_status (*mf_pack)(mf_recorder *r, const mf_op *op, mf_operand source, mf_operand packed);
MF_MUST_USE mf_status mf_packed(mf_recorder *r, const mf_op *op, mf_value source, const char *kind,
                                size_t bytes, mf_pack pack, mf_operand *packed);

/* Records one launch. local all 0: the kernel's own reqd_work_group_size (which every kernel should
 * state: PoCL compiles a kernel anew for each local size it meets), else 64 along x. Global sizes
 * are rounded up to whole groups, so kernels check bounds. A range with a zero is dropped. */
MF_MUST_USE mf_status mf_record(mf_recorder *r, const mf_module *module, const char *kernel,
                                mf_range range, const mf_operand *args, int count);
#define MF_RECORD(r, module, kernel, range, ...)                                                   \
    mf_record(r, module, kernel, range, (const mf_operand[]){__VA_ARGS__},                         \
              (int)(sizeof((const mf_operand[]){__VA_ARGS__}) / sizeof(mf_operand)))

static inline mf_range mf_range1(int64_t x)
{
    return (mf_range){1, {(size_t)x, 1, 1}, {0, 0, 0}};
}
static inline mf_range mf_range2(int64_t x, int64_t y)
{
    return (mf_range){2, {(size_t)x, (size_t)y, 1}, {0, 0, 0}};
}
static inline mf_range mf_range3(int64_t x, int64_t y, int64_t z)
{
    return (mf_range){3, {(size_t)x, (size_t)y, (size_t)z}, {0, 0, 0}};
}

/* Kernels of common.clh work on `wide` vectors (16 floats on the CPU, 4 on a GPU), or give a row to
 * a team of work-items (1 on the CPU, 64 on a GPU). */
int mf_wide(const mf_recorder *r);
mf_range mf_range_wide(const mf_recorder *r, int64_t floats);
mf_range mf_range_teams(const mf_recorder *r, int64_t rows);
mf_range mf_range_rows(const mf_recorder *r, int64_t rows); /* for kernels with FOR_ROWS */

/* ---- builders for gradients that more than one family uses ----------------------------------- */

/* Sum over all axes but the last: x [..., C] -> [C] (gradient of a bias). */
mf_value mf_sum_rows(mf_program *p, mf_value x);
/* The ReLU of x fused with the instance norm that makes x; MF_NONE where x is none. */
mf_value mf_instance_norm_relu(mf_program *p, mf_value x);
/* Of a 3x3x3 convolution: dy [N,D,H,W,O], weight [O,I,3,3,3] -> dx [N,D,H,W,I]; x [N,D,H,W,I] ->
 * dw [O,I,3,3,3]. */
mf_value mf_conv3d_data(mf_program *p, mf_value dy, mf_value weight);
mf_value mf_conv3d_weights(mf_program *p, mf_value x, mf_value dy);
/* a [B,K,M], b [B,K,N] -> a^T b [B,M,N] */
mf_value mf_matmul_tn(mf_program *p, mf_value a, mf_value b);
/* f32 of x's shape, every element `value`. */
mf_value mf_fill_like(mf_program *p, mf_value x, float value);

#endif
