/* patch.c - see patch.h. */
#include "patch.h"
#include <stdlib.h>
#include <string.h>

void sam2_patch_clear(sam2_patch *p)
{
    free(p->bits);
    *p = (sam2_patch){0};
}

/* Shrinks lo..hi to what is inside dense u8 [hi - lo]; false where nothing is. */
static bool shrink(int64_t lo[2], int64_t hi[2], const uint8_t *dense)
{
    const int64_t w = hi[1] - lo[1], x0 = lo[1];
    int64_t top = -1, bottom = 0, left = w, right = 0;
    for (int64_t y = lo[0]; y < hi[0]; y++, dense += w) {
        int64_t first = 0, last = w;
        while (first < w && !dense[first])
            first++;
        if (first == w)
            continue;
        while (!dense[last - 1])
            last--;
        top = top < 0 ? y : top;
        bottom = y + 1;
        left = first < left ? first : left;
        right = last > right ? last : right;
    }
    lo[0] = top;
    hi[0] = bottom;
    lo[1] = x0 + left;
    hi[1] = x0 + right;
    return top >= 0;
}

mf_status sam2_patch_pack(const int64_t lo[2], const int64_t hi[2], const uint8_t *dense,
                          sam2_patch *p)
{
    int64_t low[2] = {lo[0], lo[1]}, high[2] = {hi[0], hi[1]}, bit = 0;
    *p = (sam2_patch){0};
    if (!shrink(low, high, dense))
        return MF_OK;
    p->bits = calloc((size_t)((high[0] - low[0]) * (high[1] - low[1]) + 7) / 8, 1);
    if (!p->bits)
        return mf_no_memory(((size_t)((high[0] - low[0]) * (high[1] - low[1]) + 7) / 8), "a mask");
    for (int k = 0; k < 2; k++) {
        p->lo[k] = (int32_t)low[k];
        p->hi[k] = (int32_t)high[k];
    }
    for (int64_t y = low[0]; y < high[0]; y++) {
        const uint8_t *row = dense + (y - lo[0]) * (hi[1] - lo[1]) - lo[1];
        for (int64_t x = low[1]; x < high[1]; x++, bit++)
            if (row[x])
                p->bits[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    }
    return MF_OK;
}

void sam2_patch_crop(const sam2_patch *p, const int64_t lo[2], const int64_t hi[2], int64_t pitch,
                     uint8_t *dense)
{
    const int64_t width = p->hi[1] - p->lo[1];
    for (int64_t y = lo[0]; y < hi[0]; y++) {
        uint8_t *row = dense + (y - lo[0]) * pitch;
        memset(row, 0, (size_t)(hi[1] - lo[1]));
        if (y < p->lo[0] || y >= p->hi[0])
            continue;
        const int64_t first = lo[1] > p->lo[1] ? lo[1] : p->lo[1];
        const int64_t end = hi[1] < p->hi[1] ? hi[1] : p->hi[1];
        int64_t bit = (y - p->lo[0]) * width + first - p->lo[1];
        for (int64_t x = first; x < end; x++, bit++)
            row[x - lo[1]] = p->bits[bit >> 3] >> (bit & 7) & 1;
    }
}

int64_t sam2_patch_area(const sam2_patch *p)
{
    const int64_t bytes = ((int64_t)(p->hi[0] - p->lo[0]) * (p->hi[1] - p->lo[1]) + 7) / 8;
    int64_t area = 0;
    for (int64_t i = 0; i < bytes; i++)
        area += __builtin_popcount(p->bits[i]);
    return area;
}
