/* supervised.h - the method supervised.train: crops with label maps, a fixed head over the labels
 * of all samples. */
#ifndef MF_BASELINES_SUPERVISED_H
#define MF_BASELINES_SUPERVISED_H

#include "../mass/classes.h"
#include "method.h"

typedef struct mf_supervised_params {
    mf_baseline_params shared;
    mf_labels labels;
    const mf_classes *classes; /* of the head beside the background; set by the stage's run */
} mf_supervised_params;

extern const mf_method mf_supervised_method;

#endif
