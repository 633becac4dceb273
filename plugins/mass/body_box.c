/* body_box.c - see body_box.h. */
#include "body_box.h"
#include "../common/body.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static mf_status threshold(const float *voxels, int64_t count, mf_modality modality, uint8_t *body)
{
    if (modality == MF_MODALITY_CT) {
        for (int64_t v = 0; v < count; v++)
            body[v] = voxels[v] > -500;
        return MF_OK;
    }
    float *size = calloc((size_t)count, sizeof *size);
    double level;
    if (!size)
        return mf_no_memory((size_t)count * sizeof *size, "a body mask");
    for (int64_t v = 0; v < count; v++)
        size[v] = fabsf(voxels[v]);
    mf_status status = mf_percentiles(size, count, (const double[]){99}, 1, &level);
    level = level * 1e-3 > 1e-6 ? level * 1e-3 : 1e-6;
    for (int64_t v = 0; v < count && !status; v++)
        body[v] = size[v] > level;
    free(size);
    return status;
}

/* to = from, with each voxel of the value `wins` given to its six neighbours, and with an edge of
 * `wins` around the volume where that is 0. */
static void spread(const uint8_t *from, const int64_t size[3], uint8_t wins, uint8_t *to)
{
    const int64_t stride[3] = {size[1] * size[2], size[2], 1};
    int64_t at[3], v = 0;
    for (at[0] = 0; at[0] < size[0]; at[0]++)
        for (at[1] = 0; at[1] < size[1]; at[1]++)
            for (at[2] = 0; at[2] < size[2]; at[2]++, v++) {
                bool won = from[v] == wins;
                for (int i = 0; i < 3 && !won; i++)
                    won = (at[i] > 0 ? from[v - stride[i]] : 0) == wins ||
                          (at[i] + 1 < size[i] ? from[v + stride[i]] : 0) == wins;
                to[v] = won ? wins : !wins;
            }
}

enum { OUTSIDE = 2, PART = 3, BEST = 4 };

/* Holes become part of the body: what no path through neighbours leads to from the border. */
static void fill_holes(uint8_t *body, const int64_t size[3], int32_t *queue)
{
    int64_t at[3], v = 0;
    for (at[0] = 0; at[0] < size[0]; at[0]++)
        for (at[1] = 0; at[1] < size[1]; at[1]++)
            for (at[2] = 0; at[2] < size[2]; at[2]++, v++) {
                bool border = false;
                for (int i = 0; i < 3; i++)
                    border |= at[i] == 0 || at[i] == size[i] - 1;
                if (border && body[v] == 0)
                    mf_flood(body, size, v, 0, OUTSIDE, queue);
            }
    for (int64_t i = 0; i < v; i++)
        body[i] = body[i] != OUTSIDE;
}

/* Bounds of the largest component, of equals the first; false without any. */
static bool largest(uint8_t *body, const int64_t size[3], int32_t *queue, int64_t lo[3],
                    int64_t hi[3])
{
    int64_t count = size[0] * size[1] * size[2], most = 0, best = -1;
    for (int64_t v = 0; v < count; v++)
        if (body[v] == 1) {
            int64_t voxels = mf_flood(body, size, v, 1, PART, queue);
            if (voxels > most) {
                most = voxels;
                best = v;
            }
        }
    if (best < 0)
        return false;
    mf_flood(body, size, best, PART, BEST, queue);
    for (int i = 0; i < 3; i++) {
        lo[i] = size[i];
        hi[i] = 0;
    }
    for (int64_t k = 0; k < most; k++) {
        int64_t v = queue[k];
        const int64_t at[3] = {v / (size[1] * size[2]), v / size[2] % size[1], v % size[2]};
        for (int i = 0; i < 3; i++) {
            lo[i] = at[i] < lo[i] ? at[i] : lo[i];
            hi[i] = at[i] + 1 > hi[i] ? at[i] + 1 : hi[i];
        }
    }
    return true;
}

mf_status mf_body_box(const float *voxels, const int64_t size[3], mf_modality modality,
                      const int64_t margin[3], int64_t lo[3], int64_t hi[3], bool *found)
{
    int64_t count = size[0] * size[1] * size[2];
    *found = false;
    if (count > INT32_MAX)
        return mf_fail(MF_UNSUPPORTED, "a body mask of over 2^31 voxels");
    uint8_t *body = malloc((size_t)count), *other = malloc((size_t)count);
    int32_t *queue = malloc((size_t)count * sizeof *queue);
    mf_status status = body && other && queue ? threshold(voxels, count, modality, body)
                                              : mf_no_memory((size_t)count * 6, "a body mask");
    if (!status) {
        for (int step = 0; step < 4; step++) /* twice larger, then twice smaller */
            spread(step % 2 ? other : body, size, step < 2, step % 2 ? body : other);
        fill_holes(body, size, queue);
        *found = largest(body, size, queue, lo, hi);
    }
    for (int i = 0; i < 3; i++) {
        lo[i] = *found && lo[i] > margin[i] ? lo[i] - margin[i] : 0;
        hi[i] = *found && hi[i] + margin[i] < size[i] ? hi[i] + margin[i] : size[i];
    }
    free(body);
    free(other);
    free(queue);
    return status;
}
