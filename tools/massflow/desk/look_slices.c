/* look_slices.c - slices of a volume, labels or masks as raw voxels: 32 bytes of header, then
 * voxels, both little-endian:
 *
 *     0   "MFS1"
 *     4   dtype, a text of up to 4 bytes: "i16"
 *     8   u32 axis across which they are cut, 0 x, 1 y, 2 z of the grid
 *     12  u32 first slice
 *     16  u32 slices
 *     20  u32 rows       of y, z or z: the later axis of the grid
 *     24  u32 columns    of x, x or y
 *     28  u32 0
 *
 * No window is applied: the page does that. */
#include "look.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 32, MOST_SLICES = 64 };
static const size_t most_answer = (size_t)64 << 20; /* bytes of one answer */

/* "3,17,20" -> u8 [masks]; NULL where nothing is said. The caller frees *only. */
static mf_status read_only(const desk_source *s, const char *text, uint8_t **only)
{
    *only = NULL;
    if (!text || s->kind != DESK_MASKS)
        return MF_OK;
    uint8_t *list = calloc((size_t)s->masks + 1, 1);
    if (!list)
        return mf_no_memory((size_t)s->masks, "a list of masks");
    for (const char *at = text; *at;) {
        char *end;
        const long k = strtol(at, &end, 10);
        if (end == at || k < 0 || k >= s->masks || (*end && *end != ',')) {
            free(list);
            return mf_fail(MF_INVALID, "only=%s: numbers of masks, 0 to %lld, with commas", text,
                           (long long)s->masks - 1);
        }
        list[k] = 1;
        at = *end ? end + 1 : end;
    }
    *only = list;
    return MF_OK;
}

static void put_number(uint8_t *header, int at, int64_t value)
{
    for (int i = 0; i < 4; i++)
        header[at + i] = (uint8_t)(value >> 8 * i);
}

static mf_status answer_room(const desk_source *s, const desk_cut *cut, size_t *size)
{
    int64_t rows, columns;
    desk_slice_shape(s, cut->axis, &rows, &columns);
    if (!mf_size_mul((size_t)rows, (size_t)columns, size) ||
        !mf_size_mul(*size, mf_dtype_size(s->dtype), size) ||
        !mf_size_mul(*size, (size_t)cut->count, size) || *size > most_answer)
        return mf_fail(MF_INVALID,
                       "%lld slices of %lld x %lld voxels are more than %zu MiB; ask for "
                       "fewer",
                       (long long)cut->count, (long long)rows, (long long)columns,
                       most_answer >> 20);
    return MF_OK;
}

static void put_header(const desk_source *s, const desk_cut *cut, uint8_t *header)
{
    int64_t rows, columns;
    const char *dtype = mf_dtype_text(s->dtype);
    desk_slice_shape(s, cut->axis, &rows, &columns);
    memset(header, 0, HEADER);
    memcpy(header, "MFS1", 4);
    memcpy(header + 4, dtype, strlen(dtype));
    put_number(header, 8, 2 - cut->axis);
    put_number(header, 12, cut->first);
    put_number(header, 16, cut->count);
    put_number(header, 20, rows);
    put_number(header, 24, columns);
}

static mf_status read_slices(desk_request *q, const desk_opened *o, const desk_cut *cut,
                             desk_reply *r)
{
    const char *shown = desk_query(q, "only");
    uint8_t *only, *bytes;
    size_t size;
    MF_TRY(answer_room(o->source, cut, &size));
    MF_TRY(read_only(o->source, shown, &only));
    bytes = malloc(HEADER + size);
    mf_status status = bytes ? desk_slabs_slices(desk_look_slabs(q), o->source, o->id, only,
                                                 only ? shown : "", cut, bytes + HEADER)
                             : mf_no_memory(size, "slices");
    free(only);
    if (status) {
        free(bytes);
        return status;
    }
    put_header(o->source, cut, bytes);
    desk_reply_bytes(r, "application/octet-stream", bytes, HEADER + size);
    desk_reply_lasting(r);
    return MF_OK;
}

mf_status desk_look_slices(desk_request *q, desk_reply *r)
{
    int64_t axis, first, count;
    desk_opened *o;
    MF_TRY(desk_query_int(q, "axis", 0, 2, &axis));
    MF_TRY(desk_query_int(q, "first", 0, INT32_MAX, &first));
    MF_TRY(desk_query_int(q, "count", 1, MOST_SLICES, &count));
    MF_TRY(desk_look_enter(q, &o));
    const desk_cut cut = {2 - (int)axis, first, count};
    mf_status status = read_slices(q, o, &cut, r);
    desk_look_leave(q, o);
    return status;
}
