/* largest.h - the largest connected component of each label. */
#ifndef MF_MASS_LARGEST_H
#define MF_MASS_LARGEST_H

#include <massflow/error.h>
#include <stdint.h>

/* labels [z,y,x], size z y x: of each label but 0 only the largest component (faces touch) stays,
 * of equals the one that comes first. */
MF_MUST_USE mf_status mf_largest_component(uint16_t *labels, const int64_t size[3]);

#endif
