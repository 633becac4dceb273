/* executor.c - the executor of this process: a thread for each node, which takes its lease, runs
 * its stage and keeps its outputs. See executor.h. */
#include "run/schedule/executor.h"
#include "compute/devices.h"
#include "run/process/altstack.h"
#include "run/remote/together.h"
#include "run/worker/execute.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a task is taken to need besides its inputs. */
#define BASE_BYTES ((size_t)64 << 20)
/* A stage that says nothing of its needs gets this many times the size of its inputs. */
#define INPUT_FACTOR 3

/* Of an input, which many places are asked about. */
typedef struct mf_size {
    const char *id; /* NULL: a free place */
    int64_t bytes;
} mf_size;

struct mf_execution {
    mf_host *host;
    mf_work *work; /* a copy, as the rest that is of the plan */
    char key[MF_HEX_SIZE];
    char *components;
    const mf_limits *limits; /* the graph's */
    mf_task *task;
    mf_file_watch *files;
    mf_needs needs;
    mf_size *sizes; /* of inputs, as far as they were asked for; a table by id */
    size_t size_count, size_room;
    /* Once it is started. */
    mf_grant grant;
    mf_execution_ended ended;
    void *ended_self;
    pthread_t thread;
    bool threaded;
    mf_execution_end end;
    mf_plan_output *outputs;
};

/* ---- in its thread --------------------------------------------------------------------------- */

/* The name of its device, or "". */
static mf_status device_name(const mf_execution *x, const char **name)
{
    mf_device *device;

    *name = "";
    if (!x->needs.device)
        return MF_OK;
    if (x->grant.place) {
        *name = mf_workers_device(mf_host_workers(x->host), x->grant.place, x->grant.device)->name;
        return MF_OK;
    }
    MF_TRY(mf_host_device(x->host, x->grant.device, &device));
    *name = mf_device_get_info(device)->name;
    return MF_OK;
}

/* Stores the outputs; `list` has room for all of them. */
static mf_status put_outputs(mf_execution *x, mf_action *action, mf_action_output *list)
{
    for (size_t i = 0; i < x->work->out_count; i++) {
        mf_artifact *output = mf_task_output(x->task, i);
        mf_action_output *o = &list[action->output_count];
        x->outputs[i].present = true;
        if (!output)
            continue; /* optional, and left out */
        action->output_count++;
        o->port = x->work->stage->out[i].name;
        o->present = true;
        MF_TRY(mf_store_put(mf_host_store(x->host), output, o->id));
        memcpy(x->outputs[i].id, o->id, MF_HEX_SIZE);
    }
    return MF_OK;
}

static mf_status publish(mf_execution *x)
{
    mf_store *store = mf_host_store(x->host);
    mf_action_output *list = calloc(x->work->out_count + 1, sizeof *list);
    mf_action action = {.stage = x->work->stage->name,
                        .components = x->components,
                        .seconds = x->end.seconds + mf_task_earlier(x->task),
                        .peak_bytes = x->end.peak_bytes,
                        .run = x->grant.run,
                        .outputs = list};
    mf_status status = device_name(x, &action.device);

    x->outputs = calloc(x->work->out_count + 1, sizeof *x->outputs);
    if (!status && (!list || !x->outputs))
        status = mf_no_memory(0, "the outputs of %s", x->work->node);
    memcpy(action.key, x->key, sizeof action.key);
    mf_store_pin(store);
    if (!status)
        status = put_outputs(x, &action, list);
    if (!status)
        status = mf_store_record(store, &action);
    if (!status)
        status = mf_task_end_checkpoints(x->task);
    mf_store_unpin(store);
    free(list);
    return mf_within(status, "keeping the outputs of %s", x->work->node);
}

/* A node's log says in which form of the kernels it ran, where that is not the device's own. */
static void tell_form(mf_execution *x)
{
    mf_device *device;
    mf_status status;
    char line[512];
    int plain = mf_host_form(x->host, x->grant.device);

    if (!x->needs.device || plain < 0)
        return;
    status = mf_host_device(x->host, x->grant.device, &device);
    if (!status) {
        const mf_device_info *info = mf_device_get_info(device);
        snprintf(line, sizeof line,
                 "device %s (%s), driver %s: its kernels for %s are wrong; it uses those for %s",
                 mf_device_text(device), info->name, info->driver, plain ? "GPUs" : "CPUs",
                 plain ? "CPUs" : "GPUs");
        mf_host_log(x->host, x->work->node, line);
    }
    mf_error_free(status); /* the task meets it again */
}

/* At several workers, of which the grant's own is number 0. */
static mf_status run_together(mf_execution *x, mf_remote_end *end)
{
    const size_t count = x->grant.other_count + 1;
    mf_gang_seat *seats = calloc(count, sizeof *seats);
    mf_worker_state state;
    size_t place;

    if (!seats)
        return mf_no_memory(0, "%zu workers of a node", count);
    for (size_t i = 0; i < count; i++) {
        const mf_grant *g = i ? &x->grant.others[i - 1] : &x->grant;
        seats[i] = (mf_gang_seat){g->place, g->slots, g->devices, g->device_count};
    }
    mf_status status = mf_execute_together(mf_host_workers(x->host), seats, count, x->task,
                                           x->limits, x->key, end, &place);
    if (!status && end->returned) {
        mf_workers_state(mf_host_workers(x->host), seats[place].worker, &state);
        snprintf(x->end.place, sizeof x->end.place, "%s", state.name);
    }
    free(seats);
    return status;
}

/* At a worker on another machine. */
static mf_status run_there(mf_execution *x)
{
    mf_remote_end end = {0};
    const char *device;
    mf_status status;

    MF_TRY(device_name(x, &device));
    mf_task_set_device_name(x->task, device);
    status = x->grant.other_count
                 ? run_together(x, &end)
                 : mf_execute_remote(mf_host_workers(x->host), x->grant.place, x->task, x->limits,
                                     x->key, x->grant.ahead, &end);
    x->end.seconds = end.seconds;
    x->end.peak_bytes = end.spent.peak_bytes;
    x->end.returned = end.returned;
    x->end.lost = end.lost;
    x->end.full = end.full;
    x->end.unbegun = end.unbegun;
    x->end.store_failed = end.store_failed;
    return status;
}

/* What was read must be what the key says. */
static mf_status run_watched(mf_execution *x)
{
    mf_spent spent = {0};
    mf_status status;

    MF_TRY(mf_file_watch_begin(x->files));
    if (x->grant.place) {
        MF_TRY(run_there(x));
        return x->end.returned ? MF_OK : mf_file_watch_end(x->files);
    }
    tell_form(x);
    status = mf_execute(x->task, x->limits, &spent, &x->end.seconds);
    x->end.peak_bytes = spent.peak_bytes;
    MF_TRY(status);
    return mf_file_watch_end(x->files);
}

/* Runs the node, unless another process has done so meanwhile or is about to. */
static mf_status run_leased(mf_execution *x)
{
    mf_store *store = mf_host_store(x->host);
    mf_status status = mf_store_lease_take(store, x->key, x->grant.dead, x->grant.insist,
                                           &x->end.lease, &x->end.owner);

    if (!status && x->end.lease != MF_LEASE_FREE)
        return MF_OK;
    if (!status) {
        status = run_watched(x);
        if (status || x->end.returned) {
            /* One that stays ends with this process. */
            mf_error_free(mf_store_lease_drop(store, x->key));
            return status;
        }
        status = publish(x);
    }
    x->end.store_failed = status != NULL;
    return status;
}

static void *work(void *self)
{
    mf_execution *x = self;

    mf_altstack_set();
    x->end.status = run_leased(x);
    x->end.outputs = x->outputs;
    x->ended(x->ended_self, &x->end);
    return NULL;
}

/* ---- in the scheduler's ---------------------------------------------------------------------- */

static void start(mf_execution *x, const mf_grant *grant, mf_execution_ended ended,
                  void *ended_self)
{
    x->grant = *grant;
    x->ended = ended;
    x->ended_self = ended_self;
    if (grant->place) {
        mf_worker_state state;
        mf_workers_state(mf_host_workers(x->host), grant->place, &state);
        snprintf(x->end.place, sizeof x->end.place, "%s", state.name);
    }
    mf_task_set_threads(x->task, grant->slots);
    mf_task_set_device(x->task, grant->device);
    mf_task_set_devices(x->task, grant->devices, grant->device_count);
    x->threaded = pthread_create(&x->thread, NULL, work, x) == 0;
    if (x->threaded)
        return;
    /* It ends as if the stage had said so. */
    x->end.status = mf_fail(MF_NO_MEMORY, "no thread for %s could be started", x->work->node);
    ended(ended_self, &x->end);
}

static void free_execution(mf_execution *x)
{
    if (!x)
        return;
    if (x->threaded)
        pthread_join(x->thread, NULL);
    mf_task_free(x->task);
    mf_file_watch_free(x->files);
    mf_work_free(x->work);
    free(x->components);
    free(x->outputs);
    free(x->sizes);
    free(x);
}

static void take_back(mf_execution *x)
{
    mf_workers_take_back(mf_host_workers(x->host), x->grant.place, x->key);
}

static size_t input_bytes(mf_task *task, const mf_work *w)
{
    size_t bytes = 0;

    for (size_t p = 0; p < w->feed_count; p++) {
        const mf_artifact *a = NULL;
        mf_array_info info;
        mf_status status;
        if (w->feeds[p].list || w->feeds[p].stream)
            continue;
        status = mf_in(task, w->feeds[p].port->name, &a);
        mf_error_free(status); /* the stage meets it again and reports it */
        for (size_t i = 0; a && i < mf_artifact_array_count(a); i++) {
            size_t size;
            mf_artifact_array_info(a, i, &info);
            size = mf_dtype_size(info.dtype);
            for (int d = 0; d < info.rank; d++)
                size *= (size_t)info.shape[d];
            bytes += size;
        }
    }
    return bytes;
}

static mf_status find_needs(mf_execution *x)
{
    x->needs = (mf_needs){.host_bytes = BASE_BYTES + INPUT_FACTOR * input_bytes(x->task, x->work),
                          .cpu = 1,
                          .device = mf_work_wants_device(x->work),
                          .devices = 1,
                          .cost = 1};
    MF_TRY(mf_task_needs(x->task, &x->needs));
    if (!isfinite(x->needs.cost) || x->needs.cost < 0)
        return mf_fail(MF_INTERNAL, "needs of %s: it is estimated to take %g seconds",
                       x->work->stage->name, x->needs.cost);
    if (x->limits->memory && x->needs.host_bytes > x->limits->memory)
        x->needs.host_bytes = x->limits->memory; /* more it can't have */
    return MF_OK;
}

static mf_status fill(mf_execution *x, const mf_plan *plan, const mf_plan_node *n)
{
    MF_TRY(mf_work_copy(&n->work, &x->work));
    memcpy(x->key, n->key, sizeof x->key);
    x->components = strdup(n->components);
    if (!x->components)
        return mf_no_memory(0, "starting %s", n->work.node);
    x->limits = &mf_graph_stage_at(mf_plan_graph(plan), n->node->group)->limits;
    MF_TRY(mf_task_new(x->host, x->work, 1, &x->task));
    MF_TRY(mf_file_watch_new(mf_plan_files(plan), x->work, &x->files));
    mf_task_set_files(x->task, x->files);
    return find_needs(x);
}

static mf_status prepare(void *self, const mf_plan *plan, size_t i, mf_needs *needs,
                         mf_execution **execution)
{
    const mf_plan_node *n = mf_plan_at(plan, i);
    mf_execution *x = calloc(1, sizeof *x);
    mf_status status;

    *execution = NULL;
    if (!x)
        return mf_no_memory(0, "starting %s", n->work.node);
    x->host = self;
    status = fill(x, plan, n);
    if (status) {
        free_execution(x);
        return status;
    }
    *needs = x->needs;
    *execution = x;
    return MF_OK;
}

static void progress(mf_execution *x, mf_task_state *state)
{
    if (x->needs.device && !x->grant.place)
        mf_task_device_progress(x->task, state);
    else
        mf_task_progress(x->task, state);
}

static double overtime(mf_execution *x)
{
    return mf_task_overtime(x->task);
}

/* ---- of the host ----------------------------------------------------------------------------- */

static size_t place_count(void *self)
{
    mf_workers *workers = mf_host_workers(self);

    return 1 + (workers ? mf_workers_count(workers) : 0);
}

/* Short nodes that may wait at each of so many workers. Here each has a thread, which sleeps. */
static size_t ahead_of(size_t workers)
{
    const size_t most = 1024 / (workers ? workers : 1);

    return most > 32 ? 32 : most;
}

static void place(void *self, size_t i, mf_run_place *p)
{
    mf_worker_state state;

    *p = (mf_run_place){.ends = INFINITY, .open = true};
    if (!i)
        return;
    mf_workers_state(mf_host_workers(self), i, &state);
    snprintf(p->name, sizeof p->name, "%s", state.name);
    snprintf(p->pool, sizeof p->pool, "%s", state.pool);
    p->slots = state.slots;
    p->bytes = state.bytes;
    p->device_count = state.device_count;
    p->ends = state.ends;
    p->open = state.open;
    p->again = state.again;
    p->group = (uint64_t)state.group;
    p->ahead = ahead_of(mf_workers_count(mf_host_workers(self)));
}

static bool joinable(void *self)
{
    return mf_host_workers(self) != NULL;
}

static void watch_places(void *self, void (*changed)(void *), void *changed_self)
{
    if (mf_host_workers(self))
        mf_workers_watch(mf_host_workers(self), changed, changed_self);
}

/* A result is of a device by its name. */
static bool has_other_device(mf_workers *workers, size_t at, const mf_run_place *p,
                             const char *name)
{
    for (size_t d = 0; d < p->device_count; d++)
        if (strcmp(mf_workers_device(workers, at, d)->name, name))
            return true;
    return false;
}

static const char *cannot(void *self, const mf_plan *plan, size_t i, size_t at,
                          const mf_run_place *p)
{
    const mf_plan_node *n = mf_plan_at(plan, i);
    const mf_work *work = &n->work;
    const char *pool = mf_graph_stage_at(mf_plan_graph(plan), n->node->group)->limits.pool;
    const char *same = mf_plan_get_options(plan)->same_device;
    mf_workers *workers = mf_host_workers(self);

    if (workers && pool && strcmp(p->pool, pool))
        return "it asks for another pool of workers";
    if (!at)
        return NULL;
    if (!workers)
        return "there are no workers";
    if (!mf_files_together(mf_plan_files(plan), work))
        return "it reads files that do not lie in the folder of the path that leads to them, which "
               "only the process that runs the graph does";
    if (at == MF_PLACE_TO_COME)
        return NULL;
    if (same && mf_work_wants_device(work) && has_other_device(workers, at, p, same))
        return "it has a device of another kind, and --same-device was given";
    return mf_workers_cannot(workers, at, work);
}

static int64_t artifact_bytes(mf_store *store, const char *id)
{
    mf_artifact *a;
    int64_t bytes = 0;
    mf_status status = mf_store_get(store, id, &a);

    for (size_t i = 0; !status && i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        int64_t size;
        mf_artifact_array_info(a, i, &info);
        size = (int64_t)mf_dtype_size(info.dtype);
        for (int d = 0; d < info.rank; d++)
            size *= info.shape[d];
        bytes += size;
    }
    mf_error_free(status); /* whoever reads it says so */
    mf_artifact_unref(a);
    return bytes;
}

static mf_size *size_at(mf_size *sizes, size_t room, const char *id)
{
    size_t i =
        strtoull((char[17]){id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7]}, NULL, 16);

    for (i &= room - 1; sizes[i].id && strcmp(sizes[i].id, id); i = (i + 1) & (room - 1))
        ;
    return &sizes[i];
}

static bool grow_sizes(mf_execution *x)
{
    size_t room = x->size_room ? 2 * x->size_room : 16;
    mf_size *grown = calloc(room, sizeof *grown);

    if (!grown)
        return false;
    for (size_t i = 0; i < x->size_room; i++)
        if (x->sizes[i].id)
            *size_at(grown, room, x->sizes[i].id) = x->sizes[i];
    free(x->sizes);
    x->sizes = grown;
    x->size_room = room;
    return true;
}

/* The store is asked once for each input, however many places are compared. */
static int64_t input_size(void *self, const char *id)
{
    mf_execution *x = self;
    mf_size *size;

    if (2 * x->size_count >= x->size_room && !grow_sizes(x))
        return 0; /* as if it were there: it only says where to run */
    size = size_at(x->sizes, x->size_room, id);
    if (!size->id) {
        *size = (mf_size){id, artifact_bytes(mf_host_store(x->host), id)};
        x->size_count++;
    }
    return size->bytes;
}

static int64_t missing(mf_execution *x, size_t at)
{
    return at ? mf_workers_missing(mf_host_workers(x->host), at, x->work, input_size, x) : 0;
}

static size_t made_at(mf_execution *x)
{
    mf_workers *workers = mf_host_workers(x->host);

    return workers ? mf_workers_made(workers, x->key) : 0;
}

static mf_status open_devices(void *self, size_t *count)
{
    mf_device *const *devices;

    return mf_host_devices(self, &devices, count);
}

/* After open_devices. */
static const mf_device *open_device(mf_host *host, size_t i)
{
    mf_device *const *devices = NULL;
    size_t count = 0;

    mf_error_free(mf_host_devices(host, &devices, &count));
    assert(i < count);
    return devices[i];
}

static const mf_device_info *device(void *self, size_t place, size_t i)
{
    if (place)
        return mf_workers_device(mf_host_workers(self), place, i);
    return mf_device_get_info(open_device(self, i));
}

static bool same_memory(void *self, size_t place, size_t a, size_t b)
{
    if (place)
        return mf_workers_same_memory(mf_host_workers(self), place, a, b);
    return mf_device_same_memory(open_device(self, a), open_device(self, b));
}

static void cancel(void *self)
{
    mf_host_cancel(self);
    if (mf_host_workers(self))
        mf_workers_cancel(mf_host_workers(self));
}

static bool cancelled(void *self)
{
    return mf_host_cancelled(self);
}

static void set_log(void *self, mf_log_sink sink, void *sink_self)
{
    mf_host_set_log(self, sink, sink_self);
}

mf_executor mf_host_executor(mf_host *host)
{
    return (mf_executor){.self = host,
                         .place_count = place_count,
                         .place = place,
                         .watch_places = watch_places,
                         .joinable = joinable,
                         .cannot = cannot,
                         .open_devices = open_devices,
                         .device = device,
                         .same_memory = same_memory,
                         .prepare = prepare,
                         .missing = missing,
                         .made_at = made_at,
                         .start = start,
                         .take_back = take_back,
                         .free = free_execution,
                         .progress = progress,
                         .overtime = overtime,
                         .cancel = cancel,
                         .cancelled = cancelled,
                         .set_log = set_log};
}
