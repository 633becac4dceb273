/* look.c - the part Look: what a volume, labels or masks are, and their slices as raw voxels.
 *
 * Everything is asked for by content id, so an answer never changes, and the page keeps it. Slices
 * come as 32 bytes of header, then voxels, both little-endian:
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
#include "parts.h"
#include "planes.h"
#include "range.h"
#include "regions.h"
#include "slabs.h"

#include <massflow/names.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPEN = 24, HEADER = 32, MOST_SLICES = 64 };
static const size_t most_kept = (size_t)768 << 20;  /* bytes of slabs */
static const size_t most_answer = (size_t)64 << 20; /* bytes of one answer */

/* ---- what is open ---------------------------------------------------------------------------- */

typedef struct opened {
    char id[65];
    desk_source *source;
    int users;
    uint64_t used;
} opened;

typedef struct desk_look desk_look;
struct desk_look {
    pthread_mutex_t lock; /* of what follows */
    opened open[OPEN];
    uint64_t used;
    desk_slabs *slabs;
};

mf_status desk_look_new(desk_look **look)
{
    desk_look *l = calloc(1, sizeof *l);
    *look = NULL;
    if (!l)
        return mf_no_memory(sizeof *l, "the desk");
    mf_status status = desk_slabs_new(most_kept, &l->slabs);
    if (status) {
        free(l);
        return status;
    }
    pthread_mutex_init(&l->lock, NULL);
    *look = l;
    return MF_OK;
}

void desk_look_free(desk_look *l)
{
    if (!l)
        return;
    for (int i = 0; i < OPEN; i++)
        desk_source_free(l->open[i].source);
    desk_slabs_free(l->slabs);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* With the lock held: the place of that id, else the one that was not used for longest. NULL where
 * all are in use by other requests. */
static opened *place_of(desk_look *l, const char *id)
{
    opened *oldest = NULL;
    for (int i = 0; i < OPEN; i++) {
        opened *o = l->open + i;
        if (o->source && !strcmp(o->id, id))
            return o;
        if (!o->users && (!oldest || o->used < oldest->used))
            oldest = o;
    }
    return oldest;
}

static mf_status open_there(const desk_request *q, const char *id, opened *o)
{
    mf_artifact *artifact;
    desk_source_free(o->source);
    *o = (opened){0};
    MF_TRY(desk_artifact(q, &artifact));
    mf_status status = desk_source_open(artifact, &o->source);
    mf_artifact_unref(artifact);
    if (!status)
        snprintf(o->id, sizeof o->id, "%s", id);
    return status;
}

/* The source that a request names by ?id=; in use until `leave`. */
static mf_status enter(const desk_request *q, opened **got)
{
    desk_look *l = desk_of(q)->look;
    const char *id;
    mf_status status = MF_OK;
    *got = NULL;
    MF_TRY(desk_query_text(q, "id", &id));
    pthread_mutex_lock(&l->lock);
    opened *o = place_of(l, id);
    if (!o)
        status = mf_fail(MF_NO_MEMORY, "more than %d results are looked at at once", OPEN);
    else if (!o->source || strcmp(o->id, id) != 0)
        status = open_there(q, id, o);
    if (!status) {
        o->users++;
        o->used = ++l->used;
        *got = o;
    }
    pthread_mutex_unlock(&l->lock);
    return status;
}

static void leave(const desk_request *q, opened *o)
{
    desk_look *l = desk_of(q)->look;
    pthread_mutex_lock(&l->lock);
    o->users--;
    pthread_mutex_unlock(&l->lock);
}

/* ---- what it is ------------------------------------------------------------------------------ */

static json_object *numbers(const double *v, int count)
{
    json_object *list = json_object_new_array_ext(count);
    for (int i = 0; i < count; i++)
        json_object_array_add(list, json_object_new_double(v[i]));
    return list;
}

static json_object *integers(const int64_t *v, int count)
{
    json_object *list = json_object_new_array_ext(count);
    for (int i = 0; i < count; i++)
        json_object_array_add(list, json_object_new_int64(v[i]));
    return list;
}

/* From array order to that of the grid. */
static json_object *place(const int64_t zyx[3])
{
    return integers((const int64_t[]){zyx[2], zyx[1], zyx[0]}, 3);
}

/* Rows of the 4 x 4 matrix from voxel indices x y z to RAS+ mm, as nibabel's affine. */
static json_object *affine_of(const mf_grid *g)
{
    double m[16] = {[15] = 1};
    for (int r = 0; r < 3; r++) {
        for (int j = 0; j < 3; j++)
            m[4 * r + j] = g->direction[3 * r + j] * g->spacing[j];
        m[4 * r + 3] = g->origin[r];
    }
    return numbers(m, 16);
}

static json_object *planes_of(const mf_grid *g, bool neurological)
{
    static const char *const names[DESK_VIEWS] = {"axial", "coronal", "sagittal"};
    desk_plane planes[DESK_VIEWS];
    json_object *list = json_object_new_array_ext(DESK_VIEWS);
    desk_planes(g, neurological, planes);
    for (int v = 0; v < DESK_VIEWS; v++) {
        const desk_plane *p = planes + v;
        json_object *o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(names[v]));
        json_object_object_add(o, "across", json_object_new_int(p->across));
        json_object_object_add(o, "acrossBack", json_object_new_boolean(p->across_back));
        json_object_object_add(o, "column", json_object_new_int(p->column));
        json_object_object_add(o, "row", json_object_new_int(p->row));
        json_object_object_add(o, "columnBack", json_object_new_boolean(p->column_back));
        json_object_object_add(o, "rowBack", json_object_new_boolean(p->row_back));
        desk_put(o, "left", p->left);
        desk_put(o, "right", p->right);
        desk_put(o, "top", p->top);
        desk_put(o, "bottom", p->bottom);
        json_object_array_add(list, o);
    }
    return list;
}

static json_object *range_json(const desk_range *r)
{
    static const char *const names[] = {
#define X(percent) #percent,
        DESK_PERCENTS(X)
#undef X
    };
    json_object *o = json_object_new_object(), *at = json_object_new_object();
    json_object_object_add(o, "values", json_object_new_int64(r->values));
    json_object_object_add(o, "notFinite", json_object_new_int64(r->not_finite));
    json_object_object_add(o, "min", json_object_new_double(r->min));
    json_object_object_add(o, "max", json_object_new_double(r->max));
    for (int i = 0; i < DESK_PERCENT_COUNT; i++)
        json_object_object_add(at, names[i], json_object_new_double(r->at[i]));
    json_object_object_add(o, "percentiles", at);
    return o;
}

/* The voxels of the scan's own file, where they are others. */
static void put_scan(const desk_source *s, json_object *o)
{
    mf_grid scan;
    if (!mf_artifact_scan_grid(s->artifact, &scan) || mf_grid_equal(&scan, &s->grid, 1e-3))
        return;
    json_object *own = json_object_new_object();
    json_object_object_add(own, "size", integers(scan.size, 3));
    json_object_object_add(own, "affine", affine_of(&scan));
    json_object_object_add(o, "scan", own);
}

static mf_status describe(const desk_source *s, json_object *o)
{
    static const char *const kinds[] = {"volume", "labels", "masks"};
    desk_put(o, "kind", kinds[s->kind]);
    json_object_object_add(o, "size", integers(s->grid.size, 3));
    json_object_object_add(o, "spacing", numbers(s->grid.spacing, 3));
    json_object_object_add(o, "affine", affine_of(&s->grid));
    desk_put(o, "dtype", mf_dtype_text(s->dtype));
    desk_put(o, "stored", mf_dtype_text(s->stored));
    desk_put(o, "modality", mf_artifact_text(s->artifact, "modality"));
    desk_put(o, "unit", mf_artifact_text(s->artifact, "unit"));
    put_scan(s, o);
    json_object_object_add(o, "radiological", planes_of(&s->grid, false));
    json_object_object_add(o, "neurological", planes_of(&s->grid, true));
    if (s->kind == DESK_VOLUME) {
        desk_range range;
        MF_TRY(desk_range_of(s, &range));
        json_object_object_add(o, "range", range_json(&range));
    }
    if (s->kind == DESK_MASKS)
        json_object_object_add(o, "masks", json_object_new_int64(s->masks));
    return MF_OK;
}

/* Answers with the object that `fill` makes of the source a request names. */
static mf_status answer_json(desk_request *q, desk_reply *r,
                             mf_status (*fill)(const desk_source *s, json_object *o))
{
    opened *of;
    MF_TRY(enter(q, &of));
    json_object *o = json_object_new_object();
    mf_status status = fill(of->source, o);
    leave(q, of);
    if (status) {
        json_object_put(o);
        return status;
    }
    desk_reply_json(r, o);
    desk_reply_lasting(r);
    return MF_OK;
}

static mf_status answer_volume(desk_request *q, desk_reply *r)
{
    return answer_json(q, r, describe);
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* Name and colour [r, g, b] of a label, where it has them. */
static void put_name(json_object *one, const mf_name *name)
{
    if (!name)
        return;
    desk_put(one, "name", name->name);
    if (name->colour == MF_NO_COLOUR)
        return;
    const int64_t rgb[3] = {name->colour >> 16 & 255, name->colour >> 8 & 255, name->colour & 255};
    json_object_object_add(one, "color", integers(rgb, 3));
}

static mf_status list_regions(const desk_source *s, json_object *o)
{
    desk_region *regions;
    mf_names names;
    int64_t count;
    if (s->kind != DESK_LABELS)
        return mf_fail(MF_INVALID, "a result of type %s has no labels",
                       mf_artifact_type(s->artifact));
    MF_TRY(mf_artifact_names(s->artifact, &names));
    mf_status status = desk_regions_of(s, &regions, &count);
    if (status) {
        mf_names_clear(&names);
        return status;
    }
    json_object *list = json_object_new_array();
    for (int64_t i = 0; i < count; i++) {
        json_object *one = json_object_new_object();
        json_object_object_add(one, "label", json_object_new_int(regions[i].label));
        json_object_object_add(one, "voxels", json_object_new_int64(regions[i].voxels));
        json_object_object_add(one, "at", place(regions[i].at));
        put_name(one, mf_names_find(&names, regions[i].label));
        json_object_array_add(list, one);
    }
    free(regions);
    mf_names_clear(&names);
    json_object_object_add(o, "labels", list);
    return MF_OK;
}

static mf_status answer_labels(desk_request *q, desk_reply *r)
{
    return answer_json(q, r, list_regions);
}

/* The middle of the box of a mask, on the slice where it was found. */
static void middle_of(const mf_mask *mask, int64_t at[3])
{
    for (int i = 0; i < 3; i++)
        at[i] = (mask->lo[i] + mask->hi[i]) / 2;
    if (mask->seed_axis >= 0 && mask->seed_axis < 3 &&
        mask->seed_slice >= mask->lo[mask->seed_axis] &&
        mask->seed_slice < mask->hi[mask->seed_axis])
        at[mask->seed_axis] = mask->seed_slice;
}

/* A voxel of the mask for the crosshair: on the slice of middle_of, the one nearest to the middle,
 * where the slice has any. */
static mf_status voxel_of(const desk_source *s, int64_t k, const mf_mask *mask, int64_t at[3])
{
    const int axis = mask->seed_axis >= 0 && mask->seed_axis < 3 ? mask->seed_axis : 0;
    int64_t lo[3], hi[3], best = INT64_MAX, middle[3];
    middle_of(mask, middle);
    memcpy(at, middle, sizeof middle);
    memcpy(lo, mask->lo, sizeof lo);
    memcpy(hi, mask->hi, sizeof hi);
    lo[axis] = middle[axis];
    hi[axis] = middle[axis] + 1;
    const size_t room = (size_t)((hi[0] - lo[0]) * (hi[1] - lo[1]) * (hi[2] - lo[2]));
    uint8_t *inside = malloc(room), *in = inside;
    if (!inside)
        return mf_no_memory(room, "a slice of a mask");
    mf_status status = mf_masks_crop(s->artifact, k, lo, hi, inside);
    for (int64_t z = lo[0]; z < hi[0] && !status; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++)
            for (int64_t x = lo[2]; x < hi[2]; x++) {
                const int64_t d[3] = {z - middle[0], y - middle[1], x - middle[2]};
                const int64_t far = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                if (!*in++ || far >= best)
                    continue;
                best = far;
                memcpy(at, (const int64_t[]){z, y, x}, 3 * sizeof *at);
            }
    free(inside);
    return status;
}

static mf_status list_mask(const desk_source *s, int64_t k, json_object *list)
{
    mf_mask mask;
    int64_t at[3];
    MF_TRY(mf_masks_get(s->artifact, k, &mask));
    MF_TRY(voxel_of(s, k, &mask, at));
    json_object *one = json_object_new_object();
    json_object_object_add(one, "mask", json_object_new_int64(k));
    json_object_object_add(one, "score", json_object_new_double((double)mask.score));
    json_object_object_add(one, "voxels", json_object_new_int64(s->voxels[k]));
    json_object_object_add(one, "at", place(at));
    if (mask.seed_axis >= 0 && mask.seed_axis < 3) { /* of the grid, as slices are asked for */
        json_object_object_add(one, "axis", json_object_new_int(2 - mask.seed_axis));
        json_object_object_add(one, "slice", json_object_new_int(mask.seed_slice));
    }
    json_object_array_add(list, one);
    return MF_OK;
}

static mf_status list_masks(const desk_source *s, json_object *o)
{
    if (s->kind != DESK_MASKS)
        return mf_fail(MF_INVALID, "a result of type %s has no masks",
                       mf_artifact_type(s->artifact));
    json_object *list = json_object_new_array();
    json_object_object_add(o, "masks", list);
    for (int64_t k = 0; k < s->masks; k++)
        MF_TRY(list_mask(s, k, list));
    return MF_OK;
}

static mf_status answer_masks(desk_request *q, desk_reply *r)
{
    return answer_json(q, r, list_masks);
}

/* ---- slices ---------------------------------------------------------------------------------- */

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

static mf_status read_slices(desk_request *q, const opened *o, const desk_cut *cut, desk_reply *r)
{
    const char *shown = desk_query(q, "only");
    uint8_t *only, *bytes;
    size_t size;
    MF_TRY(answer_room(o->source, cut, &size));
    MF_TRY(read_only(o->source, shown, &only));
    bytes = malloc(HEADER + size);
    mf_status status = bytes ? desk_slabs_slices(desk_of(q)->look->slabs, o->source, o->id, only,
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

static mf_status answer_slices(desk_request *q, desk_reply *r)
{
    int64_t axis, first, count;
    opened *o;
    MF_TRY(desk_query_int(q, "axis", 0, 2, &axis));
    MF_TRY(desk_query_int(q, "first", 0, INT32_MAX, &first));
    MF_TRY(desk_query_int(q, "count", 1, MOST_SLICES, &count));
    MF_TRY(enter(q, &o));
    const desk_cut cut = {2 - (int)axis, first, count};
    mf_status status = read_slices(q, o, &cut, r);
    leave(q, o);
    return status;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The bytes of a file; the caller frees. */
static mf_status read_file(const char *path, char **bytes, size_t *size)
{
    FILE *f = fopen(path, "re");
    long length = -1;
    *bytes = NULL;
    if (f && !fseek(f, 0, SEEK_END) && (length = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET))
        *bytes = malloc((size_t)length + 1);
    const bool good = *bytes && fread(*bytes, 1, (size_t)length, f) == (size_t)length;
    if (f)
        fclose(f);
    *size = (size_t)length;
    if (good)
        return MF_OK;
    free(*bytes);
    *bytes = NULL;
    return mf_fail(MF_IO, "%s could not be read back", path);
}

/* As a NIfTI on the grid of the scan's own file, by the writer that `massflow get` has. */
static mf_status write_nifti(desk_request *q, const mf_artifact *artifact, char **bytes,
                             size_t *size)
{
    const char *base = getenv("TMPDIR");
    char *folder = NULL, *path = NULL;
    mf_workspace *w;
    *bytes = NULL;
    *size = 0;
    MF_TRY(desk_workspace(desk_of(q), &w));
    mf_status status = MF_OK;
    if (asprintf(&folder, "%s/massflow-desk-XXXXXX", base && *base ? base : "/tmp") < 0)
        folder = NULL;
    if (!folder || !mkdtemp(folder))
        status = mf_fail(MF_IO, "no folder for a file: %m");
    else if (asprintf(&path, "%s/export.nii.gz", folder) < 0)
        status = mf_no_memory(0, "a file name");
    if (!status)
        status = mf_workspace_write_artifact(w, artifact, path, false);
    if (!status)
        status = read_file(path, bytes, size);
    if (path)
        unlink(path);
    if (folder)
        rmdir(folder);
    free(path);
    free(folder);
    mf_workspace_close(w);
    return status;
}

static mf_status answer_file(desk_request *q, desk_reply *r)
{
    mf_artifact *artifact;
    char *bytes, name[64];
    size_t size;
    MF_TRY(desk_artifact(q, &artifact));
    mf_status status = write_nifti(q, artifact, &bytes, &size);
    if (!status) {
        snprintf(name, sizeof name, "%s-%.8s.nii.gz", mf_artifact_type(artifact),
                 mf_artifact_id(artifact));
        desk_reply_bytes(r, "application/gzip", bytes, size);
        desk_reply_download(r, name);
    }
    mf_artifact_unref(artifact);
    return status;
}

const desk_route desk_look_routes[] = {
    {"GET", "/api/look/volume", answer_volume}, {"GET", "/api/look/labels", answer_labels},
    {"GET", "/api/look/masks", answer_masks},   {"GET", "/api/look/slices", answer_slices},
    {"GET", "/api/look/file", answer_file},     {NULL, NULL, NULL}};
