/* classify_private.h - what the files of mass.classify share. */
#ifndef MF_MASS_CLASSIFY_PRIVATE_H
#define MF_MASS_CLASSIFY_PRIVATE_H

#include "classify_work.h"

MF_MUST_USE mf_status mf_case_set_read(mf_classify *w, const char *port, mf_case_set *s);
void mf_case_set_clear(mf_case_set *s);
/* Mean and deviation of a volume, when it is first used. */
MF_MUST_USE mf_status mf_case_set_know(mf_classify *w, mf_case_set *s, int64_t i);
const char *mf_case_set_name(const mf_classify *w, const mf_case_set *s, int64_t i);

/* Step i of all: cases of the batch, gradients of all ranks, update. */
MF_MUST_USE mf_status mf_classify_step(mf_classify *w, int64_t i);
/* A rate in an epoch. */
double mf_classify_rate(const mf_classify *w, double rate, int64_t epoch);

/* The present weights are the best so far. */
MF_MUST_USE mf_status mf_classify_keep(mf_classify *w);
void mf_classify_drop_kept(mf_classify *w);

/* i: steps done. keep_it: the state stays after the end of the node. */
MF_MUST_USE mf_status mf_classify_save(mf_classify *w, int64_t i, bool keep_it);
/* Leaves *i where there is no state. */
MF_MUST_USE mf_status mf_classify_resume(mf_classify *w, int64_t *i);

#endif
