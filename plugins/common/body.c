/* body.c - see body.h. */
#include "body.h"
#include "normalize.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int mf_otsu(const int64_t *bins, int count)
{
    double total = 0, sum = 0, below = 0, sum_below = 0, best = 0;
    int level = 0;
    for (int i = 0; i < count; i++) {
        total += (double)bins[i];
        sum += (double)bins[i] * i;
    }
    for (int i = 0; i + 1 < count; i++) {
        below += (double)bins[i];
        sum_below += (double)bins[i] * i;
        double above = total - below;
        if (below == 0 || above == 0)
            continue;
        double apart = sum_below / below - (sum - sum_below) / above;
        double between = below * above * apart * apart;
        if (between > best) {
            best = between;
            level = i;
        }
    }
    return level;
}

enum { OUT = 0, UNSEEN = 1, SEEN = 2, KEPT = 3 };

int64_t mf_flood(uint8_t *body, const int64_t shape[3], int64_t seed, uint8_t from, uint8_t to,
                 int32_t *queue)
{
    const int64_t row = shape[2], plane = shape[1] * shape[2], all = shape[0] * plane;
    int64_t next = 0, end = 0;
    body[seed] = to;
    queue[end++] = (int32_t)seed;
    while (next < end) {
        int64_t at = queue[next++], x = at % row, y = at / row % shape[1];
        const int64_t near[6] = {x > 0 ? at - 1 : -1,
                                 x + 1 < row ? at + 1 : -1,
                                 y > 0 ? at - row : -1,
                                 y + 1 < shape[1] ? at + row : -1,
                                 at - plane,
                                 at + plane < all ? at + plane : -1};
        for (int i = 0; i < 6; i++)
            if (near[i] >= 0 && body[near[i]] == from) {
                body[near[i]] = to;
                queue[end++] = (int32_t)near[i];
            }
    }
    return end;
}

static void fill_holes(uint8_t *body, const int64_t shape[3], int32_t *queue)
{
    const int64_t plane = shape[1] * shape[2], slice[3] = {1, shape[1], shape[2]};
    for (int64_t z = 0; z < shape[0]; z++) {
        uint8_t *s = body + z * plane;
        for (int64_t i = 0; i < plane; i++) {
            int64_t x = i % shape[2], y = i / shape[2];
            bool border = x == 0 || y == 0 || x + 1 == shape[2] || y + 1 == shape[1];
            if (border && s[i] == OUT)
                mf_flood(s, slice, i, OUT, SEEN, queue);
        }
        for (int64_t i = 0; i < plane; i++)
            s[i] = s[i] != SEEN;
    }
}

mf_status mf_body_clean(uint8_t *body, const int64_t shape[3], double least_part)
{
    const int64_t voxels = shape[0] * shape[1] * shape[2];
    int64_t largest = 0;
    if (voxels > INT32_MAX)
        return mf_fail(MF_UNSUPPORTED, "a body mask of over 2^31 voxels");
    int32_t *queue = malloc((size_t)(voxels > 0 ? voxels : 1) * sizeof *queue);
    if (!queue)
        return mf_no_memory(0, "a body mask");
    for (int64_t i = 0; i < voxels; i++)
        body[i] = body[i] ? UNSEEN : OUT;
    for (int64_t i = 0; i < voxels; i++) {
        int64_t size = body[i] == UNSEEN ? mf_flood(body, shape, i, UNSEEN, SEEN, queue) : 0;
        largest = size > largest ? size : largest;
    }
    for (int64_t i = 0; i < voxels; i++) {
        int64_t size = body[i] == SEEN ? mf_flood(body, shape, i, SEEN, KEPT, queue) : 0;
        if ((double)size < least_part * (double)largest)
            for (int64_t k = 0; k < size; k++)
                body[queue[k]] = OUT;
    }
    fill_holes(body, shape, queue);
    free(queue);
    return MF_OK;
}

mf_status mf_body_above(const float *voxels, const int64_t shape[3], double threshold,
                        uint8_t *body, int64_t *inside)
{
    const int64_t count = shape[0] * shape[1] * shape[2];
    for (int64_t i = 0; i < count; i++)
        body[i] = (double)voxels[i] > threshold; /* NaN: outside */
    MF_TRY(mf_body_clean(body, shape, 1));
    *inside = 0;
    for (int64_t i = 0; i < count; i++) {
        body[i] = body[i] != 0;
        *inside += body[i];
    }
    return MF_OK;
}

mf_status mf_body_rough(const float *voxels, int64_t count, double *threshold)
{
    double bounds[2];
    MF_TRY(mf_percentiles(voxels, count, (const double[]){2, 98}, 2, bounds));
    *threshold = bounds[0] + 0.1 * (bounds[1] - bounds[0]);
    return MF_OK;
}
