/* crop.c - see crop.h. */
#include "crop.h"

#include <string.h>

void mf_scan_crop(const void *src, const int64_t size[3], const int64_t lo[3],
                  const int64_t crop[3], size_t bytes, void *dst)
{
    int64_t x0 = lo[2] > 0 ? lo[2] : 0, x1 = lo[2] + crop[2] < size[2] ? lo[2] + crop[2] : size[2];
    memset(dst, 0, (size_t)(crop[0] * crop[1] * crop[2]) * bytes);
    for (int64_t z = 0; z < crop[0]; z++)
        for (int64_t y = 0; y < crop[1]; y++) {
            int64_t sz = lo[0] + z, sy = lo[1] + y;
            if (sz < 0 || sz >= size[0] || sy < 0 || sy >= size[1] || x1 <= x0)
                continue;
            memcpy((char *)dst + ((z * crop[1] + y) * crop[2] + x0 - lo[2]) * (int64_t)bytes,
                   (const char *)src + ((sz * size[1] + sy) * size[2] + x0) * (int64_t)bytes,
                   (size_t)(x1 - x0) * bytes);
        }
}

void mf_scan_paste(const void *src, const int64_t crop[3], const int64_t lo[3],
                   const int64_t size[3], size_t bytes, void *dst)
{
    for (int64_t z = 0; z < crop[0]; z++)
        for (int64_t y = 0; y < crop[1]; y++)
            memcpy((char *)dst +
                       (((lo[0] + z) * size[1] + lo[1] + y) * size[2] + lo[2]) * (int64_t)bytes,
                   (const char *)src + (z * crop[1] + y) * crop[2] * (int64_t)bytes,
                   (size_t)crop[2] * bytes);
}
