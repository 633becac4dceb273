/* meta_header.c - see meta_header.h. */
#include "meta_header.h"
#include "../scan/lines.h"
#include <ctype.h>
#include <massflow/file.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum key {
    OBJECT_TYPE,
    NDIMS,
    DIM_SIZE,
    ELEMENT_TYPE,
    SPACING,
    ELEMENT_SIZE,
    OFFSET,
    POSITION,
    ORIGIN,
    MATRIX,
    ROTATION,
    ORIENTATION,
    COMPRESSED,
    BINARY,
    BINARY_MSB,
    ELEMENT_MSB,
    CHANNELS,
    HEADER_SIZE,
    SLOPE,
    INTERCEPT,
    DATA_FILE,
    KEYS
} key;

static const struct {
    const char *name;
    bool numbers; /* its value may go on in the next line */
} keys[KEYS] = {[OBJECT_TYPE] = {"ObjectType", false},
                [NDIMS] = {"NDims", false},
                [DIM_SIZE] = {"DimSize", true},
                [ELEMENT_TYPE] = {"ElementType", false},
                [SPACING] = {"ElementSpacing", true},
                [ELEMENT_SIZE] = {"ElementSize", true},
                [OFFSET] = {"Offset", true},
                [POSITION] = {"Position", true},
                [ORIGIN] = {"Origin", true},
                [MATRIX] = {"TransformMatrix", true},
                [ROTATION] = {"Rotation", true},
                [ORIENTATION] = {"Orientation", true},
                [COMPRESSED] = {"CompressedData", false},
                [BINARY] = {"BinaryData", false},
                [BINARY_MSB] = {"BinaryDataByteOrderMSB", false},
                [ELEMENT_MSB] = {"ElementByteOrderMSB", false},
                [CHANNELS] = {"ElementNumberOfChannels", false},
                [HEADER_SIZE] = {"HeaderSize", false},
                [SLOPE] = {"ElementToIntensityFunctionSlope", false},
                [INTERCEPT] = {"ElementToIntensityFunctionOffset", false},
                [DATA_FILE] = {"ElementDataFile", false}};

/* The known keys of a header with their values; interpreted once all are there. */
typedef struct entries {
    const char *path;
    char *value[KEYS];
    int line[KEYS];
    int other_case[KEYS]; /* the line where the key stands in other letters */
} entries;

static mf_status no_memory(const char *path)
{
    return mf_no_memory(0, "the header of %s", path);
}

static mf_status damaged(const entries *e, key k)
{
    return mf_fail(MF_CORRUPT, "%s:%d: damaged header: %s = %s", e->path, e->line[k], keys[k].name,
                   e->value[k]);
}

/* A line "Key = value" or, as MetaIO takes it too, "Key: value"; one without a sign goes on with
 * the numbers of the line before. */
static mf_status keep_line(const text_lines *l, entries *e, int *last)
{
    char *sign = strpbrk(l->text, "=:");
    if (!sign) {
        char *more = text_trim(l->text), *joined;
        if (*last < 0 || !*more)
            return MF_OK;
        if (asprintf(&joined, "%s %s", e->value[*last], more) < 0)
            return no_memory(l->path);
        free(e->value[*last]);
        e->value[*last] = joined;
        return MF_OK;
    }
    *sign = 0;
    const char *name = text_trim(l->text), *value = text_trim(sign + 1);
    *last = -1;
    for (int k = 0; k < KEYS; k++) {
        if (strcmp(name, keys[k].name)) {
            if (!strcasecmp(name, keys[k].name))
                e->other_case[k] = l->number;
            continue;
        }
        if (e->value[k] && strcmp(e->value[k], value))
            return mf_fail(MF_CORRUPT, "%s:%d: damaged header: %s stands twice", l->path, l->number,
                           name);
        free(e->value[k]);
        e->line[k] = l->number;
        e->value[k] = strdup(value);
        if (!e->value[k])
            return no_memory(l->path);
        *last = keys[k].numbers ? k : -1;
    }
    return MF_OK;
}

static mf_status collect(text_lines *l, entries *e)
{
    bool more;
    int last = -1;
    while (!e->value[DATA_FILE]) {
        MF_TRY(lines_next(l, &more));
        if (!more)
            return MF_OK;
        MF_TRY(keep_line(l, e, &last));
    }
    return MF_OK;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* As MetaIO: the first letter tells. */
static mf_status truth(const entries *e, key k, bool *is)
{
    char c = e->value[k] ? e->value[k][0] : 'F';
    *is = c == 'T' || c == 't' || c == '1';
    return *is || c == 'F' || c == 'f' || c == '0' ? MF_OK : damaged(e, k);
}

/* One of several keys of the same meaning; those that are given must agree. */
static mf_status numbers(const entries *e, const key *same, int keys_count, int count, double *to,
                         bool *given)
{
    *given = false;
    for (int i = 0; i < keys_count; i++) {
        double here[16];
        if (!e->value[same[i]])
            continue;
        if (text_reals(e->value[same[i]], here, count) != count)
            return mf_hint(damaged(e, same[i]), "%d numbers with decimal points are expected",
                           count);
        if (*given && memcmp(here, to, (size_t)count * sizeof *here))
            return mf_fail(MF_CORRUPT, "%s:%d: damaged header: %s contradicts a line before",
                           e->path, e->line[same[i]], keys[same[i]].name);
        memcpy(to, here, (size_t)count * sizeof *here);
        *given = true;
    }
    return MF_OK;
}

static mf_status parse_size(const entries *e, meta_header *m)
{
    long long rank;
    double n[4];
    if (!text_whole(e->value[NDIMS], &rank) || rank < 1)
        return damaged(e, NDIMS);
    if (rank < 2 || rank > 4)
        return mf_fail(MF_UNSUPPORTED, "%s: has %lld dimensions", e->path, rank);
    m->rank = (int)rank;
    if (text_reals(e->value[DIM_SIZE], n, 4) != m->rank)
        return damaged(e, DIM_SIZE);
    for (int i = 0; i < m->rank; i++) {
        if (!(n[i] >= 1 && n[i] < 1e15 && n[i] == rint(n[i])))
            return mf_fail(MF_CORRUPT, "%s:%d: claims an impossible size: %s", e->path,
                           e->line[DIM_SIZE], e->value[DIM_SIZE]);
        m->size[i] = (int64_t)n[i];
    }
    return MF_OK;
}

/* MetaIO's "long" has four bytes everywhere. */
static mf_status parse_type(const entries *e, meta_header *m)
{
    static const struct {
        const char *name;
        mf_dtype dtype;
    } types[] = {{"MET_UCHAR", MF_U8},      {"MET_ASCII_CHAR", MF_U8},  {"MET_CHAR", MF_I8},
                 {"MET_USHORT", MF_U16},    {"MET_SHORT", MF_I16},      {"MET_UINT", MF_U32},
                 {"MET_INT", MF_I32},       {"MET_ULONG", MF_U32},      {"MET_LONG", MF_I32},
                 {"MET_LONG_LONG", MF_I64}, {"MET_ULONG_LONG", MF_I64}, {"MET_FLOAT", MF_F32},
                 {"MET_DOUBLE", MF_F64}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(e->value[ELEMENT_TYPE], types[i].name)) {
            m->dtype = types[i].dtype;
            m->uint64 = !strcmp(types[i].name, "MET_ULONG_LONG");
            return MF_OK;
        }
    return mf_hint(mf_fail(MF_UNSUPPORTED, "%s:%d: voxels of type %s are not read", e->path,
                           e->line[ELEMENT_TYPE], e->value[ELEMENT_TYPE]),
                   "convert it to a scan of one number a voxel");
}

static mf_status parse_place(const entries *e, meta_header *m)
{
    static const key spacings[] = {SPACING}, sizes[] = {ELEMENT_SIZE},
                     offsets[] = {OFFSET, POSITION, ORIGIN},
                     matrices[] = {MATRIX, ROTATION, ORIENTATION};
    MF_TRY(numbers(e, spacings, 1, m->rank, m->spacing, &m->has_spacing));
    if (!m->has_spacing)
        MF_TRY(numbers(e, sizes, 1, m->rank, m->spacing, &m->has_spacing));
    for (int i = 0; i < m->rank && m->has_spacing; i++)
        if (!(m->spacing[i] > 0))
            return damaged(e, e->value[SPACING] ? SPACING : ELEMENT_SIZE);
    MF_TRY(numbers(e, offsets, 3, m->rank, m->offset, &m->has_offset));
    return numbers(e, matrices, 3, m->rank * m->rank, m->matrix, &m->has_matrix);
}

static mf_status parse_voxels(const entries *e, meta_header *m)
{
    static const key slopes[] = {SLOPE}, intercepts[] = {INTERCEPT};
    long long channels = 1, bytes = 0;
    bool binary = true, given, msb;
    MF_TRY(truth(e, COMPRESSED, &m->compressed));
    MF_TRY(truth(e, BINARY_MSB, &m->big));
    MF_TRY(truth(e, ELEMENT_MSB, &msb));
    if (e->value[BINARY_MSB] && e->value[ELEMENT_MSB] && m->big != msb)
        return mf_fail(MF_CORRUPT, "%s:%d: damaged header: %s = %s contradicts %s = %s in line %d",
                       e->path, e->line[ELEMENT_MSB], keys[ELEMENT_MSB].name, e->value[ELEMENT_MSB],
                       keys[BINARY_MSB].name, e->value[BINARY_MSB], e->line[BINARY_MSB]);
    m->big = m->big || msb;
    if (e->value[BINARY])
        MF_TRY(truth(e, BINARY, &binary));
    m->text = !binary;
    if (e->value[CHANNELS] && (!text_whole(e->value[CHANNELS], &channels) || channels < 1))
        return damaged(e, CHANNELS);
    if (channels != 1)
        return mf_hint(mf_fail(MF_UNSUPPORTED,
                               "%s: has %lld values a voxel (colour or vectors), not one", e->path,
                               channels),
                       "convert it to a grey-scale scan first");
    if (e->value[HEADER_SIZE] && (!text_whole(e->value[HEADER_SIZE], &bytes) || bytes < -1))
        return damaged(e, HEADER_SIZE);
    if (bytes == -1 && (m->compressed || m->text))
        return mf_fail(MF_UNSUPPORTED, "%s:%d: HeaderSize = -1 has a meaning for raw voxels only",
                       e->path, e->line[HEADER_SIZE]);
    m->header_bytes = bytes;
    m->slope = 1;
    MF_TRY(numbers(e, slopes, 1, 1, &m->slope, &given));
    return numbers(e, intercepts, 1, 1, &m->intercept, &given);
}

/* ---- data files ------------------------------------------------------------------------------ */

/* How many files there are when each holds the first `axes` axes. */
static int64_t files_of(const meta_header *m, int axes)
{
    int64_t count = 1;
    for (int i = axes; i < m->rank; i++)
        count = count > INT64_MAX / m->size[i] ? INT64_MAX : count * m->size[i];
    return count;
}

/* "LIST" or "LIST 2": the names of the files stand in the lines behind it. */
static mf_status add_listed(const entries *e, text_lines *l, meta_header *m)
{
    long long axes = m->rank - 1;
    char *end, *rest = e->value[DATA_FILE] + 4;
    if (*text_trim(rest)) {
        axes = strtoll(rest, &end, 10);
        if (axes < 1 || axes >= m->rank || (*end && strcasecmp(text_trim(end), "D")))
            return damaged(e, DATA_FILE);
    }
    int64_t wanted = files_of(m, (int)axes), listed = 0;
    bool more = true;
    while (listed < wanted) {
        MF_TRY(lines_next(l, &more));
        if (!more)
            return mf_fail(MF_CORRUPT, "%s:%d: lists %lld data files, its size needs %lld", e->path,
                           e->line[DATA_FILE], (long long)listed, (long long)wanted);
        char *name = text_trim(l->text);
        if (!*name)
            continue;
        MF_TRY(parts_add(&m->parts, e->path, l->number, name));
        listed++;
    }
    return MF_OK;
}

/* "name%03d.raw", then first, last and step, of which the last ones may lack. A name may hold
 * blanks. */
static mf_status add_pattern(const entries *e, meta_header *m)
{
    int64_t count = m->size[m->rank - 1];
    long long n[3] = {1, count, 1};
    int given = 0;
    char *text = strdup(e->value[DATA_FILE]);
    if (!text)
        return no_memory(e->path);
    while (given < 3) { /* numbers from the end */
        char *blank = strrchr(text, ' ');
        long long value;
        if (!blank || strchr(blank, '%') || !text_whole(blank + 1, &value))
            break;
        *blank = 0;
        text_trim(text);
        n[2] = n[1], n[1] = n[0], n[0] = value;
        given++;
    }
    if (given == 0)
        n[0] = 1, n[1] = count, n[2] = 1;
    else if (given == 1)
        n[1] = n[0] + count - 1, n[2] = 1;
    else if (given == 2)
        n[2] = count > 1 ? (n[1] - n[0]) / (count - 1) : 1;
    mf_status status = MF_OK;
    const long long most = 1000000000;
    if (llabs(n[0]) > most || llabs(n[1]) > most || n[2] < 1 || n[1] < n[0] ||
        (n[1] - n[0]) / n[2] + 1 < count)
        status = damaged(e, DATA_FILE);
    if (!status) /* more files than slices: the first ones count, as in MetaIO */
        status = parts_add_numbered(&m->parts, e->path, e->line[DATA_FILE], text, n[0],
                                    n[0] + (count - 1) * n[2], n[2]);
    free(text);
    return status;
}

static mf_status add_parts(const entries *e, text_lines *l, meta_header *m)
{
    const char *name = e->value[DATA_FILE];
    m->local = !strcmp(name, "LOCAL") || !strcmp(name, "Local") || !strcmp(name, "local");
    m->end = ftell(l->file);
    if (m->local)
        return MF_OK;
    if (!strncmp(name, "LIST", 4) && (!name[4] || isspace((unsigned char)name[4])))
        return add_listed(e, l, m);
    if (strchr(name, '%'))
        return add_pattern(e, m);
    return parts_add(&m->parts, e->path, e->line[DATA_FILE], name);
}

/* A key in other letters would be passed over, and what it says with it. */
static mf_status check_case(const entries *e)
{
    static const key same[][3] = {{SPACING, ELEMENT_SIZE, SPACING},
                                  {OFFSET, POSITION, ORIGIN},
                                  {MATRIX, ROTATION, ORIENTATION}};
    for (int k = 0; k < KEYS; k++) {
        bool given = e->value[k] != NULL, grouped = false;
        for (size_t g = 0; g < sizeof same / sizeof *same; g++)
            for (int i = 0; i < 3; i++)
                if ((int)same[g][i] == k) {
                    grouped = true;
                    for (int j = 0; j < 3; j++)
                        given = given || e->value[same[g][j]];
                }
        bool main_key = !grouped || k == SPACING || k == OFFSET || k == MATRIX;
        if (e->other_case[k] && !given && main_key)
            return mf_fail(MF_CORRUPT,
                           "%s:%d: damaged header: the key %s is written in other letters", e->path,
                           e->other_case[k], keys[k].name);
    }
    return MF_OK;
}

static mf_status interpret(const entries *e, text_lines *l, meta_header *m)
{
    static const key needed[] = {NDIMS, DIM_SIZE, ELEMENT_TYPE, DATA_FILE};
    MF_TRY(check_case(e));
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!e->value[needed[i]])
            return mf_fail(MF_CORRUPT, "%s: damaged header: it lacks %s", e->path,
                           keys[needed[i]].name);
    if (e->value[OBJECT_TYPE] && strncmp(e->value[OBJECT_TYPE], "Image", 5))
        return mf_fail(MF_UNSUPPORTED, "%s:%d: holds a %s, not an image", e->path,
                       e->line[OBJECT_TYPE], e->value[OBJECT_TYPE]);
    MF_TRY(parse_size(e, m));
    MF_TRY(parse_type(e, m));
    MF_TRY(parse_place(e, m));
    MF_TRY(parse_voxels(e, m));
    return add_parts(e, l, m);
}

mf_status meta_header_read(const char *path, meta_header *m)
{
    *m = (meta_header){0};
    entries e = {.path = path};
    text_lines l = {.path = path};
    int64_t size;
    MF_TRY(mf_file_open(path, &l.file, &size));
    mf_status status = collect(&l, &e);
    if (!status)
        status = interpret(&e, &l, m);
    fclose(l.file);
    lines_free(&l);
    for (int k = 0; k < KEYS; k++)
        free(e.value[k]);
    if (status)
        meta_header_free(m);
    return status;
}

void meta_header_free(meta_header *m)
{
    parts_free(&m->parts);
}
