/* labels.c - a label map as masks: one pass finds each label's box and size, then each box is read
 * once. */
#include "labels.h"
#include <stdlib.h>

#define MOST_LABELS (1 << 20) /* a larger value is no organ's number */

typedef struct found {
    int64_t lo[3], hi[3], voxels;
} found;

static mf_status find(const mf_array *wide, int32_t most, found *f)
{
    const int32_t *v = wide->data;
    const int64_t *n = wide->shape;
    for (int32_t l = 0; l <= most; l++)
        f[l] = (found){{n[0], n[1], n[2]}, {0, 0, 0}, 0};
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++)
            for (int64_t x = 0; x < n[2]; x++, v++) {
                if (*v <= 0)
                    continue;
                found *one = &f[*v];
                const int64_t at[3] = {z, y, x};
                one->voxels++;
                for (int a = 0; a < 3; a++) {
                    if (at[a] < one->lo[a])
                        one->lo[a] = at[a];
                    if (at[a] >= one->hi[a])
                        one->hi[a] = at[a] + 1;
                }
            }
    return MF_OK;
}

static mf_status add(const mf_array *wide, const found *f, int32_t label, mf_masks_builder *builder)
{
    const int64_t *n = wide->shape;
    mf_mask m = {.score = 1, .seed_axis = -1, .seed_slice = -1};
    int64_t bytes = 1;
    bool added;
    for (int a = 0; a < 3; a++) {
        m.lo[a] = f->lo[a];
        m.hi[a] = f->hi[a];
        bytes *= f->hi[a] - f->lo[a];
    }
    uint8_t *dense = malloc((size_t)bytes), *d = dense;
    if (!dense)
        return mf_no_memory(0, "the mask of label %d", label);
    for (int64_t z = m.lo[0]; z < m.hi[0]; z++)
        for (int64_t y = m.lo[1]; y < m.hi[1]; y++) {
            const int32_t *row = (const int32_t *)wide->data + (z * n[1] + y) * n[2];
            for (int64_t x = m.lo[2]; x < m.hi[2]; x++)
                *d++ = row[x] == label;
        }
    mf_status status = mf_masks_add(builder, &m, dense, &added);
    free(dense);
    return status;
}

static mf_status build(const mf_array *wide, const mf_grid *grid, int64_t min_voxels, int32_t most,
                       found *f, mf_masks_builder *builder, mf_artifact *masks)
{
    int64_t count = 0;
    MF_TRY(find(wide, most, f));
    for (int32_t l = 1; l <= most; l++)
        count += f[l].voxels > 0 && f[l].voxels >= min_voxels;
    mf_array *values;
    MF_TRY(mf_array_new(MF_I32, 1, &count, &values));
    mf_status status = mf_artifact_set_grid(masks, grid);
    int32_t *value = values->data;
    for (int32_t l = 1; l <= most && !status; l++)
        if (f[l].voxels > 0 && f[l].voxels >= min_voxels) {
            status = add(wide, &f[l], l, builder);
            *value++ = l;
        }
    if (!status)
        status = mf_artifact_add(masks, "label", values);
    mf_array_unref(values);
    return status;
}

mf_status masks_of_labels(const mf_array *voxels, const mf_grid *grid, int64_t min_voxels,
                          mf_artifact **made)
{
    mf_array *wide;
    *made = NULL;
    MF_TRY(mf_array_convert(voxels, MF_I32, &wide));
    int32_t most = 0;
    for (int64_t i = 0, n = mf_array_count(wide); i < n; i++)
        if (((const int32_t *)wide->data)[i] > most)
            most = ((const int32_t *)wide->data)[i];
    mf_masks_builder *builder = NULL;
    mf_artifact *masks = NULL;
    found *f = NULL;
    mf_status status =
        most > MOST_LABELS
            ? mf_fail(MF_UNSUPPORTED, "a label of %d; at most %d are read", most, MOST_LABELS)
            : mf_artifact_new("masks", &masks);
    if (!status) {
        f = malloc(((size_t)most + 1) * sizeof *f);
        status = f ? mf_masks_begin(grid, &builder) : mf_no_memory(0, "labels");
    }
    if (!status) {
        status = build(wide, grid, min_voxels, most, f, builder, masks);
        if (status)
            mf_masks_abandon(builder);
        else
            status = mf_masks_finish(builder, masks);
    }
    free(f);
    mf_array_unref(wide);
    if (status) {
        mf_artifact_unref(masks);
        masks = NULL;
    }
    *made = masks;
    return status;
}
