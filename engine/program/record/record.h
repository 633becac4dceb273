/* record.h - what the `record` of an op calls: launches, their operands, built modules, scratch and
 * packed weights. */
#ifndef MF_PROGRAM_RECORD_H
#define MF_PROGRAM_RECORD_H

#include "compute/range.h"
#include "program/ir/op.h"

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
 * computed, and in programs that train, the copy is scratch, and the launches of `pack` are
 * recorded here, in each run. `pack`
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

/* Kernels of common.clh work on `wide` vectors (16 floats on the CPU, 4 on a GPU), or give a row to
 * a team of work-items (1 on the CPU, 64 on a GPU). */
int mf_wide(const mf_recorder *r);
mf_range mf_range_wide(const mf_recorder *r, int64_t floats);
mf_range mf_range_teams(const mf_recorder *r, int64_t rows);
mf_range mf_range_rows(const mf_recorder *r, int64_t rows); /* for kernels with FOR_ROWS */

#endif
