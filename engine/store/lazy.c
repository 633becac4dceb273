/* lazy.c - artifacts whose arrays are read from chunks when they are asked for.
 *
 * Where a chunk turns out damaged or missing, it is deleted and the artifact marked as not present:
 * else the next run would find it "cached" and fail again, and storing the same bytes again would
 * find the damaged chunk and keep it. */
#include "base/artifact_source.h"
#include "store/internal.h"
#include "store/transfer.h"

#define SPAN ((size_t)48 << 20) /* bytes that are read at once from elsewhere */

#include <stdlib.h>
#include <string.h>

/* What is kept of a ragged array between reads of its rows. */
typedef struct ragged {
    mf_array *offsets;
    mf__layout layout; /* of the bytes */
    uint8_t *piece;    /* the piece read last: rows that share one are often read in order */
    size_t piece_index;
} ragged;

typedef struct lazy {
    mf_store *store;        /* NULL: */
    mf_chunk_source source; /* chunks come from there */
    char id[MF_HEX_SIZE];
    char *type;
    uint8_t *record;
    mf__record_array *arrays;
    ragged *ragged; /* one an array */
    size_t *bases;  /* numbers of their first pieces */
    char **names;
    size_t count;
    pthread_mutex_t lock; /* guards ragged */
} lazy;

static void lazy_free(void *self)
{
    lazy *l = self;
    for (size_t i = 0; l->ragged && i < l->count; i++) {
        mf_array_unref(l->ragged[i].offsets);
        mf__layout_clear(&l->ragged[i].layout);
        free(l->ragged[i].piece);
    }
    for (size_t i = 0; l->names && i < l->count; i++)
        free(l->names[i]);
    mf__record_arrays_free(l->arrays, l->count);
    free(l->ragged);
    free(l->bases);
    free(l->names);
    free(l->record);
    free(l->type);
    pthread_mutex_destroy(&l->lock);
    if (l->store)
        mf__store_unref(l->store);
    else
        l->source.free(l->source.self);
    free(l);
}

/* ---- damage ---- */

static mf_status mark(mf__connection *c, void *id)
{
    return mf__exec(c, "UPDATE artifact SET present = 0 WHERE id = ?", "d", id);
}

/* Deletes the chunk and marks the artifact; the outcome is part of what the user is told. */
static mf_status drop(const lazy *l, const uint8_t *digest, size_t raw, mf_status status)
{
    mf_store *store = l->store;
    uint8_t id[MF_DIGEST_BYTES];
    mf__ticket ticket = {0};
    mf__job chunk = {.target = mf__chunk_place(raw),
                     .run = mf__chunk_delete,
                     .arg = (void *)digest,
                     .ticket = &ticket};
    mf__job artifact = {.target = MF__INDEX, .run = mark, .arg = id, .ticket = &ticket};
    mf_hex_decode(l->id, id);
    mf_status failed = mf__submit(store, &chunk);
    if (!failed)
        failed = mf__submit(store, &artifact);
    mf_status waited = mf__wait(store, &ticket);
    bool dropped = !failed && !waited;
    mf_error_free(failed);
    mf_error_free(waited);
    if (dropped)
        return mf_hint(status,
                       "it is now marked as missing: run the graph again to compute it again");
    return mf_hint(status,
                   "run the graph again with a writable cache: damaged data is computed again");
}

/* ---- pieces ---- */

/* Many pieces into one dense array, or into the box lo .. hi of a brick array. */
typedef struct reading {
    const lazy *lazy;
    size_t index; /* of the array, for messages */
    const mf__layout *layout;
    const uint8_t *digests;
    size_t base; /* number of its first piece among all of the record */
    uint8_t *dst;
    bool boxed;
    int64_t lo[3], hi[3];
    int64_t first[3], counts[3]; /* bricks that the box touches */
    size_t skip;                 /* pieces before the span that is read now */
} reading;

static mf_status read_piece(const reading *o, mf__reader *r, mf__scratch *scratch, size_t i,
                            const mf__piece *piece, uint8_t *dst)
{
    const uint8_t *digest = o->digests + i * MF_DIGEST_BYTES;
    bool bad = false;
    const lazy *l = o->lazy;
    mf_status status =
        l->store ? mf__chunk_read(r, scratch, digest, dst, piece->bytes, &bad)
                 : l->source.get(l->source.self, (uint32_t)(o->base + i), dst, piece->bytes);
    if (bad)
        status = drop(l, digest, piece->bytes, status);
    return mf_within(status, "array '%s' of artifact %.*s (%s)", l->names[o->index], MF__SHORT_ID,
                     l->id, l->type);
}

static mf_status read_brick(const reading *o, mf__reader *r, mf__scratch *scratch, size_t i)
{
    mf__piece piece;
    int64_t lo[3], hi[3], from[3], to[3];
    mf__layout_piece(o->layout, i, &piece);
    uint8_t *bytes = mf__scratch_get(scratch, 0, piece.bytes);
    if (!bytes)
        return mf_no_memory(0, "a chunk of data");
    MF_TRY(read_piece(o, r, scratch, i, &piece, bytes));
    for (int k = 0; k < 3; k++) {
        lo[k] = piece.lo[k] > o->lo[k] ? piece.lo[k] : o->lo[k];
        hi[k] = piece.hi[k] < o->hi[k] ? piece.hi[k] : o->hi[k];
        from[k] = piece.hi[k] - piece.lo[k];
        to[k] = o->hi[k] - o->lo[k];
    }
    mf__copy_box(bytes, piece.lo, from, o->dst, o->lo, to, lo, hi, o->layout->element);
    return MF_OK;
}

static size_t brick_number(const reading *o, size_t i)
{
    size_t at[3];
    for (int axis = 2; axis >= 0; axis--) {
        at[axis] = (size_t)o->first[axis] + i % (size_t)o->counts[axis];
        i /= (size_t)o->counts[axis];
    }
    const int64_t *counts = o->layout->counts;
    return (at[0] * (size_t)counts[1] + at[1]) * (size_t)counts[2] + at[2];
}

static mf_status reader_get(const lazy *l, mf__reader **r)
{
    *r = NULL;
    return l->store ? mf__reader_get(l->store, r) : MF_OK;
}

static void reader_put(const lazy *l, mf__reader *r)
{
    if (l->store)
        mf__reader_put(l->store, r);
}

static mf_status read_pieces(void *arg, mf__counter *counter)
{
    const reading *o = arg;
    mf__scratch scratch = {0};
    mf__reader *r;
    MF_TRY(reader_get(o->lazy, &r));
    mf_status status = MF_OK;
    for (size_t i; !status && mf__next(counter, &i);) {
        mf__piece piece;
        i += o->skip;
        if (o->boxed) {
            status = read_brick(o, r, &scratch, brick_number(o, i));
        } else {
            mf__layout_piece(o->layout, i, &piece);
            status = read_piece(o, r, &scratch, i, &piece, o->dst + piece.begin);
        }
    }
    reader_put(o->lazy, r);
    mf__scratch_clear(&scratch);
    return status;
}

/* Says which pieces will be read: `count` from the first one, or those that the box touches. */
static mf_status want(const reading *o, size_t first, size_t count)
{
    const lazy *l = o->lazy;
    if (l->store || !count)
        return MF_OK;
    uint32_t *pieces = malloc(count * sizeof *pieces);
    if (!pieces)
        return mf_no_memory(0, "a list of chunks");
    for (size_t i = 0; i < count; i++)
        pieces[i] = (uint32_t)(o->base + (o->boxed ? brick_number(o, first + i) : first + i));
    mf_status status = l->source.want(l->source.self, pieces, count);
    free(pieces);
    return mf_within(status, "array '%s' of artifact %.*s (%s)", l->names[o->index], MF__SHORT_ID,
                     l->id, l->type);
}

/* What comes from elsewhere is read while it is still in memory there. */
static mf_status read_spans(reading *o, size_t count, size_t bytes)
{
    size_t span = count;
    if (!o->lazy->store && bytes > SPAN)
        span = (size_t)((double)count * SPAN / (double)bytes) + 1;
    for (o->skip = 0; o->skip < count; o->skip += span) {
        size_t n = count - o->skip < span ? count - o->skip : span;
        MF_TRY(want(o, o->skip, n));
        MF_TRY(mf__parallel(n, bytes / count * n, read_pieces, o));
    }
    return MF_OK;
}

static mf_status read_box(reading *o, const int64_t lo[3], const int64_t hi[3])
{
    size_t count = 1, bytes = o->layout->element;
    o->boxed = true;
    for (int k = 0; k < 3; k++) {
        o->lo[k] = lo[k];
        o->hi[k] = hi[k];
        if (lo[k] >= hi[k])
            return MF_OK;
        o->first[k] = lo[k] / o->layout->brick[k];
        o->counts[k] = (hi[k] - 1) / o->layout->brick[k] - o->first[k] + 1;
        count *= (size_t)o->counts[k];
        bytes *= (size_t)(o->counts[k] * o->layout->brick[k]);
    }
    return read_spans(o, count, bytes);
}

static mf_status read_whole(reading *o)
{
    static const int64_t zero[3] = {0, 0, 0};
    if (o->layout->bricks)
        return read_box(o, zero, o->layout->shape);
    return read_spans(o, o->layout->count, o->layout->bytes);
}

/* ---- the source ---- */

static mf_status get_array(void *self, size_t index, mf_array **array)
{
    const lazy *l = self;
    const mf__record_array *a = &l->arrays[index];
    MF_TRY(mf_array_new(a->info.dtype, a->info.rank, a->info.shape, array));
    reading o = {.lazy = l,
                 .index = index,
                 .layout = &a->layout,
                 .digests = a->digests,
                 .base = l->bases[index],
                 .dst = (*array)->data};
    mf_status status = read_whole(&o);
    if (status) {
        mf_array_unref(*array);
        *array = NULL;
    }
    return status;
}

static mf_status get_box(void *self, size_t index, const int64_t lo[3], const int64_t hi[3],
                         void *dst)
{
    const lazy *l = self;
    const mf__record_array *a = &l->arrays[index];
    reading o = {.lazy = l,
                 .index = index,
                 .layout = &a->layout,
                 .digests = a->digests,
                 .base = l->bases[index],
                 .dst = dst};
    return read_box(&o, lo, hi);
}

static mf_status check_offsets(const lazy *l, size_t index, const mf_array *offsets)
{
    const mf__record_array *a = &l->arrays[index];
    const int64_t *o = offsets->data;
    bool good = o[0] == 0 && o[a->info.rows] == a->info.shape[0];
    for (int64_t i = 0; good && i < a->info.rows; i++)
        good = o[i] <= o[i + 1];
    if (good)
        return MF_OK;
    return mf_fail(MF_CORRUPT, "array '%s' of artifact %.*s (%s) has offsets that are not sound",
                   l->names[index], MF__SHORT_ID, l->id, l->type);
}

/* Reads the offsets of a ragged array unless they are there. The lock is held. */
static mf_status load_offsets(lazy *l, size_t index)
{
    ragged *g = &l->ragged[index];
    const mf__record_array *a = &l->arrays[index];
    if (g->offsets)
        return MF_OK;
    int64_t count = a->info.rows + 1;
    mf_array *offsets;
    MF_TRY(mf_array_new(MF_I64, 1, &count, &offsets));
    reading o = {.lazy = l,
                 .index = index,
                 .layout = &a->layout,
                 .digests = a->digests,
                 .base = l->bases[index],
                 .dst = offsets->data};
    mf_status status = read_whole(&o);
    if (!status)
        status = check_offsets(l, index, offsets);
    if (!status)
        status = mf__layout_rows(offsets->data, a->info.rows, &g->layout);
    if (!status && g->layout.count != a->row_digest_count) {
        mf__layout_clear(&g->layout);
        status = mf_fail(MF_CORRUPT, "the record of artifact %.*s is damaged", MF__SHORT_ID, l->id);
    }
    if (status)
        mf_array_unref(offsets);
    else
        g->offsets = offsets;
    return status;
}

static mf_status get_offsets(lazy *l, size_t index)
{
    pthread_mutex_lock(&l->lock);
    mf_status status = load_offsets(l, index);
    pthread_mutex_unlock(&l->lock);
    return status;
}

static mf_status get_rows(void *self, size_t index, mf_array **bytes, mf_array **offsets)
{
    lazy *l = self;
    const ragged *g = &l->ragged[index];
    MF_TRY(get_offsets(l, index));
    MF_TRY(mf_array_new(MF_U8, 1, l->arrays[index].info.shape, bytes));
    reading o = {.lazy = l,
                 .index = index,
                 .layout = &g->layout,
                 .digests = l->arrays[index].row_digests,
                 .base = l->bases[index] + l->arrays[index].layout.count,
                 .dst = (*bytes)->data};
    mf_status status = read_whole(&o);
    if (status) {
        mf_array_unref(*bytes);
        *bytes = NULL;
        return status;
    }
    *offsets = mf_array_ref(g->offsets);
    return MF_OK;
}

/* The piece that holds byte `at`. */
static size_t find_piece(const mf__layout *layout, size_t at)
{
    size_t low = 0, high = layout->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (layout->cuts[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Bytes begin .. end of piece i, where it is the one that is kept. */
static bool kept(lazy *l, ragged *g, size_t i, size_t begin, size_t end, uint8_t *dst)
{
    pthread_mutex_lock(&l->lock);
    bool hit = g->piece && g->piece_index == i;
    if (hit)
        memcpy(dst, g->piece + (begin - g->layout.cuts[i]), end - begin);
    pthread_mutex_unlock(&l->lock);
    return hit;
}

static void keep(lazy *l, ragged *g, size_t i, uint8_t *piece)
{
    pthread_mutex_lock(&l->lock);
    free(g->piece);
    g->piece = piece;
    g->piece_index = i;
    pthread_mutex_unlock(&l->lock);
}

/* A row inside one piece that it may share. */
static mf_status read_shared(lazy *l, const reading *o, mf__reader *r, mf__scratch *scratch,
                             size_t i, size_t begin, size_t end, uint8_t *dst)
{
    ragged *g = &l->ragged[o->index];
    mf__piece piece;
    if (kept(l, g, i, begin, end, dst))
        return MF_OK;
    mf__layout_piece(o->layout, i, &piece);
    uint8_t *bytes = malloc(piece.bytes);
    if (!bytes)
        return mf_no_memory(piece.bytes, "a chunk of data");
    mf_status status = read_piece(o, r, scratch, i, &piece, bytes);
    if (status) {
        free(bytes);
        return status;
    }
    memcpy(dst, bytes + (begin - piece.begin), end - begin);
    keep(l, g, i, bytes);
    return MF_OK;
}

static mf_status read_row(lazy *l, const reading *o, mf__reader *r, mf__scratch *scratch,
                          size_t begin, size_t end, uint8_t *dst)
{
    size_t i = find_piece(o->layout, begin);
    mf__piece piece;
    mf__layout_piece(o->layout, i, &piece);
    if (piece.begin != begin || piece.end > end || (piece.end == end && end - begin < MF__PACK))
        return read_shared(l, o, r, scratch, i, begin, end, dst);
    for (; i < o->layout->count && o->layout->cuts[i] < end; i++) {
        mf__layout_piece(o->layout, i, &piece);
        MF_TRY(read_piece(o, r, scratch, i, &piece, dst + (piece.begin - begin)));
    }
    return MF_OK;
}

static mf_status get_row(void *self, size_t index, int64_t row, uint8_t **bytes, size_t *size)
{
    lazy *l = self;
    const ragged *g = &l->ragged[index];
    MF_TRY(get_offsets(l, index));
    const int64_t *offsets = g->offsets->data;
    size_t begin = (size_t)offsets[row], end = (size_t)offsets[row + 1];
    *size = end - begin;
    *bytes = NULL;
    if (begin == end)
        return MF_OK;
    uint8_t *dst = malloc(end - begin);
    if (!dst)
        return mf_no_memory(end - begin, "a row of an array");
    reading o = {.lazy = l,
                 .index = index,
                 .layout = &g->layout,
                 .digests = l->arrays[index].row_digests,
                 .base = l->bases[index] + l->arrays[index].layout.count};
    mf__scratch scratch = {0};
    mf__reader *r;
    mf_status status = reader_get(l, &r);
    if (!status) {
        status = read_row(l, &o, r, &scratch, begin, end, dst);
        reader_put(l, r);
    }
    mf__scratch_clear(&scratch);
    if (status)
        free(dst);
    else
        *bytes = dst;
    return status;
}

static mf_status get_row_offsets(void *self, size_t index, mf_array **offsets)
{
    lazy *l = self;
    *offsets = NULL;
    MF_TRY(get_offsets(l, index));
    *offsets = mf_array_ref(l->ragged[index].offsets);
    return MF_OK;
}

static const mf_artifact_source source = {.array = get_array,
                                          .box = get_box,
                                          .row = get_row,
                                          .rows = get_rows,
                                          .offsets = get_row_offsets,
                                          .free = lazy_free};

/* ---- making one ---- */

static mf_status fill(lazy *l, size_t size, mf_artifact *a)
{
    MF_TRY(mf__record_read(l->record, size, a, &l->arrays, &l->count));
    l->ragged = calloc(l->count + 1, sizeof *l->ragged);
    l->names = calloc(l->count + 1, sizeof *l->names);
    l->bases = calloc(l->count + 1, sizeof *l->bases);
    bool good = l->ragged && l->names && l->bases;
    for (size_t i = 0; good && i < l->count; i++) {
        l->bases[i + 1] = l->bases[i] + l->arrays[i].layout.count + l->arrays[i].row_digest_count;
        mf_array_info info; /* a record's arrays are in order of name, as the artifact's */
        mf_artifact_array_info(a, i, &info);
        good = (l->names[i] = strdup(info.name)) != NULL;
    }
    return good ? MF_OK : mf_no_memory(0, "an artifact");
}

/* One of `store` and `from` is given. */
static mf_status new_lazy(mf_store *store, const mf_chunk_source *from, const char *id,
                          uint8_t *record, size_t size, mf_artifact **artifact)
{
    lazy *l = calloc(1, sizeof *l);
    *artifact = NULL;
    if (!l) {
        if (from)
            from->free(from->self);
        free(record);
        return mf_no_memory(0, "an artifact");
    }
    l->store = store ? mf__store_ref(store) : NULL;
    if (from)
        l->source = *from;
    l->record = record;
    memcpy(l->id, id, MF_HEX_SIZE);
    pthread_mutex_init(&l->lock, NULL);
    mf_status status = mf__record_type(record, size, &l->type);
    if (status) {
        lazy_free(l);
        return status;
    }
    MF_TRY(mf_artifact_lazy(l->type, id, &source, l, artifact));
    status = fill(l, size, *artifact);
    if (status) {
        mf_artifact_unref(*artifact);
        *artifact = NULL;
    }
    return status;
}

mf_status mf__lazy_new(mf_store *store, const char *id, uint8_t *record, size_t size,
                       mf_artifact **artifact)
{
    return new_lazy(store, NULL, id, record, size, artifact);
}

mf_status mf__lazy_from(const mf_chunk_source *from, const char *id, uint8_t *record, size_t size,
                        mf_artifact **artifact)
{
    return new_lazy(NULL, from, id, record, size, artifact);
}
