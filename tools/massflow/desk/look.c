/* look.c - the part Look: what a volume, labels or masks are. Everything is asked for by content
 * id, so an answer never changes, and the page keeps it. */
#include "look.h"
#include "planes.h"
#include "range.h"

static json_object *numbers(const double *v, int count)
{
    json_object *list = json_object_new_array_ext(count);
    for (int i = 0; i < count; i++)
        json_object_array_add(list, json_object_new_double(v[i]));
    return list;
}

json_object *desk_look_integers(const int64_t *v, int count)
{
    json_object *list = json_object_new_array_ext(count);
    for (int i = 0; i < count; i++)
        json_object_array_add(list, json_object_new_int64(v[i]));
    return list;
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
    json_object_object_add(own, "size", desk_look_integers(scan.size, 3));
    json_object_object_add(own, "affine", affine_of(&scan));
    json_object_object_add(o, "scan", own);
}

static mf_status describe(const desk_source *s, json_object *o)
{
    static const char *const kinds[] = {"volume", "labels", "masks"};
    desk_put(o, "kind", kinds[s->kind]);
    json_object_object_add(o, "size", desk_look_integers(s->grid.size, 3));
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

static mf_status answer_volume(desk_request *q, desk_reply *r)
{
    return desk_look_json(q, r, describe);
}

const desk_route desk_look_routes[] = {
    {"GET", "/api/look/volume", answer_volume},  {"GET", "/api/look/labels", desk_look_labels},
    {"GET", "/api/look/masks", desk_look_masks}, {"GET", "/api/look/slices", desk_look_slices},
    {"GET", "/api/look/file", desk_look_file},   {NULL, NULL, NULL}};
