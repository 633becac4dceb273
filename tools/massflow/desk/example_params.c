/* example_params.c - see example_params.h. */
#include "example_params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The graph's stages, and what reads what. */
typedef struct house {
    const mf_workspace *w;
    size_t count, link_count;
    mf_workspace_stage *stages; /* [count] */
    mf_workspace_link *links;
    const char *model; /* "model[seed=1].model" */
    size_t made_by;    /* the stage of the model; `count` where it is of an included file */
} house;

static mf_status open_house(const mf_workspace *w, const char *model, house *h)
{
    *h = (house){.w = w, .model = model, .count = mf_workspace_stage_count(w)};
    h->made_by = h->count;
    h->stages = calloc(h->count + 1, sizeof *h->stages);
    if (!h->stages)
        return mf_no_memory(0, "the stages of a graph");
    for (size_t i = 0; i < h->count; i++) {
        mf_workspace_stage *s = &h->stages[i];
        mf_workspace_stage_at(w, i, s);
        for (size_t k = s->first; k < s->first + s->count; k++) {
            const char *node = mf_workspace_node(w, k);
            const size_t length = strlen(node);
            if (!strncmp(model, node, length) && (model[length] == '.' || !model[length]))
                h->made_by = i;
        }
    }
    return mf_workspace_links(w, &h->links, &h->link_count);
}

static void close_house(house *h)
{
    free(h->stages);
    free(h->links);
}

/* ---- stages ---------------------------------------------------------------------------------- */

/* A stage that reads `from`, of this kind; or NULL. */
static const mf_workspace_stage *reader(const house *h, size_t from, const char *use)
{
    for (size_t i = 0; i < h->link_count; i++)
        if (h->links[i].from == from && !strcmp(h->stages[h->links[i].to].use, use))
            return &h->stages[h->links[i].to];
    return NULL;
}

/* The nearest one above a stage: stages are in topological order, so what is read lies before. */
static const mf_workspace_stage *above(const house *h, size_t below, const char *use)
{
    bool *needed = calloc(h->count + 1, sizeof *needed);
    const mf_workspace_stage *found = NULL;
    if (!needed || below >= h->count) {
        free(needed);
        return NULL;
    }
    needed[below] = true;
    for (size_t i = below + 1; i-- > 0 && !found;) {
        if (!needed[i])
            continue;
        if (!strcmp(h->stages[i].use, use))
            found = &h->stages[i];
        for (size_t k = 0; k < h->link_count; k++)
            if (h->links[k].to == i)
                needed[h->links[k].from] = true;
    }
    free(needed);
    return found;
}

static const mf_workspace_stage *any(const house *h, const char *use)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->stages[i].count && !strcmp(h->stages[i].use, use))
            return &h->stages[i];
    return NULL;
}

static const mf_workspace_stage *above_or_any(const house *h, const char *use)
{
    const mf_workspace_stage *s = above(h, h->made_by, use);
    return s ? s : any(h, use);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Between the brackets of a node's name; an empty text where it has none. */
static const char *axes_of(const char *name, size_t *length)
{
    const char *open = strchr(name, '['), *close = open ? strchr(open, ']') : NULL;
    *length = close ? (size_t)(close - open) - 1 : 0;
    return close ? open + 1 : "";
}

/* Whether a list "case=1,seed=2" has another value of the axis of `pair`, "seed=1". */
static bool differs(const char *list, size_t length, const char *pair, size_t size)
{
    const size_t name = (size_t)((const char *)memchr(pair, '=', size) - pair) + 1;
    for (const char *at = list, *end = list + length; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma ? comma : end;
        const size_t here = (size_t)(stop - at);
        if (here >= name && !memcmp(at, pair, name))
            return here != size || memcmp(at, pair, size) != 0;
        at = stop + 1;
    }
    return false;
}

/* Whether a node belongs to the model by the axes that both have. */
static bool goes_with(const char *node, const char *model)
{
    size_t have, size;
    const char *list = axes_of(node, &have), *pairs = axes_of(model, &size);
    for (const char *at = pairs, *end = pairs + size; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma ? comma : end;
        if (memchr(at, '=', (size_t)(stop - at)) && differs(list, have, at, (size_t)(stop - at)))
            return false;
        at = stop + 1;
    }
    return true;
}

/* The first node of a stage that belongs to the model, and its parameters. */
static mf_status params_of(const house *h, const mf_workspace_stage *s, json_object **params,
                           const char **node)
{
    size_t at = s->first;
    char *text;
    while (at < s->first + s->count && !goes_with(mf_workspace_node(h->w, at), h->model))
        at++;
    if (at == s->first + s->count)
        at = s->first;
    *node = mf_workspace_node(h->w, at);
    MF_TRY(mf_workspace_node_params_json(h->w, at, &text));
    *params = json_tokener_parse(text);
    free(text);
    return *params ? MF_OK : mf_no_memory(0, "parameters");
}

/* ---- what is taken --------------------------------------------------------------------------- */

static mf_status of_segment(const house *h, const mf_workspace_stage *s, json_object **params,
                            char **from)
{
    const char *node;
    MF_TRY(params_of(h, s, params, &node));
    json_object_object_del(*params, "labels"); /* what is looked for is chosen on the page */
    json_object_object_del(*params, "probabilities");
    return asprintf(from, "%s", node) < 0 ? mf_no_memory(0, "a name") : MF_OK;
}

static mf_status take(const house *h, const mf_workspace_stage *s, const char *const *names,
                      json_object *to, const char **node)
{
    json_object *all, *value;
    MF_TRY(params_of(h, s, &all, node));
    for (size_t i = 0; names[i]; i++)
        if (json_object_object_get_ex(all, names[i], &value))
            json_object_object_add(to, names[i], json_object_get(value));
    json_object_put(all);
    return MF_OK;
}

static mf_status of_training(const house *h, json_object **params, char **from)
{
    static const char *const clipping[] = {"spacing",     "modality",       "window_low",
                                           "window_high", "percentile_low", "percentile_high",
                                           NULL};
    static const char *const size[] = {"patch_size", NULL};
    const mf_workspace_stage *prepare = above_or_any(h, "mass.prepare"),
                             *views = above_or_any(h, "augment.views");
    const char *prepared, *drawn;
    if (!views)
        views = above_or_any(h, "augment.crops");
    if (!prepare || !views)
        return mf_hint(mf_fail(MF_NOT_FOUND, "the graph does not say with which spacing, clipping "
                                             "and patch size the model works"),
                       "add a stage mass.segment that reads the model; its parameters are taken");
    *params = json_object_new_object();
    MF_TRY(take(h, prepare, clipping, *params, &prepared));
    MF_TRY(take(h, views, size, *params, &drawn));
    return asprintf(from, "%s and %s", prepared, drawn) < 0 ? mf_no_memory(0, "a name") : MF_OK;
}

mf_status example_params(const mf_workspace *w, const char *model, json_object **params,
                         char **from)
{
    house h;
    *params = NULL;
    *from = NULL;
    mf_status status = open_house(w, model, &h);
    if (!status) {
        const mf_workspace_stage *s = reader(&h, h.made_by, "mass.segment");
        s = s ? s : any(&h, "mass.segment");
        status = s ? of_segment(&h, s, params, from) : of_training(&h, params, from);
    }
    close_house(&h);
    if (status) {
        json_object_put(*params);
        *params = NULL;
    }
    return status;
}
