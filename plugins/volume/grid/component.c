/* component.c - the largest component of a thresholded volume, by runs: memory grows with the
 * number of runs along x, not with the number of voxels. */
#include "component.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

typedef struct run {
    int32_t from, to; /* along x, half-open */
    int32_t parent;   /* union-find */
    int32_t y, z;
} run;

typedef struct runs {
    run *run;
    int64_t count;
} runs;

static int32_t root(run *r, int32_t i)
{
    while (r[i].parent != i) {
        r[i].parent = r[r[i].parent].parent;
        i = r[i].parent;
    }
    return i;
}

static mf_status add(runs *r, run one)
{
    run *more = r->count < INT32_MAX ? mf_list_more(r->run, (size_t)r->count, sizeof *more) : NULL;
    if (!more)
        return mf_no_memory(0, "the components of a volume");
    r->run = more;
    one.parent = (int32_t)r->count;
    r->run[r->count++] = one;
    return MF_OK;
}

/* Joins the runs [a, a_end) of one row with those [b, b_end) of its neighbour where they touch. */
static void join(runs *r, int64_t a, int64_t a_end, int64_t b, int64_t b_end)
{
    while (a < a_end && b < b_end) {
        run *p = &r->run[a], *q = &r->run[b];
        if (p->from < q->to && q->from < p->to) {
            int32_t i = root(r->run, (int32_t)a), j = root(r->run, (int32_t)b);
            if (i < j)
                r->run[j].parent = i;
            else
                r->run[i].parent = j;
        }
        if (p->to < q->to)
            a++;
        else
            b++;
    }
}

static mf_status find_runs(const float *row, int64_t n, double threshold, int32_t y, int32_t z,
                           runs *r)
{
    for (int64_t x = 0; x < n;) {
        while (x < n && !((double)row[x] > threshold))
            x++;
        int64_t from = x;
        while (x < n && (double)row[x] > threshold)
            x++;
        if (x > from)
            MF_TRY(add(r, (run){(int32_t)from, (int32_t)x, 0, y, z}));
    }
    return MF_OK;
}

/* starts: first run of each row, [z * rows + y], with one past the end. */
static mf_status collect(const mf_array *v, double threshold, runs *r, int64_t *starts)
{
    int64_t depth = v->shape[0], height = v->shape[1], width = v->shape[2];
    size_t element = mf_dtype_size(v->dtype);
    for (int64_t z = 0; z < depth; z++) {
        const int64_t shape[3] = {1, height, width};
        mf_array *slice, *real;
        MF_TRY(mf_array_new(v->dtype, 3, shape, &slice));
        memcpy(slice->data, (const char *)v->data + (size_t)(z * height * width) * element,
               slice->bytes);
        mf_status status = mf_array_convert(slice, MF_F32, &real);
        mf_array_unref(slice);
        MF_TRY(status);
        for (int64_t y = 0; y < height && !status; y++) {
            int64_t i = z * height + y;
            starts[i] = r->count;
            status = find_runs((const float *)real->data + y * width, width, threshold, (int32_t)y,
                               (int32_t)z, r);
            starts[i + 1] = r->count;
            if (!status && y)
                join(r, starts[i], r->count, starts[i - 1], starts[i]);
            if (!status && z)
                join(r, starts[i], r->count, starts[i - height], starts[i - height + 1]);
        }
        mf_array_unref(real);
        MF_TRY(status);
    }
    return MF_OK;
}

static mf_status largest(runs *r, index_box *box, bool *found)
{
    int64_t *size = calloc((size_t)r->count + 1, sizeof *size), best = 0;
    if (!size)
        return mf_no_memory(0, "the components of a volume");
    for (int64_t i = 0; i < r->count; i++)
        size[root(r->run, (int32_t)i)] += r->run[i].to - r->run[i].from;
    for (int64_t i = 1; i < r->count; i++)
        if (size[i] > size[best])
            best = i;
    free(size);
    *found = r->count > 0;
    *box = (index_box){{INT64_MAX, INT64_MAX, INT64_MAX}, {0, 0, 0}};
    for (int64_t i = 0; i < r->count; i++) {
        if (root(r->run, (int32_t)i) != best)
            continue;
        const run *one = &r->run[i];
        const int64_t lo[3] = {one->from, one->y, one->z},
                      hi[3] = {one->to, one->y + 1, one->z + 1};
        for (int k = 0; k < 3; k++) {
            box->lo[k] = lo[k] < box->lo[k] ? lo[k] : box->lo[k];
            box->hi[k] = hi[k] > box->hi[k] ? hi[k] : box->hi[k];
        }
    }
    return MF_OK;
}

mf_status crop_largest(const mf_array *voxels, double threshold, index_box *box, bool *found)
{
    runs r = {0};
    int64_t *starts = calloc((size_t)(voxels->shape[0] * voxels->shape[1]) + 1, sizeof *starts);
    mf_status status = starts ? collect(voxels, threshold, &r, starts)
                              : mf_no_memory(0, "the components of a volume");
    if (!status)
        status = largest(&r, box, found);
    free(starts);
    free(r.run);
    return status;
}
