/* scan_view.c - see scan_view.h. */
#include "scan_view.h"
#include "draw.h"

#include <stdlib.h>
#include <string.h>

/* The box [lo, lo + size) of the scan, which may reach outside. */
static mf_status read_box(const mf_view_scan *scan, const int64_t lo[3], const int64_t size[3],
                          float *box)
{
    int64_t from[3], to[3], inner[3];
    memset(box, 0, (size_t)(size[0] * size[1] * size[2]) * sizeof *box);
    for (int i = 0; i < 3; i++) {
        from[i] = lo[i] > 0 ? lo[i] : 0;
        to[i] = lo[i] + size[i] < scan->shape[i] ? lo[i] + size[i] : scan->shape[i];
        inner[i] = to[i] - from[i];
        if (inner[i] <= 0)
            return MF_OK;
    }
    float *read = malloc((size_t)(inner[0] * inner[1] * inner[2]) * sizeof *read);
    if (!read)
        return mf_no_memory(0, "a view");
    mf_status status = mf_artifact_read_box(scan->artifact, scan->array, from, to, read);
    const float *at = read;
    for (int64_t z = from[0] - lo[0]; z < to[0] - lo[0] && !status; z++)
        for (int64_t y = from[1] - lo[1]; y < to[1] - lo[1]; y++) {
            float *row = box + (z * size[1] + y) * size[2] + from[2] - lo[2];
            for (int64_t x = 0; x < inner[2]; x++)
                row[x] = (float)(((double)*at++ - scan->mean) * scan->scale);
        }
    free(read);
    return status;
}

/* The center of a block, moved by an affine map. */
static mf_status cut_affine(const mf_view_scan *scan, const mf_view_settings *settings,
                            const int64_t lo[3], const int64_t block[3], const int64_t size[3],
                            mf_random *random, float *view)
{
    mf_affine affine;
    mf_index_map map;
    int64_t center[3];
    mf_view_draw_affine(settings, random, &affine);
    mf_affine_map(&affine, block, &map);
    for (int i = 0; i < 3; i++)
        center[i] = (block[i] - size[i]) / 2;
    float *voxels = malloc((size_t)(block[0] * block[1] * block[2]) * sizeof *voxels);
    mf_status status = voxels ? read_box(scan, lo, block, voxels) : mf_no_memory(0, "a view");
    if (!status)
        mf_affine_image(&map, voxels, block, center, size, view);
    free(voxels);
    return status;
}

mf_status mf_scan_view_draw(const mf_view_scan *scan, const mf_view_settings *settings,
                            const int64_t size[3], int64_t margin, mf_random *random, float *view)
{
    int64_t block[3], lo[3];
    for (int i = 0; i < 3; i++) {
        block[i] = size[i] + margin;
        const int64_t lacks = block[i] > scan->shape[i] ? block[i] - scan->shape[i] : 0;
        lo[i] = mf_draw_between(random, 0, scan->shape[i] - block[i]) - lacks / 2;
    }
    if (mf_random_uniform(random, 0, 1) < settings->affine_prob) {
        MF_TRY(cut_affine(scan, settings, lo, block, size, random, view));
    } else {
        for (int i = 0; i < 3; i++) /* the last place is left out, as there */
            lo[i] += mf_draw_between(random, 0, margin - 1);
        MF_TRY(read_box(scan, lo, size, view));
    }
    return mf_view_change_intensities(settings, size, random, view);
}

mf_status mf_scan_view_center(const mf_view_scan *scan, const int64_t size[3], float *view)
{
    int64_t lo[3];
    for (int i = 0; i < 3; i++) /* half of what is too much, or lacks, before; rounded down */
        lo[i] = scan->shape[i] >= size[i] ? (scan->shape[i] - size[i]) / 2
                                          : -((size[i] - scan->shape[i]) / 2);
    return read_box(scan, lo, size, view);
}
