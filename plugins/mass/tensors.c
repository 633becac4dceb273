/* tensors.c - reads safetensors. */
#include "tensors.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As the reference implementation has it: a longer header is taken for damage. */
enum { MOST_HEADER = 100000000 };

/* ---- the list -------------------------------------------------------------------------------- */

void mf_tensors_clear(mf_tensors *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->item[i].name);
        mf_array_unref(t->item[i].array);
    }
    free(t->item);
    *t = (mf_tensors){0};
}

mf_status mf_tensors_add(mf_tensors *t, const char *name, mf_array *array)
{
    char *copy = strdup(name);
    if (t->count == t->room && copy) {
        size_t room = t->room ? 2 * t->room : 16;
        mf_tensor *more = realloc(t->item, room * sizeof *more);
        if (more) {
            t->item = more;
            t->room = room;
        }
    }
    if (!copy || t->count == t->room) {
        free(copy);
        mf_array_unref(array);
        return mf_fail(MF_NO_MEMORY, "no memory for tensor %s", name);
    }
    t->item[t->count++] = (mf_tensor){copy, array};
    return MF_OK;
}

mf_status mf_tensors_make(mf_tensors *t, const char *name, mf_dtype dtype, int rank,
                          const int64_t *shape, mf_array **array)
{
    MF_TRY(mf_within(mf_array_new(dtype, rank, shape, array), "tensor %s", name));
    return mf_tensors_add(t, name, *array);
}

mf_array *mf_tensors_find(const mf_tensors *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (!strcmp(t->item[i].name, name))
            return t->item[i].array;
    return NULL;
}

bool mf_tensors_shape(const void *self, const char *name, int *rank, int64_t *shape)
{
    const mf_array *a = mf_tensors_find(self, name);
    if (!a)
        return false;
    *rank = a->rank;
    memcpy(shape, a->shape, sizeof(int64_t) * (size_t)a->rank);
    return true;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct kind {
    const char *text;
    mf_dtype dtype; /* in memory */
    size_t size;    /* of an element in the file */
} kind;

static const kind kinds[] = {
    {"F32", MF_F32, 4}, {"F16", MF_F16, 2}, {"BF16", MF_F32, 2}, {"F64", MF_F64, 8},
    {"U8", MF_U8, 1},   {"I8", MF_I8, 1},   {"BOOL", MF_U8, 1},  {"U16", MF_U16, 2},
    {"I16", MF_I16, 2}, {"U32", MF_U32, 4}, {"I32", MF_I32, 4},  {"I64", MF_I64, 8},
};

static const kind *kind_of(const char *text)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].text, text))
            return &kinds[i];
    return NULL;
}

/* A JSON integer that is at least 0. */
static bool natural(json_object *o, int64_t *value)
{
    if (!o || !json_object_is_type(o, json_type_int))
        return false;
    *value = json_object_get_int64(o);
    return *value >= 0 && *value < INT64_MAX; /* json-c clamps what does not fit */
}

/* One entry of the header: *shape, *rank, the kind, and where its bytes lie. */
static mf_status entry(json_object *o, const char *name, size_t data, const kind **k, int *rank,
                       int64_t *shape, size_t *begin)
{
    json_object *dtype, *dims, *offsets;
    int64_t at[2];
    if (!json_object_is_type(o, json_type_object) ||
        !json_object_object_get_ex(o, "dtype", &dtype) ||
        !json_object_object_get_ex(o, "shape", &dims) ||
        !json_object_object_get_ex(o, "data_offsets", &offsets) ||
        !json_object_is_type(dtype, json_type_string) ||
        !json_object_is_type(dims, json_type_array) ||
        !json_object_is_type(offsets, json_type_array) || json_object_array_length(offsets) != 2)
        return mf_fail(MF_CORRUPT, "tensor %s: no dtype, shape and data_offsets", name);
    *k = kind_of(json_object_get_string(dtype));
    if (!*k)
        return mf_fail(MF_UNSUPPORTED, "tensor %s: dtype %s is not read here", name,
                       json_object_get_string(dtype));
    size_t rank_here = json_object_array_length(dims), bytes = (*k)->size;
    if (rank_here > MF_MAX_RANK)
        return mf_fail(MF_UNSUPPORTED, "tensor %s: %zu dimensions, at most %d are read", name,
                       rank_here, MF_MAX_RANK);
    *rank = (int)rank_here;
    for (int i = 0; i < *rank; i++)
        if (!natural(json_object_array_get_idx(dims, (size_t)i), &shape[i]) ||
            !mf_size_mul(bytes, (size_t)shape[i], &bytes))
            return mf_fail(MF_CORRUPT, "tensor %s: its shape is not one", name);
    for (size_t i = 0; i < 2; i++)
        if (!natural(json_object_array_get_idx(offsets, i), &at[i]))
            return mf_fail(MF_CORRUPT, "tensor %s: its data_offsets are not two numbers", name);
    if (at[1] < at[0] || (size_t)at[1] > data || (size_t)(at[1] - at[0]) != bytes)
        return mf_fail(MF_CORRUPT,
                       "tensor %s: bytes %lld to %lld of %zu, where its shape takes %zu", name,
                       (long long)at[0], (long long)at[1], data, bytes);
    *begin = (size_t)at[0];
    return MF_OK;
}

static mf_status load(FILE *f, size_t at, const char *name, const kind *k, mf_array *a)
{
    size_t count = (size_t)mf_array_count(a);
    if (fseeko(f, (off_t)at, SEEK_SET))
        return mf_fail(MF_IO, "tensor %s: %s", name, strerror(errno));
    if (fread(a->data, k->size, count, f) != count)
        return mf_fail(MF_CORRUPT, "tensor %s: the file ends before it", name);
    if (!strcmp(k->text, "BF16")) { /* the upper half of an f32; from the back, so in place */
        const uint8_t *half = a->data;
        for (size_t i = count; i-- > 0;) {
            uint32_t bits = (uint32_t)half[2 * i] << 16 | (uint32_t)half[2 * i + 1] << 24;
            memcpy((uint8_t *)a->data + 4 * i, &bits, 4);
        }
    }
    return MF_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const mf_tensor *)a)->name, ((const mf_tensor *)b)->name);
}

static mf_status read_entries(FILE *f, json_object *header, size_t start, size_t data,
                              mf_tensors *t)
{
    json_object_object_foreach(header, name, o)
    {
        const kind *k = NULL;
        int64_t shape[MF_MAX_RANK];
        int rank = 0;
        size_t begin = 0;
        mf_array *a;
        if (!strcmp(name, "__metadata__"))
            continue;
        MF_TRY(entry(o, name, data, &k, &rank, shape, &begin));
        MF_TRY(mf_tensors_make(t, name, k->dtype, rank, shape, &a));
        MF_TRY(load(f, start + begin, name, k, a));
    }
    if (t->count > 1)
        qsort(t->item, t->count, sizeof *t->item, by_name);
    return MF_OK;
}

static mf_status read_open(FILE *f, mf_tensors *t)
{
    uint8_t length[8];
    uint64_t n = 0;
    off_t size;
    if (fseeko(f, 0, SEEK_END) || (size = ftello(f)) < 0 || fseeko(f, 0, SEEK_SET))
        return mf_fail(MF_IO, "%s", strerror(errno));
    if (fread(length, 1, 8, f) != 8)
        return mf_fail(MF_CORRUPT, "not a safetensors file: shorter than 8 bytes");
    for (int i = 7; i >= 0; i--)
        n = n << 8 | length[i];
    if (n > MOST_HEADER || n > (uint64_t)size - 8)
        return mf_fail(MF_CORRUPT,
                       "not a safetensors file: its header would be %llu bytes long, the file is "
                       "%lld",
                       (unsigned long long)n, (long long)size);
    char *text = malloc((size_t)n + 1);
    if (!text)
        return mf_fail(MF_NO_MEMORY, "no memory for a header of %llu bytes", (unsigned long long)n);
    mf_status failed = MF_OK;
    json_object *header = NULL;
    if (fread(text, 1, (size_t)n, f) != n) {
        failed = mf_fail(MF_CORRUPT, "the file ends within its header");
    } else {
        struct json_tokener *parser = json_tokener_new();
        if (parser) {
            header = json_tokener_parse_ex(parser, text, (int)n);
            json_tokener_free(parser);
        }
        if (!header || !json_object_is_type(header, json_type_object))
            failed = mf_fail(MF_CORRUPT, "not a safetensors file: its header is not a JSON object");
        else
            failed = read_entries(f, header, 8 + (size_t)n, (size_t)size - 8 - (size_t)n, t);
    }
    json_object_put(header);
    free(text);
    return failed;
}

mf_status mf_tensors_read(const char *path, mf_tensors *t)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return mf_fail(errno == ENOENT ? MF_NOT_FOUND : MF_IO, "%s: %s", path, strerror(errno));
    mf_status failed = mf_within(read_open(f, t), "%s", path);
    fclose(f);
    if (failed)
        mf_tensors_clear(t);
    return failed;
}
