/* routes.c - which part of the desk answers which request. */
#include "parts.h"

#include <string.h>

extern const desk_route desk_session_routes[], desk_node_routes[], desk_launch_routes[],
    desk_drawing_routes[], desk_history_routes[], desk_measure_routes[], desk_look_routes[],
    desk_click_routes[], desk_job_routes[], desk_example_routes[], desk_pool_routes[];

static const desk_route *const tables[] = {
    desk_session_routes, desk_node_routes,    desk_launch_routes, desk_drawing_routes,
    desk_history_routes, desk_measure_routes, desk_look_routes,   desk_click_routes,
    desk_job_routes,     desk_example_routes, desk_pool_routes};

static bool fits(const desk_route *r, const char *path)
{
    size_t length = strlen(r->path);

    return r->path[length - 1] == '/' ? !strncmp(path, r->path, length) : !strcmp(path, r->path);
}

const desk_route *desk_route_find(const char *method, const char *path, bool *known)
{
    *known = false;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const desk_route *r = tables[i]; r->method; r++) {
            if (!fits(r, path))
                continue;
            *known = true;
            if (!strcmp(r->method, method))
                return r;
        }
    return NULL;
}
