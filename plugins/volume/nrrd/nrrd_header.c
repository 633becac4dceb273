/* nrrd_header.c - see nrrd_header.h. */
#include "nrrd_header.h"
#include "../scan/lines.h"
#include <ctype.h>
#include <massflow/file.h>
#include <massflow/memory.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum field {
    DIMENSION,
    TYPE,
    BLOCK_SIZE,
    ENCODING,
    ENDIAN,
    SIZES,
    SPACINGS,
    MINS,
    MAXS,
    CENTERS,
    KINDS,
    UNITS,
    SPACE,
    SPACE_DIMENSION,
    SPACE_UNITS,
    SPACE_ORIGIN,
    SPACE_DIRECTIONS,
    LINE_SKIP,
    BYTE_SKIP,
    OLD_MIN,
    OLD_MAX,
    DATA_FILE,
    IGNORED, /* fields without meaning for a scan */
    FIELDS
} field;

static const struct {
    const char *name;
    field field;
} names[] = {{"dimension", DIMENSION},
             {"type", TYPE},
             {"block size", BLOCK_SIZE},
             {"blocksize", BLOCK_SIZE},
             {"encoding", ENCODING},
             {"endian", ENDIAN},
             {"sizes", SIZES},
             {"spacings", SPACINGS},
             {"axis mins", MINS},
             {"axismins", MINS},
             {"axis maxs", MAXS},
             {"axismaxs", MAXS},
             {"centers", CENTERS},
             {"centerings", CENTERS},
             {"kinds", KINDS},
             {"units", UNITS},
             {"space", SPACE},
             {"space dimension", SPACE_DIMENSION},
             {"spacedimension", SPACE_DIMENSION},
             {"space units", SPACE_UNITS},
             {"spaceunits", SPACE_UNITS},
             {"space origin", SPACE_ORIGIN},
             {"spaceorigin", SPACE_ORIGIN},
             {"space directions", SPACE_DIRECTIONS},
             {"spacedirections", SPACE_DIRECTIONS},
             {"line skip", LINE_SKIP},
             {"lineskip", LINE_SKIP},
             {"byte skip", BYTE_SKIP},
             {"byteskip", BYTE_SKIP},
             {"old min", OLD_MIN},
             {"oldmin", OLD_MIN},
             {"old max", OLD_MAX},
             {"oldmax", OLD_MAX},
             {"data file", DATA_FILE},
             {"datafile", DATA_FILE},
             {"content", IGNORED},
             {"number", IGNORED},
             {"labels", IGNORED},
             {"thicknesses", IGNORED},
             {"min", IGNORED},
             {"max", IGNORED},
             {"sample units", IGNORED},
             {"sampleunits", IGNORED},
             {"measurement frame", IGNORED},
             {"measurementframe", IGNORED}};

/* The fields of a header, each with its text and line; interpreted once all are there, as their
 * order is free. */
typedef struct fields {
    const char *path;
    char *text[FIELDS];
    int line[FIELDS];
    char **listed; /* the names after "data file: LIST" */
    size_t count;
    int first; /* line of the first of them */
} fields;

static void fields_free(fields *f)
{
    for (int i = 0; i < FIELDS; i++)
        free(f->text[i]);
    for (size_t i = 0; i < f->count; i++)
        free(f->listed[i]);
    free(f->listed);
}

static mf_status no_memory(const char *path)
{
    return mf_no_memory(0, "the header of %s", path);
}

static mf_status damaged(const fields *f, field which)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].field == which)
            return mf_fail(MF_CORRUPT, "%s:%d: damaged header: %s: %s", f->path, f->line[which],
                           names[i].name, f->text[which]);
    return mf_fail(MF_CORRUPT, "%s: damaged header", f->path);
}

/* Keeps one line "field: text"; of "key:=value" what is said of a segment. The blank behind the
 * colon is wanted by the format but not by all writers. */
static mf_status keep_line(const text_lines *l, fields *f, segments *s, bool *list)
{
    char *colon = strchr(l->text, ':'), *pair = strstr(l->text, ":=");
    if (colon == pair)
        colon = NULL;
    if (l->text[0] == '#')
        return MF_OK;
    field found = FIELDS;
    for (size_t i = 0; colon && i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].name) == (size_t)(colon - l->text) &&
            !strncasecmp(names[i].name, l->text, (size_t)(colon - l->text)))
            found = names[i].field;
    if (found == FIELDS && pair)
        return mf_within(segments_take(s, l->text), "%s:%d", l->path, l->number);
    if (found == IGNORED)
        return MF_OK;
    if (found == FIELDS)
        return mf_fail(MF_CORRUPT, "%s:%d: damaged header: '%.60s' is not a field of NRRD", l->path,
                       l->number, l->text);
    if (f->text[found])
        return mf_fail(MF_CORRUPT, "%s:%d: damaged header: '%.*s' stands twice", l->path, l->number,
                       (int)(colon - l->text), l->text);
    f->line[found] = l->number;
    f->text[found] = strdup(text_trim(colon + 1));
    if (!f->text[found])
        return no_memory(l->path);
    *list = found == DATA_FILE && !strncmp(f->text[found], "LIST", 4) &&
            (!f->text[found][4] || isspace((unsigned char)f->text[found][4]));
    return MF_OK;
}

static mf_status keep_name(const text_lines *l, fields *f)
{
    char *name = strdup(text_trim(l->text));
    char **more = name ? mf_list_more(f->listed, f->count, sizeof *more) : NULL;
    if (!more) {
        free(name);
        return no_memory(l->path);
    }
    f->listed = more;
    f->listed[f->count++] = name;
    f->first = f->first ? f->first : l->number;
    return MF_OK;
}

/* Reads to the blank line that ends the header, or to the end of the file; after "data file: LIST"
 * names follow. */
static mf_status collect(text_lines *l, fields *f, segments *s, bool *ended)
{
    bool more, list = false;
    *ended = false;
    for (;;) {
        MF_TRY(lines_next(l, &more));
        if (!more)
            return MF_OK;
        if (!l->text[strspn(l->text, " \t")]) {
            *ended = true;
            return MF_OK;
        }
        MF_TRY(list ? keep_name(l, f) : keep_line(l, f, s, &list));
    }
}

/* ---- one field each -------------------------------------------------------------------------- */

static mf_status parse_rank(const fields *f, nrrd_header *h)
{
    long long n;
    if (!text_whole(f->text[DIMENSION], &n) || n < 1 || n > NRRD_AXES)
        return damaged(f, DIMENSION);
    h->rank = (int)n;
    return MF_OK;
}

static mf_status parse_sizes(const fields *f, nrrd_header *h)
{
    double n[NRRD_AXES];
    if (text_reals(f->text[SIZES], n, NRRD_AXES) != h->rank)
        return damaged(f, SIZES);
    for (int i = 0; i < h->rank; i++) {
        if (!(n[i] >= 1 && n[i] < 1e15 && n[i] == rint(n[i])))
            return mf_fail(MF_CORRUPT, "%s:%d: claims an impossible size: %s", f->path,
                           f->line[SIZES], f->text[SIZES]);
        h->axis[i].size = (int64_t)n[i];
    }
    return MF_OK;
}

static mf_status parse_type(const fields *f, nrrd_header *h)
{
    static const struct {
        const char *name;
        mf_dtype dtype;
    } types[] = {{"signed char", MF_I8},
                 {"int8", MF_I8},
                 {"int8_t", MF_I8},
                 {"uchar", MF_U8},
                 {"unsigned char", MF_U8},
                 {"uint8", MF_U8},
                 {"uint8_t", MF_U8},
                 {"short", MF_I16},
                 {"short int", MF_I16},
                 {"signed short", MF_I16},
                 {"signed short int", MF_I16},
                 {"int16", MF_I16},
                 {"int16_t", MF_I16},
                 {"ushort", MF_U16},
                 {"unsigned short", MF_U16},
                 {"unsigned short int", MF_U16},
                 {"uint16", MF_U16},
                 {"uint16_t", MF_U16},
                 {"int", MF_I32},
                 {"signed int", MF_I32},
                 {"int32", MF_I32},
                 {"int32_t", MF_I32},
                 {"uint", MF_U32},
                 {"unsigned int", MF_U32},
                 {"uint32", MF_U32},
                 {"uint32_t", MF_U32},
                 {"longlong", MF_I64},
                 {"long long", MF_I64},
                 {"long long int", MF_I64},
                 {"signed long long", MF_I64},
                 {"signed long long int", MF_I64},
                 {"int64", MF_I64},
                 {"int64_t", MF_I64},
                 {"ulonglong", MF_I64},
                 {"unsigned long long", MF_I64},
                 {"unsigned long long int", MF_I64},
                 {"uint64", MF_I64},
                 {"uint64_t", MF_I64},
                 {"float", MF_F32},
                 {"double", MF_F64}};
    const char *text = f->text[TYPE];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcasecmp(text, types[i].name)) {
            h->dtype = types[i].dtype;
            h->uint64 = h->dtype == MF_I64 && tolower((unsigned char)text[0]) == 'u';
            return MF_OK;
        }
    return mf_hint(mf_fail(MF_UNSUPPORTED, "%s:%d: voxels of type %s are not read", f->path,
                           f->line[TYPE], text),
                   "convert it to a scan of one number a voxel");
}

static mf_status parse_encoding(const fields *f, nrrd_header *h)
{
    static const struct {
        const char *name;
        nrrd_encoding encoding;
    } encodings[] = {{"raw", NRRD_RAW},   {"gz", NRRD_GZIP},     {"gzip", NRRD_GZIP},
                     {"bz2", NRRD_BZIP2}, {"bzip2", NRRD_BZIP2}, {"txt", NRRD_TEXT},
                     {"text", NRRD_TEXT}, {"ascii", NRRD_TEXT},  {"hex", NRRD_HEX}};
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
        if (!strcasecmp(f->text[ENCODING], encodings[i].name)) {
            h->encoding = encodings[i].encoding;
            return MF_OK;
        }
    return mf_hint(mf_fail(MF_UNSUPPORTED, "%s:%d: its voxels are written as %s", f->path,
                           f->line[ENCODING], f->text[ENCODING]),
                   "raw, gzip, bzip2, ascii and hex are read");
}

static mf_status parse_endian(const fields *f, nrrd_header *h)
{
    h->little = f->text[ENDIAN] && !strcasecmp(f->text[ENDIAN], "little");
    h->big = f->text[ENDIAN] && !strcasecmp(f->text[ENDIAN], "big");
    if (f->text[ENDIAN] && !h->little && !h->big)
        return damaged(f, ENDIAN);
    if (!f->text[ENDIAN] && mf_dtype_size(h->dtype) > 1 && h->encoding != NRRD_TEXT)
        return mf_hint(
            mf_fail(MF_CORRUPT, "%s: damaged header: it lacks endian, the byte order", f->path),
            "endian: little (or big) in its header says it");
    return MF_OK;
}

/* Numbers for all axes, of which some may be NaN ("not known"). */
static mf_status axis_numbers(const fields *f, field which, int count, double *to)
{
    const char *text = f->text[which];
    for (int i = 0; i < count; i++) {
        char *end;
        to[i] = strtod(text, &end);
        if (end == text || (*end && !isspace((unsigned char)*end)))
            return damaged(f, which);
        text = end;
    }
    return text[strspn(text, " \t")] ? damaged(f, which) : MF_OK;
}

static mf_status parse_spacings(const fields *f, nrrd_header *h)
{
    double spacing[NRRD_AXES], min[NRRD_AXES], max[NRRD_AXES];
    for (int i = 0; i < NRRD_AXES; i++)
        spacing[i] = min[i] = max[i] = NAN;
    if (f->text[SPACINGS])
        MF_TRY(axis_numbers(f, SPACINGS, h->rank, spacing));
    if (f->text[MINS])
        MF_TRY(axis_numbers(f, MINS, h->rank, min));
    if (f->text[MAXS])
        MF_TRY(axis_numbers(f, MAXS, h->rank, max));
    for (int i = 0; i < h->rank; i++) {
        h->axis[i].spacing = spacing[i];
        h->axis[i].min = min[i];
        h->axis[i].max = max[i];
    }
    return MF_OK;
}

/* The next word of *text, or text in quotes, into `word`; false where there is none or it is too
 * long for anything that is known. */
static bool next_word(const char **text, bool quoted, char *word, size_t size)
{
    const char *at = *text + strspn(*text, " \t");
    size_t n;
    if (quoted && *at != '"')
        return false;
    n = quoted ? strcspn(++at, "\"") : strcspn(at, " \t");
    if ((quoted && at[n] != '"') || (!quoted && !n))
        return false;
    snprintf(word, size, "%.*s", (int)(n < size ? n : size - 1), at);
    *text = at + n + (quoted ? 1 : 0);
    return true;
}

static nrrd_kind kind_of(const char *word)
{
    static const char *const colours[] = {"3-color",   "RGB-color",  "RGBcolor",  "RGB",
                                          "HSV-color", "HSVcolor",   "HSV",       "XYZ-color",
                                          "4-color",   "RGBA-color", "RGBAcolor", "RGBA"};
    if (!strcasecmp(word, "space") || !strcasecmp(word, "domain"))
        return NRRD_SPACE;
    if (!strcasecmp(word, "time"))
        return NRRD_TIME;
    if (!strcasecmp(word, "list") || !strcasecmp(word, "stub") || !strcasecmp(word, "scalar"))
        return NRRD_LIST;
    if (!strcasecmp(word, "none") || !strcmp(word, "???"))
        return NRRD_UNKNOWN;
    for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
        if (!strcasecmp(word, colours[i]))
            return NRRD_COLOUR;
    return NRRD_VALUE;
}

static mf_status parse_axis_words(const fields *f, nrrd_header *h)
{
    char word[64];
    const char *kinds = f->text[KINDS], *centers = f->text[CENTERS], *units = f->text[UNITS];
    for (int i = 0; i < h->rank; i++) {
        if (kinds) {
            if (!next_word(&kinds, false, word, sizeof word))
                return damaged(f, KINDS);
            h->axis[i].kind = kind_of(word);
        }
        if (centers) {
            if (!next_word(&centers, false, word, sizeof word))
                return damaged(f, CENTERS);
            h->axis[i].node = !strcasecmp(word, "node");
        }
        if (units && !next_word(&units, true, h->axis[i].unit, sizeof h->axis[i].unit))
            return damaged(f, UNITS);
    }
    return kinds && kinds[strspn(kinds, " \t")] ? damaged(f, KINDS) : MF_OK;
}

static mf_status parse_space(const fields *f, nrrd_header *h)
{
    static const struct {
        const char *name;
        nrrd_space space;
        int rank;
    } spaces[] = {{"right-anterior-superior", NRRD_RAS, 3},
                  {"right anterior superior", NRRD_RAS, 3},
                  {"rightanteriorsuperior", NRRD_RAS, 3},
                  {"RAS", NRRD_RAS, 3},
                  {"left-anterior-superior", NRRD_LAS, 3},
                  {"left anterior superior", NRRD_LAS, 3},
                  {"leftanteriorsuperior", NRRD_LAS, 3},
                  {"LAS", NRRD_LAS, 3},
                  {"left-posterior-superior", NRRD_LPS, 3},
                  {"left posterior superior", NRRD_LPS, 3},
                  {"leftposteriorsuperior", NRRD_LPS, 3},
                  {"LPS", NRRD_LPS, 3},
                  {"right-anterior-superior-time", NRRD_RAS, 4},
                  {"right anterior superior time", NRRD_RAS, 4},
                  {"rightanteriorsuperiortime", NRRD_RAS, 4},
                  {"RAST", NRRD_RAS, 4},
                  {"left-anterior-superior-time", NRRD_LAS, 4},
                  {"left anterior superior time", NRRD_LAS, 4},
                  {"leftanteriorsuperiortime", NRRD_LAS, 4},
                  {"LAST", NRRD_LAS, 4},
                  {"left-posterior-superior-time", NRRD_LPS, 4},
                  {"left posterior superior time", NRRD_LPS, 4},
                  {"leftposteriorsuperiortime", NRRD_LPS, 4},
                  {"LPST", NRRD_LPS, 4},
                  {"scanner-xyz", NRRD_SCANNER, 3},
                  {"scanner-xyz-time", NRRD_SCANNER, 4},
                  {"scanner-xyzt", NRRD_SCANNER, 4},
                  {"3D-right-handed", NRRD_RIGHT_HANDED, 3},
                  {"3D right handed", NRRD_RIGHT_HANDED, 3},
                  {"3Drighthanded", NRRD_RIGHT_HANDED, 3},
                  {"3D-left-handed", NRRD_LEFT_HANDED, 3},
                  {"3D left handed", NRRD_LEFT_HANDED, 3},
                  {"3Dlefthanded", NRRD_LEFT_HANDED, 3},
                  {"3D-right-handed-time", NRRD_RIGHT_HANDED, 4},
                  {"3D right handed time", NRRD_RIGHT_HANDED, 4},
                  {"3Drighthandedtime", NRRD_RIGHT_HANDED, 4},
                  {"3D-left-handed-time", NRRD_LEFT_HANDED, 4},
                  {"3D left handed time", NRRD_LEFT_HANDED, 4},
                  {"3Dlefthandedtime", NRRD_LEFT_HANDED, 4}};
    if (f->text[SPACE] && f->text[SPACE_DIMENSION])
        return mf_fail(MF_CORRUPT, "%s:%d: damaged header: both space and space dimension", f->path,
                       f->line[SPACE_DIMENSION]);
    if (f->text[SPACE_DIMENSION]) {
        long long n;
        if (!text_whole(f->text[SPACE_DIMENSION], &n) || n < 1 || n > 8)
            return damaged(f, SPACE_DIMENSION);
        if (n > 4)
            return mf_fail(MF_UNSUPPORTED, "%s:%d: lies in a space of %lld dimensions", f->path,
                           f->line[SPACE_DIMENSION], n);
        h->space_rank = (int)n;
    }
    if (!f->text[SPACE])
        return MF_OK;
    snprintf(h->space_name, sizeof h->space_name, "%s", f->text[SPACE]);
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
        if (!strcasecmp(f->text[SPACE], spaces[i].name)) {
            h->space = spaces[i].space;
            h->space_rank = spaces[i].rank;
            return MF_OK;
        }
    return mf_hint(mf_fail(MF_UNSUPPORTED, "%s:%d: the space %s is not known", f->path,
                           f->line[SPACE], f->text[SPACE]),
                   "right-anterior-superior, left-anterior-superior and left-posterior-superior "
                   "are");
}

/* "(1,0,0)" of `count` numbers, or as many that are not known, (nan,nan,nan): *known. */
static bool parse_vector(const char **text, int count, double *to, bool *known)
{
    const char *at = *text + strspn(*text, " \t");
    int unknown = 0;
    if (*at++ != '(')
        return false;
    for (int i = 0; i < count; i++) {
        char *end;
        to[i] = strtod(at, &end);
        unknown += isnan(to[i]) != 0;
        if (end == at || isinf(to[i]))
            return false;
        at = end + strspn(end, " \t");
        if (*at++ != (i + 1 < count ? ',' : ')'))
            return false;
    }
    *text = at;
    *known = unknown == 0;
    return unknown == 0 || unknown == count;
}

static mf_status parse_place(const fields *f, nrrd_header *h)
{
    const char *text = f->text[SPACE_DIRECTIONS], *units = f->text[SPACE_UNITS];
    const field placed[] = {SPACE_DIRECTIONS, SPACE_ORIGIN, SPACE_UNITS};
    for (size_t i = 0; i < 3; i++)
        if (f->text[placed[i]] && !h->space_rank)
            return mf_fail(MF_CORRUPT,
                           "%s:%d: damaged header: it lacks the space (or space dimension) that "
                           "this line is about",
                           f->path, f->line[placed[i]]);
    h->has_directions = text != NULL;
    for (int i = 0; i < h->rank && text; i++) {
        nrrd_axis *a = &h->axis[i];
        text += strspn(text, " \t");
        bool none = !strncasecmp(text, "none", 4) && (!text[4] || isspace((unsigned char)text[4]));
        if (none)
            text += 4;
        else if (!parse_vector(&text, h->space_rank, a->direction, &a->has_direction))
            return damaged(f, SPACE_DIRECTIONS);
    }
    if (text && text[strspn(text, " \t")])
        return damaged(f, SPACE_DIRECTIONS);
    for (int i = 0; i < h->space_rank && units; i++)
        if (!next_word(&units, true, h->space_unit[i], sizeof h->space_unit[i]))
            return damaged(f, SPACE_UNITS);
    text = f->text[SPACE_ORIGIN];
    /* "none" for an origin is written by some and says nothing */
    h->has_origin = text && strcasecmp(text, "none") != 0;
    if (h->has_origin && (!parse_vector(&text, h->space_rank, h->origin, &h->has_origin) || *text))
        return damaged(f, SPACE_ORIGIN);
    return MF_OK;
}

static mf_status parse_skips(const fields *f, nrrd_header *h)
{
    long long lines = 0, bytes = 0;
    if (f->text[LINE_SKIP] && (!text_whole(f->text[LINE_SKIP], &lines) || lines < 0))
        return damaged(f, LINE_SKIP);
    if (f->text[BYTE_SKIP] && (!text_whole(f->text[BYTE_SKIP], &bytes) || bytes < -1))
        return damaged(f, BYTE_SKIP);
    if (bytes == -1 && h->encoding != NRRD_RAW)
        return mf_fail(MF_UNSUPPORTED, "%s:%d: byte skip -1 has a meaning for raw voxels only",
                       f->path, f->line[BYTE_SKIP]);
    h->line_skip = lines;
    h->byte_skip = bytes;
    return MF_OK;
}

/* ---- data files ------------------------------------------------------------------------------ */

/* Whether a name holds "%d" or "%03d": then it is a pattern. */
static bool is_pattern(const char *text)
{
    for (const char *at = strchr(text, '%'); at; at = strchr(at + 1, '%'))
        if (at[1 + strspn(at + 1, "0123456789")] == 'd')
            return true;
    return false;
}

/* Several data files: how many axes each holds (`axes`) must go with how many there are. */
static mf_status check_count(const fields *f, const nrrd_header *h, long long axes)
{
    int64_t wanted = 1, last = h->axis[h->rank - 1].size;
    size_t count = h->parts.count;
    if (axes < 1 || axes > h->rank)
        return damaged(f, DATA_FILE);
    for (int i = (int)axes; i < h->rank; i++)
        wanted = wanted > INT64_MAX / h->axis[i].size ? INT64_MAX : wanted * h->axis[i].size;
    if (axes == h->rank && count && last % (int64_t)count == 0)
        return MF_OK; /* slabs of equal size */
    if (axes == h->rank || (int64_t)count != wanted)
        return mf_fail(MF_CORRUPT, "%s:%d: names %zu data files, its sizes %s need %s%lld", f->path,
                       f->line[DATA_FILE], count, f->text[SIZES],
                       axes == h->rank ? "a divisor of " : "",
                       (long long)(axes == h->rank ? last : wanted));
    return MF_OK;
}

static mf_status add_pattern(const fields *f, nrrd_header *h)
{
    char *text = strdup(f->text[DATA_FILE]);
    if (!text)
        return no_memory(f->path);
    double n[4] = {0};
    size_t name = strcspn(text, " \t");
    char *numbers = text + name + (text[name] ? 1 : 0);
    text[name] = 0;
    int count = text_reals(numbers, n, 4);
    mf_status status = MF_OK;
    for (int i = 0; i < count; i++)
        if (n[i] != rint(n[i]) || fabs(n[i]) > 1e9)
            count = -1;
    if (count < 3)
        status = damaged(f, DATA_FILE);
    if (!status)
        status = parts_add_numbered(&h->parts, f->path, f->line[DATA_FILE], text, (long long)n[0],
                                    (long long)n[1], (long long)n[2]);
    if (!status)
        status = check_count(f, h, count == 4 ? (long long)n[3] : h->rank - 1);
    free(text);
    return status;
}

static mf_status add_listed(const fields *f, nrrd_header *h)
{
    long long axes = h->rank - 1;
    const char *rest = f->text[DATA_FILE] + 4;
    if (rest[strspn(rest, " \t")] && !text_whole(rest, &axes))
        return damaged(f, DATA_FILE);
    for (size_t i = 0; i < f->count; i++)
        MF_TRY(parts_add(&h->parts, f->path, f->first + (int)i, f->listed[i]));
    return check_count(f, h, axes);
}

static mf_status add_parts(const fields *f, nrrd_header *h)
{
    const char *text = f->text[DATA_FILE];
    if (!text)
        return MF_OK;
    h->detached = true;
    if (!strncmp(text, "LIST", 4) && (!text[4] || isspace((unsigned char)text[4])))
        return add_listed(f, h);
    if (is_pattern(text))
        return add_pattern(f, h);
    return parts_add(&h->parts, f->path, f->line[DATA_FILE], text);
}

static mf_status interpret(const fields *f, nrrd_header *h)
{
    static const struct {
        field field;
        const char *name;
    } needed[] = {
        {DIMENSION, "dimension"}, {SIZES, "sizes"}, {TYPE, "type"}, {ENCODING, "encoding"}};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!f->text[needed[i].field])
            return mf_fail(MF_CORRUPT, "%s: damaged header: it lacks %s", f->path, needed[i].name);
    MF_TRY(parse_rank(f, h));
    MF_TRY(parse_sizes(f, h));
    MF_TRY(parse_type(f, h));
    MF_TRY(parse_encoding(f, h));
    MF_TRY(parse_endian(f, h));
    MF_TRY(parse_spacings(f, h));
    MF_TRY(parse_axis_words(f, h));
    MF_TRY(parse_space(f, h));
    MF_TRY(parse_place(f, h));
    MF_TRY(parse_skips(f, h));
    h->quantized = f->text[OLD_MIN] || f->text[OLD_MAX];
    return add_parts(f, h);
}

static mf_status read_open(text_lines *l, nrrd_header *h)
{
    fields f = {.path = l->path};
    bool more, ended = false;
    MF_TRY(lines_next(l, &more));
    if (!more || strncmp(l->text, "NRRD", 4))
        return mf_fail(MF_CORRUPT, "%s: is not an NRRD file", l->path);
    if (strncmp(l->text, "NRRD000", 7) || l->text[7] < '1' || l->text[7] > '5' || l->text[8])
        return mf_fail(MF_UNSUPPORTED, "%s: is NRRD of the version '%.20s'; 1 to 5 are read",
                       l->path, l->text);
    mf_status status = collect(l, &f, &h->segments, &ended);
    if (!status)
        status = interpret(&f, h);
    if (!status && !h->detached && !ended)
        status = mf_fail(MF_CORRUPT, "%s: cut off inside its header", l->path);
    h->end = ftell(l->file);
    fields_free(&f);
    return status;
}

mf_status nrrd_header_read(const char *path, nrrd_header *h)
{
    *h = (nrrd_header){0};
    text_lines l = {.path = path};
    int64_t size;
    MF_TRY(mf_file_open(path, &l.file, &size));
    mf_status status = read_open(&l, h);
    fclose(l.file);
    lines_free(&l);
    if (status)
        nrrd_header_free(h);
    return status;
}

void nrrd_header_free(nrrd_header *h)
{
    parts_free(&h->parts);
    segments_free(&h->segments);
}
