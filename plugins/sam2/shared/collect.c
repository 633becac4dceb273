/* collect.c - see collect.h. */
#include "collect.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "masks");
}

void sam2_list_cut(sam2_list *list, int64_t count)
{
    while (list->count > count)
        free(list->item[--list->count].bits);
}

void sam2_list_clear(sam2_list *list)
{
    sam2_list_cut(list, 0);
    free(list->item);
    *list = (sam2_list){0};
}

static int64_t voxels_of(const mf_mask *m)
{
    return (m->hi[0] - m->lo[0]) * (m->hi[1] - m->lo[1]) * (m->hi[2] - m->lo[2]);
}

static size_t bytes_of(const mf_mask *m)
{
    return (size_t)(voxels_of(m) + 7) / 8;
}

static mf_status reserve(sam2_list *list)
{
    sam2_found *more = mf_list_more(list->item, (size_t)list->count, sizeof *more);
    if (!more)
        return no_memory();
    list->item = more;
    return MF_OK;
}

mf_status sam2_list_add(sam2_list *list, const sam2_found *found, const uint8_t *dense)
{
    const int64_t voxels = voxels_of(&found->mask);
    MF_TRY(reserve(list));
    sam2_found *f = list->item + list->count;
    *f = *found;
    f->bits = calloc(bytes_of(&f->mask) + 1, 1);
    if (!f->bits)
        return no_memory();
    bool any = false;
    for (int64_t i = 0; i < voxels; i++)
        if (dense[i]) {
            f->bits[i >> 3] |= (uint8_t)(1u << (i & 7));
            any = true;
        }
    if (any)
        list->count++;
    else
        free(f->bits);
    return MF_OK;
}

/* ---- publishing ------------------------------------------------------------------------------ */

static mf_status add_masks(const sam2_list *list, mf_masks_builder *builder)
{
    uint8_t *dense = NULL;
    mf_status status = MF_OK;
    for (int64_t i = 0; i < list->count && !status; i++) {
        const sam2_found *f = list->item + i;
        const int64_t voxels = voxels_of(&f->mask);
        uint8_t *more = realloc(dense, (size_t)voxels);
        bool added;
        if (!more) {
            status = no_memory();
            break;
        }
        dense = more;
        for (int64_t v = 0; v < voxels; v++)
            dense[v] = f->bits[v >> 3] >> (v & 7) & 1;
        status = mf_masks_add(builder, &f->mask, dense, &added);
    }
    free(dense);
    return status;
}

typedef struct notes {
    mf_array *stability, *point, *crop; /* f32 [k], f32 [k, 2] x y, i32 [k, 4] x0 y0 x1 y1 */
} notes;

static void notes_clear(notes *n)
{
    mf_array_unref(n->stability);
    mf_array_unref(n->point);
    mf_array_unref(n->crop);
}

static mf_status notes_make(const sam2_list *list, notes *n)
{
    const int64_t k = list->count;
    *n = (notes){0};
    mf_status status = mf_array_new(MF_F32, 1, &k, &n->stability);
    if (!status)
        status = mf_array_new(MF_F32, 2, (int64_t[]){k, 2}, &n->point);
    if (!status)
        status = mf_array_new(MF_I32, 2, (int64_t[]){k, 4}, &n->crop);
    if (status) {
        notes_clear(n);
        return status;
    }
    for (int64_t i = 0; i < k; i++) {
        const sam2_found *f = list->item + i;
        ((float *)n->stability->data)[i] = f->stability;
        memcpy((float *)n->point->data + 2 * i, f->point, sizeof f->point);
        memcpy((int32_t *)n->crop->data + 4 * i, f->crop, sizeof f->crop);
    }
    return MF_OK;
}

static mf_status notes_add(const sam2_list *list, mf_artifact *a)
{
    notes n;
    MF_TRY(notes_make(list, &n));
    mf_status status = mf_artifact_add(a, "stability", n.stability);
    if (!status)
        status = mf_artifact_add(a, "point", n.point);
    if (!status)
        status = mf_artifact_add(a, "crop", n.crop);
    notes_clear(&n);
    return status;
}

mf_status sam2_list_publish(const sam2_list *list, const char *type, const mf_grid *grid,
                            const mf_artifact *scan, mf_artifact **artifact)
{
    mf_masks_builder *builder;
    mf_artifact *a = NULL;
    *artifact = NULL;
    MF_TRY(mf_masks_begin(grid, &builder));
    mf_status status = add_masks(list, builder);
    if (!status)
        status = mf_artifact_new(type, &a);
    if (status)
        mf_masks_abandon(builder);
    else
        status = mf_masks_finish(builder, a);
    if (!status)
        status = mf_artifact_inherit(a, scan);
    if (!status && !strcmp(type, "seeds"))
        status = notes_add(list, a);
    if (status) {
        mf_artifact_unref(a);
        return status;
    }
    *artifact = a;
    return MF_OK;
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

/* One row a mask: lo, hi, seed axis and slice; all bits joined. */
enum { ROW = 8 };

static mf_status fill_state(const sam2_list *list, mf_artifact *state)
{
    mf_array *rows = NULL, *scores = NULL, *bits = NULL;
    int64_t bytes = 0;
    for (int64_t i = 0; i < list->count; i++)
        bytes += (int64_t)bytes_of(&list->item[i].mask);
    mf_status status = mf_array_new(MF_I64, 2, (int64_t[]){list->count, ROW}, &rows);
    if (!status)
        status = mf_array_new(MF_F32, 1, &list->count, &scores);
    if (!status)
        status = mf_array_new(MF_U8, 1, &bytes, &bits);
    uint8_t *to = status ? NULL : bits->data;
    for (int64_t i = 0; i < list->count && !status; i++) {
        const sam2_found *f = list->item + i;
        int64_t *row = (int64_t *)rows->data + ROW * i;
        memcpy(row, f->mask.lo, sizeof f->mask.lo);
        memcpy(row + 3, f->mask.hi, sizeof f->mask.hi);
        row[6] = f->mask.seed_axis;
        row[7] = f->mask.seed_slice;
        ((float *)scores->data)[i] = f->mask.score;
        memcpy(to, f->bits, bytes_of(&f->mask));
        to += bytes_of(&f->mask);
    }
    if (!status)
        status = mf_artifact_add(state, "rows", rows);
    if (!status)
        status = mf_artifact_add(state, "scores", scores);
    if (!status)
        status = mf_artifact_add(state, "bits", bits);
    if (!status)
        status = notes_add(list, state);
    mf_array_unref(rows);
    mf_array_unref(scores);
    mf_array_unref(bits);
    return status;
}

mf_status sam2_list_save(const sam2_list *list, mf_artifact **state)
{
    MF_TRY(mf_artifact_new("masks", state));
    mf_status status = fill_state(list, *state);
    if (status) {
        mf_artifact_unref(*state);
        *state = NULL;
    }
    return status;
}

/* The arrays of a state, in the order of their names below. */
enum { ROWS, SCORES, BITS, STABILITY, POINT, CROP, ARRAYS };

static mf_status read_state(const mf_artifact *state, mf_array *a[ARRAYS])
{
    static const char *const names[ARRAYS] = {"rows",      "scores", "bits",
                                              "stability", "point",  "crop"};
    for (int i = 0; i < ARRAYS; i++)
        MF_TRY(mf_artifact_array(state, names[i], &a[i]));
    return MF_OK;
}

static mf_status take_state(sam2_list *list, mf_array *const a[ARRAYS])
{
    const uint8_t *from = a[BITS]->data, *end = from + a[BITS]->bytes;
    for (int64_t i = 0; i < a[ROWS]->shape[0]; i++) {
        const int64_t *row = (const int64_t *)a[ROWS]->data + ROW * i;
        MF_TRY(reserve(list));
        sam2_found *f = list->item + list->count;
        *f = (sam2_found){.mask = {.score = ((const float *)a[SCORES]->data)[i],
                                   .seed_axis = (int32_t)row[6],
                                   .seed_slice = (int32_t)row[7]},
                          .stability = ((const float *)a[STABILITY]->data)[i]};
        memcpy(f->mask.lo, row, sizeof f->mask.lo);
        memcpy(f->mask.hi, row + 3, sizeof f->mask.hi);
        memcpy(f->point, (const float *)a[POINT]->data + 2 * i, sizeof f->point);
        memcpy(f->crop, (const int32_t *)a[CROP]->data + 4 * i, sizeof f->crop);
        const size_t bytes = bytes_of(&f->mask);
        if (bytes > (size_t)(end - from))
            return mf_fail(MF_CORRUPT, "a checkpoint has too few bits for its masks");
        f->bits = malloc(bytes + 1);
        if (!f->bits)
            return no_memory();
        memcpy(f->bits, from, bytes);
        from += bytes;
        list->count++;
    }
    return MF_OK;
}

mf_status sam2_list_load(sam2_list *list, const mf_artifact *state)
{
    mf_array *a[ARRAYS] = {NULL};
    *list = (sam2_list){0};
    mf_status status = read_state(state, a);
    if (!status)
        status = take_state(list, a);
    for (int i = 0; i < ARRAYS; i++)
        mf_array_unref(a[i]);
    if (status)
        sam2_list_clear(list);
    return status;
}
