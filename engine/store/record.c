/* record.c - the record of an artifact: the bytes whose SHA-256 is its id.
 *
 * Integers are 8 bytes, little-endian; a text is its length and its bytes, none of them 0; a real
 * is the 8 bytes of its double. Attributes and arrays are in order of name, each name once.
 *   "massflow artifact 1"   text
 *   type                    text
 *   attributes              count, then each: name (text), kind (0 text, 1 integer, 2 reals), value
 *                           (a text; an integer; a count and that many reals)
 *   arrays                  count, then each: name (text), dtype (text), rank, shape, ragged (0 or
 *                           1), rows (0 where not ragged), digests of the pieces (count, then 32
 *                           bytes each); of a ragged array first those of its offsets (i64
 *                           [rows + 1]), then those of its bytes
 * What the pieces are stands in layout.c. The name of the format stands for both.
 *
 * A record may come from anybody, with a digest that is right. There is one record for an artifact:
 * what is read and written again gives the same bytes, and all else is no record. */
#include "base/artifact_source.h"
#include "store/check.h"
#include "store/cursor.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT "massflow artifact 1"
#define LEAST_ATTRIBUTE 24 /* bytes: name, kind, value */
#define LEAST_ARRAY 48     /* bytes: name, dtype, rank, ragged, rows, digests */

/* ---- writing ---- */

void mf__buffer_add(mf__buffer *b, const void *bytes, size_t size)
{
    if (b->room - b->size < size) {
        size_t room = 2 * b->room > b->size + size ? 2 * b->room : b->size + size + 256;
        uint8_t *grown = realloc(b->bytes, room);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->bytes = grown;
        b->room = room;
    }
    if (size)
        memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

void mf__buffer_int(mf__buffer *b, int64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * i));
    mf__buffer_add(b, bytes, sizeof bytes);
}

void mf__buffer_text(mf__buffer *b, const char *text)
{
    size_t size = strlen(text);
    mf__buffer_int(b, (int64_t)size);
    mf__buffer_add(b, text, size);
}

static void add_real(mf__buffer *b, double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    mf__buffer_int(b, bits);
}

static void add_attribute(mf__buffer *b, const mf_artifact *a, size_t i)
{
    mf_attribute_kind kind;
    const char *name = mf_artifact_attribute(a, i, &kind);
    mf__buffer_text(b, name);
    mf__buffer_int(b, kind);
    if (kind == MF_ATTRIBUTE_TEXT) {
        mf__buffer_text(b, mf_artifact_text(a, name));
    } else if (kind == MF_ATTRIBUTE_INT) {
        int64_t value = 0;
        mf_artifact_int(a, name, &value);
        mf__buffer_int(b, value);
    } else {
        size_t count = 0;
        const double *values = mf_artifact_reals(a, name, &count);
        mf__buffer_int(b, (int64_t)count);
        for (size_t k = 0; k < count; k++)
            add_real(b, values[k]);
    }
}

void mf__record_begin(mf__buffer *b, const mf_artifact *a)
{
    mf__buffer_text(b, FORMAT);
    mf__buffer_text(b, mf_artifact_type(a));
    mf__buffer_int(b, (int64_t)mf_artifact_attribute_count(a));
    for (size_t i = 0; i < mf_artifact_attribute_count(a); i++)
        add_attribute(b, a, i);
    mf__buffer_int(b, (int64_t)mf_artifact_array_count(a));
}

void mf__record_array_begin(mf__buffer *b, const mf_array_info *info)
{
    mf__buffer_text(b, info->name);
    mf__buffer_text(b, mf_dtype_text(info->dtype));
    mf__buffer_int(b, info->rank);
    for (int i = 0; i < info->rank; i++)
        mf__buffer_int(b, info->shape[i]);
    mf__buffer_int(b, info->ragged);
    mf__buffer_int(b, info->ragged ? info->rows : 0);
}

void mf__record_digests(mf__buffer *b, const uint8_t *digests, size_t count)
{
    mf__buffer_int(b, (int64_t)count);
    mf__buffer_add(b, digests, count * MF_DIGEST_BYTES);
}

/* ---- reading ---- */

/* Why something of the record is not at hand: that memory is short is no damage. */
static mf_status broken(const mf__cursor *c)
{
    if (c->short_of_memory)
        return mf_no_memory(0, "an artifact");
    return mf_fail(MF_CORRUPT, "the record of an artifact is damaged");
}

static mf_status take_reals(mf__cursor *c, const char *name, mf_artifact *a)
{
    size_t count = mf__take_count(c, 8);
    double *values = malloc((count ? count : 1) * sizeof *values);
    if (!values)
        return mf_no_memory(0, "an artifact");
    for (size_t i = 0; i < count; i++) {
        int64_t bits = mf__take_int(c);
        memcpy(&values[i], &bits, sizeof bits);
    }
    mf_status status = c->failed ? broken(c) : mf_artifact_set_reals(a, name, values, count);
    free(values);
    return status;
}

static mf_status take_value(mf__cursor *c, const char *name, mf_artifact *a)
{
    int64_t kind = mf__take_int(c);
    if (kind == MF_ATTRIBUTE_INT) {
        int64_t value = mf__take_int(c);
        return c->failed ? broken(c) : mf_artifact_set_int(a, name, value);
    }
    if (kind == MF_ATTRIBUTE_REALS)
        return take_reals(c, name, a);
    char *text = kind == MF_ATTRIBUTE_TEXT ? mf__take_text(c) : NULL;
    mf_status status = text ? mf_artifact_set_text(a, name, text) : broken(c);
    free(text);
    return status;
}

/* A name that comes after `*last` in order, which it becomes; NULL where it does not. */
static const char *take_name(mf__cursor *c, char **last)
{
    char *name = mf__take_text(c);
    if (name && *last && strcmp(*last, name) >= 0) {
        c->failed = true;
        free(name);
        return NULL;
    }
    free(*last);
    *last = name;
    return name;
}

static mf_status take_digests(mf__cursor *c, const uint8_t **digests, size_t *count)
{
    *count = mf__take_count(c, MF_DIGEST_BYTES);
    *digests = mf__take(c, *count * MF_DIGEST_BYTES);
    return c->failed ? broken(c) : MF_OK;
}

/* Sides that can be multiplied with each other, also where one of them is 0. */
static bool countable(const mf_array_info *info)
{
    size_t product = mf_dtype_size(info->dtype);
    for (int i = 0; i < info->rank; i++)
        if (info->shape[i] < 0 ||
            !mf_size_mul(product, info->shape[i] ? (size_t)info->shape[i] : 1, &product))
            return false;
    return product <= INT64_MAX;
}

static mf_status take_array(mf__cursor *c, const char *name, mf_artifact *a, mf__record_array *r)
{
    mf_array_info *info = &r->info;
    char *dtype = mf__take_text(c);
    bool good = dtype && mf_dtype_parse(dtype, &info->dtype);
    free(dtype);
    int64_t rank = mf__take_int(c);
    if (!good || rank < 0 || rank > MF_MAX_RANK)
        return broken(c);
    info->rank = (int)rank;
    for (int i = 0; i < info->rank; i++)
        info->shape[i] = mf__take_int(c);
    int64_t ragged = mf__take_int(c);
    info->ragged = ragged == 1;
    info->rows = mf__take_int(c);
    if (!countable(info) || (ragged & ~1) != 0 || (!info->ragged && info->rows != 0))
        return broken(c);
    size_t count;
    if (info->ragged) {
        if (info->rank != 1 || info->dtype != MF_U8 || info->rows < 0 ||
            info->rows >= INT64_MAX / (int64_t)sizeof(int64_t))
            return broken(c);
        int64_t offsets = info->rows + 1;
        MF_TRY(mf__layout_dense(MF_I64, 1, &offsets, &r->layout));
    } else {
        MF_TRY(mf__layout_dense(info->dtype, info->rank, info->shape, &r->layout));
    }
    MF_TRY(take_digests(c, &r->digests, &count));
    if (count != r->layout.count)
        return broken(c);
    if (info->ragged) {
        MF_TRY(take_digests(c, &r->row_digests, &r->row_digest_count));
        if (r->row_digest_count < (uint64_t)info->shape[0] / MF__PIECE)
            return broken(c); /* layout.c takes memory for so many pieces */
    }
    info->name = name;
    return mf_artifact_declare(a, info);
}

static mf_status take_arrays(mf__cursor *c, mf_artifact *a, mf__record_array **arrays,
                             size_t *count)
{
    size_t n = mf__take_count(c, LEAST_ARRAY);
    mf__record_array *r = calloc(n ? n : 1, sizeof *r);
    if (!r)
        return mf_no_memory(0, "an artifact");
    mf_status status = MF_OK;
    char *last = NULL;
    for (size_t i = 0; i < n && !status; i++) {
        const char *name = take_name(c, &last);
        status = name ? take_array(c, name, a, &r[i]) : broken(c);
        r[i].info.name = NULL;
    }
    free(last);
    if (!status && (c->failed || c->left))
        status = broken(c);
    if (status) {
        mf__record_arrays_free(r, n);
        return status;
    }
    *arrays = r;
    *count = n;
    return MF_OK;
}

static mf_status take_head(mf__cursor *c, char **type)
{
    char *format = mf__take_text(c);
    bool good = format && !strcmp(format, FORMAT);
    free(format);
    *type = good ? mf__take_text(c) : NULL;
    return *type ? MF_OK : broken(c);
}

mf_status mf__record_type(const uint8_t *bytes, size_t size, char **type)
{
    mf__cursor c = {bytes, size, false, false};
    return take_head(&c, type);
}

mf_status mf__record_read(const uint8_t *bytes, size_t size, mf_artifact *a,
                          mf__record_array **arrays, size_t *count)
{
    mf__cursor c = {bytes, size, false, false};
    char *type;
    MF_TRY(take_head(&c, &type));
    free(type);
    size_t attributes = mf__take_count(&c, LEAST_ATTRIBUTE);
    mf_status status = MF_OK;
    char *last = NULL;
    for (size_t i = 0; i < attributes && !status; i++) {
        const char *name = take_name(&c, &last);
        status = name ? take_value(&c, name, a) : broken(&c);
    }
    free(last);
    MF_TRY(status);
    return take_arrays(&c, a, arrays, count);
}

static mf_status each_digest(const uint8_t *digests, size_t count,
                             mf_status (*each)(void *self, const uint8_t *digest), void *self)
{
    for (size_t i = 0; i < count; i++)
        MF_TRY(each(self, digests + i * MF_DIGEST_BYTES));
    return MF_OK;
}

/* The arrays of a record, for mf__record_arrays_free. */
static mf_status read_arrays(const uint8_t *record, size_t size, mf__record_array **arrays,
                             size_t *count)
{
    char *type;
    mf_artifact *a = NULL;
    MF_TRY(mf__record_type(record, size, &type));
    mf_status status = mf_artifact_new(type, &a);
    if (!status)
        status = mf__record_read(record, size, a, arrays, count);
    mf_artifact_unref(a);
    free(type);
    return status;
}

mf_status mf__record_bytes(const uint8_t *bytes, size_t size, int64_t *total)
{
    mf__record_array *arrays = NULL;
    size_t count = 0;
    *total = 0;
    mf_status status = read_arrays(bytes, size, &arrays, &count);
    for (size_t i = 0; i < count && !status; i++) {
        int64_t rows = arrays[i].info.ragged ? arrays[i].info.shape[0] : 0;
        if (__builtin_add_overflow(*total, (int64_t)arrays[i].layout.bytes, total) ||
            __builtin_add_overflow(*total, rows, total))
            status = mf_fail(MF_CORRUPT, "the record of an artifact is damaged");
    }
    mf__record_arrays_free(arrays, count);
    return status;
}

mf_status mf__record_chunks(const uint8_t *record, size_t size,
                            mf_status (*each)(void *self, const uint8_t *digest), void *self)
{
    mf__record_array *arrays = NULL;
    size_t count = 0;
    mf_status status = read_arrays(record, size, &arrays, &count);
    for (size_t i = 0; i < count && !status; i++) {
        status = each_digest(arrays[i].digests, arrays[i].layout.count, each, self);
        if (!status)
            status = each_digest(arrays[i].row_digests, arrays[i].row_digest_count, each, self);
    }
    mf__record_arrays_free(arrays, count);
    return status;
}

mf_status mf__record_pieces(const uint8_t *record, size_t size,
                            mf_status (*each)(void *self, const uint8_t *digest, size_t raw),
                            void *self)
{
    mf__record_array *arrays = NULL;
    size_t count = 0;
    mf_status status = read_arrays(record, size, &arrays, &count);
    for (size_t i = 0; i < count && !status; i++)
        for (size_t k = 0; k < arrays[i].layout.count && !status; k++) {
            mf__piece piece;
            mf__layout_piece(&arrays[i].layout, k, &piece);
            status = each(self, arrays[i].digests + k * MF_DIGEST_BYTES, piece.bytes);
        }
    mf__record_arrays_free(arrays, count);
    return status;
}

mf_status mf__record_all_pieces(const uint8_t *record, size_t size,
                                mf_status (*each)(void *self, const uint8_t *digest, size_t raw),
                                void *self)
{
    mf__record_array *arrays = NULL;
    size_t count = 0;
    mf_status status = read_arrays(record, size, &arrays, &count);
    for (size_t i = 0; i < count && !status; i++) {
        for (size_t k = 0; k < arrays[i].layout.count && !status; k++) {
            mf__piece piece;
            mf__layout_piece(&arrays[i].layout, k, &piece);
            status = each(self, arrays[i].digests + k * MF_DIGEST_BYTES, piece.bytes);
        }
        for (size_t k = 0; k < arrays[i].row_digest_count && !status; k++)
            status = each(self, arrays[i].row_digests + k * MF_DIGEST_BYTES, 0);
    }
    mf__record_arrays_free(arrays, count);
    return status;
}

void mf__record_arrays_free(mf__record_array *arrays, size_t count)
{
    for (size_t i = 0; arrays && i < count; i++)
        mf__layout_clear(&arrays[i].layout);
    free(arrays);
}
