/* safetensors.c - see safetensors.h: first the whole header, then the numbers from front to back.
 */
#include "safetensors.h"
#include "json_reader.h"
#include "number.h"

#include <massflow/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* As the reference implementation has it: a longer header is taken for damage. */
enum { MOST_HEADER = 100000000 };

static const char again[] = "copy or download it again";
static const char anew[] = "in Python: safetensors.torch.save_file(tensors, \"new.safetensors\") "
                           "writes it as it should be";

/* A tensor as the header states it; the name stands in the header. */
typedef struct stated {
    const char *name;
    const mf_number *number;
    int rank;
    int64_t shape[MF_MAX_RANK];
    int64_t offsets[2]; /* begin and end, in the data */
} stated;

typedef struct header {
    char *text;   /* with a NUL behind it */
    stated *item; /* in order of their offsets, once checked */
    size_t count;
    size_t data; /* bytes behind the header */
} header;

/* ---- one tensor ------------------------------------------------------------------------------ */

static mf_status read_dtype(json_reader *r, stated *s)
{
    char *text;
    MF_TRY(json_text(r, &text));
    s->number = mf_number_named(text);
    if (s->number)
        return MF_OK;
    return mf_hint(mf_fail(MF_UNSUPPORTED, "dtype %.20s is not read here", text),
                   "save it as float32, float16 or bfloat16");
}

static mf_status read_shape(json_reader *r, stated *s)
{
    size_t count = 0;
    int64_t side;
    for (bool more;;) {
        MF_TRY(json_item(r, '[', ']', &count, &more));
        if (!more)
            break;
        if (!json_natural(r, &side))
            return mf_hint(mf_fail(MF_CORRUPT, "its shape is not a list of integers"), "%s", anew);
        if (count <= MF_MAX_RANK)
            s->shape[count - 1] = side;
    }
    if (count - 1 > MF_MAX_RANK)
        return mf_fail(MF_UNSUPPORTED, "%zu dimensions, at most %d are read", count - 1,
                       MF_MAX_RANK);
    s->rank = (int)count - 1;
    return MF_OK;
}

static mf_status read_offsets(json_reader *r, stated *s)
{
    size_t count = 0;
    bool more, good = true;
    for (int i = 0; i < 2 && good; i++) {
        MF_TRY(json_item(r, '[', ']', &count, &more));
        good = more && json_natural(r, &s->offsets[i]);
    }
    if (good && json_next(r, ']'))
        return MF_OK;
    return mf_hint(mf_fail(MF_CORRUPT, "its data_offsets are not two integers"), "%s", anew);
}

/* What its shape takes is what its offsets span, within the file. */
static mf_status check(const stated *s, size_t data)
{
    const int64_t begin = s->offsets[0], end = s->offsets[1];
    size_t bytes = s->number->size;
    for (int i = 0; i < s->rank; i++)
        if (!mf_size_mul(bytes, (size_t)s->shape[i], &bytes))
            return mf_hint(mf_fail(MF_CORRUPT, "its shape has more numbers than can be counted"),
                           "%s", anew);
    if (end >= begin && (uint64_t)end > data)
        return mf_hint(mf_fail(MF_CORRUPT,
                               "it would end at byte %lld of the data, but the file has %zu: it is "
                               "cut off",
                               (long long)end, data),
                       "%s", again);
    if (end < begin || (size_t)(end - begin) != bytes)
        return mf_hint(mf_fail(MF_CORRUPT, "bytes %lld to %lld of %zu, where its shape takes %zu",
                               (long long)begin, (long long)end, data, bytes),
                       "%s", anew);
    return MF_OK;
}

enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4, ALL = 7 };

static mf_status read_field(json_reader *r, stated *s, unsigned *seen)
{
    char *key;
    MF_TRY(json_text(r, &key));
    MF_TRY(json_expect(r, ':'));
    unsigned field = !strcmp(key, "dtype")          ? DTYPE
                     : !strcmp(key, "shape")        ? SHAPE
                     : !strcmp(key, "data_offsets") ? OFFSETS
                                                    : 0;
    if (*seen & field)
        return mf_hint(mf_fail(MF_CORRUPT, "it has %s twice", key), "%s", anew);
    *seen |= field;
    return field == DTYPE     ? read_dtype(r, s)
           : field == SHAPE   ? read_shape(r, s)
           : field == OFFSETS ? read_offsets(r, s)
                              : json_skip(r);
}

static mf_status read_tensor(json_reader *r, size_t data, stated *s)
{
    unsigned seen = 0;
    size_t count = 0;
    for (bool more;;) {
        MF_TRY(json_item(r, '{', '}', &count, &more));
        if (!more)
            break;
        MF_TRY(read_field(r, s, &seen));
    }
    if (seen != ALL)
        return mf_hint(mf_fail(MF_CORRUPT, "no dtype, shape and data_offsets"), "%s", anew);
    return check(s, data);
}

/* ---- the header ------------------------------------------------------------------------------ */

static mf_status read_notes(json_reader *r, mf_tensors *t)
{
    size_t count = 0;
    for (bool more;;) {
        char *key, *text;
        MF_TRY(json_item(r, '{', '}', &count, &more));
        if (!more)
            return MF_OK;
        MF_TRY(json_text(r, &key));
        MF_TRY(json_expect(r, ':'));
        MF_TRY(mf_within(json_text(r, &text), "%.100s", key));
        MF_TRY(mf_tensors_add_note(t, key, text));
    }
}

static mf_status add_stated(header *h, stated **s)
{
    stated *grown = mf_list_more(h->item, h->count, sizeof *grown);
    if (!grown)
        return mf_no_memory(0, "a list of %zu tensors", h->count + 1);
    h->item = grown;
    *s = &h->item[h->count++];
    **s = (stated){0};
    return MF_OK;
}

static mf_status parse(header *h, size_t length, mf_tensors *t)
{
    json_reader r = {h->text, h->text, h->text + length};
    size_t count = 0;
    bool noted = false;
    if (*r.at != '{')
        return mf_fail(MF_CORRUPT, "not a safetensors file: its header is not a JSON object");
    for (bool more;;) {
        char *name;
        stated *s = NULL;
        MF_TRY(json_item(&r, '{', '}', &count, &more));
        if (!more)
            break;
        MF_TRY(json_text(&r, &name));
        MF_TRY(json_expect(&r, ':'));
        if (!strcmp(name, "__metadata__")) {
            if (noted)
                return mf_hint(mf_fail(MF_CORRUPT, "it has __metadata__ twice"), "%s", anew);
            noted = true;
            MF_TRY(mf_within(read_notes(&r, t), "__metadata__"));
            continue;
        }
        MF_TRY(mf_tensors_check_name(name));
        MF_TRY(add_stated(h, &s));
        s->name = name;
        MF_TRY(mf_within(read_tensor(&r, h->data, s), "tensor %s", name));
    }
    if (!json_ended(&r))
        return json_damaged(&r, "something stands behind the JSON object");
    return MF_OK;
}

/* ---- the data -------------------------------------------------------------------------------- */

static int by_offsets(const void *a, const void *b)
{
    const stated *x = a, *y = b;
    for (int i = 0; i < 2; i++)
        if (x->offsets[i] != y->offsets[i])
            return x->offsets[i] < y->offsets[i] ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The tensors lie end to end and are all that lies in the data. */
static mf_status check_whole(header *h)
{
    int64_t at = 0;
    if (h->count)
        qsort(h->item, h->count, sizeof *h->item, by_offsets);
    for (size_t i = 0; i < h->count; i++) {
        const stated *s = &h->item[i];
        if (s->offsets[0] < at)
            return mf_hint(mf_fail(MF_CORRUPT,
                                   "tensor %s: bytes %lld to %lld of the data, of which tensor %s "
                                   "has those up to %lld",
                                   s->name, (long long)s->offsets[0], (long long)s->offsets[1],
                                   s[-1].name, (long long)at),
                           "%s", anew);
        if (s->offsets[0] > at)
            return mf_hint(mf_fail(MF_CORRUPT,
                                   "tensor %s: it begins at byte %lld of the data; bytes %lld to "
                                   "%lld belong to no tensor",
                                   s->name, (long long)s->offsets[0], (long long)at,
                                   (long long)s->offsets[0]),
                           "%s", anew);
        at = s->offsets[1];
    }
    if ((size_t)at == h->data)
        return MF_OK;
    return mf_hint(mf_fail(MF_CORRUPT, "bytes %lld to %zu of the data belong to no tensor",
                           (long long)at, h->data),
                   "%s", anew);
}

static mf_status load(FILE *f, const stated *s, mf_tensors *t)
{
    mf_array *a;
    MF_TRY(mf_tensors_make(t, s->name, s->number->dtype, s->rank, s->shape, &a));
    size_t count = (size_t)mf_array_count(a);
    if (fread(a->data, s->number->size, count, f) != count)
        return ferror(f) ? mf_fail(MF_IO, "tensor %s: %s", s->name, strerror(errno))
                         : mf_fail(MF_CORRUPT, "tensor %s: the file ends before it", s->name);
    mf_number_widen(s->number, a);
    return MF_OK;
}

static mf_status read_length(FILE *f, size_t size, size_t *length)
{
    uint8_t bytes[8];
    uint64_t n = 0;
    if (fread(bytes, 1, 8, f) != 8)
        return mf_fail(MF_CORRUPT, "not a safetensors file: shorter than 8 bytes");
    for (int i = 7; i >= 0; i--)
        n = n << 8 | bytes[i];
    if (n > MOST_HEADER || n > size - 8)
        return mf_fail(MF_CORRUPT,
                       "not a safetensors file: its header would be %llu bytes long, the file is "
                       "%zu",
                       (unsigned long long)n, size);
    *length = (size_t)n;
    return MF_OK;
}

static mf_status read_header(FILE *f, size_t length, header *h, mf_tensors *t)
{
    h->text = malloc(length + 1);
    if (!h->text)
        return mf_no_memory(0, "a header of %zu bytes", length);
    if (fread(h->text, 1, length, f) != length)
        return mf_fail(MF_CORRUPT, "the file ends within its header");
    h->text[length] = 0;
    MF_TRY(parse(h, length, t));
    return check_whole(h);
}

mf_status mf_safetensors_read(FILE *f, size_t size, mf_tensors *t)
{
    size_t length = 0;
    header h = {0};
    MF_TRY(read_length(f, size, &length));
    h.data = size - 8 - length;
    mf_status status = read_header(f, length, &h, t);
    for (size_t i = 0; i < h.count && !status; i++)
        status = load(f, &h.item[i], t);
    free(h.item);
    free(h.text);
    return status;
}
