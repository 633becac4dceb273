/* area.c - see area.h. Parts are found by runs along x, joined over neighbouring rows, so that a
 * mask costs one look at its pixels and little more. */
#include "area.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct sam2_run {
    int32_t from, to; /* along x, half-open */
    int32_t parent;
} run;

void sam2_parts_clear(sam2_parts *p)
{
    free(p->run);
    free(p->start);
    free(p->size);
    free(p->inside);
    *p = (sam2_parts){0};
}

static mf_status no_memory(void)
{
    return mf_no_memory(0, "the parts of a mask");
}

static int32_t root(run *r, int32_t i)
{
    while (r[i].parent != i)
        i = r[i].parent = r[r[i].parent].parent;
    return i;
}

static mf_status grow(sam2_parts *p)
{
    const int64_t room = p->room ? 2 * p->room : 4096;
    run *more = room < INT32_MAX ? realloc(p->run, (size_t)room * sizeof *more) : NULL;
    if (more)
        p->run = more;
    int64_t *size = more ? realloc(p->size, (size_t)room * sizeof *size) : NULL;
    if (!size)
        return no_memory();
    p->size = size;
    p->room = room;
    return MF_OK;
}

static mf_status find_runs(sam2_parts *p, const uint8_t *row, int64_t n)
{
    for (const uint8_t *at = row, *end = row + n;
         (at = memchr(at, 1, (size_t)(end - at))) != NULL;) {
        const uint8_t *stop = memchr(at, 0, (size_t)(end - at));
        stop = stop ? stop : end;
        if (p->count == p->room)
            MF_TRY(grow(p));
        p->run[p->count] = (run){(int32_t)(at - row), (int32_t)(stop - row), (int32_t)p->count};
        p->size[p->count++] = 0;
        at = stop;
    }
    return MF_OK;
}

/* Joins the runs [a, a_end) of one row with those [b, b_end) of another where they touch; `corner`
 * is 1 where touching at a corner counts. */
static void join(run *r, int64_t a, int64_t a_end, int64_t b, int64_t b_end, int32_t corner)
{
    while (a < a_end && b < b_end) {
        if (r[a].from < r[b].to + corner && r[b].from < r[a].to + corner) {
            const int32_t i = root(r, (int32_t)a), j = root(r, (int32_t)b);
            r[i < j ? j : i].parent = i < j ? i : j;
        }
        if (r[a].to < r[b].to)
            a++;
        else
            b++;
    }
}

/* The parts of inside u8 0/1 [shape]: parents point at the first run of a part, which has its size.
 * Corners count within a slice only. */
static mf_status find_parts(sam2_parts *p, const uint8_t *inside, const int64_t shape[3],
                            bool corners)
{
    const int64_t rows = shape[0] * shape[1];
    if (p->rows_room < (size_t)rows + 1) {
        int64_t *start = realloc(p->start, ((size_t)rows + 1) * sizeof *start);
        if (!start)
            return no_memory();
        p->start = start;
        p->rows_room = (size_t)rows + 1;
    }
    p->count = 0;
    for (int64_t i = 0; i < rows; i++) {
        int64_t *s = p->start + i;
        *s = p->count;
        MF_TRY(find_runs(p, inside + i * shape[2], shape[2]));
        if (i % shape[1])
            join(p->run, *s, p->count, s[-1], *s, corners);
        if (i >= shape[1])
            join(p->run, *s, p->count, s[-shape[1]], s[1 - shape[1]], 0);
    }
    p->start[rows] = p->count;
    for (int64_t i = 0; i < p->count; i++) {
        run *r = p->run + i;
        r->parent = root(p->run, (int32_t)i);
        p->size[r->parent] += r->to - r->from;
    }
    return MF_OK;
}

/* ---- logits ---------------------------------------------------------------------------------- */

/* Eight at a time: loops of a known length become vectors. */
static void compare(const float *restrict logits, int64_t n, float threshold, uint8_t above,
                    uint8_t *restrict inside)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            inside[i + k] = (logits[i + k] > threshold) == above;
    for (; i < n; i++)
        inside[i] = (logits[i] > threshold) == above;
}

/* Finds the parts above (or not above) a threshold; logits are not changed yet. */
static mf_status parts_of(sam2_parts *p, const float *logits, int64_t h, int64_t w, float threshold,
                          bool above)
{
    if (p->inside_room < (size_t)(h * w)) {
        uint8_t *inside = realloc(p->inside, (size_t)(h * w));
        if (!inside)
            return no_memory();
        p->inside = inside;
        p->inside_room = (size_t)(h * w);
    }
    compare(logits, h * w, threshold, above, p->inside);
    return find_parts(p, p->inside, (int64_t[]){1, h, w}, true);
}

/* Sets the parts of at most `most` pixels. */
static void set_small(const sam2_parts *p, float *logits, int64_t h, int64_t w, int64_t most,
                      float value)
{
    for (int64_t y = 0; y < h; y++)
        for (int64_t i = p->start[y]; i < p->start[y + 1]; i++) {
            const run *r = p->run + i;
            if (p->size[r->parent] <= most)
                for (int32_t x = r->from; x < r->to; x++)
                    logits[y * w + x] = value;
        }
}

mf_status sam2_area_clean(sam2_parts *p, float *logits, int64_t h, int64_t w, float threshold,
                          int64_t holes, int64_t sprinkles)
{
    sam2_parts spots = {0};
    mf_status status = MF_OK;
    /* Both are found before either is changed: a filled hole joins no sprinkle. */
    if (sprinkles > 0)
        status = parts_of(&spots, logits, h, w, threshold, true);
    if (!status && holes > 0)
        status = parts_of(p, logits, h, w, threshold, false);
    if (!status && holes > 0)
        set_small(p, logits, h, w, holes, threshold + 10);
    if (!status && sprinkles > 0)
        set_small(&spots, logits, h, w, sprinkles, threshold - 10);
    sam2_parts_clear(&spots);
    return status;
}

int64_t sam2_area_for(int64_t pixels, int64_t image)
{
    return (int64_t)rint((double)pixels * (double)image * (double)image / (1024.0 * 1024.0));
}

mf_status sam2_area_fill(sam2_parts *p, float *logits, int64_t h, int64_t w, int64_t holes)
{
    if (holes <= 0)
        return MF_OK;
    MF_TRY(parts_of(p, logits, h, w, 0, false));
    set_small(p, logits, h, w, holes, 0.1f);
    return MF_OK;
}

/* ---- 3D -------------------------------------------------------------------------------------- */

/* Whether a run of row i has voxels in the slice. */
static bool crosses(const run *r, int64_t i, const int64_t shape[3], int axis, int64_t slice)
{
    const int64_t at[2] = {i / shape[1], i % shape[1]};
    return axis == 2 ? r->from <= slice && slice < r->to : at[axis] == slice;
}

/* The first run of the part that stays; -1: none does. */
static int64_t choose(const sam2_parts *p, const int64_t shape[3], int axis, int64_t slice)
{
    int64_t best = -1, parts = 0;
    for (int64_t i = 0; i < p->count; i++)
        parts += p->run[i].parent == i;
    if (parts == 1)
        return 0;
    for (int64_t row = 0; row < shape[0] * shape[1]; row++)
        for (int64_t i = p->start[row]; i < p->start[row + 1]; i++) {
            const int64_t part = p->run[i].parent;
            if (!crosses(p->run + i, row, shape, axis, slice))
                continue;
            if (best < 0 || p->size[part] > p->size[best] ||
                (p->size[part] == p->size[best] && part < best))
                best = part;
        }
    return best;
}

mf_status sam2_area_keep(sam2_parts *p, uint8_t *dense, const int64_t shape[3], int axis,
                         int64_t slice, int64_t *voxels)
{
    *voxels = 0;
    const int64_t all = shape[0] * shape[1] * shape[2];
    for (int64_t i = 0; i < all; i++)
        dense[i] = dense[i] != 0;
    MF_TRY(find_parts(p, dense, shape, false));
    if (p->count == 0)
        return MF_OK;
    const int64_t kept = choose(p, shape, axis, slice);
    *voxels = kept < 0 ? 0 : p->size[kept];
    for (int64_t row = 0; row < shape[0] * shape[1]; row++)
        for (int64_t i = p->start[row]; i < p->start[row + 1]; i++) {
            const run *r = p->run + i;
            if (r->parent != kept)
                memset(dense + row * shape[2] + r->from, 0, (size_t)(r->to - r->from));
        }
    return MF_OK;
}
