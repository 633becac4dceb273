/* regions.c - see regions.h. All orders are fixed: by first voxel, by index, by difference. */
#include "regions.h"

#include <massflow/memory.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "regions");
}

bool mf_region_inside(const mf_region *region)
{
    return 2 * region->body >= region->voxels;
}

/* Calls NEAR(neighbour index) for the 6 neighbours of voxel `at`. */
#define EACH_NEIGHBOUR(shape, at, NEAR)                                                            \
    do {                                                                                           \
        const int64_t row_ = (shape)[2], plane_ = (shape)[1] * (shape)[2];                         \
        /* Voxels are below 2^31, and 32-bit division is several times faster. */                  \
        const uint32_t line_ = (uint32_t)(at) / (uint32_t)row_;                                    \
        const int64_t x_ = (at)-line_ * row_;                                                      \
        const int64_t z_ = line_ / (uint32_t)(shape)[1], y_ = line_ - z_ * (shape)[1];             \
        if (x_ > 0)                                                                                \
            NEAR((at)-1);                                                                          \
        if (x_ + 1 < (shape)[2])                                                                   \
            NEAR((at) + 1);                                                                        \
        if (y_ > 0)                                                                                \
            NEAR((at)-row_);                                                                       \
        if (y_ + 1 < (shape)[1])                                                                   \
            NEAR((at) + row_);                                                                     \
        if (z_ > 0)                                                                                \
            NEAR((at)-plane_);                                                                     \
        if (z_ + 1 < (shape)[0])                                                                   \
            NEAR((at) + plane_);                                                                   \
    } while (0)

/* Connected parts of the labels: voxels in `order`, a part's from start[p] to start[p + 1]. */
typedef struct parts {
    int64_t voxels;
    int32_t *of;     /* [voxels] */
    int32_t *order;  /* [voxels] */
    int64_t *start;  /* [count + 1] */
    int32_t *parent; /* [count], the part that it was joined to, or itself */
    int64_t *size;   /* [count], of a part and all that was joined to it */
    int32_t count, room;
} parts;

static void parts_free(parts *p)
{
    free(p->order);
    free(p->start);
    free(p->parent);
    free(p->size);
}

static bool parts_grow(parts *p)
{
    int32_t room = p->room ? 2 * p->room : 4096;
    int64_t *start = realloc(p->start, ((size_t)room + 1) * sizeof *start);
    if (start)
        p->start = start;
    int64_t *size = realloc(p->size, (size_t)room * sizeof *size);
    if (size)
        p->size = size;
    int32_t *parent = realloc(p->parent, (size_t)room * sizeof *parent);
    if (parent)
        p->parent = parent;
    p->room = start && size && parent ? room : p->room;
    return start && size && parent;
}

/* Labels that are still to be read are kept as -1 - label: parts are not negative. */
static mf_status parts_find(int32_t *label, const int64_t shape[3], parts *p)
{
    int64_t end = 0;
    p->voxels = shape[0] * shape[1] * shape[2];
    p->of = label;
    p->order = malloc((size_t)p->voxels * sizeof *p->order);
    if (!p->order)
        return no_memory();
    for (int64_t i = 0; i < p->voxels; i++)
        label[i] = -1 - label[i];
    for (int64_t seed = 0; seed < p->voxels; seed++) {
        if (p->of[seed] >= 0)
            continue;
        if (p->count == p->room && !parts_grow(p))
            return no_memory();
        int32_t part = p->count++, own = p->of[seed];
        int64_t next = p->start[part] = end;
        p->of[seed] = part;
        p->order[end++] = (int32_t)seed;
        while (next < end) {
            int64_t at = p->order[next++];
#define TAKE(n)                                                                                    \
    if (p->of[n] == own) {                                                                         \
        p->of[n] = part;                                                                           \
        p->order[end++] = (int32_t)(n);                                                            \
    }
            EACH_NEIGHBOUR(shape, at, TAKE);
#undef TAKE
        }
        p->start[part + 1] = end;
        p->size[part] = end - p->start[part];
        p->parent[part] = part;
    }
    return MF_OK;
}

static int32_t root_of(int32_t *parent, int32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The part that shares most faces with `part`, the first of them at a tie; -1 without neighbours.
 * near: room for 6 entries a voxel. */
static int32_t closest(parts *p, const int64_t shape[3], int32_t part, int32_t *near)
{
    size_t count = 0, most = 0;
    int32_t best = -1;
    for (int64_t i = p->start[part]; i < p->start[part + 1]; i++) {
        int64_t at = p->order[i];
#define NOTE(n)                                                                                    \
    if (p->of[n] != part) {                                                                        \
        int32_t other = root_of(p->parent, p->of[n]);                                              \
        if (other != part)                                                                         \
            near[count++] = other;                                                                 \
    }
        EACH_NEIGHBOUR(shape, at, NOTE);
#undef NOTE
    }
    qsort(near, count, sizeof *near, by_number);
    for (size_t i = 0, run; i < count; i += run) {
        for (run = 1; i + run < count && near[i + run] == near[i]; run++)
            ;
        if (run > most) {
            most = run;
            best = near[i];
        }
    }
    return best;
}

static mf_status parts_join_small(parts *p, const int64_t shape[3], int64_t least)
{
    int32_t *near = malloc((size_t)(least > 0 ? least : 1) * 6 * sizeof *near);
    if (!near)
        return no_memory();
    for (int32_t part = 0; part < p->count; part++) {
        if (p->parent[part] != part || p->size[part] >= least)
            continue;
        int32_t into = closest(p, shape, part, near);
        if (into < 0)
            continue;
        p->parent[part] = into;
        p->size[into] += p->size[part];
    }
    free(near);
    return MF_OK;
}

static void count_voxel(mf_region *region, const int64_t at[3], uint16_t level, bool inside)
{
    region->voxels++;
    region->body += inside;
    region->sum += level;
    for (int c = 0; c < 3; c++) {
        region->lo[c] = at[c] < region->lo[c] ? at[c] : region->lo[c];
        region->hi[c] = at[c] + 1 > region->hi[c] ? at[c] + 1 : region->hi[c];
    }
}

/* One region a root, numbered by the first voxel of the root. */
static mf_status fill_regions(parts *p, const uint16_t *image, const uint8_t *body, mf_regions *r)
{
    int32_t *number = malloc((size_t)(p->count > 0 ? p->count : 1) * sizeof *number);
    r->count = 0;
    for (int32_t part = 0; number && part < p->count; part++)
        if (p->parent[part] == part)
            number[part] = r->count++;
    const size_t count = r->count > 0 ? (size_t)r->count : 1;
    r->regions = calloc(count, sizeof *r->regions);
    r->union_of = malloc(count * sizeof *r->union_of);
    if (!number || !r->regions || !r->union_of) {
        free(number);
        return no_memory();
    }
    for (int32_t i = 0; i < r->count; i++) {
        r->union_of[i] = i;
        r->regions[i].parts = 1;
        memcpy(r->regions[i].lo, r->shape, sizeof r->shape);
    }
    int64_t i = 0, at[3];
    for (at[0] = 0; at[0] < r->shape[0]; at[0]++)
        for (at[1] = 0; at[1] < r->shape[1]; at[1]++)
            for (at[2] = 0; at[2] < r->shape[2]; at[2]++, i++) {
                r->of[i] = number[root_of(p->parent, p->of[i])];
                count_voxel(r->regions + r->of[i], at, image[i], !body || body[i]);
            }
    free(number);
    return MF_OK;
}

mf_status mf_regions_new(int32_t *label, const int64_t shape[3], int64_t least,
                         const uint16_t *image, const uint8_t *body, mf_regions *regions)
{
    parts p = {0};
    *regions = (mf_regions){.shape = {shape[0], shape[1], shape[2]}, .of = label};
    mf_status status = shape[0] * shape[1] * shape[2] > INT32_MAX
                           ? mf_fail(MF_UNSUPPORTED, "regions in an image of over 2^31 voxels")
                           : parts_find(label, shape, &p);
    if (!status)
        status = parts_join_small(&p, shape, least);
    if (!status)
        status = fill_regions(&p, image, body, regions);
    parts_free(&p);
    if (status)
        mf_regions_free(regions);
    return status;
}

void mf_regions_free(mf_regions *regions)
{
    free(regions->of);
    free(regions->regions);
    free(regions->union_of);
    *regions = (mf_regions){0};
}

typedef struct edge {
    double difference;
    int32_t a, b; /* a < b */
} edge;

static int by_pair(const void *a, const void *b)
{
    const edge *x = a, *y = b;
    return x->a != y->a ? (x->a > y->a) - (x->a < y->a) : (x->b > y->b) - (x->b < y->b);
}

static int by_difference(const void *a, const void *b)
{
    const edge *x = a, *y = b;
    if (x->difference != y->difference)
        return x->difference < y->difference ? -1 : 1;
    return by_pair(a, b);
}

static double mean_of(const mf_region *region)
{
    return (double)region->sum / (double)region->voxels;
}

double mf_region_edge(const mf_regions *r, int32_t n, double step)
{
    const mf_region *region = r->regions + n;
    const double mean = mean_of(region);
    int64_t faces = 0, steps = 0, at[3];
    for (at[0] = region->lo[0]; at[0] < region->hi[0]; at[0]++)
        for (at[1] = region->lo[1]; at[1] < region->hi[1]; at[1]++)
            for (at[2] = region->lo[2]; at[2] < region->hi[2]; at[2]++) {
                const int64_t i = (at[0] * r->shape[1] + at[1]) * r->shape[2] + at[2];
                if (mf_region_at(r, i) != n)
                    continue;
#define COUNT(k)                                                                                   \
    {                                                                                              \
        const int32_t next = mf_region_at(r, k);                                                   \
        faces += next != n;                                                                        \
        steps += next != n && fabs(mean_of(r->regions + next) - mean) >= step;                     \
    }
                EACH_NEIGHBOUR(r->shape, i, COUNT);
#undef COUNT
            }
    return faces ? (double)steps / (double)faces : 0;
}

typedef struct edges {
    edge *list;
    size_t count;
} edges;

/* Notes that the regions of voxels i and k touch, if they may be joined. */
static mf_status add_edge(edges *e, const mf_regions *r, int64_t i, int64_t k, double difference)
{
    const int32_t a = mf_region_at(r, i), b = mf_region_at(r, k);
    const edge *last = e->count ? e->list + e->count - 1 : NULL;
    edge touch = {0, a < b ? a : b, a < b ? b : a};
    /* Many faces of a row lie between the same two regions. */
    if (a == b || (last && last->a == touch.a && last->b == touch.b) ||
        !mf_region_inside(r->regions + a) || !mf_region_inside(r->regions + b))
        return MF_OK;
    touch.difference = fabs(mean_of(r->regions + a) - mean_of(r->regions + b));
    if (touch.difference > difference)
        return MF_OK;
    edge *grown = mf_list_more(e->list, e->count, sizeof *grown);
    if (!grown)
        return no_memory();
    e->list = grown;
    e->list[e->count++] = touch;
    return MF_OK;
}

/* Pairs of touching regions that may be joined, each once. */
static mf_status find_edges(const mf_regions *r, double difference, edges *e)
{
    const int64_t row = r->shape[2], plane = r->shape[1] * row;
    for (int64_t z = 0, i = 0; z < r->shape[0]; z++)
        for (int64_t y = 0; y < r->shape[1]; y++)
            for (int64_t x = 0; x < row; x++, i++) {
                if (x + 1 < row)
                    MF_TRY(add_edge(e, r, i, i + 1, difference));
                if (y + 1 < r->shape[1])
                    MF_TRY(add_edge(e, r, i, i + row, difference));
                if (z + 1 < r->shape[0])
                    MF_TRY(add_edge(e, r, i, i + plane, difference));
            }
    if (e->count == 0)
        return MF_OK;
    qsort(e->list, e->count, sizeof *e->list, by_pair);
    size_t kept = 1;
    for (size_t i = 1; i < e->count; i++)
        if (by_pair(e->list + i, e->list + i - 1) != 0)
            e->list[kept++] = e->list[i];
    e->count = kept;
    qsort(e->list, e->count, sizeof *e->list, by_difference);
    return MF_OK;
}

static void join(mf_region *into, mf_region *from)
{
    into->voxels += from->voxels;
    into->body += from->body;
    into->sum += from->sum;
    into->parts += from->parts;
    from->parts = 0;
    for (int c = 0; c < 3; c++) {
        into->lo[c] = from->lo[c] < into->lo[c] ? from->lo[c] : into->lo[c];
        into->hi[c] = from->hi[c] > into->hi[c] ? from->hi[c] : into->hi[c];
    }
}

mf_status mf_regions_join(mf_regions *r, double difference, int64_t most)
{
    edges e = {0};
    int32_t *parent = malloc((size_t)(r->count > 0 ? r->count : 1) * sizeof *parent);
    if (!parent)
        return no_memory();
    for (int32_t i = 0; i < r->count; i++)
        parent[i] = i;
    mf_status status = find_edges(r, difference, &e);
    for (size_t i = 0; !status && i < e.count; i++) {
        int32_t a = root_of(parent, e.list[i].a), b = root_of(parent, e.list[i].b);
        int32_t into = a < b ? a : b, from = a < b ? b : a;
        mf_region *x = r->regions + into, *y = r->regions + from;
        if (a == b || x->voxels + y->voxels > most || fabs(mean_of(x) - mean_of(y)) > difference)
            continue;
        parent[from] = into;
        join(x, y);
    }
    for (int32_t i = 0; !status && i < r->count; i++)
        r->union_of[i] = root_of(parent, r->union_of[i]);
    free(e.list);
    free(parent);
    return status;
}
