/* classify.h - the work of mass.classify: cases, epochs, the best of them, saved states. */
#ifndef MF_MASS_CLASSIFY_H
#define MF_MASS_CLASSIFY_H

#include "classify_work.h"

MF_MUST_USE mf_status mf_classify_classes(mf_task *t, const mf_classify_params *o, mf_targets *c);
MF_MUST_USE mf_status mf_classify_shape(const mf_classify_params *o, const mf_artifact *model,
                                        int64_t classes, mf_classifier_shape *shape);
/* Reads all that is needed beside the voxels. */
MF_MUST_USE mf_status mf_classify_new(mf_task *t, const mf_classify_params *o, mf_classify **work);
void mf_classify_free(mf_classify *w);
/* All epochs; then the weights are those of the best one. */
MF_MUST_USE mf_status mf_classify_train(mf_classify *w);
/* Probabilities of all cases of a set, at their centers. */
MF_MUST_USE mf_status mf_classify_judge(mf_classify *w, mf_case_set *set);

#endif
