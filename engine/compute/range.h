/* range.h - ranges of one, two and three dimensions, with the kernel's own group size. */
#ifndef MF_COMPUTE_RANGE_H
#define MF_COMPUTE_RANGE_H

#include <massflow/compute.h>

static inline mf_range mf_range1(int64_t x)
{
    return (mf_range){1, {(size_t)x, 1, 1}, {0, 0, 0}};
}
static inline mf_range mf_range2(int64_t x, int64_t y)
{
    return (mf_range){2, {(size_t)x, (size_t)y, 1}, {0, 0, 0}};
}
static inline mf_range mf_range3(int64_t x, int64_t y, int64_t z)
{
    return (mf_range){3, {(size_t)x, (size_t)y, (size_t)z}, {0, 0, 0}};
}

#endif
