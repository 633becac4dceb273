/* weights.h - weights on a device: values, gradients, what optimizers keep, packed copies. */
#ifndef MF_PROGRAM_WEIGHTS_H
#define MF_PROGRAM_WEIGHTS_H

#include "compute/compute.h"
#include "program/ir/op.h"

typedef struct mf_weight_record {
    char *name;
    mf_shape shape;
    int64_t count;
    int32_t block;
    int64_t start;                /* floats into its block */
    mf_buffer *values, *gradient; /* views */
    bool touched;                 /* a gradient was added since the last clearing */
    int32_t group;                /* of mf_weights_step_groups; -1: it stays as it is */
    float momentum;               /* of a running statistic: mf_follow; else 0 */
} mf_weight_record;

enum { MF_WEIGHT_LEVELS = 30 }; /* of sums that a batch keeps */

/* A batch whose gradients are being summed, see batch.c. */
typedef struct mf_batch {
    int64_t count, done; /* items; count 0: there is none */
    int levels;          /* sums that are kept */
    int runs;            /* of the item that is being computed */
} mf_batch;

/* Gradients are exchanged in pieces of so many floats of a block: a multiple of 4096 floats is one
 * of every device's alignment. */
enum { MF_EXCHANGE_PIECE = 1 << 20 };

/* Weights lie one after another in blocks, so that one launch updates all of a block. */
typedef struct mf_weight_block {
    int64_t floats;
    int32_t first, count; /* weights */
    int32_t chunks;
    mf_buffer *values, *gradients;
    mf_buffer *chunk_table;  /* int4 [chunks]: weight in block, start, count, 0 */
    mf_buffer *weight_table; /* int4 [count]: first chunk, chunks, touched, momentum's bits */
    mf_buffer *first_moment, *second_moment, *average; /* NULL until needed */
    mf_buffer *kept[MF_WEIGHT_LEVELS]; /* sums of a batch that wait for their siblings; NULL until
                                        * needed */
    bool holds[MF_WEIGHT_LEVELS];      /* a sum of this batch */
    mf_buffer *sums;                   /* float2 [chunks] */
    mf_buffer *trust;                  /* float [count] */
    float *host_sums;                  /* [2 chunks] */
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
    mf_batch batch;
    mf_buffer *arrived;   /* half a piece of another rank's gradients; NULL until needed */
    size_t arena_limit;   /* bytes of one buffer; the device's unless a test lowers it */
    size_t program_limit; /* of an arena and inputs together */
};

enum { MF_WEIGHT_CHUNK = 4096 }; /* floats a work-item of the optimizer covers */

MF_MUST_USE mf_status mf_weights_refresh(mf_weights *w, mf_packing *packing);

/* Makes room for the gradient of weight i (and its neighbours in the block), zeroed. */
MF_MUST_USE mf_status mf_weights_need_gradient(mf_weights *w, int32_t i);
/* Before a run that gives gradients: MF_INVALID where the item of a batch has had its run. */
MF_MUST_USE mf_status mf_batch_take_run(mf_weights *w);
/* Before a step: MF_INVALID inside a batch. */
MF_MUST_USE mf_status mf_batch_check_whole(const mf_weights *w);
/* The module of the optimizer and of the sums of a batch. */
MF_MUST_USE mf_status mf_weights_module(mf_weights *w);
size_t mf_arena_limit(const mf_weights *w);

#endif
