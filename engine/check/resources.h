/* resources.h - which kernels a case launches, and what the driver says that they take. */
#ifndef MF_CHECK_RESOURCES_H
#define MF_CHECK_RESOURCES_H

#include "check/checks.h"
#include "compute/compute.h"
#include "program/compile/executable.h"

/* Notes what the kernels of an executable, or one of them, take of the device. */
void mf_check_note_launch(mf_device *device, const mf_launch *launch, mf_check_result *result,
                          mf_check_labels *labels);
MF_MUST_USE mf_status mf_check_note_kernel(mf_device *device, const mf_module *module,
                                           const char *kernel, mf_check_result *result,
                                           mf_check_labels *labels);
void mf_check_note_executable(const mf_executable *e, mf_check_result *result,
                              mf_check_labels *labels);

#endif
