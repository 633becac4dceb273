/* request.c - see request.h. */
#include "request.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

mf_status sam2_request_check(const sam2_request *r)
{
    const size_t points = r->points.count / 3, boxes = r->boxes.count / 6;
    if (r->points.count % 3)
        return mf_fail(MF_INVALID, "points: %zu numbers; x, y and z of each are a multiple of 3",
                       r->points.count);
    if (r->boxes.count % 6)
        return mf_fail(MF_INVALID, "box: %zu numbers; two corners of each are a multiple of 6",
                       r->boxes.count);
    if (r->labels.count && r->labels.count != points)
        return mf_fail(MF_INVALID, "labels: %zu for %zu points", r->labels.count, points);
    if (r->object.count && r->object.count != points + boxes)
        return mf_fail(MF_INVALID, "obj_ids: %zu numbers for %zu points and %zu boxes",
                       r->object.count, points, boxes);
    return MF_OK;
}

void sam2_targets_free(sam2_target *targets, int64_t count)
{
    for (int64_t i = 0; i < count && targets; i++) {
        free(targets[i].xy);
        free(targets[i].labels);
    }
    free(targets);
}

/* A place as an index x y z, at most half a voxel outside. */
static mf_status index_of(const sam2_request *r, const sam2_stack *s, const double at[3],
                          const char *what, double ijk[3])
{
    double xyz[3];
    memcpy(xyz, at, sizeof xyz);
    if (!r->world)
        mf_grid_to_world(&s->scan, at, xyz);
    mf_grid_to_index(&s->grid, xyz, ijk);
    for (int k = 0; k < 3; k++)
        if (!(ijk[k] >= -0.5 && ijk[k] <= (double)s->grid.size[k] - 0.5))
            return mf_hint(
                mf_fail(MF_INVALID,
                        "%s %g, %g, %g (%g, %g, %g in the slices' order) lies outside "
                        "of their %lld x %lld x %lld voxels",
                        what, at[0], at[1], at[2], ijk[0], ijk[1], ijk[2],
                        (long long)s->grid.size[0], (long long)s->grid.size[1],
                        (long long)s->grid.size[2]),
                "unit: voxel counts in the scan's own file, from 0; mm are the patient's, RAS+");
    return MF_OK;
}

static int64_t nearest(double at, int64_t count)
{
    const int64_t i = (int64_t)floor(at + 0.5);
    return i < 0 ? 0 : i >= count ? count - 1 : i;
}

/* An object's slice is that of its first prompt; all others must agree. */
static mf_status set_slice(sam2_target *t, int64_t slice, const char *what, int axis)
{
    if (t->count && t->slice != slice)
        return mf_hint(
            mf_fail(MF_INVALID,
                    "%s of object %lld is on slice %lld across %c, others on slice %lld", what,
                    (long long)t->object, (long long)slice, "zyx"[axis], (long long)t -> slice),
            "an object is prompted on one slice; use another object id for another slice");
    t->slice = slice;
    return MF_OK;
}

static void put(sam2_target *t, const double ijk[3], int axis, int32_t label)
{
    const int row = axis == 0 ? 1 : 0, column = axis == 2 ? 1 : 2; /* of z y x */
    t->xy[2 * t->count] = (float)ijk[2 - column];
    t->xy[2 * t->count + 1] = (float)ijk[2 - row];
    t->labels[t->count++] = label;
}

static mf_status add_box(const sam2_request *r, const sam2_stack *s, int axis, size_t i,
                         sam2_target *t)
{
    const double *box = r->boxes.v + 6 * i;
    double a[3], b[3], lo[3], hi[3];
    MF_TRY(index_of(r, s, box, "corner", a));
    MF_TRY(index_of(r, s, box + 3, "corner", b));
    for (int k = 0; k < 3; k++) {
        lo[k] = fmin(a[k], b[k]);
        hi[k] = fmax(a[k], b[k]);
    }
    const double middle = (lo[2 - axis] + hi[2 - axis]) / 2;
    MF_TRY(set_slice(t, nearest(middle, sam2_stack_count(s, axis)), "the box", axis));
    put(t, lo, axis, 2);
    put(t, hi, axis, 3);
    return MF_OK;
}

static mf_status add_point(const sam2_request *r, const sam2_stack *s, int axis, size_t i,
                           sam2_target *t)
{
    double ijk[3];
    MF_TRY(index_of(r, s, r->points.v + 3 * i, "point", ijk));
    MF_TRY(set_slice(t, nearest(ijk[2 - axis], sam2_stack_count(s, axis)), "a point", axis));
    put(t, ijk, axis, r->labels.count ? (int32_t)r->labels.v[i] : 1);
    return MF_OK;
}

static int64_t object_of(const sam2_request *r, size_t i)
{
    return r->object.count ? r->object.v[i] : 1;
}

/* All prompts of one object; boxes come first, as official code has them. */
static mf_status collect(const sam2_request *r, const sam2_stack *s, int axis, sam2_target *t)
{
    const size_t points = r->points.count / 3, boxes = r->boxes.count / 6;
    size_t own = 0;
    t->xy = malloc((points + 2 * boxes) * sizeof(float[2]));
    t->labels = malloc((points + 2 * boxes) * sizeof *t->labels);
    if (!t->xy || !t->labels)
        return mf_no_memory(0, "prompts");
    for (size_t i = 0; i < boxes; i++) {
        if (object_of(r, points + i) != t->object)
            continue;
        if (own++)
            return mf_fail(MF_INVALID, "object %lld has several boxes", (long long)t->object);
        MF_TRY(add_box(r, s, axis, i, t));
    }
    for (size_t i = 0; i < points; i++)
        if (object_of(r, i) == t->object)
            MF_TRY(add_point(r, s, axis, i, t));
    return MF_OK;
}

static int by_number(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

mf_status sam2_request_targets(const sam2_request *r, const sam2_stack *s, int axis,
                               sam2_target **targets, int64_t *count)
{
    const size_t all = r->points.count / 3 + r->boxes.count / 6;
    int64_t *numbers = calloc(all + 1, sizeof *numbers);
    *targets = calloc(all + 1, sizeof **targets);
    *count = 0;
    mf_status status = numbers && *targets ? MF_OK : mf_no_memory(0, "prompts");
    for (size_t i = 0; i < all && !status; i++)
        numbers[i] = object_of(r, i);
    if (!status)
        qsort(numbers, all, sizeof *numbers, by_number);
    for (size_t i = 0; i < all && !status; i++) {
        if (i && numbers[i] == numbers[i - 1])
            continue;
        sam2_target *t = *targets + (*count)++;
        t->object = numbers[i];
        status = collect(r, s, axis, t);
    }
    free(numbers);
    if (status) {
        sam2_targets_free(*targets, *count);
        *targets = NULL;
        *count = 0;
    }
    return status;
}
