/* look_lists.c - the labels or masks of a result, each with its size and a voxel to go to. */
#include "look.h"
#include "regions.h"

#include <massflow/names.h>
#include <stdlib.h>
#include <string.h>

/* From array order to that of the grid. */
static json_object *place(const int64_t zyx[3])
{
    return desk_look_integers((const int64_t[]){zyx[2], zyx[1], zyx[0]}, 3);
}

/* Name and colour [r, g, b] of a label, where it has them. */
static void put_name(json_object *one, const mf_name *name)
{
    if (!name)
        return;
    desk_put(one, "name", name->name);
    if (name->colour == MF_NO_COLOUR)
        return;
    const int64_t rgb[3] = {name->colour >> 16 & 255, name->colour >> 8 & 255, name->colour & 255};
    json_object_object_add(one, "color", desk_look_integers(rgb, 3));
}

static mf_status list_regions(const desk_source *s, json_object *o)
{
    desk_region *regions;
    mf_names names;
    int64_t count;
    if (s->kind != DESK_LABELS)
        return mf_fail(MF_INVALID, "a result of type %s has no labels",
                       mf_artifact_type(s->artifact));
    MF_TRY(mf_artifact_names(s->artifact, &names));
    mf_status status = desk_regions_of(s, &regions, &count);
    if (status) {
        mf_names_clear(&names);
        return status;
    }
    json_object *list = json_object_new_array();
    for (int64_t i = 0; i < count; i++) {
        json_object *one = json_object_new_object();
        json_object_object_add(one, "label", json_object_new_int(regions[i].label));
        json_object_object_add(one, "voxels", json_object_new_int64(regions[i].voxels));
        json_object_object_add(one, "at", place(regions[i].at));
        put_name(one, mf_names_find(&names, regions[i].label));
        json_object_array_add(list, one);
    }
    free(regions);
    mf_names_clear(&names);
    json_object_object_add(o, "labels", list);
    return MF_OK;
}

mf_status desk_look_labels(desk_request *q, desk_reply *r)
{
    return desk_look_json(q, r, list_regions);
}

/* The middle of the box of a mask, on the slice where it was found. */
static void middle_of(const mf_mask *mask, int64_t at[3])
{
    for (int i = 0; i < 3; i++)
        at[i] = (mask->lo[i] + mask->hi[i]) / 2;
    if (mask->seed_axis >= 0 && mask->seed_axis < 3 &&
        mask->seed_slice >= mask->lo[mask->seed_axis] &&
        mask->seed_slice < mask->hi[mask->seed_axis])
        at[mask->seed_axis] = mask->seed_slice;
}

/* A voxel of the mask for the crosshair: on the slice of middle_of, the one nearest to the middle,
 * where the slice has any. */
static mf_status voxel_of(const desk_source *s, int64_t k, const mf_mask *mask, int64_t at[3])
{
    const int axis = mask->seed_axis >= 0 && mask->seed_axis < 3 ? mask->seed_axis : 0;
    int64_t lo[3], hi[3], best = INT64_MAX, middle[3];
    middle_of(mask, middle);
    memcpy(at, middle, sizeof middle);
    memcpy(lo, mask->lo, sizeof lo);
    memcpy(hi, mask->hi, sizeof hi);
    lo[axis] = middle[axis];
    hi[axis] = middle[axis] + 1;
    const size_t room = (size_t)((hi[0] - lo[0]) * (hi[1] - lo[1]) * (hi[2] - lo[2]));
    uint8_t *inside = malloc(room), *in = inside;
    if (!inside)
        return mf_no_memory(room, "a slice of a mask");
    mf_status status = mf_masks_crop(s->artifact, k, lo, hi, inside);
    for (int64_t z = lo[0]; z < hi[0] && !status; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++)
            for (int64_t x = lo[2]; x < hi[2]; x++) {
                const int64_t d[3] = {z - middle[0], y - middle[1], x - middle[2]};
                const int64_t far = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                if (!*in++ || far >= best)
                    continue;
                best = far;
                memcpy(at, (const int64_t[]){z, y, x}, 3 * sizeof *at);
            }
    free(inside);
    return status;
}

static mf_status list_mask(const desk_source *s, int64_t k, json_object *list)
{
    mf_mask mask;
    int64_t at[3];
    MF_TRY(mf_masks_get(s->artifact, k, &mask));
    MF_TRY(voxel_of(s, k, &mask, at));
    json_object *one = json_object_new_object();
    json_object_object_add(one, "mask", json_object_new_int64(k));
    json_object_object_add(one, "score", json_object_new_double((double)mask.score));
    json_object_object_add(one, "voxels", json_object_new_int64(s->voxels[k]));
    json_object_object_add(one, "at", place(at));
    if (mask.seed_axis >= 0 && mask.seed_axis < 3) { /* of the grid, as slices are asked for */
        json_object_object_add(one, "axis", json_object_new_int(2 - mask.seed_axis));
        json_object_object_add(one, "slice", json_object_new_int(mask.seed_slice));
    }
    json_object_array_add(list, one);
    return MF_OK;
}

static mf_status list_masks(const desk_source *s, json_object *o)
{
    if (s->kind != DESK_MASKS)
        return mf_fail(MF_INVALID, "a result of type %s has no masks",
                       mf_artifact_type(s->artifact));
    json_object *list = json_object_new_array();
    json_object_object_add(o, "masks", list);
    for (int64_t k = 0; k < s->masks; k++)
        MF_TRY(list_mask(s, k, list));
    return MF_OK;
}

mf_status desk_look_masks(desk_request *q, desk_reply *r)
{
    return desk_look_json(q, r, list_masks);
}
