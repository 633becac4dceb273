/* recorder.h - the state of one compilation, between compile.c and recorder.c. */
#ifndef MF_PROGRAM_RECORDER_H
#define MF_PROGRAM_RECORDER_H

#include "program/record/record.h"
#include "program/record/storage.h"
#include "program/weights/weights.h"

typedef struct mf_recorded {
    const mf_module *module;
    const char *kernel; /* a literal of the op family */
    const char *op;
    mf_range range;
    int count;
    mf_operand args[MF_LAUNCH_ARGS];
} mf_recorded;

/* A packed weight in the arena, made in each run: what training does. */
typedef struct mf_run_packing {
    int32_t weight;
    char *kind;
    bool backward; /* among the ops of gradients */
    int32_t used;  /* the last launch that reads it, about */
    mf_operand packed;
} mf_run_packing;

typedef struct mf_built {
    const char *source;
    char *options;
    const mf_module *module;
} mf_built;

struct mf_recorder {
    mf_program *program;
    mf_weights *weights;
    const mf_op *op; /* being recorded */
    mf_recorded *launches;
    int32_t launch_count;
    mf_storage *storages; /* [value_count] values, then scratch and packings */
    int32_t storage_count;
    mf_packing **packings;
    int32_t packing_count;
    mf_run_packing *run_packings;
    int32_t run_packing_count;
    mf_packing *packing; /* launches go here, at once, instead of to `launches` */
    mf_built *built;
    int32_t built_count;
    int32_t *op_first; /* [op_count + 1]: an op's first launch */
};

/* An operand in a buffer that is not the program's. */
mf_operand mf_outside(mf_recorder *r, mf_buffer *buffer);
/* The storage an operand lies in, -1 for numbers. */
int32_t mf_operand_storage(const mf_recorder *r, const mf_operand *operand);
/* Fills args from operands; storages have their buffers by then. */
void mf_operands_resolve(const mf_recorder *r, const mf_operand *operands, int count, mf_arg *args);

#endif
