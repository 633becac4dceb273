/* label_values.h - label maps of any integer type as the 16-bit values that training and
 * segmentation by example use. */
#ifndef MF_COMMON_LABEL_VALUES_H
#define MF_COMMON_LABEL_VALUES_H

#include <massflow/artifact.h>

/* u16, in the shape of `map`. A value below 0 or above 65535 is an error that names it. */
MF_MUST_USE mf_status mf_label_values(const mf_array *map, mf_array **values);
/* Labels that a parameter has chosen, maybe by name, must be of 16 bits as well. */
MF_MUST_USE mf_status mf_label_values_check(const int64_t *values, size_t count);

#endif
