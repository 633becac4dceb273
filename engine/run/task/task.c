/* task.c - running one stage: inputs opened lazily, outputs checked, progress, random numbers.
 * Device work is in task_device.c, streams are in stream.c. */
#include "compute/stop.h"
#include "run/artifact/check.h"
#include "run/artifact/write.h"
#include "run/process/clock.h"
#include "run/process/folder.h"
#include "run/process/groups.h"
#include "run/task/task_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mf_status mf_task_new(mf_host *host, const mf_work *work, int threads, mf_task **task)
{
    mf_task *t = calloc(1, sizeof *t);

    *task = NULL;
    if (!t)
        return mf_no_memory(0, "a task");
    t->host = host;
    t->work = work;
    t->threads = threads < 1 ? 1 : threads;
    t->ends = &t->cancelled;
    t->ranks = 1;
    mf_task_begin_checkpoints(t);
    pthread_mutex_init(&t->lock, NULL);
    t->inputs = calloc(work->feed_count ? work->feed_count : 1, sizeof *t->inputs);
    t->outputs = calloc(work->out_count ? work->out_count : 1, sizeof *t->outputs);
    if (!t->inputs || !t->outputs)
        goto memory;
    for (size_t i = 0; i < work->feed_count; i++) {
        size_t count = work->feeds[i].count;
        t->inputs[i].opened = calloc(count ? count : 1, sizeof *t->inputs[i].opened);
        if (!t->inputs[i].opened)
            goto memory;
    }
    *task = t;
    return MF_OK;
memory:
    mf_task_free(t);
    return mf_no_memory(0, "a task");
}

static void free_volumes(mf_task *t)
{
    for (held_volume *v = t->volumes, *next; v; v = next) {
        next = v->next;
        mf_array_unref(v->volume.voxels);
        free(v);
    }
    t->volumes = NULL;
}

void mf_task_drop(mf_task *t)
{
    for (size_t i = 0; i < t->work->out_count; i++) {
        mf_artifact_unref(t->outputs[i]);
        t->outputs[i] = NULL;
    }
    for (size_t i = 0; i < t->work->feed_count; i++) {
        mf_stream_free(t->inputs[i].stream);
        t->inputs[i].stream = NULL;
    }
}

void mf_task_free(mf_task *t)
{
    if (!t)
        return;
    if (t->inputs && t->outputs)
        mf_task_drop(t);
    for (size_t i = 0; t->inputs && i < t->work->feed_count; i++) {
        for (size_t k = 0; t->inputs[i].opened && k < t->work->feeds[i].count; k++)
            mf_artifact_unref(t->inputs[i].opened[k]);
        free(t->inputs[i].opened);
    }
    free_volumes(t);
    mf_task_free_device(t);
    pthread_mutex_destroy(&t->lock);
    free(t->inputs);
    free(t->outputs);
    free(t);
}

void mf_task_set_threads(mf_task *t, int threads)
{
    t->threads = threads < 1 ? 1 : threads;
}

void mf_task_set_files(mf_task *t, const mf_file_watch *files)
{
    t->files = files;
}

const mf_file_watch *mf_task_files(const mf_task *t)
{
    return t->files;
}

void mf_task_set_supply(mf_task *t, const mf_supply *supply)
{
    t->supply = supply;
}

void mf_task_set_device_name(mf_task *t, const char *name)
{
    t->device_name = name;
}

mf_status mf_task_get(const mf_task *t, const char *id, mf_artifact **artifact)
{
    return t->supply ? t->supply->get(t->supply->self, id, artifact)
                     : mf_host_get(t->host, id, artifact);
}

void mf_task_set_device(mf_task *t, size_t device)
{
    t->device = device;
}

size_t mf_task_device(const mf_task *t)
{
    return t->device;
}

void mf_task_set_devices(mf_task *t, const size_t *devices, size_t count)
{
    t->device_count = count < MF_TASK_DEVICES ? count : MF_TASK_DEVICES;
    if (!count)
        return;
    memcpy(t->devices, devices, t->device_count * sizeof *devices);
    t->device = devices[0];
}

size_t mf_task_device_list(const mf_task *t, const size_t **devices)
{
    *devices = t->device_count ? t->devices : &t->device;
    return t->device_count ? t->device_count : 1;
}

void mf_task_set_timeout(mf_task *t, double seconds)
{
    pthread_mutex_lock(&t->lock);
    t->timeout = seconds;
    t->deadline = seconds > 0 ? mf_run_clock() + seconds : 0;
    pthread_mutex_unlock(&t->lock);
}

double mf_task_overtime(mf_task *t)
{
    double deadline;

    pthread_mutex_lock(&t->lock);
    deadline = t->deadline;
    pthread_mutex_unlock(&t->lock);
    return deadline > 0 ? mf_run_clock() - deadline : -1;
}

void mf_task_cancel(mf_task *t)
{
    atomic_store(&t->cancelled, true);
}

bool mf_task_cancelled(const mf_task *t)
{
    return atomic_load(t->ends) || mf_host_cancelled(t->host);
}

const mf_work *mf_task_work(const mf_task *t)
{
    return t->work;
}

mf_host *mf_task_host(const mf_task *t)
{
    return t->host;
}

mf_artifact *mf_task_output(const mf_task *t, size_t port)
{
    return t->outputs[port];
}

/* ---- running --------------------------------------------------------------------------------- */

/* Whether an output may be left out. */
static bool left_out(const mf_port *port)
{
    mf_port_type type;

    return mf_port_type_parse(port->type, &type) && type.optional;
}

mf_status mf_task_check_outputs(mf_task *t)
{
    const mf_stage *stage = t->work->stage;

    for (size_t i = 0; i < t->work->out_count; i++) {
        if (!t->outputs[i] && left_out(&stage->out[i]))
            continue;
        if (!t->outputs[i])
            return mf_fail(MF_INTERNAL, "%s ended without its output '%s'", stage->name,
                           stage->out[i].name);
        MF_TRY(mf_within(mf_check_artifact(mf_host_registry(t->host), t->outputs[i]), "output '%s'",
                         stage->out[i].name));
    }
    return MF_OK;
}

/* What is made from a scan keeps the scan's own grid, so that it can be written back on it. */
static mf_status inherit(mf_task *t)
{
    mf_grid grid;

    for (size_t o = 0; o < t->work->out_count; o++) {
        if (!t->inherits[o] || !t->outputs[o])
            continue;
        for (size_t i = 0; i < t->work->feed_count; i++) {
            const mf_feed *feed = &t->work->feeds[i];
            const mf_artifact *scan;
            if (feed->list || feed->stream || !feed->count)
                continue;
            MF_TRY(mf_in(t, feed->port->name, &scan));
            if (!mf_artifact_scan_grid(scan, &grid))
                continue;
            MF_TRY(mf_artifact_inherit(t->outputs[o], scan));
            break;
        }
    }
    return MF_OK;
}

static mf_status in_session(mf_task *t, mf_session *session)
{
    MF_TRY(t->work->stage->run(t, mf_params_struct(t->work->params), mf_session_value(session)));
    MF_TRY(mf_task_drain(t));
    MF_TRY(mf_task_check_outputs(t));
    return inherit(t);
}

/* What programs ask between launches. */
static mf_status ask(void *self)
{
    return mf_cancel_point(self);
}

/* Of the try that has ended with `status`. */
static mf_status close_folder(mf_task *t, mf_status status)
{
    if (t->folder && status && t->folder_kept)
        status = mf_hint(status, "its files are in %s", t->folder);
    else if (t->folder)
        mf_folder_remove(t->folder);
    free(t->folder);
    t->folder = NULL;
    return status;
}

mf_status mf_task_execute(mf_task *t)
{
    mf_session *session = NULL;
    mf_stop before;
    mf_status status;

    t->inherits = calloc(t->work->out_count ? t->work->out_count : 1, sizeof *t->inherits);
    if (!t->inherits)
        return mf_no_memory(0, "a task");
    before = mf_stop_set((mf_stop){ask, t});
    status = mf_session_acquire(t->host, t, t->work, &session);
    if (!status)
        status = in_session(t, session);
    if (status) {
        /* Launches that still run may use what is freed below. */
        mf_error_free(mf_task_drain(t));
        mf_task_drop(t);
    }
    status = close_folder(t, status);
    mf_session_release(t->host, session);
    mf_stop_set(before);
    free(t->inherits);
    t->inherits = NULL;
    return status;
}

mf_status mf_task_item(mf_task *t, void *session, int64_t i, mf_artifact **item)
{
    const mf_stage *stage = t->work->stage;
    mf_artifact *made = NULL;
    mf_status status, drained;
    mf_stop before = mf_stop_set((mf_stop){ask, t});

    *item = NULL;
    t->item = i;
    status = stage->item(t, mf_params_struct(t->work->params), session, i, &made);
    if (status)
        made = NULL; /* of what a plugin left there after an error nothing is known */
    drained = mf_task_drain(t);
    mf_stop_set(before);
    if (!status)
        status = drained;
    else
        mf_error_free(drained);
    if (!status && made)
        status = mf_check_artifact(mf_host_registry(t->host), made);
    free_volumes(t);
    mf_task_free_buffers(t);
    if (status) {
        mf_artifact_unref(made);
        return mf_within(status, "item %lld of %s", (long long)i, t->work->node);
    }
    *item = made;
    return MF_OK;
}

mf_status mf_task_needs(mf_task *t, mf_needs *needs)
{
    if (!t->work->stage->needs)
        return MF_OK;
    return mf_within(t->work->stage->needs(t, mf_params_struct(t->work->params), needs),
                     "needs of %s", t->work->stage->name);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static mf_status find_input(mf_task *t, const char *port, size_t *index)
{
    for (size_t i = 0; i < t->work->feed_count; i++) {
        if (!strcmp(t->work->feeds[i].port->name, port)) {
            *index = i;
            return MF_OK;
        }
    }
    return mf_fail(MF_INTERNAL, "%s asked for an input port '%s' that it does not declare",
                   t->work->stage->name, port);
}

static const mf_feed *feed_of(mf_task *t, const char *port)
{
    for (size_t i = 0; i < t->work->feed_count; i++) {
        if (!strcmp(t->work->feeds[i].port->name, port))
            return &t->work->feeds[i];
    }
    return NULL;
}

/* What a stage made has the type of its port; what lies in a cache may be anybody's. */
static mf_status get_element(const mf_task *t, const mf_port *port, const char *id,
                             mf_artifact **artifact)
{
    mf_port_type type;
    mf_status status;

    MF_TRY(mf_task_get(t, id, artifact));
    if (!mf_port_type_parse(port->type, &type) || !strcmp(type.name, mf_artifact_type(*artifact)))
        return MF_OK;
    status = mf_fail(MF_CORRUPT, "artifact %.12s is a %s, not a %s", id,
                     mf_artifact_type(*artifact), type.name);
    mf_artifact_unref(*artifact);
    *artifact = NULL;
    return mf_hint(status, "massflow did not make it: delete the cache it came with");
}

static mf_status open_element(mf_task *t, size_t input, size_t k, const mf_artifact **artifact)
{
    mf_artifact **slot = &t->inputs[input].opened[k];
    const mf_feed *feed = &t->work->feeds[input];

    if (!*feed->elements[k].id) /* only before the task can run */
        return mf_fail(MF_NOT_FOUND, "input '%s' (%s) is not there yet", feed->port->name,
                       feed->elements[k].node);
    if (!*slot)
        MF_TRY(mf_within(get_element(t, feed->port, feed->elements[k].id, slot), "input '%s' (%s)",
                         feed->port->name, feed->elements[k].node));
    *artifact = *slot;
    return MF_OK;
}

mf_status mf_in(mf_task *t, const char *port, const mf_artifact **artifact)
{
    size_t input;

    *artifact = NULL;
    MF_TRY(find_input(t, port, &input));
    if (t->work->feeds[input].list || t->work->feeds[input].stream)
        return mf_fail(MF_INTERNAL, "%s asked for '%s' as one artifact, but it is declared as %s",
                       t->work->stage->name, port, t->work->feeds[input].port->type);
    if (!t->work->feeds[input].count)
        return MF_OK;
    return open_element(t, input, 0, artifact);
}

/* The field of a number or a list of fixed length; *count 0 for other kinds. */
static const void *numbers_of(const mf_param *p, const char *values, int *count)
{
    *count = p->kind == MF_PARAM_INT || p->kind == MF_PARAM_REAL     ? 1
             : p->kind == MF_PARAM_INT3 || p->kind == MF_PARAM_REAL3 ? 3
                                                                     : 0;
    return values + p->offset;
}

bool mf_in_stream_param(mf_task *t, const char *port, const char *param, int count, double *values)
{
    const mf_feed *feed = feed_of(t, port);
    const mf_work *stream = feed ? feed->stream : NULL;

    for (const mf_param *p = stream ? stream->stage->params : NULL; p && p->name; p++) {
        int there;
        const void *field = numbers_of(p, mf_params_struct(stream->params), &there);
        bool whole = p->kind == MF_PARAM_INT || p->kind == MF_PARAM_INT3;
        if (strcmp(p->name, param) != 0)
            continue;
        for (int i = 0; i < there && there == count; i++)
            values[i] = whole ? (double)((const int64_t *)field)[i] : ((const double *)field)[i];
        return there == count;
    }
    return false;
}

size_t mf_in_count(mf_task *t, const char *port)
{
    const mf_feed *feed = feed_of(t, port);

    return feed ? feed->count : 0;
}

mf_status mf_in_item(mf_task *t, const char *port, size_t i, const mf_artifact **artifact)
{
    size_t input;

    *artifact = NULL;
    MF_TRY(find_input(t, port, &input));
    if (i >= t->work->feeds[input].count)
        return mf_fail(MF_INTERNAL, "%s asked for element %zu of '%s', which has %zu",
                       t->work->stage->name, i, port, t->work->feeds[input].count);
    return open_element(t, input, i, artifact);
}

const char *mf_in_case(mf_task *t, const char *port, size_t i)
{
    const mf_feed *feed = feed_of(t, port);

    /* What is told must be part of the key. */
    return feed && i < feed->count && feed->port->marks & MF_KEYED ? feed->elements[i].case_id : "";
}

const char *mf_in_name(mf_task *t, const char *port, size_t i)
{
    const mf_feed *feed = feed_of(t, port);

    return feed && i < feed->count ? feed->elements[i].node : "";
}

/* An element whose case and axes may be told. */
const mf_element *mf_task_keyed_element(mf_task *t, const char *port, size_t i)
{
    const mf_feed *feed = feed_of(t, port);

    return feed && i < feed->count && feed->port->marks & MF_KEYED ? &feed->elements[i] : NULL;
}

const char *mf_in_axis(mf_task *t, const char *port, size_t i, size_t k, const char **value)
{
    const mf_element *e = mf_task_keyed_element(t, port, i);
    const mf_axis_value *axis = e ? mf_element_axis(t->work, e, k) : NULL;

    *value = axis ? axis->value : NULL;
    return axis ? axis->axis : NULL;
}

const char *mf_in_column(mf_task *t, const char *port, size_t i, const char *column)
{
    const mf_element *e = mf_task_keyed_element(t, port, i);
    const char *axis, *value;

    for (size_t k = 0; (axis = mf_in_axis(t, port, i, k, &value)); k++) {
        if (!strcmp(axis, column))
            return value;
    }
    if (!e || !strcmp(column, "path"))
        return NULL;
    if (e->row)
        return mf_case_column(e->row, column);
    for (const char *const *c = e->columns; c && *c; c += 2) {
        if (!strcmp(*c, column))
            return c[1];
    }
    return NULL;
}

/* Reads the voxels and sees that they fit the grid, for the data may be anybody's. */
static mf_status read_voxels(const mf_artifact *a, mf_dtype dtype, mf_volume *volume)
{
    mf_array *raw;
    mf_status status;

    MF_TRY(mf_artifact_grid(a, &volume->grid));
    MF_TRY(mf_artifact_array(a, "voxels", &raw));
    if (raw->rank != 3 || raw->shape[0] != volume->grid.size[2] ||
        raw->shape[1] != volume->grid.size[1] || raw->shape[2] != volume->grid.size[0]) {
        mf_array_unref(raw);
        return mf_fail(MF_CORRUPT, "the voxels do not fit the grid of the %s", mf_artifact_type(a));
    }
    status = mf_array_convert(raw, dtype, &volume->voxels);
    mf_array_unref(raw);
    return status;
}

mf_status mf_in_volume(mf_task *t, const char *port, mf_dtype dtype, const mf_volume **volume)
{
    const mf_artifact *artifact;
    held_volume *held;
    mf_status status;

    *volume = NULL;
    for (held = t->volumes; held; held = held->next) {
        if (held->dtype == dtype && !strcmp(held->port, port)) {
            *volume = &held->volume;
            return MF_OK;
        }
    }
    MF_TRY(mf_in(t, port, &artifact));
    if (!artifact)
        return MF_OK;
    held = calloc(1, sizeof *held);
    if (!held)
        return mf_no_memory(sizeof *held, "a volume");
    status = read_voxels(artifact, dtype, &held->volume);
    if (status) {
        free(held);
        return mf_within(status, "input '%s'", port);
    }
    held->port = feed_of(t, port)->port->name;
    held->dtype = dtype;
    held->next = t->volumes;
    t->volumes = held;
    *volume = &held->volume;
    return MF_OK;
}

mf_status mf_in_stream(mf_task *t, const char *port, mf_stream **stream)
{
    size_t input;

    *stream = NULL;
    MF_TRY(find_input(t, port, &input));
    if (!t->work->feeds[input].stream) {
        if (!strncmp(t->work->feeds[input].port->type, "stream<", 7))
            return MF_OK; /* optional, not connected */
        return mf_fail(MF_INTERNAL, "%s asked for '%s' as a stream, but it is declared as %s",
                       t->work->stage->name, port, t->work->feeds[input].port->type);
    }
    if (!t->inputs[input].stream)
        MF_TRY(
            mf_stream_new(t, t->work->feeds[input].stream, t->threads, &t->inputs[input].stream));
    *stream = t->inputs[input].stream;
    return MF_OK;
}

mf_status mf_task_write(mf_task *t, const mf_artifact *artifact, const char *path)
{
    return mf_write_artifact(mf_host_registry(t->host), artifact, path, NULL);
}

mf_status mf_task_folder(mf_task *t, bool keep, const char **path)
{
    *path = NULL;
    if (!t->folder)
        MF_TRY(mf_folder_new(keep, &t->folder));
    t->folder_kept = keep;
    *path = t->folder;
    return MF_OK;
}

void mf_task_child(mf_task *t, int group, bool runs)
{
    if (!runs) {
        mf_group_remove(group);
        return;
    }
    mf_group_add(group, false);
    if (t->folder)
        mf_folder_used_by(t->folder, group);
}

/* ---- outputs --------------------------------------------------------------------------------- */

mf_status mf_out(mf_task *t, const char *port, mf_artifact *artifact)
{
    const mf_stage *stage = t->work->stage;
    mf_port_type type;

    for (size_t i = 0; i < t->work->out_count; i++) {
        if (strcmp(stage->out[i].name, port))
            continue;
        if (!mf_port_type_parse(stage->out[i].type, &type) ||
            strcmp(type.name, mf_artifact_type(artifact))) {
            mf_status status =
                mf_fail(MF_INTERNAL, "%s put an artifact of type %s at its output '%s' (%s)",
                        stage->name, mf_artifact_type(artifact), port, stage->out[i].type);
            mf_artifact_unref(artifact);
            return status;
        }
        mf_artifact_unref(t->outputs[i]);
        t->outputs[i] = artifact;
        return MF_OK;
    }
    mf_artifact_unref(artifact);
    return mf_fail(MF_INTERNAL, "%s set an output port '%s' that it does not declare", stage->name,
                   port);
}

static const char *out_type(mf_task *t, const char *port, size_t *index)
{
    for (size_t i = 0; i < t->work->out_count; i++) {
        if (!strcmp(t->work->stage->out[i].name, port)) {
            *index = i;
            return t->work->stage->out[i].type;
        }
    }
    return NULL;
}

static mf_status new_volume(const char *type, const mf_grid *grid, mf_dtype dtype,
                            mf_artifact **artifact, mf_array **voxels)
{
    int64_t shape[3] = {grid->size[2], grid->size[1], grid->size[0]};
    mf_status status;

    MF_TRY(mf_artifact_new(type, artifact));
    status = mf_array_new(dtype, 3, shape, voxels);
    if (!status) {
        status = mf_artifact_add(*artifact, "voxels", *voxels);
        mf_array_unref(*voxels);
    }
    if (!status)
        status = mf_artifact_set_grid(*artifact, grid);
    if (!status && !strcmp(type, "volume"))
        status = mf_artifact_set_text(*artifact, "modality", "");
    if (status) {
        mf_artifact_unref(*artifact);
        *artifact = NULL;
        *voxels = NULL; /* was the artifact's */
    }
    return status;
}

mf_status mf_out_volume(mf_task *t, const char *port, const mf_grid *grid, mf_dtype dtype,
                        mf_array **voxels)
{
    size_t index = 0;
    const char *type = out_type(t, port, &index);
    mf_artifact *artifact;

    *voxels = NULL;
    if (!type)
        return mf_fail(MF_INTERNAL, "%s set an output port '%s' that it does not declare",
                       t->work->stage->name, port);
    MF_TRY(mf_within(new_volume(type, grid, dtype, &artifact, voxels), "output '%s'", port));
    mf_artifact_unref(t->outputs[index]);
    t->outputs[index] = artifact;
    t->inherits[index] = true;
    return MF_OK;
}

/* ---- the rest -------------------------------------------------------------------------------- */

void mf_task_random(mf_task *t, mf_random *random)
{
    int64_t seed = 0;

    for (const mf_param *p = t->work->stage->params; p && p->kind != MF_PARAM_END; p++) {
        if (p->kind == MF_PARAM_INT && !strcmp(p->name, "seed"))
            memcpy(&seed, (const char *)mf_params_struct(t->work->params) + p->offset, sizeof seed);
    }
    mf_random_seed(random, (uint64_t)seed, mf_task_case(t), (uint64_t)t->item);
}

const char *mf_task_case(mf_task *t)
{
    return t->work->stage->random ? t->work->case_id : "";
}

void mf_progress(mf_task *t, int64_t done, int64_t total, const char *words)
{
    pthread_mutex_lock(&t->lock);
    t->state.done = done;
    t->state.total = total;
    t->state.part = 0;
    snprintf(t->state.words, sizeof t->state.words, "%s", words ? words : "");
    pthread_mutex_unlock(&t->lock);
}

void mf_progress_part(mf_task *t, double part)
{
    pthread_mutex_lock(&t->lock);
    t->state.part = part < 0 ? 0 : part > 1 ? 1 : part;
    pthread_mutex_unlock(&t->lock);
}

void mf_task_progress(mf_task *t, mf_task_state *state)
{
    pthread_mutex_lock(&t->lock);
    *state = t->state;
    pthread_mutex_unlock(&t->lock);
}

void mf_task_device_progress(mf_task *t, mf_task_state *state)
{
    int sources = mf_host_compiling(t->host, t->device);

    mf_task_progress(t, state);
    if (sources)
        snprintf(state->words, sizeof state->words, "compiling kernels, source %d", sources);
}

void mf_log(mf_task *t, const char *format, ...)
{
    char line[1024];
    va_list args;

    if (t->rank > 0) /* number 0 says it */
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    mf_host_log(t->host, t->work->node, line);
}

void mf_log_error(mf_task *t, mf_status status)
{
    char *text;

    if (!status)
        return;
    text = mf_error_text(status);
    mf_log(t, "%s", text ? text : "an error for whose text there is no memory");
    free(text);
    mf_error_free(status);
}

mf_status mf_cancel_point(mf_task *t)
{
    if (mf_host_signal(t->host))
        return mf_fail(MF_CANCELLED, "its process was asked to end by SIG%s",
                       sigabbrev_np(mf_host_signal(t->host)));
    if (mf_task_cancelled(t))
        return mf_fail(MF_CANCELLED, "the run was cancelled");
    if (t->deadline > 0 && mf_run_clock() > t->deadline)
        return mf_fail(MF_CANCELLED, "it ran longer than its timeout of %g s", t->timeout);
    return MF_OK;
}

int mf_task_threads(mf_task *t)
{
    return t->threads;
}
