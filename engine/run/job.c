/* job.c - one node as it runs: what it needs, its thread, its lease, its outputs kept. */
#include "run/altstack.h"
#include "run/runner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a task is taken to need besides its inputs. */
#define BASE_BYTES ((size_t)64 << 20)
/* A stage that says nothing of its needs gets this many times the size of its inputs. */
#define INPUT_FACTOR 3

const char *mf_job_device(const mf_job *j)
{
    return j->needs.device ? mf_device_get_info(j->run->devices[j->device])->name : "";
}

static const mf_limits *limits_of(const mf_job *j)
{
    const mf_node *n = mf_plan_at(j->run->plan, j->index)->node;

    return &mf_graph_stage_at(mf_plan_graph(j->run->plan), n->group)->limits;
}

static mf_status publish(mf_job *j)
{
    mf_plan_node *n = mf_plan_at(j->run->plan, j->index);
    mf_action_output *outputs = calloc(n->work.out_count ? n->work.out_count : 1, sizeof *outputs);
    mf_plan_output *made = calloc(n->work.out_count ? n->work.out_count : 1, sizeof *made);
    mf_action action = {.stage = n->work.stage->name,
                        .components = n->components,
                        .device = mf_job_device(j),
                        .seconds = j->seconds + mf_task_earlier(j->task),
                        .peak_bytes = j->spent.peak_bytes,
                        .run = mf_journal_run(j->run->journal),
                        .outputs = outputs};
    mf_status status = MF_OK;

    j->outputs = made;
    if (!outputs || !made) {
        free(outputs);
        return mf_fail(MF_NO_MEMORY, "no memory for the outputs of %s", n->work.node);
    }
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
        made[i].present = true;
        if (mf_task_output(j->task, i))
            memcpy(made[i].id, outputs[k++].id, MF_HEX_SIZE);
    }
    free(outputs);
    return mf_within(status, "keeping the outputs of %s", n->work.node);
}

/* What was read must be what the key says. */
static mf_status run_watched(mf_job *j)
{
    MF_TRY(mf_file_watch_begin(j->files));
    MF_TRY(mf_execute(j->task, limits_of(j), &j->spent, &j->seconds));
    return mf_file_watch_end(j->files);
}

/* Runs the node, unless another process has done so meanwhile or is about to. */
static mf_status run_leased(mf_job *j)
{
    mf_runner *r = j->run;
    const char *key = mf_plan_at(r->plan, j->index)->key;
    mf_status status = mf_store_lease_take(r->store, key, j->dead, j->insist, &j->lease, &j->owner);

    if (!status && j->lease != MF_LEASE_FREE)
        return MF_OK;
    if (!status) {
        status = run_watched(j);
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
    mf_job *j = self;
    mf_runner *r = j->run;

    mf_altstack_set();
    j->status = run_leased(j);
    j->said = mf_lines_last(r->lines);
    pthread_mutex_lock(&r->lock);
    j->finished = r->finished;
    r->finished = j;
    pthread_mutex_unlock(&r->lock);
    uv_async_send(&r->wake);
    return NULL;
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

static mf_status open_devices(mf_runner *r)
{
    if (r->devices)
        return MF_OK;
    MF_TRY(mf_host_devices(r->host, &r->devices, &r->device_count));
    r->device_busy = calloc(r->device_count, sizeof *r->device_busy);
    return r->device_busy ? MF_OK : mf_fail(MF_NO_MEMORY, "no memory for the list of devices");
}

static mf_status find_needs(mf_runner *r, mf_job *j, const mf_work *w)
{
    j->needs = (mf_needs){.host_bytes = BASE_BYTES + INPUT_FACTOR * input_bytes(j->task, w),
                          .cpu = 1,
                          .device = mf_work_wants_device(w),
                          .cost = 1};
    MF_TRY(mf_task_needs(j->task, &j->needs));
    if (!isfinite(j->needs.cost) || j->needs.cost < 0)
        return mf_fail(MF_INTERNAL, "needs of %s: it is estimated to take %g seconds",
                       w->stage->name, j->needs.cost);
    if (limits_of(j)->memory && j->needs.host_bytes > limits_of(j)->memory)
        j->needs.host_bytes = limits_of(j)->memory; /* more it can't have */
    if (j->needs.device)
        MF_TRY(open_devices(r));
    return MF_OK;
}

void mf_job_free(mf_job *j)
{
    if (!j)
        return;
    mf_task_free(j->task);
    mf_file_watch_free(j->files);
    free(j->outputs);
    free(j);
}

mf_status mf_job_new(mf_runner *r, size_t i, mf_job **out)
{
    mf_plan_node *n = mf_plan_at(r->plan, i);
    mf_job *j = calloc(1, sizeof *j);
    mf_status status;

    *out = NULL;
    if (!j)
        return mf_fail(MF_NO_MEMORY, "no memory to start %s", n->work.node);
    j->run = r;
    j->index = i;
    j->turn = n->turn;
    status = mf_task_new(r->host, &n->work, 1, &j->task);
    if (!status)
        status = mf_file_watch_new(mf_plan_files(r->plan), &n->work, &j->files);
    if (!status) {
        mf_task_set_files(j->task, j->files);
        status = find_needs(r, j, &n->work);
    }
    if (status) {
        mf_job_free(j);
        return status;
    }
    *out = j;
    return MF_OK;
}

void mf_job_launch(mf_runner *r, mf_job *j)
{
    mf_plan_node *n = mf_plan_at(r->plan, j->index);
    const mf_wait *w = mf_waits_find(&r->waits, j->index);

    j->dead = w ? w->dead : 0;
    j->insist = w && w->insist;
    mf_task_set_threads(j->task, j->slots);
    mf_task_set_device(j->task, j->device);
    j->next = r->running;
    r->running = j;
    mf_plan_start(r->plan, j->index);
    mf_runner_settle(r);
    r->slots_used += j->slots;
    r->bytes_used += j->bytes;
    if (j->needs.device)
        r->device_busy[j->device] = true;
    mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_STARTED, .node = n->work.node});
    j->start = uv_hrtime();
    j->started = mf_journal_now();
    mf_runner_record(r, j->index, MF_NODE_RUNNING, j);
    mf_runner_sample(r);
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
