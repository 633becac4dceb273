/* click.c - the part Click: points and a box on a slice give a mask of the object there, at once on
 * the slice, and on request through the scan.
 *
 * The slice is answered by a model in this process (prompter.h). Through the scan the same prompts
 * go to the stage sam2.segment, in a graph that includes the user's (click_graph.h): the mask is a
 * result of the cache like any other. */
#include "click_graph.h"
#include "job.h"
#include "prompter.h"
#include "prompts.h"

#include <massflow/seconds.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct desk_click desk_click;
struct desk_click {
    pthread_mutex_t lock; /* one request at a time */
    char volume[65];      /* the id that is prepared; "" where none is */
    char model[65];       /* the id of the prompter's model; "" of the small one */
    prompter *prompter;   /* NULL where there is none */
    mf_grid grid;
};

mf_status desk_click_new(desk_click **click)
{
    desk_click *c = calloc(1, sizeof *c);
    *click = c;
    if (!c)
        return mf_no_memory(sizeof *c, "the desk");
    pthread_mutex_init(&c->lock, NULL);
    return MF_OK;
}

void desk_click_free(desk_click *c)
{
    if (!c)
        return;
    prompter_free(c->prompter);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- what is asked for ----------------------------------------------------------------------- */

/* With all that it needs of the desk. */
typedef struct click_job {
    desk_job job;
    const char *id;       /* of the volume; borrowed of the request, as is */
    const char *model_id; /* of a model; "" of the small one */
    click_graph graph;    /* its texts are its own */
} click_job;

static void clear(click_job *j)
{
    desk_job_clear(&j->job);
    free(j->graph.volume);
    free(j->graph.model);
    free(j->graph.weights);
}

/* What of the request names results of the graph. */
static mf_status read_names(const desk_request *q, click_job *j)
{
    const char *volume, *model = NULL;
    json_object *given = NULL;
    mf_workspace *w;
    MF_TRY(desk_body_text(q, "id", &j->id));
    MF_TRY(desk_body_text(q, "volume", &volume));
    j->model_id = "";
    if (json_object_object_get_ex(desk_body(q), "model", &given) && given &&
        json_object_get_string_len(given)) {
        model = json_object_get_string(given);
        MF_TRY(desk_body_text(q, "model_id", &j->model_id));
    }
    MF_TRY(desk_workspace(desk_of(q), &w));
    mf_status status = desk_output_check(w, volume, "volume");
    if (!status && model)
        status = desk_output_check(w, model, "model");
    mf_workspace_close(w);
    MF_TRY(status);
    j->graph.volume = desk_output_included(volume);
    j->graph.model = model ? desk_output_included(model) : NULL;
    return j->graph.volume && (j->graph.model || !model) ? MF_OK : mf_no_memory(0, "a graph");
}

static mf_status begin(desk_request *q, click_job *j)
{
    *j = (click_job){0};
    MF_TRY(read_names(q, j));
    if (!j->graph.model)
        MF_TRY(click_graph_weights(&j->graph.weights));
    return desk_job_begin(desk_of(q), &j->job);
}

static mf_status open_graph(click_job *j, const click_prompts *mm, mf_workspace **w)
{
    j->graph.prompts = mm;
    return desk_job_open(&j->job, "click.yaml", click_graph_put, &j->graph, w);
}

static mf_status check_inputs(const click_job *j, mf_workspace *w)
{
    MF_TRY(desk_output_same(w, j->graph.volume, j->id));
    return j->graph.model ? desk_output_same(w, j->graph.model, j->model_id) : MF_OK;
}

/* ---- preparing ------------------------------------------------------------------------------- */

static mf_status make_prompter(desk_click *c, const click_job *j, mf_workspace *w)
{
    mf_artifact *slices = NULL, *model = NULL;
    char name[512];
    mf_status status = mf_workspace_artifact(w, "slices", &slices);
    const bool same = c->prompter && !strcmp(c->model, j->model_id);
    if (!status && !same) {
        prompter_free(c->prompter);
        c->prompter = NULL;
        status = mf_workspace_artifact(w, click_graph_model(&j->graph, name, sizeof name), &model);
        if (!status)
            status = prompter_new(model, j->job.d->devices, &c->prompter);
        snprintf(c->model, sizeof c->model, "%s", j->model_id);
    }
    if (!status)
        status = mf_artifact_grid(slices, &c->grid);
    if (!status)
        status = prompter_look(c->prompter, slices);
    mf_artifact_unref(slices);
    mf_artifact_unref(model);
    return status;
}

/* With the lock held: scan and model are ready for prompts. */
static mf_status prepare(desk_click *c, click_job *j)
{
    static const char *const targets[] = {"slices", "model"};
    mf_workspace *w;
    if (!strcmp(c->volume, j->id) && c->prompter && !strcmp(c->model, j->model_id))
        return MF_OK;
    c->volume[0] = 0;
    MF_TRY(open_graph(j, NULL, &w));
    mf_status status = desk_job_run(&j->job, w, targets, j->graph.model ? 1 : 2);
    if (!status)
        status = check_inputs(j, w);
    if (!status)
        status = make_prompter(c, j, w);
    mf_workspace_close(w);
    if (!status)
        snprintf(c->volume, sizeof c->volume, "%s", j->id);
    return status;
}

/* Asks for the middle of a slice, so that what a first click needs is built before it. */
static mf_status warm(desk_click *c, int axis, int64_t slice)
{
    const int64_t *size = c->grid.size; /* x y z */
    const double middle[1][2] = {
        {(double)(size[axis == 0 ? 1 : 2] / 2), (double)(size[axis == 2 ? 1 : 0] / 2)}};
    const prompter_prompts asked = {axis, slice, 1, middle, (const int[]){1}};
    uint8_t *mask;
    int64_t rows, columns;
    bool encoded;
    MF_TRY(prompter_mask(c->prompter, &asked, &mask, &rows, &columns, &encoded));
    free(mask);
    return MF_OK;
}

/* {"id", "volume", "model", "model_id", "axis", "slice"}: the slice is the one that is looked at.
 */
static mf_status answer_open(desk_request *q, desk_reply *r)
{
    desk_click *c = desk_of(q)->click;
    int64_t axis, slice;
    click_job j = {0};
    mf_status status = desk_body_int(q, "axis", 0, 2, &axis);
    if (!status)
        status = desk_body_int(q, "slice", 0, INT32_MAX, &slice);
    if (!status)
        status = begin(q, &j);
    if (!status) {
        pthread_mutex_lock(&c->lock);
        status = prepare(c, &j);
        if (!status)
            status = warm(c, 2 - (int)axis, slice);
        pthread_mutex_unlock(&c->lock);
    }
    clear(&j);
    MF_TRY(status);
    desk_reply_json(r, json_object_new_object());
    return MF_OK;
}

/* ---- prompts --------------------------------------------------------------------------------- */

/* Row and column on slices across an axis of arrays. */
static void on_slice(int axis, const double xyz[3], double at[2])
{
    const int row = axis == 0 ? 1 : 0, column = axis == 2 ? 1 : 2; /* of z y x */
    at[0] = xyz[2 - row];
    at[1] = xyz[2 - column];
}

/* The mask as runs of pixels in row-major order: start, length, start, length. */
static json_object *runs_of(const uint8_t *mask, int64_t count, int64_t *pixels)
{
    json_object *list = json_object_new_array();
    *pixels = 0;
    for (int64_t i = 0, start; i < count; i++) {
        if (!mask[i])
            continue;
        for (start = i; i < count && mask[i]; i++)
            ;
        json_object_array_add(list, json_object_new_int64(start));
        json_object_array_add(list, json_object_new_int64(i - start));
        *pixels += i - start;
    }
    return list;
}

static mf_status mask_slice(desk_click *c, click_job *j, prompts *p, desk_reply *r)
{
    double at[PROMPTS_MOST + 2][2], start = mf_seconds();
    int labels[PROMPTS_MOST + 2];
    size_t n = 0;
    uint8_t *mask;
    int64_t rows, columns, pixels;
    bool encoded;
    (void)j;
    for (size_t i = 0; i < p->corners; i++, n++) { /* the lower corner is the first */
        double low[3];
        for (int k = 0; k < 3; k++)
            low[k] = (p->box[0][k] < p->box[1][k]) == (i == 0) ? p->box[0][k] : p->box[1][k];
        on_slice(p->axis, low, at[n]);
        labels[n] = 2 + (int)i;
    }
    for (size_t i = 0; i < p->points; i++, n++) {
        on_slice(p->axis, p->xyz[i], at[n]);
        labels[n] = p->labels[i];
    }
    const prompter_prompts on = {p->axis, p->slice, (int64_t)n, (const double(*)[2])at, labels};
    MF_TRY(prompter_mask(c->prompter, &on, &mask, &rows, &columns, &encoded));
    json_object *o = json_object_new_object();
    json_object_object_add(o, "rows", json_object_new_int64(rows));
    json_object_object_add(o, "columns", json_object_new_int64(columns));
    json_object_object_add(o, "runs", runs_of(mask, rows * columns, &pixels));
    json_object_object_add(o, "pixels", json_object_new_int64(pixels));
    json_object_object_add(o, "encoded", json_object_new_boolean(encoded));
    json_object_object_add(o, "seconds", json_object_new_double(mf_seconds() - start));
    free(mask);
    desk_reply_json(r, o);
    return MF_OK;
}

/* ---- through the scan ------------------------------------------------------------------------ */

/* Prompts in millimetres of the patient. */
static mf_status segment(desk_click *c, click_job *j, prompts *p, desk_reply *r)
{
    static const char *const target = "object";
    const double start = mf_seconds();
    mf_workspace *w;
    mf_artifact *masks;
    const click_prompts mm = prompts_to_world(p, &c->grid);
    MF_TRY(open_graph(j, &mm, &w));
    mf_status status = desk_job_run(&j->job, w, &target, 1);
    if (!status)
        status = check_inputs(j, w);
    if (!status)
        status = mf_workspace_artifact(w, target, &masks);
    mf_workspace_close(w);
    MF_TRY(status);
    json_object *o = json_object_new_object();
    desk_put(o, "id", mf_artifact_id(masks));
    json_object_object_add(o, "masks", json_object_new_int64(mf_masks_count(masks)));
    json_object_object_add(o, "seconds", json_object_new_double(mf_seconds() - start));
    desk_put(o, "graph", j->job.path);
    mf_artifact_unref(masks);
    desk_reply_json(r, o);
    return MF_OK;
}

/* What a click asks for, once its prompts are read and its scan and model are there. */
static mf_status answer_click(desk_request *q, desk_reply *r,
                              mf_status (*act)(desk_click *, click_job *, prompts *, desk_reply *))
{
    desk_click *c = desk_of(q)->click;
    prompts *p = malloc(sizeof *p);
    click_job j = {0};
    mf_status status = p ? prompts_read(q, desk_body(q), p) : mf_no_memory(sizeof *p, "prompts");
    if (!status)
        status = begin(q, &j);
    if (!status) {
        pthread_mutex_lock(&c->lock);
        status = prepare(c, &j);
        if (!status)
            status = act(c, &j, p, r);
        pthread_mutex_unlock(&c->lock);
    }
    clear(&j);
    free(p);
    return status;
}

static mf_status answer_slice(desk_request *q, desk_reply *r)
{
    return answer_click(q, r, mask_slice);
}

static mf_status answer_volume(desk_request *q, desk_reply *r)
{
    return answer_click(q, r, segment);
}

const desk_route desk_click_routes[] = {{"POST", "/api/click/open", answer_open},
                                        {"POST", "/api/click/slice", answer_slice},
                                        {"POST", "/api/click/volume", answer_volume},
                                        {NULL, NULL, NULL}};
