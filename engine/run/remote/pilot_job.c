/* pilot_job.c - one node, in a thread of its own. See pilot_private.h. */
#include "run/process/altstack.h"
#include "run/remote/pilot_private.h"

#include <massflow/seconds.h>

#include <stdlib.h>

static void free_job(mf_pilot_job *j)
{
    for (mf_pilot_frame *h = j->first, *next; h; h = next) {
        next = h->next;
        mf_packet_clear(&h->frame.body);
        free(h);
    }
    mf_frozen_free(j->frozen);
    mf_packet_clear(&j->start);
    pthread_mutex_destroy(&j->calling);
    pthread_cond_destroy(&j->arrived);
    free(j);
}

void mf__pilot_unref(mf_pilot_job *j)
{
    pthread_mutex_lock(&j->pilot->lock);
    bool last = --j->refs == 0;
    pthread_mutex_unlock(&j->pilot->lock);
    if (last)
        free_job(j);
}

typedef struct device_list {
    size_t index[MF_TASK_DEVICES], count;
} device_list;

static void get_devices(mf_packet *p, device_list *d)
{
    d->count = mf_packet_get_count(p);
    p->failed |= d->count < 1 || d->count > MF_TASK_DEVICES;
    for (size_t i = 0; i < d->count && !p->failed; i++) {
        const int64_t index = mf_packet_get_int(p);
        p->failed |= index < 0;
        d->index[i] = (size_t)index;
    }
}

/* The order in which remote.c puts it. */
static mf_status read_start(mf_pilot_job *j, int64_t *threads, device_list *devices)
{
    mf_packet *p = &j->start;
    mf_frozen *frozen;
    int64_t memory = mf_packet_get_int(p), timeout, retries;

    *threads = mf_packet_get_int(p);
    get_devices(p, devices);
    timeout = mf_packet_get_int(p);
    j->limits.isolate = mf_packet_get_int(p) != 0;
    retries = mf_packet_get_int(p);
    (void)mf_packet_get_text(p); /* key */
    mf__pilot_get_rank(p, &j->rank);
    p->failed |= memory < 0 || *threads < 1 || timeout < 0 || retries < 0 || retries > 1000000;
    MF_TRY(mf_packet_check(p));
    j->limits.memory = (size_t)memory;
    j->limits.timeout = (double)timeout * 1e-6;
    j->limits.retries = (int)retries;
    MF_TRY(mf_frozen_get(p, mf_host_registry(j->pilot->host), &frozen));
    pthread_mutex_lock(&j->pilot->lock);
    j->frozen = frozen;
    pthread_mutex_unlock(&j->pilot->lock);
    return MF_OK;
}

static mf_status prepare_devices(mf_pilot *p, const mf_work *work, const device_list *devices)
{
    mf_status status = MF_OK;

    if (!mf_work_wants_device(work))
        return MF_OK;
    for (size_t i = 0; i < devices->count; i++)
        if (devices->index[i] >= p->hello.device_count)
            return mf_fail(MF_INVALID, "the worker has no device %zu", devices->index[i]);
    pthread_mutex_lock(&p->device_lock);
    if (!p->device_ready && p->options->before_device)
        status = p->options->before_device(p->options->self);
    p->device_ready |= !status;
    pthread_mutex_unlock(&p->device_lock);
    return status;
}

static mf_status run_task(mf_pilot_job *j, mf_spent *spent, double *seconds)
{
    device_list devices;
    int64_t threads;
    mf_task *task;

    MF_TRY(read_start(j, &threads, &devices));
    MF_TRY(prepare_devices(j->pilot, mf_frozen_work(j->frozen), &devices));
    MF_TRY(mf_task_new(j->pilot->host, mf_frozen_work(j->frozen), (int)threads, &task));
    j->supply = (mf_supply){j, mf__pilot_get_artifact, mf__pilot_load_state, mf__pilot_save_state};
    mf_task_set_supply(task, &j->supply);
    mf_task_set_devices(task, devices.index, devices.count);
    pthread_mutex_lock(&j->pilot->lock);
    j->task = task;
    pthread_mutex_unlock(&j->pilot->lock);
    mf_status status = mf__pilot_meet(j);
    if (!status)
        status = mf_execute(task, &j->limits, spent, seconds);
    mf__pilot_part(j, !status);
    MF_TRY(status);
    for (size_t i = 0; i < mf_task_work(task)->out_count && j->rank.rank == 0; i++)
        if (mf_task_output(task, i)) /* else optional, and left out */
            MF_TRY(mf__pilot_send_output(j, i));
    return MF_OK;
}

static mf_status tell_end(mf_pilot_job *j, const mf_error *status, const mf_spent *spent,
                          double seconds)
{
    mf_pilot *p = j->pilot;
    mf_packet done = {0};
    /* A batch system ends the processes of its nodes, too: what they died of is not theirs. */
    bool ended = status && mf_host_signal(p->host);

    pthread_mutex_lock(&p->lock);
    ended |= status && p->full;
    pthread_mutex_unlock(&p->lock);
    if (ended) {
        mf_packet_text(&done, mf_error_message(status));
    } else {
        mf_packet_status(&done, status);
        mf_packet_int(&done, (int64_t)(seconds * 1e6));
        mf_packet_int(&done, spent->peak_bytes);
    }
    /* Others may have artifacts that it opened: from here on they ask through another node. */
    pthread_mutex_lock(&j->calling);
    pthread_mutex_lock(&p->lock);
    j->told = true;
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_unlock(&j->calling);
    return mf__pilot_send(j, ended ? MF_LINK_RETURNED : MF_LINK_DONE, &done, NULL, 0);
}

/* The pilot may be gone once the count says so. */
static void end_job(mf_pilot_job *j)
{
    mf_pilot *p = j->pilot;
    mf_pilot_job **link = &p->jobs;
    mf_task *task;

    pthread_mutex_lock(&p->lock);
    task = j->task;
    j->task = NULL;
    pthread_mutex_unlock(&p->lock);
    mf_task_free(task);
    pthread_mutex_lock(&p->lock);
    while (*link != j)
        link = &(*link)->next;
    *link = j->next;
    pthread_mutex_unlock(&p->lock);
    mf__pilot_unref(j);
    pthread_mutex_lock(&p->lock);
    p->running--;
    p->busy = mf_seconds();
    pthread_cond_broadcast(&p->calm);
    pthread_mutex_unlock(&p->lock);
}

static void *run_job(void *self)
{
    mf_pilot_job *j = self;
    mf_spent spent = {0};
    double seconds = 0;
    mf_status status;

    mf_altstack_set();
    status = run_task(j, &spent, &seconds);
    mf_error_free(tell_end(j, status, &spent, seconds));
    mf_error_free(status);
    end_job(j);
    return NULL;
}

mf_status mf__pilot_start(mf_pilot *p, mf_frame *f)
{
    mf_pilot_job *j = calloc(1, sizeof *j);
    pthread_t thread;

    if (!j)
        return mf_no_memory(0, "a node");
    j->pilot = p;
    j->channel = f->channel;
    j->refs = 1;
    j->start = f->body;
    f->body = (mf_packet){0};
    j->last = &j->first;
    pthread_mutex_init(&j->calling, NULL);
    pthread_cond_init(&j->arrived, NULL);
    pthread_mutex_lock(&p->lock);
    j->number = ++p->last_job;
    j->next = p->jobs;
    p->jobs = j;
    p->running++;
    pthread_mutex_unlock(&p->lock);
    if (pthread_create(&thread, NULL, run_job, j) == 0) {
        pthread_detach(thread);
        return MF_OK;
    }
    end_job(j);
    return mf_fail(MF_NO_MEMORY, "no thread for a node");
}
