/* names_file.c - see names_file.h. */
#include "names_file.h"
#include "../../common/label_colour.h"
#include "../../common/nnunet_labels.h"
#include "../scan/lines.h"
#include "segments.h"

#include <massflow/file.h>

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LARGEST ((size_t)64 << 20)
#define MOST_CELLS 64

static bool ends_with(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && !strcasecmp(path + n - m, suffix);
}

/* ---- nnU-Net's dataset.json -------------------------------------------------------------------
 */

static mf_status add_entry(mf_regions *r, const char *key, json_object *value)
{
    size_t count =
        json_object_is_type(value, json_type_array) ? json_object_array_length(value) : 1;
    const char **texts = calloc(count + 1, sizeof *texts);
    mf_status status = texts ? MF_OK : mf_no_memory(0, "names of labels");
    for (size_t i = 0; i < count && !status; i++) {
        json_object *one = json_object_is_type(value, json_type_array)
                               ? json_object_array_get_idx(value, i)
                               : value;
        bool number = json_object_is_type(one, json_type_int);
        if (!number && !json_object_is_type(one, json_type_string))
            status = mf_fail(MF_INVALID, "the label '%.60s' has a value that is no integer", key);
        else
            texts[i] = json_object_get_string(one);
    }
    if (!status)
        status = mf_regions_add(r, key, texts, count);
    free(texts);
    return status;
}

static mf_status read_entries(json_object *root, mf_names *names, mf_label_sets *sets)
{
    json_object *labels = NULL;
    mf_regions regions = {0};
    mf_status status = MF_OK;
    if (!json_object_is_type(root, json_type_object) ||
        !json_object_object_get_ex(root, "labels", &labels) ||
        !json_object_is_type(labels, json_type_object))
        return mf_hint(mf_fail(MF_INVALID, "it has no object 'labels'"),
                       "a .json that names labels is a dataset.json of nnU-Net");
    json_object_object_foreach(labels, key, value)
    {
        if (!status)
            status = add_entry(&regions, key, value);
    }
    if (!status)
        status = mf_regions_names(&regions, names);
    if (!status)
        status = mf_regions_sets(&regions, sets);
    mf_regions_clear(&regions);
    return status;
}

/* Names are texts that end at a NUL: what stands behind one would be lost. Written as an escape,
 * too, before which there is no other backslash, or an even number of them. */
static mf_status check_nul(const char *path, const char *text, size_t size)
{
    size_t backslashes = 0;
    int line = 1;
    for (size_t i = 0; i < size; i++) {
        if (!text[i] ||
            (text[i] == 'u' && backslashes % 2 && size - i > 4 && !memcmp(text + i, "u0000", 5)))
            return mf_fail(MF_CORRUPT, "%s:%d: a NUL %s stands in the file", path, line,
                           text[i] ? "(\\u0000)" : "byte");
        backslashes = text[i] == '\\' ? backslashes + 1 : 0;
        line += text[i] == '\n';
    }
    return MF_OK;
}

static mf_status read_json(const char *path, mf_names *names, mf_label_sets *sets)
{
    char *text;
    size_t size;
    MF_TRY(mf_file_read(path, LARGEST, &text, &size));
    mf_status nul = check_nul(path, text, size);
    if (nul) {
        free(text);
        return nul;
    }
    json_tokener *tokener = json_tokener_new();
    json_object *root = NULL;
    mf_status status = tokener ? MF_OK : mf_no_memory(0, "%s", path);
    if (!status && size <= INT32_MAX)
        root = json_tokener_parse_ex(tokener, text, (int)size + 1);
    if (!status && !root)
        status = mf_fail(MF_CORRUPT, "%s: is not JSON: %s", path,
                         json_tokener_error_desc(json_tokener_get_error(tokener)));
    if (!status)
        status = mf_within(read_entries(root, names, sets), "%s", path);
    json_object_put(root);
    if (tokener)
        json_tokener_free(tokener);
    free(text);
    return status;
}

/* ---- CSV --------------------------------------------------------------------------------------
 */

typedef struct cells {
    char *v[MOST_CELLS];
    int count;
} cells;

/* Cuts a line up at commas; "..." holds commas, and "" in it a quote. */
static bool split(char *line, cells *c)
{
    char *from = line, *to;
    c->count = 0;
    for (;;) {
        if (c->count == MOST_CELLS)
            return false;
        from += strspn(from, " \t");
        c->v[c->count++] = to = from;
        bool quoted = *from == '"';
        if (quoted) {
            for (from++; *from && !(*from == '"' && from[1] != '"'); *to++ = *from++)
                from += *from == '"';
            if (*from++ != '"')
                return false;
            from += strspn(from, " \t");
        } else {
            to = from += strcspn(from, ",");
        }
        if (*from && *from != ',')
            return false;
        bool last = !*from++;
        *to = '\0';
        if (!quoted)
            text_trim(c->v[c->count - 1]);
        if (last)
            return true;
    }
}

/* Which column is which; -1: there is none. */
typedef struct headings {
    int value, name, colour[3];
} headings;

static int heading(const cells *c, const char *const *words)
{
    for (int i = 0; i < c->count; i++)
        for (const char *const *w = words; *w; w++)
            if (!strcasecmp(c->v[i], *w))
                return i;
    return -1;
}

/* The first line: headings (ours, those of pandas and of Slicer 5), or already a value. */
static bool find_headings(const cells *c, headings *h)
{
    static const char *const value[] = {"value", "label", "labelvalue", "index", "id", NULL};
    static const char *const name[] = {"name", "labelname", "structure", NULL};
    static const char *const colour[3][5] = {{"r", "red", "color_r", "colour_r", NULL},
                                             {"g", "green", "color_g", "colour_g", NULL},
                                             {"b", "blue", "color_b", "colour_b", NULL}};
    h->value = heading(c, value);
    h->name = heading(c, name);
    for (int i = 0; i < 3; i++)
        h->colour[i] = heading(c, colour[i]);
    return h->value >= 0 && h->name >= 0;
}

static mf_status component(const char *text, int32_t *colour)
{
    long long one;
    if (!text_whole(text, &one) || one < 0 || one > 255)
        return mf_fail(MF_INVALID, "'%.60s' is no part of a colour, 0 to 255", text);
    *colour = *colour << 8 | (int32_t)one;
    return MF_OK;
}

static mf_status take_row(const cells *c, const headings *h, mf_names *names)
{
    long long value;
    int32_t colour = MF_NO_COLOUR;
    if (h->value >= c->count || h->name >= c->count)
        return mf_hint(mf_fail(MF_INVALID, "a value and a name are wanted"),
                       "as in 1,liver or 1,liver,221,130,101");
    if (!text_whole(c->v[h->value], &value))
        return mf_fail(MF_INVALID, "'%.60s' is no value of a label", c->v[h->value]);
    bool coloured = true;
    for (int i = 0; i < 3; i++)
        coloured = coloured && h->colour[i] >= 0 && h->colour[i] < c->count && *c->v[h->colour[i]];
    for (int i = 0; i < 3 && coloured; i++)
        MF_TRY(component(c->v[h->colour[i]], i ? &colour : memset(&colour, 0, sizeof colour)));
    if (value && mf_names_find(names, value))
        return mf_fail(MF_INVALID, "label %lld stands twice", value);
    return mf_names_put(names, value, c->v[h->name], colour);
}

static mf_status take_csv(char *line, bool first, void *self, mf_names *names)
{
    headings *h = self;
    cells c;
    if (first && !strncmp(line, "\xef\xbb\xbf", 3)) /* byte order mark */
        line += 3;
    if (!split(line, &c))
        return mf_fail(MF_INVALID, "the line is no CSV");
    if (first && find_headings(&c, h))
        return MF_OK;
    if (first)
        *h = (headings){0, 1, {2, 3, 4}};
    return take_row(&c, h, names);
}

/* ---- ITK-SNAP and Slicer --------------------------------------------------------------------- */

/* ITK-SNAP: index, red, green, blue, opacity, shown, shown in 3D, "name". */
static bool snap_line(const char *line, long long n[4], char name[256])
{
    double opacity;
    int shown[2], used = 0;
    return sscanf(line, "%lld %lld %lld %lld %lf %d %d \"%255[^\"]\"%n", &n[0], &n[1], &n[2], &n[3],
                  &opacity, &shown[0], &shown[1], name, &used) == 8 &&
           used && !line[used + (int)strspn(line + used, " \t")];
}

/* Slicer: index, name with _ for blanks, red, green, blue, opacity. */
static bool slicer_line(const char *line, long long n[4], char name[256])
{
    long long opacity;
    int used = 0;
    if (sscanf(line, "%lld %255s %lld %lld %lld %lld%n", &n[0], name, &n[1], &n[2], &n[3], &opacity,
               &used) != 6 ||
        line[used + (int)strspn(line + used, " \t")])
        return false;
    for (char *c = name; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    return true;
}

static mf_status take_table(char *line, bool first, void *self, mf_names *names)
{
    long long n[4];
    char name[256];
    int32_t colour = 0;
    (void)first;
    (void)self;
    if (!snap_line(line, n, name) && !slicer_line(line, n, name))
        return mf_hint(mf_fail(MF_INVALID, "the line is neither of ITK-SNAP's label descriptions "
                                           "nor of a colour table of 3D Slicer"),
                       "as in 1 255 0 0 1 1 1 \"liver\", or 1 liver 255 0 0 255");
    for (int i = 1; i < 4; i++) {
        if (n[i] < 0 || n[i] > 255)
            return mf_fail(MF_INVALID, "%lld is no part of a colour, 0 to 255", n[i]);
        colour = colour << 8 | (int32_t)n[i];
    }
    char *trimmed = text_trim(name);
    if (n[0] && mf_names_find(names, n[0]))
        return mf_fail(MF_INVALID, "label %lld stands twice", n[0]);
    return mf_names_put(names, n[0], trimmed, colour);
}

/* ---- lines ------------------------------------------------------------------------------------
 */

static mf_status read_lines(const char *path, bool csv, mf_names *names)
{
    text_lines l = {.path = path};
    headings h;
    mf_names own = {0};
    int64_t size;
    bool more = true, first = true;
    MF_TRY(mf_file_open(path, &l.file, &size));
    mf_status status = lines_next(&l, &more);
    while (!status && more) {
        char *line = text_trim(l.text);
        if (*line && *line != '#') {
            status = mf_within((csv ? take_csv : take_table)(line, first, &h, &own), "%s:%d", path,
                               l.number);
            first = false;
        }
        if (!status)
            status = lines_next(&l, &more);
    }
    for (size_t i = 0; i < own.count && !status; i++)
        status = mf_names_put(names, own.v[i].value, own.v[i].name, own.v[i].colour);
    mf_names_clear(&own);
    lines_free(&l);
    fclose(l.file);
    return status;
}

/* The pairs "key:=value" of a NRRD header, which ends at an empty line. */
static mf_status read_header(text_lines *l, segments *s)
{
    bool more = true;
    MF_TRY(lines_next(l, &more));
    if (!more || strncmp(l->text, "NRRD000", 7) != 0)
        return mf_fail(MF_CORRUPT, "%s: is no NRRD file", l->path);
    for (;;) {
        MF_TRY(lines_next(l, &more));
        if (!more || !*l->text)
            return MF_OK;
        MF_TRY(mf_within(segments_take(s, l->text), "%s:%d", l->path, l->number));
    }
}

static mf_status read_nrrd(const char *path, mf_names *names)
{
    text_lines l = {.path = path};
    segments s = {0};
    int64_t size;
    MF_TRY(mf_file_open(path, &l.file, &size));
    mf_status status = read_header(&l, &s);
    size_t before = names->count;
    if (!status)
        status = mf_within(segments_names(&s, 0, names), "%s", path);
    if (!status && names->count == before)
        status = mf_fail(MF_INVALID, "%s: its header has no segments with names", path);
    segments_free(&s);
    lines_free(&l);
    fclose(l.file);
    return status;
}

mf_status names_file_read(const char *path, mf_names *names, mf_label_sets *sets)
{
    if (ends_with(path, ".json"))
        return read_json(path, names, sets);
    if (ends_with(path, ".nrrd") || ends_with(path, ".nhdr"))
        return read_nrrd(path, names);
    return read_lines(path, ends_with(path, ".csv"), names);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static void write_snap(FILE *file, const mf_names *names)
{
    fputs("# ITK-SNAP label descriptions: index, red, green, blue, opacity, shown, shown in 3D, "
          "name\n",
          file);
    fputs("    0     0    0    0        0  0  0    \"Clear Label\"\n", file);
    for (size_t i = 0; i < names->count; i++) {
        uint8_t c[3];
        mf_named_colour(names, names->v[i].value, c);
        fprintf(file, "%5lld %5d %4d %4d        1  1  1    \"", (long long)names->v[i].value, c[0],
                c[1], c[2]);
        for (const char *t = names->v[i].name; *t; t++)
            fputc(*t == '"' ? '\'' : *t, file); /* the format has no way to write a quote */
        fputs("\"\n", file);
    }
}

static void write_slicer(FILE *file, const mf_names *names)
{
    fputs("# Color table file of 3D Slicer: index, name (_ for blanks), red, green, blue, "
          "opacity\n0 background 0 0 0 0\n",
          file);
    for (size_t i = 0; i < names->count; i++) {
        uint8_t c[3];
        mf_named_colour(names, names->v[i].value, c);
        fprintf(file, "%lld ", (long long)names->v[i].value);
        for (const char *t = names->v[i].name; *t; t++)
            fputc(isspace((unsigned char)*t) ? '_' : *t, file);
        fprintf(file, " %d %d %d 255\n", c[0], c[1], c[2]);
    }
}

mf_status names_file_write(const char *path, const mf_names *names)
{
    FILE *file = fopen(path, "wbe");
    if (!file)
        return mf_fail(MF_IO, "%s", strerror(errno));
    (ends_with(path, ".ctbl") ? write_slicer : write_snap)(file, names);
    bool bad = ferror(file) != 0;
    bad |= fclose(file) != 0;
    return bad ? mf_fail(MF_IO, "writing failed: %s", strerror(errno)) : MF_OK;
}
