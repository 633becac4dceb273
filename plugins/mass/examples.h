/* examples.h - task embeddings of labels, averaged over labelled examples. It knows no task and no
 * artifact: scans come as arrays on the training grid. */
#ifndef MF_MASS_EXAMPLES_H
#define MF_MASS_EXAMPLES_H

#include "../common/normalize.h"
#include "predict.h"

#include <massflow/random.h>

/* Where the crop around a label lies, and what of it is outside of the scan. */
typedef enum mf_example_place {
    /* Around the center of the label's bounding box; zeros outside of the scan. inference.py. */
    MF_EXAMPLE_BOX,
    /* Around the middle one of the label's voxels in scan order, moved into the scan. evaluate.py.
     */
    MF_EXAMPLE_MIDDLE,
    /* Around the mean of the label's voxels, rounded down, moved into the scan. Fine-tuning. */
    MF_EXAMPLE_MEAN
} mf_example_place;
/* The words of parameters for them, in this order. */
#define MF_EXAMPLE_PLACES "box|middle|mean"
mf_example_place mf_example_place_of(const char *word);

/* The first voxel of the crop [z y x] around `label`. False where labels [size] has none of it. A
 * scan that is smaller than the crop lies in its middle, unless the place is the box. */
bool mf_example_start(const uint16_t *labels, const int64_t size[3], int64_t label,
                      mf_example_place place, const int64_t crop[3], int64_t start[3]);

typedef struct mf_examples {
    mf_predictor *predictor;
    int64_t crop[3]; /* z y x, that of the predictor */
    mf_example_place place;
    bool normalize_crop; /* each crop by itself: else the scans are normalized */
    mf_normalize clip;   /* how, then */
    const int64_t *labels;
    int64_t k;
    mf_priors sums;                /* [k, 11, C] */
    int64_t *examples;             /* [k]: how many were added */
    mf_status (*step)(void *user); /* before each embedding, may be NULL; its error ends the work */
    void *user;
} mf_examples;
/* Makes sums and examples of what is set above them; mf_examples_clear frees them. */
MF_MUST_USE mf_status mf_examples_begin(mf_examples *e);
void mf_examples_clear(mf_examples *e);
/* Adds the task embeddings of a scan [size] with its labels. Labels it has not are passed over. */
MF_MUST_USE mf_status mf_examples_add(mf_examples *e, const float *voxels, const uint16_t *labels,
                                      const int64_t size[3], mf_modality modality);
/* Sums become means. Labels without an example stay zero. */
void mf_examples_mean(mf_examples *e);
/* For label number i without an example, as fine-tuning does: normal numbers of deviation 0.02. */
void mf_examples_draw(mf_examples *e, int64_t i, mf_random *random);

#endif
