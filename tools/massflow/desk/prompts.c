/* prompts.c - see prompts.h. */
#include "prompts.h"

#include <string.h>

static mf_status read_numbers(json_object *list, size_t count, double *v)
{
    if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) != count)
        return mf_fail(MF_INVALID, "a point or a box is a list of %zu numbers", count);
    for (size_t i = 0; i < count; i++) {
        json_object *one = json_object_array_get_idx(list, i);
        if (!json_object_is_type(one, json_type_double) && !json_object_is_type(one, json_type_int))
            return mf_fail(MF_INVALID, "a point or a box is a list of %zu numbers", count);
        v[i] = json_object_get_double(one);
    }
    return MF_OK;
}

static mf_status read_points(json_object *list, prompts *p)
{
    p->points = list ? json_object_array_length(list) : 0;
    if (p->points > PROMPTS_MOST)
        return mf_fail(MF_INVALID, "%zu points; at most %d", p->points, PROMPTS_MOST);
    for (size_t i = 0; i < p->points; i++) {
        double v[4];
        MF_TRY(read_numbers(json_object_array_get_idx(list, i), 4, v));
        memcpy(p->xyz[i], v, sizeof p->xyz[i]);
        p->labels[i] = v[3] > 0;
    }
    return MF_OK;
}

mf_status prompts_read(const desk_request *q, json_object *o, prompts *p)
{
    json_object *points = NULL, *box = NULL;
    int64_t axis;
    *p = (prompts){0};
    MF_TRY(desk_field_int(q, o, "axis", 0, 2, &axis));
    MF_TRY(desk_field_int(q, o, "slice", 0, INT32_MAX, &p->slice));
    p->axis = 2 - (int)axis;
    json_object_object_get_ex(o, "points", &points);
    json_object_object_get_ex(o, "box", &box);
    if (points && !json_object_is_type(points, json_type_array))
        return mf_fail(MF_INVALID, "'points' has to be a list");
    MF_TRY(read_points(points, p));
    if (box) {
        MF_TRY(read_numbers(box, 6, p->box[0]));
        p->corners = 2;
    }
    if (!p->points && !p->corners)
        return mf_hint(mf_fail(MF_INVALID, "there is no prompt"), "give points or a box");
    for (size_t i = 0; i < p->points; i++)
        p->xyz[i][axis] = (double)p->slice;
    for (size_t i = 0; i < p->corners; i++)
        p->box[i][axis] = (double)p->slice;
    return MF_OK;
}

click_prompts prompts_to_world(prompts *p, const mf_grid *grid)
{
    for (size_t i = 0; i < p->points; i++)
        mf_grid_to_world(grid, (const double[]){p->xyz[i][0], p->xyz[i][1], p->xyz[i][2]},
                         p->xyz[i]);
    for (size_t i = 0; i < p->corners; i++)
        mf_grid_to_world(grid, (const double[]){p->box[i][0], p->box[i][1], p->box[i][2]},
                         p->box[i]);
    return (click_prompts){p->axis, p->points, p->xyz[0], p->labels, p->corners ? p->box[0] : NULL};
}
