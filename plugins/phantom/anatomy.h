/* anatomy.h - a random torso from a seed: a body with nested, deformed organs, as CT, MR or PET.
 *
 * The arrangement is the same in every case (the liver lies to the right of the spine), so that one
 * example teaches where organs are; place, size, tilt and outline differ from case to case. */
#ifndef PHANTOM_ANATOMY_H
#define PHANTOM_ANATOMY_H

#include <massflow/artifact.h>
#include <massflow/random.h>

#define ANATOMY_ORGANS 14

typedef enum anatomy_modality { ANATOMY_CT, ANATOMY_MR, ANATOMY_PET } anatomy_modality;

typedef struct anatomy_options {
    mf_grid grid;
    anatomy_modality modality;
    int organs;             /* 1 .. ANATOMY_ORGANS: the first so many of the list */
    double lesion;          /* probability of a lesion in the liver */
    double lesion_size;     /* 1: a third of the liver's smallest half-axis, on average */
    double lesion_contrast; /* 1: plain to see */
    bool lesion_label;      /* the lesion has a label of its own, organs + 1 */
    double variation;       /* 0: the same anatomy always; 1: as people differ */
    double noise;           /* 1: as usual scans have */
} anatomy_options;

typedef struct anatomy_lesion {
    bool present;
    double center[3]; /* RAS+ mm; 0 where absent */
    double volume_ml;
} anatomy_lesion;

/* Draws one anatomy. voxels: i16 (CT), u16 (MR) or f32 (PET, SUV), labels: u8, both [z, y, x]. */
MF_MUST_USE mf_status anatomy_draw(const anatomy_options *options, mf_random *random,
                                   mf_array **voxels, mf_array **labels, anatomy_lesion *lesion);

const char *anatomy_organ(int label); /* "liver" for 1 .. */

#endif
