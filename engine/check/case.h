/* case.h - one case of the list, run and compared. */
#ifndef MF_CHECK_CASE_H
#define MF_CHECK_CASE_H

#include "check/op_list.h"

/* One case. labels: added to, or NULL. */
MF_MUST_USE mf_status mf_check_case_run(const mf_check_case *c, mf_device *device,
                                        mf_check_result *result, mf_check_labels *labels);
/* Only what it would launch. */
MF_MUST_USE mf_status mf_check_case_labels(const mf_check_case *c, mf_device *device,
                                           mf_check_labels *labels);
/* "conv3d [2,3,4,5,16] [8,16,3,3,3]" */
void mf_check_case_text(const mf_check_case *c, char *text, size_t size);

#endif
