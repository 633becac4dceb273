/* click.c - the part Click: points and a box on a slice give a mask of the object there, at once on
 * the slice, and on request through the scan.
 *
 * The slice is answered by a model in this process (prompter.h). Through the scan the same prompts
 * go to the stage sam2.segment, in a graph that includes the user's (click_graph.h): the mask is a
 * result of the cache like any other. */
#include "click_graph.h"
#include "parts.h"
#include "prompter.h"

#include <massflow/seconds.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_POINTS = 256, TICK = 250 /* ms */ };
#define SMALL_MODEL "graphs/models/sam2-small.safetensors"

typedef struct desk_click desk_click;
struct desk_click {
    pthread_mutex_t lock; /* of what is prepared: one request at a time */
    char volume[65];      /* the id that is prepared; "" where none is */
    char model[65];       /* the id of the prompter's model; "" of the small one */
    prompter *prompter;   /* NULL where there is none */
    mf_grid grid;
    pthread_mutex_t run_lock; /* of what follows */
    mf_workspace *running;
    bool stopped; /* for good */
    int64_t done, total;
    char node[160];
};

mf_status desk_click_new(desk_click **click)
{
    desk_click *c = calloc(1, sizeof *c);
    *click = c;
    if (!c)
        return mf_no_memory(sizeof *c, "the desk");
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->run_lock, NULL);
    return MF_OK;
}

void desk_click_stop(desk_click *c)
{
    pthread_mutex_lock(&c->run_lock);
    c->stopped = true;
    if (c->running)
        mf_workspace_cancel(c->running);
    pthread_mutex_unlock(&c->run_lock);
}

void desk_click_free(desk_click *c)
{
    if (!c)
        return;
    prompter_free(c->prompter);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->run_lock);
    free(c);
}

/* ---- the graph ------------------------------------------------------------------------------- */

/* What is asked for, with all that it needs of the desk. */
typedef struct job {
    desk *d;
    const char *id;       /* of the volume; borrowed of the request, as is */
    const char *model;    /* an output of the graph; NULL: the small model */
    const char *model_id; /* of it; "" of the small model */
    char *cache, *path;
    click_graph graph; /* its texts are the job's */
    mf_setting *own;   /* set_0, set_1, ... */
} job;

static void job_clear(job *j)
{
    for (size_t i = 0; i < j->graph.setting_count; i++) {
        free((char *)j->graph.settings[i].name);
        free((char *)j->graph.settings[i].value);
        free((char *)j->own[i].name);
    }
    free((void *)j->graph.settings);
    free((char *)j->graph.graph);
    free((char *)j->graph.folder);
    free((char *)j->graph.volume);
    free((char *)j->graph.model);
    free((char *)j->graph.weights);
    free(j->own);
    free(j->cache);
    free(j->path);
}

/* The weights that come along, by where the command lies: BUILD/tools/massflow/massflow in the
 * sources, PREFIX/bin/massflow where they are installed. */
static mf_status find_weights(char **path)
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

/* Copies the settings of the desk. */
static bool copy_settings(job *j)
{
    const desk *d = j->d;
    mf_setting *list = calloc(d->setting_count + 1, sizeof *list);
    j->own = calloc(d->setting_count + 1, sizeof *j->own);
    j->graph.settings = list;
    bool good = list && j->own;
    for (size_t i = 0; good && i < d->setting_count; i++) {
        list[i] = (mf_setting){strdup(d->settings[i].name), strdup(d->settings[i].value)};
        good =
            asprintf((char **)&j->own[i].name, "set_%zu", i) > 0 && list[i].name && list[i].value;
        j->own[i].value = list[i].value;
        j->graph.setting_count = i + 1;
    }
    return good;
}

/* That the page names an output that there is, and that it is of this type. */
static mf_status check_output(const mf_workspace *w, const char *wanted, const char *type)
{
    const char *port, *of;
    for (size_t i = 0; i < mf_workspace_node_count(w); i++)
        for (size_t k = 0; (port = mf_workspace_output(w, i, k, &of)); k++) {
            char *name = NULL;
            bool same = asprintf(&name, "%s.%s", mf_workspace_node(w, i), port) > 0 &&
                        !strcmp(name, wanted);
            free(name);
            if (same)
                return !strcmp(of, type) ? MF_OK : mf_fail(MF_INVALID, "%s is no %s", wanted, type);
        }
    return mf_fail(MF_NOT_FOUND, "the graph has no result '%s'", wanted);
}

/* "scan[case=012].volume" -> "scan.volume[case=012]", as one graph names a result of another that
 * it includes; for free(). */
static char *included_name(const char *output)
{
    const char *dot = strrchr(output, '.'), *open = strchr(output, '[');
    char *name = NULL;
    if (!dot || !open || open > dot)
        return strdup(output);
    return asprintf(&name, "%.*s%s%.*s", (int)(open - output), output, dot, (int)(dot - open),
                    open) < 0
               ? NULL
               : name;
}

/* What of the request names results of the graph. */
static mf_status read_names(const desk_request *q, job *j)
{
    const char *volume;
    json_object *model = NULL;
    mf_workspace *w;
    MF_TRY(desk_body_text(q, "id", &j->id));
    MF_TRY(desk_body_text(q, "volume", &volume));
    j->model_id = "";
    if (json_object_object_get_ex(desk_body(q), "model", &model) && model &&
        json_object_get_string_len(model)) {
        j->model = json_object_get_string(model);
        MF_TRY(desk_body_text(q, "model_id", &j->model_id));
    }
    MF_TRY(desk_workspace(j->d, &w));
    mf_status status = check_output(w, volume, "volume");
    if (!status && j->model)
        status = check_output(w, j->model, "model");
    mf_workspace_close(w);
    MF_TRY(status);
    j->graph.volume = included_name(volume);
    j->graph.model = j->model ? included_name(j->model) : NULL;
    return j->graph.volume && (j->graph.model || !j->model) ? MF_OK : mf_no_memory(0, "a graph");
}

static mf_status job_begin(desk_request *q, job *j)
{
    char *weights = NULL, *folder = NULL;
    *j = (job){.d = desk_of(q)};
    MF_TRY(read_names(q, j));
    if (!j->model)
        MF_TRY(find_weights(&weights));
    j->graph.weights = weights;
    j->cache = desk_cache(j->d);
    pthread_mutex_lock(&j->d->lock);
    j->graph.graph = j->d->graph ? realpath(j->d->graph, NULL) : NULL;
    bool good = copy_settings(j) && j->graph.graph && j->cache &&
                asprintf(&folder, "%s/desk", j->cache) > 0;
    pthread_mutex_unlock(&j->d->lock);
    j->graph.folder = folder;
    return good ? MF_OK : mf_no_memory(0, "a graph");
}

static mf_status job_open(job *j, const click_prompts *prompts, mf_workspace **w)
{
    const mf_workspace_options options = {.settings = j->own,
                                          .setting_count = j->graph.setting_count,
                                          .plugins = j->d->plugins,
                                          .cache = j->cache,
                                          .devices = j->d->devices,
                                          .by_version = j->d->by_version};
    int lock;
    *w = NULL;
    free(j->path);
    j->path = NULL;
    MF_TRY(click_graph_lock(&j->graph, &lock));
    mf_status status = click_graph_write(&j->graph, prompts, &j->path);
    if (!status)
        status = mf_workspace_open(j->path, &options, NULL, w);
    close(lock);
    return status;
}

/* ---- running --------------------------------------------------------------------------------- */

typedef struct watching {
    desk_click *click;
    char *failed; /* the first error */
} watching;

static void watch(void *self, const mf_workspace_event *event)
{
    watching *w = self;
    if (!strcmp(event->kind, "failed") && !w->failed && event->text)
        w->failed = strdup(event->text);
    if (strcmp(event->kind, "tick") != 0 || !event->active_count)
        return;
    pthread_mutex_lock(&w->click->run_lock);
    w->click->done = event->active[0].done;
    w->click->total = event->active[0].total;
    snprintf(w->click->node, sizeof w->click->node, "%s", event->active[0].node);
    pthread_mutex_unlock(&w->click->run_lock);
}

static mf_status set_running(desk_click *c, mf_workspace *w)
{
    pthread_mutex_lock(&c->run_lock);
    bool stopped = c->stopped && w;
    if (!stopped)
        c->running = w;
    c->done = c->total = 0;
    c->node[0] = 0;
    pthread_mutex_unlock(&c->run_lock);
    return stopped ? mf_fail(MF_CANCELLED, "the desk is closing") : MF_OK;
}

/* Runs targets of a click's graph; a failed node is an error with its text. */
static mf_status run_targets(desk_click *c, mf_workspace *w, const char *const *targets,
                             size_t count)
{
    watching seen = {.click = c};
    const mf_workspace_ask ask = {.targets = targets, .target_count = count};
    const mf_workspace_run_options options = {
        .tick = TICK, .command = "massflow desk", .watch = watch, .self = &seen};
    mf_workspace_result result = {0};
    MF_TRY(set_running(c, w));
    mf_status status = mf_workspace_run(w, &ask, &options, &result);
    mf_error_free(set_running(c, NULL));
    if (!status && result.cancelled)
        status = mf_fail(MF_CANCELLED, "it was stopped");
    else if (!status && (result.counts.failed || result.counts.blocked))
        status = mf_fail(MF_INVALID, "%s", seen.failed ? seen.failed : "it failed");
    free(seen.failed);
    return status;
}

static mf_status check_id(mf_workspace *w, const char *output, const char *wanted)
{
    mf_artifact *found;
    char *name = NULL;
    if (asprintf(&name, "graph.%s", output) < 0)
        return mf_no_memory(0, "a name");
    mf_status status = mf_workspace_artifact(w, name, &found);
    free(name);
    MF_TRY(status);
    const char *id = mf_artifact_id(found);
    if (!id || strcmp(id, wanted) != 0)
        status =
            mf_hint(mf_fail(MF_INVALID, "the result %s is another one than the page shows", output),
                    "reload the page");
    mf_artifact_unref(found);
    return status;
}

/* That the names the page gave are still those of the scan it shows and of its model: else a mask
 * of one scan would lie over another, or come from a model that was trained anew since. */
static mf_status check_inputs(const job *j, mf_workspace *w)
{
    MF_TRY(check_id(w, j->graph.volume, j->id));
    return j->model ? check_id(w, j->graph.model, j->model_id) : MF_OK;
}

/* ---- preparing ------------------------------------------------------------------------------- */

static mf_status make_prompter(desk_click *c, const job *j, mf_workspace *w)
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
            status = prompter_new(model, j->d->devices, &c->prompter);
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
static mf_status prepare(desk_click *c, job *j)
{
    static const char *const targets[] = {"slices", "model"};
    mf_workspace *w;
    if (!strcmp(c->volume, j->id) && c->prompter && !strcmp(c->model, j->model_id))
        return MF_OK;
    c->volume[0] = 0;
    MF_TRY(job_open(j, NULL, &w));
    mf_status status = run_targets(c, w, targets, j->model ? 1 : 2);
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
    job j = {0};
    mf_status status = desk_body_int(q, "axis", 0, 2, &axis);
    if (!status)
        status = desk_body_int(q, "slice", 0, INT32_MAX, &slice);
    if (!status)
        status = job_begin(q, &j);
    if (!status) {
        pthread_mutex_lock(&c->lock);
        status = prepare(c, &j);
        if (!status)
            status = warm(c, 2 - (int)axis, slice);
        pthread_mutex_unlock(&c->lock);
    }
    job_clear(&j);
    MF_TRY(status);
    desk_reply_json(r, json_object_new_object());
    return MF_OK;
}

/* ---- prompts --------------------------------------------------------------------------------- */

/* Prompts as the page sends them: voxel indices x y z of the volume, all on one slice.
 * {"axis": 2, "slice": 40, "points": [[x, y, z, label], ...], "box": [x, y, z, x, y, z] or null} */
typedef struct prompts {
    int axis; /* of arrays */
    int64_t slice;
    size_t points, corners;
    double xyz[MOST_POINTS][3]; /* points */
    int labels[MOST_POINTS];
    double box[2][3];
} prompts;

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
    if (p->points > MOST_POINTS)
        return mf_fail(MF_INVALID, "%zu points; at most %d", p->points, MOST_POINTS);
    for (size_t i = 0; i < p->points; i++) {
        double v[4];
        MF_TRY(read_numbers(json_object_array_get_idx(list, i), 4, v));
        memcpy(p->xyz[i], v, sizeof p->xyz[i]);
        p->labels[i] = v[3] > 0;
    }
    return MF_OK;
}

static mf_status read_prompts(const desk_request *q, prompts *p)
{
    json_object *points = NULL, *box = NULL;
    int64_t axis;
    *p = (prompts){0};
    MF_TRY(desk_body_int(q, "axis", 0, 2, &axis));
    MF_TRY(desk_body_int(q, "slice", 0, INT32_MAX, &p->slice));
    p->axis = 2 - (int)axis;
    json_object_object_get_ex(desk_body(q), "points", &points);
    json_object_object_get_ex(desk_body(q), "box", &box);
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

static mf_status mask_slice(desk_click *c, job *j, prompts *p, desk_reply *r)
{
    double at[MOST_POINTS + 2][2], start = mf_seconds();
    int labels[MOST_POINTS + 2];
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
static mf_status segment(desk_click *c, job *j, prompts *p, desk_reply *r)
{
    static const char *const target = "object";
    const double start = mf_seconds();
    mf_workspace *w;
    mf_artifact *masks;
    for (size_t i = 0; i < p->points; i++)
        mf_grid_to_world(&c->grid, (const double[]){p->xyz[i][0], p->xyz[i][1], p->xyz[i][2]},
                         p->xyz[i]);
    for (size_t i = 0; i < p->corners; i++)
        mf_grid_to_world(&c->grid, (const double[]){p->box[i][0], p->box[i][1], p->box[i][2]},
                         p->box[i]);
    const click_prompts mm = {p->axis, p->points, p->xyz[0], p->labels,
                              p->corners ? p->box[0] : NULL};
    MF_TRY(job_open(j, &mm, &w));
    mf_status status = run_targets(c, w, &target, 1);
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
    desk_put(o, "graph", j->path);
    mf_artifact_unref(masks);
    desk_reply_json(r, o);
    return MF_OK;
}

/* What a click asks for, once its prompts are read and its scan and model are there. */
static mf_status answer_click(desk_request *q, desk_reply *r,
                              mf_status (*act)(desk_click *, job *, prompts *, desk_reply *))
{
    desk_click *c = desk_of(q)->click;
    prompts *p = malloc(sizeof *p);
    job j = {0};
    mf_status status = p ? read_prompts(q, p) : mf_no_memory(sizeof *p, "prompts");
    if (!status)
        status = job_begin(q, &j);
    if (!status) {
        pthread_mutex_lock(&c->lock);
        status = prepare(c, &j);
        if (!status)
            status = act(c, &j, p, r);
        pthread_mutex_unlock(&c->lock);
    }
    job_clear(&j);
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

/* How far what is run for a click has come. */
static mf_status answer_progress(desk_request *q, desk_reply *r)
{
    desk_click *c = desk_of(q)->click;
    json_object *o = json_object_new_object();
    pthread_mutex_lock(&c->run_lock);
    json_object_object_add(o, "running", json_object_new_boolean(c->running != NULL));
    desk_put(o, "node", c->node);
    json_object_object_add(o, "done", json_object_new_int64(c->done));
    json_object_object_add(o, "total", json_object_new_int64(c->total));
    pthread_mutex_unlock(&c->run_lock);
    desk_reply_json(r, o);
    return MF_OK;
}

static mf_status answer_stop(desk_request *q, desk_reply *r)
{
    desk_click *c = desk_of(q)->click;
    pthread_mutex_lock(&c->run_lock);
    if (c->running)
        mf_workspace_cancel(c->running);
    pthread_mutex_unlock(&c->run_lock);
    desk_reply_json(r, json_object_new_object());
    return MF_OK;
}

const desk_route desk_click_routes[] = {
    {"POST", "/api/click/open", answer_open},     {"POST", "/api/click/slice", answer_slice},
    {"POST", "/api/click/volume", answer_volume}, {"POST", "/api/click/stop", answer_stop},
    {"GET", "/api/click", answer_progress},       {NULL, NULL, NULL}};
