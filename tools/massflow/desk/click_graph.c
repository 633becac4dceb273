/* click_graph.c - see click_graph.h. */
#include "click_graph.h"

#include <stdlib.h>
#include <string.h>

#define SMALL_MODEL "graphs/models/sam2-small.safetensors"

/* Empty slices in a row after which an object has ended: who clicks waits for it. */
enum { MAX_EMPTY = 3 };

static void put_numbers(FILE *f, const char *name, const double *v, size_t count)
{
    fprintf(f, ", %s: [", name);
    for (size_t i = 0; i < count; i++)
        fprintf(f, "%s%.9g", i ? ", " : "", v[i]);
    fputc(']', f);
}

static void put_object(FILE *f, const click_graph *g, const click_prompts *p)
{
    fprintf(f, "  object:\n    use: sam2.segment\n    in: {slices: slices, ");
    if (g->model)
        own_graph_put_result(f, "model", g->model);
    else
        fprintf(f, "model: model");
    fprintf(f, "}\n    with: {unit: mm, axis: %c, max_empty_slices: %d, keep_largest: true",
            "zyx"[p->axis], MAX_EMPTY);
    if (p->count)
        put_numbers(f, "points", p->xyz, 3 * p->count);
    if (p->count) {
        fprintf(f, ", labels: [");
        for (size_t i = 0; i < p->count; i++)
            fprintf(f, "%s%d", i ? ", " : "", p->labels[i]);
        fputc(']', f);
    }
    if (p->box)
        put_numbers(f, "box", p->box, 6);
    fprintf(f, "}\n");
}

void click_graph_put(FILE *f, const void *graph)
{
    const click_graph *g = graph;
    fprintf(f, "  slices:\n    use: window.rgb\n    in: {");
    own_graph_put_result(f, "volume", g->volume);
    fprintf(f, "}\n");
    if (!g->model) {
        fprintf(f, "  model:\n    use: model.load\n    with: {path: ");
        own_graph_put_text(f, g->weights);
        fprintf(f, "}\n");
    }
    if (g->prompts)
        put_object(f, g, g->prompts);
}

const char *click_graph_model(const click_graph *g, char *room, size_t size)
{
    snprintf(room, size, "%s%s", g->model ? "graph." : "", g->model ? g->model : "model");
    return room;
}

/* The weights that come along, by where the command lies: BUILD/tools/massflow/massflow in the
 * sources, PREFIX/bin/massflow where they are installed. */
mf_status click_graph_weights(char **path)
{
    static const char *const beside[] = {"/../../../" SMALL_MODEL,
                                         "/../share/massflow/" SMALL_MODEL};
    char *program = mf_workspace_command();
    char *last = program ? strrchr(program, '/') : NULL;
    *path = NULL;
    if (last)
        *last = 0;
    for (size_t i = 0; last && i < sizeof beside / sizeof *beside && !*path; i++) {
        char *there;
        if (asprintf(&there, "%s%s", program, beside[i]) < 0)
            break;
        *path = realpath(there, NULL);
        free(there);
    }
    free(program);
    return *path ? MF_OK
                 : mf_hint(mf_fail(MF_NOT_FOUND, "the small SAM 2 that comes with massflow is "
                                                 "missing: " SMALL_MODEL),
                           "use a stage model.load in the graph; its model is then offered here");
}
