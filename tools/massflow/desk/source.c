/* source.c - see source.h. */
#include "source.h"
#include <stdlib.h>
#include <string.h>

static int64_t box_voxels(const int64_t lo[3], const int64_t hi[3])
{
    return (hi[0] - lo[0]) * (hi[1] - lo[1]) * (hi[2] - lo[2]);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Browsers have no 64-bit reals' arrays worth sending, and no halves. */
static mf_dtype shown_as(mf_dtype stored)
{
    return stored == MF_F16 || stored == MF_F64 || stored == MF_I64 ? MF_F32 : stored;
}

static mf_status open_voxels(desk_source *s)
{
    mf_array_info info;
    int64_t shape[3];
    if (!mf_artifact_find(s->artifact, "voxels", &info) || info.ragged || info.rank != 3)
        return mf_fail(MF_CORRUPT, "a %s without voxels [z, y, x]", mf_artifact_type(s->artifact));
    mf_zyx(s->grid.size, shape);
    for (int i = 0; i < 3; i++)
        if (info.shape[i] != shape[i] || shape[i] < 1)
            return mf_fail(MF_CORRUPT, "voxels [%lld, %lld, %lld] on a grid of [%lld, %lld, %lld]",
                           (long long)info.shape[0], (long long)info.shape[1],
                           (long long)info.shape[2], (long long)shape[0], (long long)shape[1],
                           (long long)shape[2]);
    s->stored = info.dtype;
    s->dtype = shown_as(info.dtype);
    return MF_OK;
}

typedef struct sized {
    int64_t voxels;
    int32_t mask;
} sized;

static int largest_first(const void *a, const void *b)
{
    const sized *x = a, *y = b;
    if (x->voxels != y->voxels)
        return x->voxels > y->voxels ? -1 : 1;
    return (x->mask > y->mask) - (x->mask < y->mask);
}

static mf_status order_masks(desk_source *s, sized *list)
{
    for (int64_t k = 0; k < s->masks; k++) {
        mf_mask mask;
        MF_TRY(mf_masks_get(s->artifact, k, &mask));
        for (int i = 0; i < 3; i++)
            if (mask.lo[i] < 0 || mask.hi[i] > s->grid.size[2 - i])
                return mf_fail(MF_CORRUPT, "mask %lld lies outside of its grid", (long long)k);
        list[k].mask = (int32_t)k;
        MF_TRY(mf_masks_volume(s->artifact, k, &s->voxels[k]));
        list[k].voxels = s->voxels[k];
    }
    qsort(list, (size_t)s->masks, sizeof *list, largest_first);
    for (int64_t k = 0; k < s->masks; k++)
        s->order[k] = list[k].mask;
    return MF_OK;
}

static mf_status open_masks(desk_source *s)
{
    s->stored = s->dtype = MF_U16;
    s->masks = mf_masks_count(s->artifact);
    if (s->masks >= UINT16_MAX)
        return mf_fail(MF_UNSUPPORTED, "%lld masks; up to %d can be drawn", (long long)s->masks,
                       UINT16_MAX - 1);
    sized *list = calloc((size_t)s->masks + 1, sizeof *list);
    s->order = calloc((size_t)s->masks + 1, sizeof *s->order);
    s->voxels = calloc((size_t)s->masks + 1, sizeof *s->voxels);
    mf_status status = list && s->order && s->voxels
                           ? order_masks(s, list)
                           : mf_no_memory((size_t)s->masks * sizeof *list, "a list of masks");
    free(list);
    return status;
}

static mf_status open_kind(desk_source *s)
{
    const char *type = mf_artifact_type(s->artifact);
    const bool volume = !strcmp(type, "volume"), labels = !strcmp(type, "labels");
    if (!volume && !labels && strcmp(type, "masks") != 0)
        return mf_fail(MF_INVALID, "a result of type %s has no planes to look at", type);
    s->kind = volume ? DESK_VOLUME : labels ? DESK_LABELS : DESK_MASKS;
    MF_TRY(mf_artifact_grid(s->artifact, &s->grid));
    return s->kind == DESK_MASKS ? open_masks(s) : open_voxels(s);
}

mf_status desk_source_open(const mf_artifact *artifact, desk_source **source)
{
    desk_source *s = calloc(1, sizeof *s);
    *source = NULL;
    if (!s)
        return mf_no_memory(sizeof *s, "a volume to look at");
    s->artifact = mf_artifact_ref(artifact);
    mf_status status = open_kind(s);
    if (status)
        desk_source_free(s);
    else
        *source = s;
    return status;
}

void desk_source_free(desk_source *s)
{
    if (!s)
        return;
    mf_artifact_unref(s->artifact);
    free(s->order);
    free(s->voxels);
    free(s);
}

/* ---- reading --------------------------------------------------------------------------------- */

static mf_status read_voxels(const desk_source *s, const int64_t lo[3], const int64_t hi[3],
                             void *dst)
{
    mf_array *box, *real;
    if (s->dtype == s->stored)
        return mf_artifact_read_box(s->artifact, "voxels", lo, hi, dst);
    const int64_t shape[3] = {hi[0] - lo[0], hi[1] - lo[1], hi[2] - lo[2]};
    MF_TRY(mf_array_new(s->stored, 3, shape, &box));
    mf_status status = mf_artifact_read_box(s->artifact, "voxels", lo, hi, box->data);
    if (!status)
        status = mf_array_convert(box, s->dtype, &real);
    mf_array_unref(box);
    MF_TRY(status);
    memcpy(dst, real->data, real->bytes);
    mf_array_unref(real);
    return MF_OK;
}

/* Paints the part of mask k that lies in the box. room: u8 of the box's size. */
static mf_status paint(const desk_source *s, int64_t k, const int64_t lo[3], const int64_t hi[3],
                       uint8_t *room, uint16_t *dst)
{
    mf_mask mask;
    int64_t from[3], to[3];
    MF_TRY(mf_masks_get(s->artifact, k, &mask));
    for (int i = 0; i < 3; i++) {
        from[i] = lo[i] > mask.lo[i] ? lo[i] : mask.lo[i];
        to[i] = hi[i] < mask.hi[i] ? hi[i] : mask.hi[i];
        if (from[i] >= to[i])
            return MF_OK;
    }
    MF_TRY(mf_masks_crop(s->artifact, k, from, to, room));
    for (int64_t z = from[0]; z < to[0]; z++)
        for (int64_t y = from[1]; y < to[1]; y++) {
            uint16_t *line =
                dst + ((z - lo[0]) * (hi[1] - lo[1]) + y - lo[1]) * (hi[2] - lo[2]) - lo[2];
            for (int64_t x = from[2]; x < to[2]; x++)
                if (*room++)
                    line[x] = (uint16_t)(k + 1);
        }
    return MF_OK;
}

mf_status desk_source_read(const desk_source *s, const uint8_t *only, const int64_t lo[3],
                           const int64_t hi[3], void *dst)
{
    if (s->kind != DESK_MASKS)
        return read_voxels(s, lo, hi, dst);
    const size_t voxels = (size_t)box_voxels(lo, hi);
    uint8_t *room = malloc(voxels ? voxels : 1);
    if (!room)
        return mf_no_memory(voxels, "a part of a mask");
    memset(dst, 0, voxels * sizeof(uint16_t));
    mf_status status = MF_OK;
    for (int64_t i = 0; i < s->masks && !status; i++)
        if (!only || only[s->order[i]])
            status = paint(s, s->order[i], lo, hi, room, dst);
    free(room);
    return status;
}
