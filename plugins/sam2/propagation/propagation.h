/* propagation.h - propagates the objects of one slice through the scan, both ways, and cleans up.
 */
#ifndef SAM2_PROPAGATION_H
#define SAM2_PROPAGATION_H

#include "../shared/collect.h"
#include "cache.h"
#include "track.h"

#include <massflow/stage.h>

/* An object by its mask on the slice, or by points and a box as sam2_prompts has them. */
typedef struct sam2_object {
    const uint8_t *mask; /* [image, image] 0/1, or NULL */
    const float *xy;     /* [points, 2] px of the model's input */
    const int32_t *labels;
    int64_t points;
    float score;   /* of its seed */
    int32_t label; /* carried along */
} sam2_object;

/* Objects of one slice: all by masks, or all by equally many points. */
typedef struct sam2_group {
    int axis;
    int64_t slice, count;
    const sam2_object *object; /* [count] */
} sam2_group;

typedef struct sam2_propagation_options {
    int64_t batch;            /* objects that go through a program together */
    int64_t fill_hole_area;   /* low-resolution pixels; 0: none are filled */
    int64_t max_empty_slices; /* an object that was empty on so many slices in a row ends there; 0:
                                 never */
    int64_t min_voxels;       /* smaller ones are dropped */
    bool keep_largest;        /* only the largest component that crosses the seed's slice stays */
    int threads;
} sam2_propagation_options;

typedef struct sam2_propagator sam2_propagator;
struct sam2_propagator {
    mf_task *task;
    sam2_predictor *predictor;
    const sam2_stack *stack;
    sam2_cache *cache;
    sam2_propagation_options o;
    int64_t together; /* objects that walk together; falls when memory is short; 0: all */
    int next_axis;    /* of the group after this; -1: there is none */
    int64_t next_slice;
    int64_t done, total; /* steps, for progress */
    const char *words;
    int64_t small, empty; /* objects that were dropped */
};

/* Propagates a group and adds its masks to the list, in order of object. On MF_NO_MEMORY of the
 * device fewer go together, down to one. */
MF_MUST_USE mf_status sam2_propagate(sam2_propagator *f, const sam2_group *group, sam2_list *list);

#endif
