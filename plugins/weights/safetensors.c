/* safetensors.c - see safetensors.h. */
#include "safetensors.h"
#include "number.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As the reference implementation has it: a longer header is taken for damage. */
enum { MOST_HEADER = 100000000 };

/* A JSON integer that is at least 0. */
static bool natural(json_object *o, int64_t *value)
{
    if (!o || !json_object_is_type(o, json_type_int))
        return false;
    *value = json_object_get_int64(o);
    return *value >= 0 && *value < INT64_MAX; /* json-c clamps what does not fit */
}

/* One entry of the header: *shape, *rank, the kind, and where its bytes lie. */
static mf_status entry(json_object *o, const char *name, size_t data, const mf_number **k,
                       int *rank, int64_t *shape, size_t *begin)
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
    *k = mf_number_named(json_object_get_string(dtype));
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
    if (at[1] >= at[0] && (size_t)at[1] > data)
        return mf_hint(mf_fail(MF_CORRUPT,
                               "tensor %s: it would end at byte %lld of the data, but the file has "
                               "%zu: it is cut off",
                               name, (long long)at[1], data),
                       "copy or download it again");
    if (at[1] < at[0] || (size_t)(at[1] - at[0]) != bytes)
        return mf_fail(MF_CORRUPT,
                       "tensor %s: bytes %lld to %lld of %zu, where its shape takes %zu", name,
                       (long long)at[0], (long long)at[1], data, bytes);
    *begin = (size_t)at[0];
    return MF_OK;
}

static mf_status load(FILE *f, size_t at, const char *name, const mf_number *k, mf_array *a)
{
    size_t count = (size_t)mf_array_count(a);
    if (fseeko(f, (off_t)at, SEEK_SET))
        return mf_fail(MF_IO, "tensor %s: %s", name, strerror(errno));
    if (fread(a->data, k->size, count, f) != count)
        return mf_fail(MF_CORRUPT, "tensor %s: the file ends before it", name);
    mf_number_widen(k, a);
    return MF_OK;
}

static mf_status read_notes(json_object *notes, mf_tensors *t)
{
    if (!json_object_is_type(notes, json_type_object))
        return mf_fail(MF_CORRUPT, "__metadata__ is not a JSON object");
    json_object_object_foreach(notes, key, text)
    {
        if (!json_object_is_type(text, json_type_string))
            return mf_fail(MF_CORRUPT, "__metadata__: %s is not a text", key);
        MF_TRY(mf_tensors_add_note(t, key, json_object_get_string(text)));
    }
    return MF_OK;
}

static mf_status read_entries(FILE *f, json_object *header, size_t start, size_t data,
                              mf_tensors *t)
{
    json_object_object_foreach(header, name, o)
    {
        const mf_number *k = NULL;
        int64_t shape[MF_MAX_RANK];
        int rank = 0;
        size_t begin = 0;
        mf_array *a;
        if (!strcmp(name, "__metadata__")) {
            MF_TRY(read_notes(o, t));
            continue;
        }
        MF_TRY(entry(o, name, data, &k, &rank, shape, &begin));
        MF_TRY(mf_tensors_make(t, name, k->dtype, rank, shape, &a));
        MF_TRY(load(f, start + begin, name, k, a));
    }
    return MF_OK;
}

static mf_status read_open(FILE *f, size_t size, mf_tensors *t)
{
    uint8_t length[8];
    uint64_t n = 0;
    if (fread(length, 1, 8, f) != 8)
        return mf_fail(MF_CORRUPT, "not a safetensors file: shorter than 8 bytes");
    for (int i = 7; i >= 0; i--)
        n = n << 8 | length[i];
    if (n > MOST_HEADER || n > size - 8)
        return mf_fail(MF_CORRUPT,
                       "not a safetensors file: its header would be %llu bytes long, the file is "
                       "%zu",
                       (unsigned long long)n, size);
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
            failed = read_entries(f, header, 8 + (size_t)n, size - 8 - (size_t)n, t);
    }
    json_object_put(header);
    free(text);
    return failed;
}

mf_status mf_safetensors_read(const char *path, size_t size, mf_tensors *t)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return mf_fail(MF_IO, "%s", strerror(errno));
    mf_status failed = read_open(f, size, t);
    fclose(f);
    return failed;
}
