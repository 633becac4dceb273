/* check.c - see check.h. The words of a type's declaration are parsed here; stage.h has their
 * grammar. */
#include "run/artifact/check.h"
#include "base/artifact_source.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one artifact. Equal pieces of an array are one chunk, so a small record may name numbers
 * without end; these are the arrays that are read whole before anybody asked for them. */
#define MOST_MASKS (1 << 22) /* their boxes take 100 MB */
#define MOST_ROWS (1 << 24)  /* of all arrays: where they begin and end takes 256 MB */
#define MOST_CELLS (1 << 24) /* of a table: 128 MB */
#define MOST_TEXT (1 << 27)  /* bytes of all columns of a table */

/* Sides that a declaration names, as far as they are known. */
typedef struct sides {
    bool known[26]; /* a to z */
    int64_t size[26];
} sides;

/* One array of a declaration. */
typedef struct wanted {
    char name[64];
    bool typed, shaped, rows;
    mf_dtype dtype;
    int rank;
    char side[MF_MAX_RANK][24]; /* "3", "k" or "*"; of an array of rows: one */
} wanted;

/* The next word of a list joined by spaces; false at its end. */
static bool next_word(const char **list, char *word, size_t size)
{
    size_t length;

    if (!*list)
        return false;
    *list += strspn(*list, " ");
    length = strcspn(*list, " ");
    if (length == 0)
        return false;
    snprintf(word, size, "%.*s", (int)length, *list);
    *list += length;
    return true;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

/* "name", "name:f32", "name:f32[k,6]", "name{k}" */
static bool parse_array(const char *word, wanted *w)
{
    size_t length = strcspn(word, ":[{");
    const char *at = word + length;
    char close;

    *w = (wanted){0};
    snprintf(w->name, sizeof w->name, "%.*s", (int)length, word);
    if (*at == ':') {
        char dtype[16];
        length = strcspn(++at, "[{");
        snprintf(dtype, sizeof dtype, "%.*s", (int)length, at);
        w->typed = mf_dtype_parse(dtype, &w->dtype);
        if (!w->typed)
            return false;
        at += length;
    }
    if (!*at)
        return true;
    w->rows = *at == '{';
    w->shaped = true;
    close = w->rows ? '}' : ']';
    for (at++; *at && w->rank < MF_MAX_RANK; w->rank++) {
        length = strcspn(at, ",]}");
        snprintf(w->side[w->rank], sizeof w->side[0], "%.*s", (int)length, at);
        at += length;
        if (*at == close) {
            w->rank++;
            return !at[1] && (!w->rows || w->rank == 1);
        }
        if (*at++ != ',')
            return false;
    }
    return false;
}

/* A side that is named is what it was first; a number is that number; * is anything. */
static bool side_fits(const char *side, int64_t size, sides *s)
{
    if (!strcmp(side, "*"))
        return true;
    if (isdigit((unsigned char)side[0]))
        return strtoll(side, NULL, 10) == size;
    int i = side[0] - 'a';
    if (!s->known[i]) {
        s->known[i] = true;
        s->size[i] = size;
    }
    return s->size[i] == size;
}

/* "[6, 32]" as declared or as it is. */
static void shape_text(const mf_array_info *info, char text[160])
{
    size_t used = (size_t)snprintf(text, 160, "[");

    for (int i = 0; i < info->rank; i++)
        used += (size_t)snprintf(text + used, 160 - used, "%s%lld", i ? ", " : "",
                                 (long long)info->shape[i]);
    snprintf(text + used, 160 - used, "]");
}

static void wanted_text(const wanted *w, const sides *s, char text[200])
{
    size_t used = (size_t)snprintf(text, 200, "[");

    for (int i = 0; i < w->rank; i++) {
        int k = w->side[i][0] - 'a';
        if (k >= 0 && k < 26 && s->known[k])
            used += (size_t)snprintf(text + used, 200 - used, "%s%s = %lld", i ? ", " : "",
                                     w->side[i], (long long)s->size[k]);
        else
            used += (size_t)snprintf(text + used, 200 - used, "%s%s", i ? ", " : "", w->side[i]);
    }
    snprintf(text + used, 200 - used, "]");
}

static mf_status check_shape(const mf_artifact *a, const wanted *w, const mf_array_info *info,
                             sides *s)
{
    const char *type = mf_artifact_type(a);
    char is[160], should[200];
    bool fits = info->rank == w->rank;

    if (w->rows != info->ragged)
        return mf_fail(MF_INTERNAL, "array '%s' of a %s has %s", w->name, type,
                       w->rows ? "no rows" : "rows of different lengths");
    if (w->rows) {
        if (side_fits(w->side[0], info->rows, s))
            return MF_OK;
        wanted_text(w, s, should);
        return mf_fail(MF_INTERNAL, "array '%s' of a %s has %lld rows, not %s", w->name, type,
                       (long long)info->rows, should);
    }
    for (int i = 0; i < w->rank && fits; i++)
        fits = side_fits(w->side[i], info->shape[i], s);
    if (fits)
        return MF_OK;
    shape_text(info, is);
    wanted_text(w, s, should);
    return mf_fail(MF_INTERNAL, "array '%s' of a %s has the shape %s, not %s", w->name, type, is,
                   should);
}

static mf_status check_array(const mf_artifact *a, const char *word, sides *s)
{
    mf_array_info info;
    wanted w;

    if (!parse_array(word, &w))
        return mf_fail(MF_INTERNAL, "the type '%s' declares '%s', which is not an array",
                       mf_artifact_type(a), word);
    if (!mf_artifact_find(a, w.name, &info))
        return mf_fail(MF_INTERNAL, "a %s needs an array '%s'", mf_artifact_type(a), w.name);
    if (w.typed && info.dtype != w.dtype)
        return mf_fail(MF_INTERNAL, "array '%s' of a %s is %s, not %s", w.name, mf_artifact_type(a),
                       mf_dtype_text(info.dtype), mf_dtype_text(w.dtype));
    return w.shaped ? check_shape(a, &w, &info, s) : MF_OK;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static bool find_attribute(const mf_artifact *a, const char *name, mf_attribute_kind *kind)
{
    for (size_t i = 0; i < mf_artifact_attribute_count(a); i++) {
        if (!strcmp(mf_artifact_attribute(a, i, kind), name))
            return true;
    }
    return false;
}

/* "name", "name:text", "name:int" or "name:reals" */
static mf_status check_attribute(const mf_artifact *a, char *word)
{
    static const char *const kinds[] = {"text", "int", "reals"}; /* as in mf_attribute_kind */
    char *colon = strchr(word, ':');
    mf_attribute_kind kind;

    if (colon)
        *colon = '\0';
    if (!find_attribute(a, word, &kind))
        return mf_fail(MF_INTERNAL, "a %s needs an attribute '%s'", mf_artifact_type(a), word);
    if (colon && strcmp(colon + 1, kinds[kind]))
        return mf_fail(MF_INTERNAL, "attribute '%s' of a %s is %s, not %s", word,
                       mf_artifact_type(a), kinds[kind], colon + 1);
    return MF_OK;
}

/* ---- geometry -------------------------------------------------------------------------------- */

/* Sizes are whole and their product can be counted in 31 bits, voxels have a volume, and axes span
 * space. `prefix`: "" or "scan.". */
static mf_status check_grid(const mf_artifact *a, const char *prefix)
{
    static const char *const names[] = {"size", "spacing", "origin", "direction"};
    const double *v[4], *m;
    int64_t voxels = 1;

    for (int i = 0; i < 4; i++) {
        char name[32];
        size_t count = 0;
        snprintf(name, sizeof name, "%s%s", prefix, names[i]);
        v[i] = mf_artifact_reals(a, name, &count);
        if (!v[i] || count != (i < 3 ? 3 : 9))
            return mf_fail(MF_INTERNAL, "attribute '%s' of a %s has not %d numbers", name,
                           mf_artifact_type(a), i < 3 ? 3 : 9);
        for (size_t k = 0; k < count; k++)
            if (!isfinite(v[i][k]))
                return mf_fail(MF_INTERNAL, "attribute '%s' of a %s is not finite", name,
                               mf_artifact_type(a));
    }
    for (int i = 0; i < 3; i++) {
        if (!(v[0][i] >= 1 && v[0][i] <= INT32_MAX) || v[0][i] != floor(v[0][i]))
            return mf_fail(MF_INTERNAL, "a %s of %g x %g x %g voxels", mf_artifact_type(a), v[0][0],
                           v[0][1], v[0][2]);
        voxels *= (int64_t)v[0][i]; /* at most 2^31 squared, then checked */
        if (voxels > INT32_MAX)
            return mf_fail(MF_INTERNAL, "a %s of %g x %g x %g voxels, which are more than 2^31",
                           mf_artifact_type(a), v[0][0], v[0][1], v[0][2]);
        if (!(v[1][i] > 0))
            return mf_fail(MF_INTERNAL, "a %s with a spacing of %g x %g x %g mm",
                           mf_artifact_type(a), v[1][0], v[1][1], v[1][2]);
    }
    m = v[3];
    double volume = m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) +
                    m[2] * (m[3] * m[7] - m[4] * m[6]);
    if (!(fabs(volume) > 0.1 && fabs(volume) < 10))
        return mf_fail(MF_INTERNAL, "a %s whose directions are no axes (determinant %g)",
                       mf_artifact_type(a), volume);
    return MF_OK;
}

static mf_status check_grids(const mf_artifact *a, sides *s)
{
    mf_attribute_kind kind;
    mf_grid grid;

    if (find_attribute(a, "scan.size", &kind))
        MF_TRY(check_grid(a, "scan."));
    if (!find_attribute(a, "spacing", &kind))
        return MF_OK; /* a type without a grid may mean something else by its size */
    MF_TRY(check_grid(a, ""));
    MF_TRY(mf_artifact_grid(a, &grid));
    for (int i = 0; i < 3; i++) { /* z, y and x in shapes are the grid's */
        s->known['x' - 'a' + i] = true;
        s->size['x' - 'a' + i] = grid.size[i];
    }
    return MF_OK;
}

/* ---- content --------------------------------------------------------------------------------- */

/* One box is not empty, lies in the grid, and has as many bits as voxels. */
static mf_status check_box(const mf_artifact *a, const mf_grid *grid, int64_t k, const int32_t b[6],
                           const int64_t *offsets)
{
    int64_t voxels = 1;

    for (int i = 0; i < 3; i++) {
        if (b[i] < 0 || b[i] >= b[3 + i] || b[3 + i] > grid->size[2 - i])
            return mf_fail(MF_INTERNAL, "mask %lld of a %s has a box outside its grid",
                           (long long)k, mf_artifact_type(a));
        voxels *= b[3 + i] - b[i]; /* those of a grid can be counted */
    }
    if (offsets[k + 1] - offsets[k] != (voxels + 7) / 8)
        return mf_fail(MF_INTERNAL,
                       "mask %lld of a %s has %lld bytes of bits for a box of %lld voxels",
                       (long long)k, mf_artifact_type(a), (long long)(offsets[k + 1] - offsets[k]),
                       (long long)voxels);
    return MF_OK;
}

/* Their number is known to be that of the rows of bits. */
static mf_status check_boxes(const mf_artifact *a)
{
    const void *data;
    mf_array *offsets;
    mf_array_info info;
    int64_t count;
    mf_grid grid;
    mf_status status = MF_OK;

    if (mf_artifact_find(a, "box", &info) && info.shape[0] > MOST_MASKS)
        return mf_fail(MF_INTERNAL, "a %s of %lld masks, more than %d", mf_artifact_type(a),
                       (long long)info.shape[0], MOST_MASKS);
    MF_TRY(mf_artifact_grid(a, &grid));
    MF_TRY(mf_artifact_table(a, "box", MF_I32, &data, &count));
    MF_TRY(mf_artifact_offsets(a, "bits", &offsets));
    for (int64_t k = 0; k < count / 6 && !status; k++)
        status = check_box(a, &grid, k, (const int32_t *)data + 6 * k, offsets->data);
    mf_array_unref(offsets);
    return status;
}

/* Known before any of them is read. */
static mf_status check_row_count(const mf_artifact *a)
{
    int64_t left = MOST_ROWS;

    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        if (info.ragged && info.rows > left)
            return mf_fail(MF_INTERNAL, "arrays of a %s have more than %d rows",
                           mf_artifact_type(a), MOST_ROWS);
        left -= info.ragged ? info.rows : 0;
    }
    return MF_OK;
}

/* Where rows of any other array begin and end; reading says what is wrong with it. */
static mf_status check_rows(const mf_artifact *a)
{
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        mf_array *offsets;
        mf_artifact_array_info(a, i, &info);
        if (!info.ragged)
            continue;
        MF_TRY(mf_artifact_offsets(a, info.name, &offsets));
        mf_array_unref(offsets);
    }
    return MF_OK;
}

/* As many columns as names, of one length. */
static mf_status check_columns(const mf_artifact *a)
{
    const char *names = mf_artifact_text(a, "columns");
    size_t columns = *names != '\0';
    int64_t rows = -1, text = 0;

    for (const char *c = names; *c; c++)
        columns += *c == '\t';
    for (size_t i = 0; i < columns; i++) {
        mf_array_info info;
        char name[32];
        snprintf(name, sizeof name, "column.%zu", i);
        if (!mf_artifact_find(a, name, &info))
            return mf_fail(MF_INTERNAL, "a table names %zu columns; '%s' is missing", columns,
                           name);
        int64_t count = info.ragged ? info.rows : info.shape[0];
        if (!info.ragged && (info.rank != 1 || info.dtype != MF_F64))
            return mf_fail(MF_INTERNAL, "'%s' of a table is not a column", name);
        if (rows >= 0 && count != rows)
            return mf_fail(MF_INTERNAL, "columns of a table have %lld and %lld rows",
                           (long long)rows, (long long)count);
        rows = count;
        if (info.ragged && (info.shape[0] > MOST_TEXT || (text += info.shape[0]) > MOST_TEXT))
            return mf_fail(MF_INTERNAL, "a table of more than %d bytes of text", MOST_TEXT);
    }
    if (rows > 0 && columns > (size_t)(MOST_CELLS / rows))
        return mf_fail(MF_INTERNAL, "a table of %lld rows and %zu columns, more than %d cells",
                       (long long)rows, columns, MOST_CELLS);
    return MF_OK;
}

mf_status mf_check_record(const mf_registry *registry, const mf_artifact *a)
{
    const mf_type *type = mf_registry_type(registry, mf_artifact_type(a));
    const mf_type *checker;
    const char *list;
    char word[128];
    sides s = {0};

    if (!type)
        return mf_fail(MF_INTERNAL, "no plugin declares the type '%s'", mf_artifact_type(a));
    for (list = type->attributes; next_word(&list, word, sizeof word);)
        MF_TRY(check_attribute(a, word));
    MF_TRY(check_grids(a, &s));
    for (list = type->arrays; next_word(&list, word, sizeof word);)
        MF_TRY(check_array(a, word, &s));
    if (!strcmp(type->name, "table"))
        MF_TRY(check_columns(a));
    for (size_t i = 0; (checker = mf_registry_checker(registry, type->name, i)); i++)
        MF_TRY(mf_within(checker->check(a), "a %s", type->name));
    return MF_OK;
}

mf_status mf_check_artifact(const mf_registry *registry, const mf_artifact *a)
{
    const mf_type *type = mf_registry_type(registry, mf_artifact_type(a));

    MF_TRY(mf_check_record(registry, a));
    MF_TRY(check_row_count(a));
    if (type->arrays && strstr(type->arrays, "box:i32[k,6]"))
        MF_TRY(check_boxes(a));
    return check_rows(a);
}

/* ---- actions --------------------------------------------------------------------------------- */

/* What a key is made of ends with the stage's name: see key.c. */
static bool key_names(const char *components, const char *stage)
{
    char *end;
    size_t length = strlen(components);

    if (asprintf(&end, "\"stage\":\"%s\"}", stage) < 0)
        return false;
    size_t size = strlen(end);
    bool names = length > size && !strcmp(components + length - size, end);
    free(end);
    return names;
}

mf_status mf_check_action(const mf_registry *registry, const mf_action *action,
                          const char *const *types)
{
    const mf_stage *stage = mf_registry_stage(registry, action->stage);

    if (!stage)
        return MF_OK;
    if (action->components && !key_names(action->components, action->stage))
        return mf_fail(MF_INTERNAL, "its key is not one of %s", action->stage);
    for (size_t i = 0; i < action->output_count; i++) {
        const mf_action_output *o = &action->outputs[i];
        int port = mf_port_find(stage->out, o->port);
        mf_port_type type;
        if (port < 0 || !mf_port_type_parse(stage->out[port].type, &type))
            continue; /* of another version of the stage: nobody reads it */
        if (strcmp(type.name, types[i]))
            return mf_fail(MF_INTERNAL, "output '%s' is a %s, not a %s", o->port, types[i],
                           type.name);
        if (o->position != 0)
            return mf_fail(MF_INTERNAL, "output '%s' is there more than once", o->port);
    }
    return MF_OK;
}

mf_status mf_open_artifact(mf_store *store, const mf_registry *registry, const char *id,
                           mf_artifact **artifact)
{
    mf_status status = mf_store_get(store, id, artifact);

    if (status || !mf_registry_type(registry, mf_artifact_type(*artifact)))
        return status; /* what no plugin declares no stage reads either; it can be looked at */
    status = mf_check_artifact(registry, *artifact);
    if (!status)
        return MF_OK;
    mf_artifact_unref(*artifact);
    *artifact = NULL;
    if (mf_error_code(status) != MF_INTERNAL && mf_error_code(status) != MF_INVALID)
        return status; /* it could not be read */
    char *text = mf_error_text(status);
    mf_error_free(status);
    status = mf_hint(mf_fail(MF_CORRUPT, "artifact %.12s contradicts itself: %s", id,
                             text ? text : "out of memory"),
                     "massflow did not make it: delete the cache it came with");
    free(text);
    return status;
}
