/* regions.c - see regions.h. */
#include "regions.h"
#include <stdlib.h>
#include <string.h>

enum { MOST = 65535, SLOTS = 1 << 18 /* of the table, a power of two well above MOST */ };

/* A label in the table, and what is known of it on the slice that is read. */
typedef struct entry {
    desk_region r;
    int64_t slice, here, best; /* the slice, its voxels there, the most of any slice */
    int64_t y, x;              /* sums on this slice */
    int64_t near[3];           /* z y x on this slice, the voxel nearest to the middle so far */
    bool used;
} entry;

typedef struct counting {
    entry *slot; /* [SLOTS] */
    entry **all; /* [MOST] those in use, in the order they were met */
    int64_t count;
    entry *last; /* neighbours have mostly the same label */
} counting;

static mf_status entry_of(counting *c, int32_t label, entry **found)
{
    uint32_t at = (uint32_t)label * 2654435761u >> 14 & (SLOTS - 1);
    if (c->last && c->last->r.label == label) {
        *found = c->last;
        return MF_OK;
    }
    while (c->slot[at].used && c->slot[at].r.label != label)
        at = (at + 1) & (SLOTS - 1);
    entry *e = c->slot + at;
    if (!e->used) {
        if (c->count == MOST)
            return mf_fail(MF_UNSUPPORTED, "more than %d labels; a list of them has no use", MOST);
        c->all[c->count++] = e;
        *e = (entry){.r.label = label, .slice = -1, .near = {-1}, .used = true};
    }
    *found = c->last = e;
    return MF_OK;
}

/* Calls `visit` for each voxel of a label in slice z; voxels i32 [rows, columns]. */
static mf_status visit_slice(counting *c, const int32_t *voxels, int64_t rows, int64_t columns,
                             int64_t z, void (*visit)(entry *e, int64_t z, int64_t y, int64_t x))
{
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x++, voxels++) {
            entry *e = NULL;
            if (!*voxels)
                continue;
            MF_TRY(entry_of(c, *voxels, &e));
            visit(e, z, y, x);
        }
    return MF_OK;
}

static void count_voxel(entry *e, int64_t z, int64_t y, int64_t x)
{
    if (e->slice != z) {
        e->slice = z;
        e->here = e->y = e->x = 0;
    }
    e->here++;
    e->y += y;
    e->x += x;
    e->r.voxels++;
}

/* Of a label that is larger here than on any slice before: the voxel nearest to the middle. */
static void place_voxel(entry *e, int64_t z, int64_t y, int64_t x)
{
    if (e->here <= e->best)
        return;
    const int64_t my = e->y / e->here, mx = e->x / e->here;
    const int64_t d = (y - my) * (y - my) + (x - mx) * (x - mx);
    const int64_t ny = e->near[1], nx = e->near[2];
    if (e->near[0] != z || d < (ny - my) * (ny - my) + (nx - mx) * (nx - mx))
        memcpy(e->near, (int64_t[]){z, y, x}, sizeof e->near);
}

static void keep_best(counting *c, int64_t z)
{
    for (int64_t i = 0; i < c->count; i++) {
        entry *e = c->all[i];
        if (e->slice != z || e->here <= e->best)
            continue;
        e->best = e->here;
        memcpy(e->r.at, e->near, sizeof e->r.at);
    }
}

static mf_status count_slices(counting *c, const desk_source *source, int64_t first, int64_t end,
                              const mf_array *box)
{
    const int64_t rows = source->grid.size[1], columns = source->grid.size[0];
    mf_array *whole;
    MF_TRY(mf_array_convert(box, MF_I32, &whole));
    mf_status status = MF_OK;
    for (int64_t z = first; z < end && !status; z++) {
        const int32_t *voxels = (const int32_t *)whole->data + (z - first) * rows * columns;
        status = visit_slice(c, voxels, rows, columns, z, count_voxel);
        if (!status)
            status = visit_slice(c, voxels, rows, columns, z, place_voxel);
        if (!status)
            keep_best(c, z);
    }
    mf_array_unref(whole);
    return status;
}

static mf_status count_all(counting *c, const desk_source *source)
{
    enum { BRICK = 64 };
    int64_t size[3];
    mf_zyx(source->grid.size, size);
    for (int64_t z = 0; z < size[0]; z += BRICK) {
        const int64_t end = z + BRICK < size[0] ? z + BRICK : size[0];
        mf_array *box;
        MF_TRY(mf_array_new(source->dtype, 3, (int64_t[]){end - z, size[1], size[2]}, &box));
        mf_status status = desk_source_read(source, NULL, (int64_t[]){z, 0, 0},
                                            (int64_t[]){end, size[1], size[2]}, box->data);
        if (!status)
            status = count_slices(c, source, z, end, box);
        mf_array_unref(box);
        MF_TRY(status);
    }
    return MF_OK;
}

static int by_label(const void *a, const void *b)
{
    const desk_region *x = a, *y = b;
    return (x->label > y->label) - (x->label < y->label);
}

static mf_status list_regions(const counting *c, desk_region **regions, int64_t *count)
{
    *regions = calloc((size_t)c->count + 1, sizeof **regions);
    if (!*regions)
        return mf_no_memory((size_t)c->count * sizeof **regions, "a list of labels");
    for (int64_t i = 0; i < c->count; i++)
        (*regions)[i] = c->all[i]->r;
    *count = c->count;
    qsort(*regions, (size_t)*count, sizeof **regions, by_label);
    return MF_OK;
}

mf_status desk_regions_of(const desk_source *source, desk_region **regions, int64_t *count)
{
    counting c = {.slot = calloc(SLOTS, sizeof *c.slot), .all = calloc(MOST, sizeof *c.all)};
    *regions = NULL;
    *count = 0;
    mf_status status = c.slot && c.all ? count_all(&c, source)
                                       : mf_no_memory(SLOTS * sizeof *c.slot, "a list of labels");
    if (!status)
        status = list_regions(&c, regions, count);
    free(c.slot);
    free(c.all);
    return status;
}
