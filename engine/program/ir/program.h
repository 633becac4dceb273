/* program.h - what the files of this folder share: a program's values and ops, an executable's
 * recorded launches, weights on a device. Op families see op.h only. */
#ifndef MF_PROGRAM_PROGRAM_H
#define MF_PROGRAM_PROGRAM_H

#include "compute/compute.h"
#include "program/ir/op.h"

typedef enum mf_value_kind { MF_VALUE_INPUT, MF_VALUE_WEIGHT, MF_VALUE_RESULT } mf_value_kind;

typedef struct mf_value_record {
    mf_value_kind kind;
    mf_dtype dtype;
    mf_shape shape;
    int64_t count;
    size_t bytes;
    int32_t op;        /* that makes it, -1: input or weight */
    int32_t storage;   /* the value whose memory this is: itself, or the source of a reshape */
    bool wants;        /* gradient; settled by mf_differentiate */
    mf_value gradient; /* d loss / d this */
    char *name;        /* of inputs and weights */
} mf_value_record;

typedef struct mf_named_value {
    char *name;
    mf_value value;
} mf_named_value;

struct mf_program {
    mf_value_record *values;
    int32_t value_count;
    mf_op *ops;
    int32_t op_count;
    mf_named_value *outputs;
    int32_t output_count;
    char **scopes; /* every scope met, joined by dots; 0: "" */
    int32_t scope_count, scope;
    int32_t stack[64];
    int depth;
    bool differentiated;
    char *failure, *failure_scope; /* the first error */
    mf_code failure_code;
    char text[4][96]; /* of mf_shape_text */
    int text_at;
};

mf_value_record *mf_value_of(const mf_program *p, mf_value x); /* x must be valid */
void mf_program_fail_code(mf_program *p, mf_code code, const char *format, ...) MF_PRINTF(3, 4);

/* ---- weights --------------------------------------------------------------------------------- */

typedef struct mf_weight_record {
    char *name;
    mf_shape shape;
    int64_t count;
    int32_t block;
    int64_t start;                /* floats into its block */
    mf_buffer *values, *gradient; /* views */
    bool touched;                 /* a gradient was added since the last clearing */
} mf_weight_record;

/* Weights lie one after another in blocks, so that one launch updates all of a block. */
typedef struct mf_weight_block {
    int64_t floats;
    int32_t first, count; /* weights */
    int32_t chunks;
    mf_buffer *values, *gradients;
    mf_buffer *chunk_table;  /* int4 [chunks]: weight in block, start, count, 0 */
    mf_buffer *weight_table; /* int4 [count]: first chunk, chunks, touched, 0 */
    mf_buffer *first_moment, *second_moment, *average; /* NULL until needed */
    mf_buffer *sums;                                   /* float2 [chunks] */
    mf_buffer *trust;                                  /* float [count] */
    float *host_sums;                                  /* [2 chunks] */
} mf_weight_block;

typedef struct mf_packing {
    int32_t weight;
    char *kind;
    mf_buffer *buffer;
    mf_launch *launches;
    int launch_count;
    int64_t version; /* of the weights it was made from, -1: never */
} mf_packing;

struct mf_weights {
    mf_device *device;
    mf_queue *queue;
    mf_weight_record *weights;
    int32_t count;
    mf_weight_block *blocks;
    int32_t block_count;
    mf_packing **packings;
    int32_t packing_count;
    int64_t version; /* grows with each change of values */
    const mf_module *optimizer;
    size_t arena_limit;   /* bytes of one buffer; the device's unless a test lowers it */
    size_t program_limit; /* of an arena and inputs together */
};

enum { MF_WEIGHT_CHUNK = 4096 }; /* floats a work-item of the optimizer covers */

MF_MUST_USE mf_status mf_weights_refresh(mf_weights *w, mf_packing *packing);

/* ---- executables ----------------------------------------------------------------------------- */

/* A value's or scratch's place: a root of storage with the launches that touch it. */
typedef struct mf_storage {
    size_t bytes;
    int32_t first, last; /* launches; first > last: never touched */
    int32_t same_as;     /* in place of this storage, -1 */
    bool outside;        /* not in the arena: an input, a weight, a packing */
    size_t offset;
    mf_buffer *buffer; /* view (owned by the executable), or an outside buffer (borrowed) */
} mf_storage;

/* Places storages (not outside, touched) at offsets: no two that live at once overlap, none crosses
 * a multiple of `limit`. Returns the arena's size; SIZE_MAX when memory is short. */
size_t mf_plan_arena(mf_storage *storages, int32_t count, size_t alignment, size_t limit);

typedef struct mf_port {
    char *name;
    mf_dtype dtype;
    size_t bytes;
    mf_buffer *buffer; /* inputs: owned; outputs: of a storage */
} mf_port;

struct mf_executable {
    mf_weights *weights;
    mf_launch *launches;
    int32_t launch_count;
    float *seconds; /* [launch_count]: about what each takes, once measured */
    bool measured;
    mf_buffer **arena;
    int32_t arena_count;
    size_t arena_bytes;
    mf_buffer **views;
    int32_t view_count;
    mf_packing **packings;
    int32_t packing_count;
    mf_port *inputs, *outputs;
    int32_t input_count, output_count;
    int32_t *trained; /* weights that a run adds gradients to */
    int32_t trained_count;
    bool poison; /* MASSFLOW_POISON=1: the arena is filled with NaN before each run */
};

#endif
