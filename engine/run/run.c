/* run.c - the scheduler: which nodes start when, what becomes of them, signals, ticks. */
#include "run/run.h"
#include "run/journal.h"
#include "run/waits.h"

#include "run/executor.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* What a task is taken to need besides its inputs. */
#define BASE_BYTES ((size_t)64 << 20)
/* Milliseconds between looks at the memory that is used, and how many looks between writes of the
 * journal, so that a killed run still says what ran. */
#define SAMPLE 100
#define SAMPLES_A_FLUSH 10
/* Milliseconds between looks at what other processes are running for us. */
#define LOOK 200
/* A stage that says nothing of its needs gets this many times the size of its inputs. */
#define INPUT_FACTOR 3

typedef struct runner runner;

/* One running node. */
typedef struct job {
    struct job *next;     /* of the running ones */
    struct job *finished; /* of those that the loop has not seen yet */
    runner *run;
    size_t index;
    mf_task *task;
    mf_needs needs;
    int slots;
    size_t device;  /* leased, where it needs one */
    uint64_t start; /* ns */
    double started; /* since 1970 */
    int64_t peak;   /* of the process's resident bytes while it ran */
    int64_t dead;   /* for the lease: see store/leases.h */
    bool insist;
    pthread_t thread;
    /* Set by the worker. */
    mf_lease_state lease; /* not FREE: the node was not run */
    mf_lease_owner owner;
    double seconds;
    mf_spent spent;
    mf_status status;
    bool store_failed;
    bool threadless; /* no thread could be had */
} job;

typedef struct log_line {
    struct log_line *next;
    const char *node;
    char text[];
} log_line;

struct runner {
    mf_plan *plan;
    mf_host *host;
    mf_store *store;
    const mf_run_options *options;
    mf_run_result *result;
    uv_loop_t loop;
    uv_async_t wake;
    uv_signal_t signals[2];
    uv_timer_t timer, sampler, looker;
    int samples; /* since the journal was written */
    int slots, slots_used;
    size_t bytes, bytes_used;
    mf_device *const *devices; /* once a node needs one */
    size_t device_count;
    bool *device_busy;
    job *running;
    job *pending[2];       /* next to start on the host and on a device, as soon as they can */
    mf_waits waits;        /* nodes that another process is running */
    double beaten;         /* seconds; the last sign of life for the leases held */
    mf_run_active *active; /* room for `slots` */
    bool stopping;         /* nothing more is started */
    mf_status failure;     /* of the run itself */
    mf_journal *journal;
    pthread_mutex_t lock; /* of what follows */
    job *finished;
    log_line *logs, **logs_end;
};

static void on_look(uv_timer_t *handle);

static void tell(runner *r, mf_run_event event)
{
    event.counts = &r->result->counts;
    if (r->options->watch)
        r->options->watch(r->options->self, &event);
}

/* Keeps the first error of the run itself and stops it. */
static void give_up(runner *r, mf_status status)
{
    if (!status)
        return;
    if (r->failure)
        mf_error_free(status);
    else
        r->failure = status;
    r->stopping = true;
    mf_host_cancel(r->host);
}

/* ---- the record of the run ------------------------------------------------------------------- */

static const char *device_name(const job *j)
{
    return j->needs.device ? mf_device_get_info(j->run->devices[j->device])->name : "";
}

/* `j` is the job that ran or runs; NULL for a node that did not start. */
static void record(runner *r, size_t i, mf_outcome outcome, const job *j)
{
    const mf_plan_node *n = mf_plan_at(r->plan, i);
    mf_run_node entry = {.node = n->node->name,
                         .outcome = outcome,
                         .message = n->message,
                         .key = *n->key ? n->key : NULL};

    if (j) {
        entry.started = j->started;
        entry.seconds = j->seconds;
        entry.device = device_name(j);
        entry.peak_bytes = j->spent.peak_bytes ? j->spent.peak_bytes : j->peak;
        entry.own_process = j->spent.peak_bytes != 0;
    }
    give_up(r, mf_journal_node(r->journal, &entry));
}

static void flush_journal(runner *r)
{
    r->samples = 0;
    if (!r->failure)
        give_up(r, mf_journal_flush(r->journal));
}

/* The process holds this much now: what runs is remembered with the most of it. */
static void sample(runner *r)
{
    size_t bytes = 0;

    if (uv_resident_set_memory(&bytes) != 0)
        return;
    for (job *j = r->running; j; j = j->next) {
        if ((int64_t)bytes > j->peak)
            j->peak = (int64_t)bytes;
    }
}

/* ---- workers --------------------------------------------------------------------------------- */

static const mf_limits *limits_of(const job *j)
{
    const mf_node *n = mf_plan_at(j->run->plan, j->index)->node;

    return &mf_graph_stage_at(mf_plan_graph(j->run->plan), n->group)->limits;
}

static mf_status publish(job *j)
{
    mf_plan_node *n = mf_plan_at(j->run->plan, j->index);
    mf_action_output *outputs = calloc(n->work.out_count ? n->work.out_count : 1, sizeof *outputs);
    mf_action action = {.stage = n->work.stage->name,
                        .components = n->components,
                        .device = device_name(j),
                        .seconds = j->seconds + mf_task_earlier(j->task),
                        .peak_bytes = j->spent.peak_bytes,
                        .run = mf_journal_run(j->run->journal),
                        .outputs = outputs};
    mf_status status = MF_OK;

    if (!outputs)
        return mf_fail(MF_NO_MEMORY, "no memory for the outputs of %s", n->work.node);
    memcpy(action.key, n->key, sizeof action.key);
    mf_store_pin(j->run->store);
    for (size_t i = 0; i < n->work.out_count && !status; i++) {
        mf_action_output *o = &outputs[action.output_count];
        if (!mf_task_output(j->task, i))
            continue; /* optional, and left out */
        action.output_count++;
        o->port = n->work.stage->out[i].name;
        o->present = true;
        status = mf_store_put(j->run->store, mf_task_output(j->task, i), o->id);
    }
    if (!status)
        status = mf_store_record(j->run->store, &action);
    if (!status)
        status = mf_task_end_checkpoints(j->task);
    mf_store_unpin(j->run->store);
    for (size_t i = 0, k = 0; i < n->work.out_count && !status; i++) {
        bool made = mf_task_output(j->task, i) != NULL;
        memcpy(n->outputs[i].id, made ? outputs[k].id : "", made ? MF_HEX_SIZE : 1);
        n->outputs[i].present = true;
        k += made;
    }
    free(outputs);
    return mf_within(status, "keeping the outputs of %s", n->work.node);
}

/* Runs the node, unless another process has done so meanwhile or is about to. */
static mf_status run_leased(job *j)
{
    runner *r = j->run;
    const char *key = mf_plan_at(r->plan, j->index)->key;
    mf_status status = mf_store_lease_take(r->store, key, j->dead, j->insist, &j->lease, &j->owner);

    if (!status && j->lease != MF_LEASE_FREE)
        return MF_OK;
    if (!status) {
        status = mf_execute(j->task, limits_of(j), &j->spent, &j->seconds);
        if (status) {
            /* One that stays ends with this process. */
            mf_error_free(mf_store_lease_drop(r->store, key));
            return status;
        }
        status = publish(j);
    }
    j->store_failed = status != NULL;
    return status;
}

static void *work(void *self)
{
    job *j = self;
    runner *r = j->run;

    j->status = run_leased(j);
    pthread_mutex_lock(&r->lock);
    j->finished = r->finished;
    r->finished = j;
    pthread_mutex_unlock(&r->lock);
    uv_async_send(&r->wake);
    return NULL;
}

/* ---- starting -------------------------------------------------------------------------------- */

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

/* Streams run on the device of the stage that reads them. */
static bool wants_device(const mf_work *w)
{
    bool wants = w->stage->kernels || w->stage->program;

    for (size_t i = 0; i < w->feed_count && !wants; i++)
        wants = w->feeds[i].stream && wants_device(w->feeds[i].stream);
    return wants;
}

static mf_status open_devices(runner *r)
{
    if (r->devices)
        return MF_OK;
    MF_TRY(mf_host_devices(r->host, &r->devices, &r->device_count));
    r->device_busy = calloc(r->device_count, sizeof *r->device_busy);
    return r->device_busy ? MF_OK : mf_fail(MF_NO_MEMORY, "no memory for the list of devices");
}

static mf_status find_needs(runner *r, job *j, const mf_work *w)
{
    j->needs = (mf_needs){.host_bytes = BASE_BYTES + INPUT_FACTOR * input_bytes(j->task, w),
                          .cpu = 1,
                          .device = wants_device(w),
                          .cost = 1};
    MF_TRY(mf_task_needs(j->task, &j->needs));
    if (limits_of(j)->memory && j->needs.host_bytes > limits_of(j)->memory)
        j->needs.host_bytes = limits_of(j)->memory; /* more it can't have */
    if (j->needs.device)
        MF_TRY(open_devices(r));
    return MF_OK;
}

/* The first device that nobody has, in the order they were asked for; their count if there is none.
 */
static size_t free_device(const runner *r)
{
    size_t i = 0;

    while (i < r->device_count && r->device_busy[i])
        i++;
    return i;
}

/* The slots that a job takes; on a CPU device it computes with all its cores. */
static int slots_of(const runner *r, const job *j)
{
    int slots = j->needs.cpu;

    if (j->needs.device) {
        const mf_device_info *info = mf_device_get_info(r->devices[j->device]);
        if (info->is_cpu && slots < info->compute_units)
            slots = info->compute_units;
    }
    return slots < 1 ? 1 : slots > r->slots ? r->slots : slots;
}

/* Settles the job's device and slots. False while it has to wait. */
static bool fits(const runner *r, job *j)
{
    if (j->needs.device) {
        j->device = free_device(r);
        if (j->device == r->device_count)
            return false;
    }
    j->slots = slots_of(r, j);
    if (!r->running)
        return true; /* whatever it needs: alone it may try */
    return r->slots_used + j->slots <= r->slots && r->bytes_used + j->needs.host_bytes <= r->bytes;
}

/* Another running node computes the same thing. */
static bool has_twin(const runner *r, const mf_plan_node *n)
{
    for (const job *j = r->running; j; j = j->next) {
        if (strcmp(mf_plan_at(r->plan, j->index)->key, n->key) == 0)
            return true;
    }
    return false;
}

/* The highest ranked node that can start here, of those that want a device or of the others; the
 * plan's count when there is none. */
static size_t pick(const runner *r, bool device)
{
    size_t best = mf_plan_count(r->plan);

    for (size_t i = 0; i < mf_plan_count(r->plan); i++) {
        const mf_plan_node *n = mf_plan_at(r->plan, i);
        if (n->state != MF_PLAN_TO_RUN || n->elsewhere || wants_device(&n->work) != device ||
            has_twin(r, n))
            continue;
        if (best == mf_plan_count(r->plan) || n->rank > mf_plan_at(r->plan, best)->rank)
            best = i;
    }
    return best;
}

static void free_job(job *j)
{
    if (!j)
        return;
    mf_task_free(j->task);
    free(j);
}

static mf_status new_job(runner *r, size_t i, job **out)
{
    mf_plan_node *n = mf_plan_at(r->plan, i);
    job *j = calloc(1, sizeof *j);
    mf_status status;

    *out = NULL;
    if (!j)
        return mf_fail(MF_NO_MEMORY, "no memory to start %s", n->work.node);
    j->run = r;
    j->index = i;
    status = mf_task_new(r->host, &n->work, 1, &j->task);
    if (!status)
        status = find_needs(r, j, &n->work);
    if (status) {
        free_job(j);
        return status;
    }
    *out = j;
    return MF_OK;
}

static void launch(runner *r, job *j)
{
    mf_plan_node *n = mf_plan_at(r->plan, j->index);
    const mf_wait *w = mf_waits_find(&r->waits, j->index);

    j->dead = w ? w->dead : 0;
    j->insist = w && w->insist;
    mf_task_set_threads(j->task, j->slots);
    mf_task_set_device(j->task, j->device);
    j->next = r->running;
    r->running = j;
    n->state = MF_PLAN_RUNNING;
    r->slots_used += j->slots;
    r->bytes_used += j->needs.host_bytes;
    if (j->needs.device)
        r->device_busy[j->device] = true;
    tell(r, (mf_run_event){.kind = MF_RUN_STARTED, .node = n->work.node});
    j->start = uv_hrtime();
    j->started = mf_journal_now();
    record(r, j->index, MF_NODE_RUNNING, j);
    sample(r);
    if (pthread_create(&j->thread, NULL, work, j) == 0)
        return;
    /* It ends as if the stage had said so. */
    j->status = mf_fail(MF_NO_MEMORY, "no thread for %s could be started", n->work.node);
    j->threadless = true;
    pthread_mutex_lock(&r->lock);
    j->finished = r->finished;
    r->finished = j;
    pthread_mutex_unlock(&r->lock);
    uv_async_send(&r->wake);
}

/* ---- as nodes are decided and end ------------------------------------------------------------ */

/* What a node leaves out that may do so. */
static void tell_skipped(runner *r, const mf_plan_node *n)
{
    if (n->skipped_count && n->message && n->state != MF_PLAN_BLOCKED)
        tell(r, (mf_run_event){.kind = MF_RUN_LOG, .node = n->work.node, .text = n->message});
}

static void node_changed(runner *r, size_t i, const job *j)
{
    const mf_plan_node *n = mf_plan_at(r->plan, i);

    tell_skipped(r, n);
    if (n->state == MF_PLAN_CACHED) {
        r->result->counts.cached++;
        record(r, i, MF_NODE_CACHED, NULL);
        tell(r, (mf_run_event){.kind = MF_RUN_FOUND, .node = n->work.node});
    } else if (n->state == MF_PLAN_BLOCKED) {
        /* Streams are no nodes of their own to the user. */
        if (n->work.stage->item)
            return;
        r->result->counts.blocked++;
        record(r, i, MF_NODE_BLOCKED, NULL);
        tell(r, (mf_run_event){.kind = MF_RUN_BLOCKED, .node = n->work.node, .text = n->message});
    } else if (n->state == MF_PLAN_FAILED) {
        r->result->counts.failed++;
        record(r, i, MF_NODE_FAILED, j);
        tell(r, (mf_run_event){.kind = MF_RUN_FAILED,
                               .node = n->work.node,
                               .text = n->message ? n->message : "no memory",
                               .seconds = n->seconds});
        if (r->options->fail_fast) {
            r->stopping = true;
            mf_host_cancel(r->host);
        }
    }
}

static void changed(void *self, size_t i)
{
    node_changed(self, i, NULL);
}

/* `j`: the job that failed, NULL where it could not be made. */
static void node_failed(runner *r, size_t i, const job *j, mf_status status)
{
    mf_plan_node *n = mf_plan_at(r->plan, i);

    if (mf_error_code(status) == MF_CANCELLED && mf_host_cancelled(r->host)) {
        n->state = MF_PLAN_CANCELLED;
        r->result->counts.cancelled++;
        record(r, i, MF_NODE_CANCELLED, j);
    } else {
        char *text = mf_error_text(status);
        n->state = MF_PLAN_FAILED;
        free(n->message);
        n->message = text;
        node_changed(r, i, j);
        give_up(r, mf_plan_failed(r->plan, i, changed, r));
    }
    mf_error_free(status);
}

/* Nodes with the key of one that has just been made are cached now. */
static void serve_twins(runner *r, const char *key)
{
    for (size_t i = 0; i < mf_plan_count(r->plan); i++) {
        const mf_plan_node *n = mf_plan_at(r->plan, i);
        if (n->state == MF_PLAN_TO_RUN && strcmp(n->key, key) == 0)
            give_up(r, mf_plan_look_again(r->plan, i, changed, r));
    }
}

/* ---- nodes that another process runs --------------------------------------------------------- */

static double seconds_now(void)
{
    return (double)uv_hrtime() * 1e-9;
}

static void tell_wait(runner *r, const char *node, const mf_lease_owner *owner)
{
    char text[512];

    snprintf(text, sizeof text, "waiting: process %lld on host %s has been at it for %lld s",
             (long long)owner->pid, owner->host, (long long)owner->seconds);
    tell(r,
         (mf_run_event){.kind = MF_RUN_WAITING, .node = node, .text = text + strlen("waiting: ")});
    give_up(r, mf_journal_line(r->journal, node, text));
}

/* Goes by what was seen of the lease of node i, which is to be run: true when it is not to be
 * started now, for it is known by now or being made. */
static bool settle_lease(runner *r, size_t i, mf_lease_state state, const mf_lease_owner *owner)
{
    mf_plan_node *n = mf_plan_at(r->plan, i);
    mf_wait *w;

    if (state == MF_LEASE_FREE)
        return false;
    w = mf_waits_need(&r->waits, i);
    if (!w) {
        give_up(r, mf_fail(MF_NO_MEMORY, "no memory to wait for %s", n->work.node));
        return true;
    }
    if (state == MF_LEASE_HELD) {
        n->elsewhere = true;
        if (mf_wait_seen(w, owner, seconds_now()))
            tell_wait(r, n->work.node, owner);
        if (!uv_is_active((uv_handle_t *)&r->looker))
            uv_timer_start(&r->looker, on_look, LOOK, LOOK);
        return true;
    }
    give_up(r, mf_plan_look_again(r->plan, i, changed, r));
    w->insist = n->state == MF_PLAN_TO_RUN; /* recorded, but not what this run takes */
    return !w->insist;
}

/* Whether node i need not be started here and now. */
static bool made_elsewhere(runner *r, size_t i)
{
    const mf_wait *w = mf_waits_find(&r->waits, i);
    mf_lease_state state = MF_LEASE_FREE;
    mf_lease_owner owner;

    give_up(r, mf_store_lease_look(r->store, mf_plan_at(r->plan, i)->key, w ? w->dead : 0, &state,
                                   &owner));
    return settle_lease(r, i, state, &owner);
}

/* Looks at what is waited for; what is no longer held may go on. */
static void look_at_waits(runner *r)
{
    for (size_t k = 0; k < r->waits.count && !r->stopping; k++) {
        size_t i = r->waits.items[k].index;
        mf_plan_node *n = mf_plan_at(r->plan, i);
        if (!r->waits.items[k].waiting)
            continue;
        if (n->state == MF_PLAN_TO_RUN && made_elsewhere(r, i) && n->elsewhere &&
            n->state == MF_PLAN_TO_RUN)
            continue;
        n->elsewhere = false;
        r->waits.items[k].waiting = false;
    }
}

/* Nodes that were waited for when the run was stopped. */
static void end_waits(runner *r)
{
    for (size_t k = 0; k < r->waits.count; k++) {
        mf_plan_node *n = mf_plan_at(r->plan, r->waits.items[k].index);
        if (!r->waits.items[k].waiting || n->state != MF_PLAN_TO_RUN)
            continue;
        n->state = MF_PLAN_CANCELLED;
        r->result->counts.cancelled++;
        record(r, r->waits.items[k].index, MF_NODE_CANCELLED, NULL);
    }
    mf_waits_clear(&r->waits);
}

/* The other process was first after all. */
static void job_not_run(runner *r, job *j)
{
    mf_plan_at(r->plan, j->index)->state = MF_PLAN_TO_RUN;
    settle_lease(r, j->index, j->lease, &j->owner);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void end_job(runner *r, job *j)
{
    mf_plan_node *n = mf_plan_at(r->plan, j->index);
    size_t i = j->index;
    job **link = &r->running;

    sample(r);
    if (!j->threadless)
        pthread_join(j->thread, NULL);
    while (*link != j)
        link = &(*link)->next;
    *link = j->next;
    r->slots_used -= j->slots;
    r->bytes_used -= j->needs.host_bytes;
    if (j->needs.device)
        r->device_busy[j->device] = false;
    if (j->lease != MF_LEASE_FREE) {
        job_not_run(r, j);
        free_job(j);
        return;
    }
    n->seconds = j->seconds;
    if (j->store_failed) {
        n->state = MF_PLAN_CANCELLED;
        r->result->counts.cancelled++;
        give_up(r, j->status);
    } else if (j->status) {
        node_failed(r, i, j, j->status);
    } else {
        r->result->counts.done++;
        record(r, i, MF_NODE_DONE, j);
        tell(r, (mf_run_event){.kind = MF_RUN_DONE, .node = n->work.node, .seconds = j->seconds});
        give_up(r, mf_plan_done(r->plan, i, changed, r));
        serve_twins(r, n->key);
    }
    free_job(j);
}

/* Finds the next job of a kind, unless there is one already or none that could start. */
static void prepare(runner *r, bool device)
{
    job **next = &r->pending[device];

    if (*next && mf_plan_at(r->plan, (*next)->index)->state != MF_PLAN_TO_RUN) {
        free_job(*next);
        *next = NULL;
    }
    while (!*next && !r->stopping) {
        size_t i = pick(r, device);
        mf_status status;
        if (i == mf_plan_count(r->plan))
            return;
        mf_plan_demand(r->plan, i);
        if (mf_plan_at(r->plan, i)->state != MF_PLAN_TO_RUN || made_elsewhere(r, i))
            continue;
        status = new_job(r, i, next);
        if (status)
            node_failed(r, i, NULL, status);
    }
}

static double rank_of(const runner *r, const job *j)
{
    return mf_plan_at(r->plan, j->index)->rank;
}

/* The higher ranked job goes first. Where slots or memory are short the other waits behind it, so
 * that nothing large starves; a busy device keeps only those waiting that want one. */
static job *next_job(runner *r)
{
    job *host = r->pending[false], *device = r->pending[true];
    job *first = device && (!host || rank_of(r, device) >= rank_of(r, host)) ? device : host;
    bool only_device = first && first == device && free_device(r) == r->device_count;

    if (first && fits(r, first))
        return first;
    return only_device && host && fits(r, host) ? host : NULL;
}

/* Starts what can start. False once nothing runs and there is nothing left to start or to wait for.
 */
static bool pump(runner *r)
{
    while (!r->stopping) {
        job *j;
        prepare(r, true);
        prepare(r, false);
        j = next_job(r);
        if (!j)
            break;
        r->pending[j == r->pending[true]] = NULL;
        launch(r, j);
    }
    return r->running || (!r->stopping && mf_waits_any(&r->waits));
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* Goes on, or ends the loop. */
static void go_on(runner *r)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&r->wake,       (uv_handle_t *)&r->signals[0],
                              (uv_handle_t *)&r->signals[1], (uv_handle_t *)&r->timer,
                              (uv_handle_t *)&r->sampler,    (uv_handle_t *)&r->looker};

    if (pump(r) || uv_is_closing(handles[0]))
        return;
    for (size_t i = 0; i < sizeof handles / sizeof *handles; i++)
        uv_close(handles[i], NULL);
}

static void emit_logs(runner *r)
{
    log_line *lines;

    pthread_mutex_lock(&r->lock);
    lines = r->logs;
    r->logs = NULL;
    r->logs_end = &r->logs;
    pthread_mutex_unlock(&r->lock);
    while (lines) {
        log_line *next = lines->next;
        tell(r, (mf_run_event){.kind = MF_RUN_LOG, .node = lines->node, .text = lines->text});
        give_up(r, mf_journal_line(r->journal, lines->node, lines->text));
        free(lines);
        lines = next;
    }
}

static void on_wake(uv_async_t *handle)
{
    runner *r = handle->data;
    job *finished;

    emit_logs(r);
    pthread_mutex_lock(&r->lock);
    finished = r->finished;
    r->finished = NULL;
    pthread_mutex_unlock(&r->lock);
    if (!finished)
        return;
    mf_store_pin(r->store); /* what is found cached now is recorded before anybody collects it */
    while (finished) {
        job *next = finished->finished;
        end_job(r, finished);
        finished = next;
    }
    flush_journal(r);
    mf_store_unpin(r->store);
    go_on(r);
}

static void on_look(uv_timer_t *handle)
{
    runner *r = handle->data;

    mf_store_pin(r->store);
    look_at_waits(r);
    flush_journal(r);
    mf_store_unpin(r->store);
    if (!mf_waits_any(&r->waits))
        uv_timer_stop(&r->looker);
    go_on(r);
}

static void on_log(void *self, const char *node, const char *text)
{
    runner *r = self;
    log_line *line = malloc(sizeof *line + strlen(text) + 1);

    if (!line)
        return;
    line->next = NULL;
    line->node = node;
    strcpy(line->text, text);
    pthread_mutex_lock(&r->lock);
    *r->logs_end = line;
    r->logs_end = &line->next;
    pthread_mutex_unlock(&r->lock);
    uv_async_send(&r->wake);
}

static void on_signal(uv_signal_t *handle, int number)
{
    runner *r = handle->data;

    (void)number;
    if (r->result->interrupted) {
        tell(r, (mf_run_event){.kind = MF_RUN_STOP_NOW});
        return;
    }
    r->result->interrupted = true;
    r->stopping = true;
    mf_host_cancel(r->host);
    tell(r, (mf_run_event){.kind = MF_RUN_STOPPING});
    go_on(r); /* where it only waits, that is all */
}

static void on_tick(uv_timer_t *handle)
{
    runner *r = handle->data;
    size_t count = 0;

    for (const job *j = r->running; j && count < (size_t)r->slots; j = j->next) {
        mf_run_active *a = &r->active[count++];
        a->node = mf_plan_at(r->plan, j->index)->work.node;
        a->seconds = (double)(uv_hrtime() - j->start) * 1e-9;
        mf_task_progress(j->task, &a->state);
    }
    tell(r, (mf_run_event){.kind = MF_RUN_TICK, .active = r->active, .active_count = count});
}

static void on_sample(uv_timer_t *handle)
{
    runner *r = handle->data;

    sample(r);
    if (++r->samples >= SAMPLES_A_FLUSH)
        flush_journal(r);
    if (r->running && seconds_now() - r->beaten >= MF_LEASE_BEAT) {
        give_up(r, mf_store_lease_beat(r->store));
        r->beaten = seconds_now();
    }
}

static void open_loop(runner *r)
{
    uv_loop_init(&r->loop);
    uv_async_init(&r->loop, &r->wake, on_wake);
    uv_timer_init(&r->loop, &r->timer);
    uv_timer_init(&r->loop, &r->sampler);
    uv_timer_init(&r->loop, &r->looker);
    uv_signal_init(&r->loop, &r->signals[0]);
    uv_signal_init(&r->loop, &r->signals[1]);
    r->sampler.data = r->looker.data = r;
    r->wake.data = r->timer.data = r->signals[0].data = r->signals[1].data = r;
    if (r->options->signals) {
        uv_signal_start(&r->signals[0], on_signal, SIGINT);
        uv_signal_start(&r->signals[1], on_signal, SIGTERM);
    }
    uv_timer_start(&r->sampler, on_sample, SAMPLE, SAMPLE);
    if (r->options->tick > 0)
        uv_timer_start(&r->timer, on_tick, (uint64_t)r->options->tick, (uint64_t)r->options->tick);
}

/* What the plan knows already, told and recorded. */
static void begin(runner *r)
{
    mf_run_counts *c = &r->result->counts;

    for (size_t i = 0; i < mf_plan_count(r->plan); i++) {
        const mf_plan_node *n = mf_plan_at(r->plan, i);
        if (n->state != MF_PLAN_UNWANTED && !n->work.stage->item)
            c->wanted++;
        if (n->state == MF_PLAN_CACHED) {
            c->cached++;
            record(r, i, MF_NODE_CACHED, NULL);
        }
    }
    tell(r, (mf_run_event){.kind = MF_RUN_PLANNED});
    for (size_t i = 0; i < mf_plan_count(r->plan); i++) {
        mf_plan_state state = mf_plan_at(r->plan, i)->state;
        if (state == MF_PLAN_FAILED || state == MF_PLAN_BLOCKED)
            changed(r, i);
        else
            tell_skipped(r, mf_plan_at(r->plan, i));
    }
    flush_journal(r);
}

static void run_loop(runner *r)
{
    open_loop(r);
    mf_host_set_log(r->host, on_log, r);
    go_on(r);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    uv_loop_close(&r->loop);
    mf_host_set_log(r->host, NULL, NULL);
    emit_logs(r);
    free_job(r->pending[false]);
    free_job(r->pending[true]);
    end_waits(r);
}

static void size_up(runner *r)
{
    uv_cpu_info_t *cpus;
    int count = 0;

    r->slots = r->options->jobs;
    if (r->slots < 1) {
        if (uv_cpu_info(&cpus, &count) == 0)
            uv_free_cpu_info(cpus, count);
        r->slots = count > 0 ? count : 1;
    }
    r->bytes = r->options->host_bytes;
    if (!r->bytes) {
        uint64_t available = uv_get_free_memory(), limit = uv_get_constrained_memory();
        if (limit && limit < available)
            available = limit;
        r->bytes = (size_t)((double)available * 0.8);
    }
}

static mf_status run_recorded(runner *r, const char *graph)
{
    mf_run_result *result = r->result;
    const char *status = "done";
    const mf_run_options *o = r->options;
    mf_run_start start = {graph, o->command ? o->command : "", o->version ? o->version : "",
                          r->slots};

    MF_TRY(mf_journal_open(r->store, &start, &r->journal));
    result->run = mf_journal_run(r->journal);
    begin(r);
    run_loop(r);
    if (result->interrupted)
        status = "interrupted";
    else if (r->failure || result->counts.failed || result->counts.blocked)
        status = "failed";
    if (!r->failure)
        give_up(r, mf_journal_end(r->journal, status));
    return r->failure;
}

mf_status mf_run(mf_plan *plan, mf_host *host, const mf_run_options *options, mf_run_result *result)
{
    runner r = {.plan = plan,
                .host = host,
                .store = mf_plan_store(plan),
                .options = options,
                .result = result};
    char *graph = realpath(mf_graph_path(mf_plan_graph(plan)), NULL);
    mf_status status;

    memset(result, 0, sizeof *result);
    size_up(&r);
    r.logs_end = &r.logs;
    r.active = calloc((size_t)r.slots, sizeof *r.active);
    pthread_mutex_init(&r.lock, NULL);
    if (r.active && graph)
        status = run_recorded(&r, graph);
    else
        status = mf_fail(MF_NO_MEMORY, "no memory for a run");
    pthread_mutex_destroy(&r.lock);
    free(graph);
    free(r.device_busy);
    free(r.active);
    mf_journal_free(r.journal);
    return status;
}
