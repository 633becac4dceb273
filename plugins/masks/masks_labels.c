/* masks_labels.c - stage masks.labels: a set of masks as a label map. */
#include "masks_labels.code.h"
#include "masks_stages.h"

#include <stdlib.h>
#include <string.h>

#define MOST_MASKS 65535

static const mf_port inputs[] = {MF_PORT("masks", "masks", "The masks."), MF_END};
static const mf_port outputs[] = {
    MF_PORT("labels", "labels", "A label for each mask; 0 is background."), MF_END};

/* A mask, its label, and how large it is. */
typedef struct part {
    int64_t mask, voxels;
    int32_t label;
} part;

/* Large ones first: what is drawn later lies on top. Of two that are as large the earlier one. */
static int by_size(const void *a, const void *b)
{
    const part *x = a, *y = b;
    return x->voxels != y->voxels ? (x->voxels < y->voxels) - (x->voxels > y->voxels)
                                  : (x->mask < y->mask) - (x->mask > y->mask);
}

/* The array `label`, where the masks have been labels, else 1, 2, 3 ... */
static mf_status number_parts(const mf_artifact *masks, part *parts, int64_t count)
{
    mf_array_info info;
    mf_array *label;
    for (int64_t k = 0; k < count; k++) {
        parts[k] = (part){.mask = k, .label = (int32_t)k + 1};
        MF_TRY(mf_masks_volume(masks, k, &parts[k].voxels));
    }
    if (!mf_artifact_find(masks, "label", &info))
        return MF_OK;
    if (info.dtype != MF_I32 || info.rank != 1 || info.shape[0] != count)
        return mf_fail(MF_CORRUPT, "the array 'label' is not one label for each mask");
    MF_TRY(mf_artifact_array(masks, "label", &label));
    for (int64_t k = 0; k < count; k++)
        parts[k].label = ((const int32_t *)label->data)[k];
    mf_array_unref(label);
    for (int64_t k = 0; k < count; k++)
        if (parts[k].label < 1)
            return mf_fail(MF_CORRUPT, "mask %lld has the label %d", (long long)k, parts[k].label);
    return MF_OK;
}

static mf_status draw(const mf_artifact *masks, const part *p, const mf_grid *grid, int32_t *voxels)
{
    mf_mask m;
    MF_TRY(mf_masks_get(masks, p->mask, &m));
    const int64_t columns = m.hi[2] - m.lo[2], rows = m.hi[1] - m.lo[1];
    uint8_t *dense = malloc((size_t)((m.hi[0] - m.lo[0]) * rows * columns)), *d = dense;
    if (!dense)
        return mf_no_memory(0, "mask %lld", (long long)p->mask);
    mf_status status = mf_masks_crop(masks, p->mask, m.lo, m.hi, dense);
    for (int64_t z = m.lo[0]; z < m.hi[0] && !status; z++)
        for (int64_t y = m.lo[1]; y < m.hi[1]; y++) {
            int32_t *row = voxels + (z * grid->size[1] + y) * grid->size[0];
            for (int64_t x = m.lo[2]; x < m.hi[2]; x++, d++)
                row[x] = *d ? p->label : row[x];
        }
    free(dense);
    return status;
}

static mf_status draw_all(mf_task *t, const mf_artifact *masks, const mf_grid *grid, mf_array *wide)
{
    const int64_t count = mf_masks_count(masks);
    part *parts = calloc((size_t)count + 1, sizeof *parts);
    if (!parts)
        return mf_no_memory(0, "%lld masks", (long long)count);
    mf_status status = number_parts(masks, parts, count);
    if (!status)
        qsort(parts, (size_t)count, sizeof *parts, by_size);
    memset(wide->data, 0, (size_t)mf_array_count(wide) * sizeof(int32_t));
    for (int64_t k = 0; k < count && !status; k++) {
        status = mf_cancel_point(t);
        if (!status)
            status = draw(masks, &parts[k], grid, wide->data);
    }
    free(parts);
    return status;
}

/* In the smallest type that holds them. */
static mf_status narrow(const mf_array *wide, mf_array **voxels)
{
    int32_t most = 0;
    for (int64_t i = 0, n = mf_array_count(wide); i < n; i++) {
        const int32_t v = ((const int32_t *)wide->data)[i];
        most = v > most ? v : most;
    }
    return mf_array_convert(wide, most < 256 ? MF_U8 : most < 65536 ? MF_U16 : MF_I32, voxels);
}

static mf_status publish(mf_task *t, const mf_artifact *masks, const mf_grid *grid,
                         mf_array *voxels)
{
    mf_artifact *a;
    MF_TRY(mf_artifact_new("labels", &a));
    mf_status status = mf_artifact_set_grid(a, grid);
    if (!status)
        status = mf_artifact_add(a, "voxels", voxels);
    if (!status)
        status = mf_artifact_inherit(a, masks);
    if (!status)
        status = mf_artifact_copy_names(a, masks);
    if (!status)
        return mf_out(t, "labels", a);
    mf_artifact_unref(a);
    return status;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const mf_artifact *masks;
    mf_array *wide = NULL, *voxels = NULL;
    mf_grid grid;
    int64_t shape[3];
    (void)p;
    (void)session;
    MF_TRY(mf_in(t, "masks", &masks));
    MF_TRY(mf_artifact_grid(masks, &grid));
    if (mf_masks_count(masks) > MOST_MASKS)
        return mf_hint(mf_fail(MF_UNSUPPORTED, "%lld masks; a label map has at most %d",
                               (long long)mf_masks_count(masks), MOST_MASKS),
                       "masks.nms keeps fewer of them");
    mf_zyx(grid.size, shape);
    MF_TRY(mf_array_new(MF_I32, 3, shape, &wide));
    mf_status status = draw_all(t, masks, &grid, wide);
    if (!status)
        status = narrow(wide, &voxels);
    mf_array_unref(wide);
    if (!status)
        status = publish(t, masks, &grid, voxels);
    mf_array_unref(voxels);
    return status;
}

MF_STAGE(masks_labels, "masks.labels", 1, "Converts masks to a label map, one label per mask.",
         .help = "Where masks overlap, the smallest is on top: labels that are converted to masks "
                 "and back are the same. Masks of labels keep values and names; others become 1, "
                 "2, 3 ... in their order. To take an object of sam2.segment as an example for "
                 "mass.segment, or to write masks as one file.",
         .in = inputs, .out = outputs, .run = run);
