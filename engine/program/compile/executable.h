/* executable.h - a compiled program: its launches, its memory, its ports. */
#ifndef MF_PROGRAM_EXECUTABLE_H
#define MF_PROGRAM_EXECUTABLE_H

#include "program/weights/weights.h"

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
