/* write.c - writes volumes, labels and masks on the grid of the scan that they belong to. */
#include "write.h"
#include "grid/orient.h"
#include "itk_volume.h"
#include "names/names_file.h"
#include "nifti/nifti_write.h"
#include "scan/voxels.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The grid to write on: the scan's own where there is one. */
static mf_status grids(const mf_artifact *a, mf_grid *from, mf_grid *to)
{
    MF_TRY(mf_artifact_grid(a, from));
    if (!mf_artifact_scan_grid(a, to))
        *to = *from;
    return MF_OK;
}

static bool ends_with(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n > m && !strcmp(path + n - m, suffix);
}

/* `names`: of the values of a label map; NULL for what is none. */
static mf_status write_file(const char *path, const mf_grid *grid, const mf_array *voxels,
                            const mf_names *names)
{
    return ends_with(path, ".nii") || ends_with(path, ".nii.gz")
               ? nifti_write(path, grid, voxels)
               : itk_write(path, grid, voxels, names);
}

static mf_status write_restored(const char *path, mf_array *voxels, const mf_grid *from,
                                const mf_grid *to, bool nearest, double outside,
                                const mf_names *names)
{
    mf_array *restored;
    MF_TRY(orient_restore(voxels, from, to, nearest, outside, &restored));
    mf_status status = write_file(path, to, restored, names);
    mf_array_unref(restored);
    return status;
}

mf_status write_volume(const mf_artifact *a, const char *path)
{
    mf_grid from, to;
    mf_array *voxels;
    voxel_facts f;
    MF_TRY(grids(a, &from, &to));
    MF_TRY(mf_artifact_array(a, "voxels", &voxels));
    mf_status status = voxels_measure(voxels, &f);
    if (!status)
        status = write_restored(path, voxels, &from, &to, false, f.min, NULL);
    mf_array_unref(voxels);
    return status;
}

static mf_status write_map(const mf_artifact *a, const char *path, const mf_names *names)
{
    mf_grid from, to;
    mf_array *voxels;
    voxel_facts f;
    MF_TRY(grids(a, &from, &to));
    MF_TRY(mf_artifact_array(a, "voxels", &voxels));
    mf_status status = voxels_measure(voxels, &f);
    if (!status)
        status = voxels_narrow(&voxels, &f);
    if (!status)
        status = write_restored(path, voxels, &from, &to, true, 0, names);
    mf_array_unref(voxels);
    return status;
}

/* A .seg.nrrd has a segment for each value, also for those without a name. */
static mf_status name_all(const mf_artifact *a, mf_names *names)
{
    mf_array *voxels, *wide;
    char text[32];
    MF_TRY(mf_artifact_array(a, "voxels", &voxels));
    mf_status status = mf_array_convert(voxels, MF_I32, &wide);
    mf_array_unref(voxels);
    MF_TRY(status);
    const int32_t *v = wide->data;
    for (int64_t i = 0, n = mf_array_count(wide); i < n && !status; i++) {
        if (v[i] <= 0 || (i && v[i] == v[i - 1]) || mf_names_find(names, v[i]))
            continue;
        snprintf(text, sizeof text, "label %d", v[i]);
        status = mf_names_put(names, v[i], text, MF_NO_COLOUR);
    }
    mf_array_unref(wide);
    return status;
}

static mf_status write_names(const char *path, const mf_names *names)
{
    return names->count ? names_file_write(path, names)
                        : mf_hint(mf_fail(MF_INVALID, "the labels have no names"),
                                  "name them with the parameter `names` of labels.load");
}

mf_status write_labels(const mf_artifact *a, const char *path)
{
    mf_names names;
    MF_TRY(mf_artifact_names(a, &names));
    mf_status status = MF_OK;
    if (ends_with(path, ".txt") || ends_with(path, ".ctbl")) {
        status = write_names(path, &names);
    } else {
        if (ends_with(path, ".seg.nrrd"))
            status = name_all(a, &names);
        if (!status)
            status = write_map(a, path, &names);
    }
    mf_names_clear(&names);
    return status;
}

/* Layers of a label map in which masks do not overlap: u16 [z, y, x] each. */
typedef struct layers {
    mf_array **layer;
    size_t count;
} layers;

static mf_status add_layer(layers *l, const int64_t shape[3])
{
    mf_array **more = mf_list_more(l->layer, l->count, sizeof *more);
    if (!more)
        return mf_no_memory(0, "another layer of masks");
    l->layer = more;
    MF_TRY(mf_array_new(MF_U16, 3, shape, &l->layer[l->count]));
    l->count++;
    return MF_OK;
}

/* Whether the mask fits beside those in the layer; if so it is put there under `value`. */
static bool put(mf_array *layer, const mf_mask *m, const uint8_t *dense, uint16_t value)
{
    const int64_t *n = layer->shape;
    for (int pass = 0; pass < 2; pass++) {
        const uint8_t *d = dense;
        for (int64_t z = m->lo[0]; z < m->hi[0]; z++)
            for (int64_t y = m->lo[1]; y < m->hi[1]; y++) {
                uint16_t *row = (uint16_t *)layer->data + (z * n[1] + y) * n[2];
                for (int64_t x = m->lo[2]; x < m->hi[2]; x++, d++) {
                    if (*d && pass)
                        row[x] = value;
                    else if (*d && row[x])
                        return false;
                }
            }
    }
    return true;
}

static mf_status put_mask(const mf_artifact *a, int64_t k, const int64_t shape[3], layers *l)
{
    mf_mask m;
    size_t bytes;
    MF_TRY(mf_masks_get(a, k, &m));
    if (!mf_size_mul((size_t)(m.hi[0] - m.lo[0]), (size_t)(m.hi[1] - m.lo[1]), &bytes) ||
        !mf_size_mul(bytes, (size_t)(m.hi[2] - m.lo[2]), &bytes))
        return mf_fail(MF_CORRUPT, "mask %lld has an impossible box", (long long)k);
    uint8_t *dense = malloc(bytes ? bytes : 1);
    if (!dense)
        return mf_no_memory(0, "mask %lld", (long long)k);
    mf_status status = mf_masks_crop(a, k, m.lo, m.hi, dense);
    bool done = false;
    for (size_t i = 0; i < l->count && !status && !done; i++)
        done = put(l->layer[i], &m, dense, (uint16_t)(k + 1));
    if (!status && !done) {
        status = add_layer(l, shape);
        if (!status)
            put(l->layer[l->count - 1], &m, dense, (uint16_t)(k + 1));
    }
    free(dense);
    return status;
}

/* All layers on the scan's grid, as one array: [z, y, x], or [layer, z, y, x] where masks overlap.
 */
static mf_status restore_layers(const layers *l, const mf_grid *from, const mf_grid *to,
                                mf_array **all)
{
    const int64_t shape[4] = {(int64_t)l->count, to->size[2], to->size[1], to->size[0]};
    int one = l->count == 1;
    MF_TRY(mf_array_new(MF_U16, one ? 3 : 4, shape + one, all));
    for (size_t i = 0; i < l->count; i++) {
        mf_array *restored;
        mf_status status = orient_restore(l->layer[i], from, to, true, 0, &restored);
        if (status) {
            mf_array_unref(*all);
            *all = NULL;
            return status;
        }
        memcpy((char *)(*all)->data + i * restored->bytes, restored->data, restored->bytes);
        mf_array_unref(restored);
    }
    return MF_OK;
}

static mf_status write_layers(const mf_artifact *a, const char *path, layers *l)
{
    mf_grid from, to;
    mf_array *all;
    MF_TRY(grids(a, &from, &to));
    int64_t shape[3];
    mf_zyx(from.size, shape);
    int64_t count = mf_masks_count(a);
    if (count > UINT16_MAX)
        return mf_fail(MF_UNSUPPORTED, "%s: %lld masks are more than a label map can number", path,
                       (long long)count);
    MF_TRY(add_layer(l, shape));
    for (int64_t k = 0; k < count; k++)
        MF_TRY(put_mask(a, k, shape, l));
    MF_TRY(restore_layers(l, &from, &to, &all));
    mf_status status = write_file(path, &to, all, NULL);
    mf_array_unref(all);
    return status;
}

mf_status write_masks(const mf_artifact *a, const char *path)
{
    layers l = {0};
    mf_status status = write_layers(a, path, &l);
    for (size_t i = 0; i < l.count; i++)
        mf_array_unref(l.layer[i]);
    free(l.layer);
    return status;
}

/* All maps [k, z, y, x] on the scan's grid: [z, y, x] of one, else along a fourth axis. */
static mf_status restore_maps(const mf_array *maps, const mf_grid *from, const mf_grid *to,
                              mf_array **all)
{
    const int64_t k = maps->shape[0], shape[4] = {k, to->size[2], to->size[1], to->size[0]};
    mf_array *map, *restored;
    int one = k == 1;
    MF_TRY(mf_array_new(MF_F32, 3, maps->shape + 1, &map));
    mf_status status = mf_array_new(MF_F32, one ? 3 : 4, shape + one, all);
    for (int64_t i = 0; i < k && !status; i++) {
        memcpy(map->data, (const char *)maps->data + (size_t)i * map->bytes, map->bytes);
        status = orient_restore(map, from, to, false, 0, &restored);
        if (!status) {
            memcpy((char *)(*all)->data + (size_t)i * restored->bytes, restored->data,
                   restored->bytes);
            mf_array_unref(restored);
        }
    }
    mf_array_unref(map);
    if (status) {
        mf_array_unref(*all);
        *all = NULL;
    }
    return status;
}

mf_status write_probabilities(const mf_artifact *a, const char *path)
{
    mf_grid from, to;
    mf_array *maps, *all = NULL;
    MF_TRY(grids(a, &from, &to));
    MF_TRY(mf_artifact_array(a, "values", &maps));
    mf_status status = restore_maps(maps, &from, &to, &all);
    mf_array_unref(maps);
    if (!status)
        status = write_file(path, &to, all, NULL);
    mf_array_unref(all);
    return status;
}
