/* example.c - the part Click, by example: a label of one scan, or an object that was clicked there,
 * is found in another scan by the stage mass.segment, on top of the user's graph (own_graph.h). */
#include "click_graph.h"
#include "example_params.h"
#include "job.h"
#include "prompts.h"

#include <massflow/seconds.h>
#include <stdlib.h>
#include <string.h>

/* A result of the user's graph, as the page names it. */
typedef struct named {
    const char *output, *id; /* borrowed of the request; NULL where it was left out */
    char *included;
} named;

typedef struct search {
    desk_job job;
    named scan, model, example, labels;
    named click_model;   /* of an object: the SAM 2 of the graph that it was clicked with */
    int64_t label;       /* of the label map */
    prompts *prompts;    /* of an object; NULL: a label */
    click_prompts mm;    /* the same in millimetres */
    click_graph object;  /* volume and model are borrowed of `example` and `click_model` */
    json_object *params; /* of mass.segment */
    char *params_from;
} search;

static void clear(search *s)
{
    named *all[] = {&s->scan, &s->model, &s->example, &s->labels, &s->click_model};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]->included);
    desk_job_clear(&s->job);
    json_object_put(s->params);
    free(s->object.weights);
    free(s->params_from);
    free(s->prompts);
}

/* ---- the request ----------------------------------------------------------------------------- */

/* {"output": "scan[case=012].volume", "id": ID} */
static mf_status read_named(const desk_request *q, json_object *o, const char *name,
                            const mf_workspace *w, const char *type, named *n)
{
    json_object *given = NULL;
    if (!json_object_object_get_ex(o, name, &given) ||
        !json_object_is_type(given, json_type_object))
        return mf_fail(MF_INVALID, "'%s' has to be {\"output\": NAME, \"id\": ID} of a %s", name,
                       type);
    MF_TRY(desk_field_text(q, given, "output", &n->output));
    MF_TRY(desk_field_text(q, given, "id", &n->id));
    MF_TRY(desk_output_check(w, n->output, type));
    n->included = desk_output_included(n->output);
    return n->included ? MF_OK : mf_no_memory(0, "a graph");
}

/* An object: {"axis", "slice", "points", "box", "model": {...} or null}. */
static mf_status read_object(const desk_request *q, json_object *o, const mf_workspace *w,
                             search *s)
{
    json_object *model = NULL;
    s->prompts = malloc(sizeof *s->prompts);
    if (!s->prompts)
        return mf_no_memory(sizeof *s->prompts, "prompts");
    MF_TRY(prompts_read(q, o, s->prompts));
    if (json_object_object_get_ex(o, "model", &model) && model)
        MF_TRY(read_named(q, o, "model", w, "model", &s->click_model));
    else
        MF_TRY(click_graph_weights(&s->object.weights));
    return MF_OK;
}

static mf_status read_example(const desk_request *q, const mf_workspace *w, search *s)
{
    json_object *body = desk_body(q), *object = NULL;
    MF_TRY(read_named(q, body, "scan", w, "volume", &s->scan));
    MF_TRY(read_named(q, body, "model", w, "model", &s->model));
    MF_TRY(read_named(q, body, "example", w, "volume", &s->example));
    if (!strcmp(s->scan.id, s->example.id))
        return mf_hint(mf_fail(MF_INVALID, "the example is the scan itself"),
                       "choose another scan to look in");
    MF_TRY(example_params(w, s->model.output, &s->params, &s->params_from));
    if (json_object_object_get_ex(body, "object", &object) && object)
        return read_object(q, object, w, s);
    MF_TRY(desk_body_int(q, "label", 1, INT32_MAX, &s->label));
    return read_named(q, body, "labels", w, "labels", &s->labels);
}

/* Prompts lie in the example, whose grid says where. */
static mf_status place_object(search *s)
{
    mf_artifact *volume;
    mf_grid grid;
    if (!s->prompts)
        return MF_OK;
    MF_TRY(desk_artifact_of_id(s->job.d, s->example.id, &volume));
    mf_status status = mf_artifact_grid(volume, &grid);
    mf_artifact_unref(volume);
    MF_TRY(status);
    s->mm = prompts_to_world(s->prompts, &grid);
    s->object.volume = s->example.included;
    s->object.model = s->click_model.included;
    s->object.prompts = &s->mm;
    return MF_OK;
}

/* ---- the graph ------------------------------------------------------------------------------- */

static void put_params(FILE *f, const search *s)
{
    if (s->prompts)
        fprintf(f, "    with: {labels: []");
    else
        fprintf(f, "    with: {labels: [%lld]", (long long)s->label);
    json_object_object_foreach(s->params, name, value)
    {
        fprintf(f, ", %s: %s", name,
                json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
                                                          JSON_C_TO_STRING_NOSLASHESCAPE));
    }
    fprintf(f, "}\n");
}

static void put_search(FILE *f, const void *self)
{
    const search *s = self;
    if (s->prompts) {
        click_graph_put(f, &s->object);
        fprintf(f, "  drawn: {use: masks.labels, in: {masks: object}}\n");
    }
    fprintf(f, "  found:\n    use: mass.segment\n    in: {");
    own_graph_put_result(f, "model", s->model.included);
    fprintf(f, ", ");
    own_graph_put_result(f, "references", s->example.included);
    fprintf(f, ", ");
    if (s->prompts)
        fprintf(f, "labels: drawn");
    else
        own_graph_put_result(f, "labels", s->labels.included);
    fprintf(f, ", ");
    own_graph_put_result(f, "query", s->scan.included);
    fprintf(f, "}\n");
    put_params(f, s);
}

static mf_status check_same(const search *s, mf_workspace *w)
{
    const named *all[] = {&s->scan, &s->model, &s->example, &s->labels, &s->click_model};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->included)
            MF_TRY(desk_output_same(w, all[i]->included, all[i]->id));
    return MF_OK;
}

/* ---- answering ------------------------------------------------------------------------------- */

static mf_status find(search *s, mf_artifact **found)
{
    static const char *const target = "found";
    mf_workspace *w;
    *found = NULL;
    MF_TRY(desk_job_open(&s->job, "example.yaml", put_search, s, &w));
    mf_status status = check_same(s, w); /* before hours are spent on another model */
    if (!status)
        status = desk_job_run(&s->job, w, &target, 1);
    if (!status)
        status = mf_workspace_artifact(w, "found.labels", found);
    mf_workspace_close(w);
    return status;
}

static mf_status search_begin(desk_request *q, search *s)
{
    mf_workspace *w;
    MF_TRY(desk_workspace(desk_of(q), &w));
    mf_status status = read_example(q, w, s);
    mf_workspace_close(w);
    MF_TRY(status);
    MF_TRY(desk_job_begin(desk_of(q), &s->job));
    return place_object(s);
}

/* {"scan": NAMED, "model": NAMED, "example": NAMED, and "labels": NAMED, "label": 3 or "object"},
 * NAMED being {"output", "id"}. */
static mf_status answer_example(desk_request *q, desk_reply *r)
{
    const double start = mf_seconds();
    mf_artifact *found = NULL;
    search s = {0};
    mf_status status = search_begin(q, &s);
    if (!status)
        status = find(&s, &found);
    if (!status) {
        json_object *o = json_object_new_object();
        desk_put(o, "id", mf_artifact_id(found));
        desk_put(o, "from", s.params_from);
        json_object_object_add(o, "params", json_object_get(s.params));
        json_object_object_add(o, "seconds", json_object_new_double(mf_seconds() - start));
        desk_put(o, "graph", s.job.path);
        desk_reply_json(r, o);
    }
    mf_artifact_unref(found);
    clear(&s);
    return status;
}

const desk_route desk_example_routes[] = {{"POST", "/api/click/example", answer_example},
                                          {NULL, NULL, NULL}};
