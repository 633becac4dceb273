/* slabs.c - see slabs.h. */
#include "slabs.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BRICK = 64 };                          /* voxels along a side (engine/store/layout.c) */
static const size_t most = (size_t)128 << 20; /* bytes of one slab, unless one slice has more */

typedef struct slab slab;
struct slab {
    slab *next; /* used before this one */
    char *key;
    uint8_t *data; /* [count, rows, columns] */
    size_t bytes;  /* of data */
    int users;     /* who copies from it or waits for it */
    bool reading, failed;
};

struct desk_slabs {
    pthread_mutex_t lock;
    pthread_cond_t ready;
    slab *first; /* used last */
    size_t bytes, room, read;
};

mf_status desk_slabs_new(size_t bytes, desk_slabs **slabs)
{
    desk_slabs *s = calloc(1, sizeof *s);
    *slabs = s;
    if (!s)
        return mf_no_memory(sizeof *s, "slices to look at");
    s->room = bytes;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->ready, NULL);
    return MF_OK;
}

static void slab_free(slab *one)
{
    free(one->key);
    free(one->data);
    free(one);
}

void desk_slabs_free(desk_slabs *s)
{
    if (!s)
        return;
    for (slab *one = s->first, *next; one; one = next) {
        next = one->next;
        slab_free(one);
    }
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->ready);
    free(s);
}

size_t desk_slabs_read_count(desk_slabs *s)
{
    pthread_mutex_lock(&s->lock);
    const size_t read = s->read;
    pthread_mutex_unlock(&s->lock);
    return read;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

void desk_slice_shape(const desk_source *source, int axis, int64_t *rows, int64_t *columns)
{
    int64_t n[3];
    mf_zyx(source->grid.size, n);
    *rows = n[axis == 0 ? 1 : 0];
    *columns = n[axis == 2 ? 1 : 2];
}

static mf_status slice_bytes(const desk_source *source, int axis, size_t *bytes)
{
    int64_t rows, columns;
    desk_slice_shape(source, axis, &rows, &columns);
    if (!mf_size_mul((size_t)rows, (size_t)columns, bytes) ||
        !mf_size_mul(*bytes, mf_dtype_size(source->dtype), bytes) || *bytes > SIZE_MAX / BRICK)
        return mf_no_memory(SIZE_MAX, "a slice of %lld x %lld voxels", (long long)rows,
                            (long long)columns);
    return MF_OK;
}

/* Slices of a slab: a whole brick's, or a part of them that divides it, so that no slab crosses
 * bricks. */
static int64_t slab_slices(size_t bytes)
{
    int64_t count = BRICK;
    while (count > 1 && bytes * (size_t)count > most)
        count /= 2;
    return count;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* [z, y, n] -> [n, z, y]: each element moves alone; `size` is that of an element. */
#define TURN(type)                                                                                 \
    for (int64_t i = 0; i < rows * columns; i++)                                                   \
        for (int64_t k = 0; k < count; k++)                                                        \
    ((type *)to)[k * rows * columns + i] = ((const type *)from)[i * count + k]

static void turn_columns(const uint8_t *from, size_t size, int64_t rows, int64_t columns,
                         int64_t count, uint8_t *to)
{
    if (size == 1)
        TURN(uint8_t);
    else if (size == 2)
        TURN(uint16_t);
    else
        TURN(uint32_t);
}
#undef TURN

/* [z, n, x] -> [n, z, x]: whole rows move. */
static void turn_rows(const uint8_t *from, size_t size, int64_t rows, int64_t columns,
                      int64_t count, uint8_t *to)
{
    const size_t line = (size_t)columns * size;
    for (int64_t z = 0; z < rows; z++)
        for (int64_t k = 0; k < count; k++)
            memcpy(to + (size_t)(k * rows + z) * line, from + (size_t)(z * count + k) * line, line);
}

/* Slices [first, first + count) across an axis, each in one piece. *data: for free(). */
static mf_status read_slab(const desk_source *source, const uint8_t *only, int axis, int64_t first,
                           int64_t count, size_t bytes, uint8_t **data)
{
    int64_t rows, columns, lo[3] = {0, 0, 0}, hi[3];
    *data = NULL;
    desk_slice_shape(source, axis, &rows, &columns);
    mf_zyx(source->grid.size, hi);
    lo[axis] = first;
    hi[axis] = first + count;
    uint8_t *box = malloc(bytes), *turned = axis ? malloc(bytes) : NULL;
    mf_status status = box && (turned || !axis) ? desk_source_read(source, only, lo, hi, box)
                                                : mf_no_memory(bytes, "slices to look at");
    if (!status && axis)
        (axis == 1 ? turn_rows : turn_columns)(box, mf_dtype_size(source->dtype), rows, columns,
                                               count, turned);
    if (!status)
        *data = axis ? turned : box;
    if (status || axis)
        free(box);
    if (status)
        free(turned);
    return status;
}

/* ---- what is kept ---------------------------------------------------------------------------- */

/* Moves the slab of that key to the front. */
static slab *find(desk_slabs *s, const char *key)
{
    for (slab **at = &s->first; *at; at = &(*at)->next) {
        slab *one = *at;
        if (strcmp(one->key, key) != 0)
            continue;
        *at = one->next;
        one->next = s->first;
        s->first = one;
        return one;
    }
    return NULL;
}

static void take_out(desk_slabs *s, slab *gone)
{
    slab **at = &s->first;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    s->bytes -= gone->bytes;
    slab_free(gone);
}

/* Lets go of what was not used for longest, and of nothing that is in use. */
static void make_room(desk_slabs *s)
{
    while (s->bytes > s->room) {
        slab *last = NULL;
        for (slab *one = s->first; one; one = one->next)
            if (!one->users)
                last = one;
        if (!last)
            return;
        take_out(s, last);
    }
}

static slab *add(desk_slabs *s, const char *key, size_t bytes)
{
    slab *one = calloc(1, sizeof *one);
    char *copy = strdup(key);
    if (!one || !copy) {
        free(one);
        free(copy);
        return NULL;
    }
    *one = (slab){.next = s->first, .key = copy, .bytes = bytes, .users = 1, .reading = true};
    s->first = one;
    s->bytes += bytes;
    make_room(s);
    return one;
}

static void leave(desk_slabs *s, slab *one)
{
    one->users--;
    if (one->failed && !one->users)
        take_out(s, one);
    make_room(s);
}

typedef struct wanted {
    const desk_source *source;
    const uint8_t *only;
    const char *key;
    int axis;
    int64_t first, count;
    size_t bytes;
} wanted;

/* With the lock held. *got is in use by the caller until `leave`. */
static mf_status get(desk_slabs *s, const wanted *w, slab **got)
{
    mf_status status = MF_OK;
    slab *one = find(s, w->key);
    *got = NULL;
    if (one) {
        one->users++;
        while (one->reading)
            pthread_cond_wait(&s->ready, &s->lock);
        if (!one->failed) {
            *got = one;
            return MF_OK;
        }
        leave(s, one);
        return mf_fail(MF_IO, "the slices could not be read; another request has the reason");
    }
    one = add(s, w->key, w->bytes);
    if (!one)
        return mf_no_memory(0, "slices to look at");
    s->read++;
    pthread_mutex_unlock(&s->lock);
    status = read_slab(w->source, w->only, w->axis, w->first, w->count, w->bytes, &one->data);
    pthread_mutex_lock(&s->lock);
    one->reading = false;
    one->failed = status != MF_OK;
    pthread_cond_broadcast(&s->ready);
    if (status)
        leave(s, one);
    else
        *got = one;
    return status;
}

static mf_status copy_part(desk_slabs *s, const wanted *w, size_t offset, size_t bytes, void *dst)
{
    slab *one;
    pthread_mutex_lock(&s->lock);
    mf_status status = get(s, w, &one);
    pthread_mutex_unlock(&s->lock);
    MF_TRY(status);
    memcpy(dst, one->data + offset, bytes);
    pthread_mutex_lock(&s->lock);
    leave(s, one);
    pthread_mutex_unlock(&s->lock);
    return MF_OK;
}

static mf_status copy_slices(desk_slabs *s, const desk_source *source, const char *name,
                             const uint8_t *only, const char *shown, const desk_cut *cut,
                             size_t each, char *key, size_t key_size, uint8_t *dst)
{
    const int64_t thick = slab_slices(each), all = source->grid.size[2 - cut->axis];
    for (int64_t at = cut->first; at < cut->first + cut->count;) {
        const int64_t first = at / thick * thick;
        const int64_t end = first + thick < all ? first + thick : all;
        const int64_t to = cut->first + cut->count < end ? cut->first + cut->count : end;
        const wanted w = {
            source, only, key, cut->axis, first, end - first, (size_t)(end - first) * each};
        /* "only" of nothing is not all */
        snprintf(key, key_size, "%s %s%s %d %lld", name, only ? "only " : "", shown, cut->axis,
                 (long long)first);
        MF_TRY(copy_part(s, &w, (size_t)(at - first) * each, (size_t)(to - at) * each, dst));
        dst += (size_t)(to - at) * each;
        at = to;
    }
    return MF_OK;
}

mf_status desk_slabs_slices(desk_slabs *s, const desk_source *source, const char *name,
                            const uint8_t *only, const char *shown, const desk_cut *cut, void *dst)
{
    size_t each;
    if (cut->axis < 0 || cut->axis > 2)
        return mf_fail(MF_INVALID, "there is no axis %d", cut->axis);
    const int64_t all = source->grid.size[2 - cut->axis];
    if (cut->first < 0 || cut->count < 1 || cut->first >= all || cut->count > all - cut->first)
        return mf_fail(MF_INVALID, "slices %lld to %lld of %lld across %c", (long long)cut->first,
                       (long long)cut->first + cut->count - 1, (long long)all, "zyx"[cut->axis]);
    MF_TRY(slice_bytes(source, cut->axis, &each));
    const size_t key_size = strlen(name) + strlen(shown) + 64;
    char *key = malloc(key_size);
    if (!key)
        return mf_no_memory(key_size, "slices to look at");
    mf_status status = copy_slices(s, source, name, only, shown, cut, each, key, key_size, dst);
    free(key);
    return status;
}
