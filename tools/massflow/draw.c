/* draw.c - see draw.h. */
#include "draw.h"
#include "run/artifact/check.h"
#include <stdlib.h>
#include <string.h>

mf_status draw_parse(const char *text, mf_view *view)
{
    static const char axes[] = "zyx";
    const char *axis = *text ? strchr(axes, *text) : NULL;
    char *end = NULL;

    *view = (mf_view){.axis = axis ? (int)(axis - axes) : 0, .slice = -1, .slices = 9, .tile = 256};
    if (axis && !text[1])
        return MF_OK;
    if (axis && text[1] == '=' && text[2] >= '0' && text[2] <= '9') {
        view->slice = strtoll(text + 2, &end, 10);
        view->tile = 512;
    }
    if (!end || *end || view->slice > 1000000)
        return mf_hint(mf_fail(MF_INVALID, "'%s' names no slice", text),
                       "an axis z, y or x for several slices, or one of them: z=40");
    return MF_OK;
}

bool draw_can(const mf_registry *registry, const char *type)
{
    return !strcmp(type, "image") || mf_registry_drawer(registry, type) != NULL;
}

/* A volume of node i on that grid: present, or NULL. */
static mf_status volume_of(const mf_registry *registry, mf_plan *plan, size_t i,
                           const mf_grid *grid, mf_artifact **scan)
{
    const mf_plan_node *n = mf_plan_at(plan, i);

    *scan = NULL;
    for (size_t p = 0; p < n->work.out_count; p++) {
        mf_artifact *a;
        mf_grid own;
        mf_status status;
        if (strcmp(n->work.stage->out[p].type, "volume") || !n->outputs[p].present)
            continue;
        MF_TRY(mf_open_artifact(mf_plan_store(plan), registry, n->outputs[p].id, &a));
        status = mf_artifact_grid(a, &own);
        if (!status && mf_grid_equal(grid, &own, 0.01)) {
            *scan = a;
            return MF_OK;
        }
        mf_artifact_unref(a);
        MF_TRY(status);
    }
    return MF_OK;
}

/* Another case's scan may lie on an equal grid. */
static bool same_case(const mf_node *a, const mf_node *b)
{
    return a->of_case && b->of_case ? !strcmp(a->of_case->id, b->of_case->id)
                                    : a->of_case == b->of_case;
}

/* Breadth first: what is nearest above is what the result was made from. */
static mf_status search(const mf_registry *registry, mf_plan *plan, size_t node,
                        const mf_grid *grid, size_t *queue, bool *seen, mf_artifact **scan)
{
    size_t first = 0, count = 0;

    queue[count++] = node;
    seen[node] = true;
    while (first < count && !*scan) {
        size_t i = queue[first++];
        const mf_node *n = mf_plan_at(plan, i)->node;
        if (same_case(n, mf_plan_at(plan, node)->node))
            MF_TRY(volume_of(registry, plan, i, grid, scan));
        for (size_t p = 0; p < n->input_count; p++) {
            for (size_t k = 0; k < n->inputs[p].count; k++) {
                size_t above = n->inputs[p].edges[k].node;
                if (!seen[above])
                    queue[count++] = above;
                seen[above] = true;
            }
        }
    }
    return MF_OK;
}

static mf_status find_scan(const mf_registry *registry, mf_plan *plan, size_t node,
                           const mf_artifact *artifact, mf_artifact **scan)
{
    size_t count = plan ? mf_plan_count(plan) : 0;
    size_t *queue = calloc(count + 1, sizeof *queue);
    bool *seen = calloc(count + 1, sizeof *seen);
    mf_status status = MF_OK;
    mf_grid grid;

    *scan = NULL;
    if (!queue || !seen)
        status = mf_no_memory(0, "looking for the scan");
    else if (plan)
        status = mf_artifact_grid(artifact, &grid);
    if (!status && plan)
        status = search(registry, plan, node, &grid, queue, seen, scan);
    free(queue);
    free(seen);
    return status;
}

mf_status draw_artifact(const mf_registry *registry, mf_plan *plan, size_t node,
                        const mf_artifact *artifact, const mf_view *view, mf_array **rgb)
{
    const char *name = mf_artifact_type(artifact);
    const mf_type *type = mf_registry_drawer(registry, name);
    mf_artifact *scan = NULL;
    mf_status status;

    *rgb = NULL;
    if (!strcmp(name, "image"))
        return mf_artifact_array(artifact, "rgb", rgb);
    if (!type)
        return mf_fail(MF_UNSUPPORTED, "no plugin draws a %s", name);
    if (strcmp(name, "volume"))
        MF_TRY(find_scan(registry, plan, node, artifact, &scan));
    status = type->draw(artifact, scan, view, rgb);
    if (status)
        *rgb = NULL; /* of what a plugin left there after an error nothing is known */
    mf_artifact_unref(scan);
    return status;
}
