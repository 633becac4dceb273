/* classify_report.h - what mass.classify gives out. */
#ifndef MF_MASS_CLASSIFY_REPORT_H
#define MF_MASS_CLASSIFY_REPORT_H

#include "classify.h"

/* Judges the test cases, then sets all outputs of the task. */
MF_MUST_USE mf_status mf_classify_publish(mf_classify *w);

#endif
