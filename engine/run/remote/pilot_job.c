/* pilot_job.c - one node, in a thread of its own. See pilot_private.h. */
#include "run/process/altstack.h"
#include "run/remote/pilot.h"
#include "run/remote/pilot_private.h"

#include <massflow/seconds.h>

#include <stdlib.h>
#include <string.h>

static void forget_heard(mf_pilot_job *j)
{
    for (mf_pilot_frame *h = j->first, *next; h; h = next) {
        next = h->next;
        mf_packet_clear(&h->frame.body);
        free(h);
    }
    j->first = NULL;
    j->last = &j->first;
}

void mf__pilot_free_job(mf_pilot_job *j)
{
    forget_heard(j);
    mf_frozen_free(j->frozen);
    mf__pilot_free_files(j->files);
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
        mf__pilot_free_job(j);
}

static void get_devices(mf_packet *p, mf_pilot_devices *d)
{
    d->count = mf_packet_get_count(p);
    p->failed |= d->count < 1 || d->count > MF_TASK_DEVICES;
    for (size_t i = 0; i < d->count && !p->failed; i++) {
        const int64_t index = mf_packet_get_int(p);
        p->failed |= index < 0;
        d->index[i] = (size_t)index;
    }
}

/* What stands before the input files, in the order in which remote.c puts it. */
typedef struct head {
    mf_limits limits;
    int64_t threads;
    mf_pilot_devices devices;
    bool waits;
    char key[MF_HEX_SIZE];
    mf_pilot_rank rank;
} head;

static mf_status read_head(mf_packet *p, head *h)
{
    int64_t memory = mf_packet_get_int(p), timeout, retries;
    const char *key;

    h->threads = mf_packet_get_int(p);
    get_devices(p, &h->devices);
    timeout = mf_packet_get_int(p);
    h->limits.isolate = mf_packet_get_int(p) != 0;
    retries = mf_packet_get_int(p);
    h->waits = mf_packet_get_int(p) != 0;
    key = mf_packet_get_text(p);
    mf__pilot_get_rank(p, &h->rank);
    p->failed |= memory < 0 || h->threads < 1 || h->threads > INT32_MAX || timeout < 0 ||
                 retries < 0 || retries > 1000000 || !key || strlen(key) >= sizeof h->key;
    MF_TRY(mf_packet_check(p));
    h->limits.memory = (size_t)memory;
    h->limits.timeout = (double)timeout * 1e-6;
    h->limits.retries = (int)retries;
    strcpy(h->key, key);
    return MF_OK;
}

static mf_status read_start(mf_pilot_job *j)
{
    mf_frozen *frozen;
    head h = {0};

    MF_TRY(read_head(&j->start, &h));
    j->limits = h.limits;
    MF_TRY(mf__pilot_get_files(j, &j->start));
    MF_TRY(mf_frozen_get(&j->start, mf_host_registry(j->pilot->host), mf__pilot_path, j->files,
                         &frozen));
    pthread_mutex_lock(&j->pilot->lock);
    j->frozen = frozen;
    j->devices = h.devices;
    j->rank = h.rank;
    strcpy(j->key, h.key);
    pthread_mutex_unlock(&j->pilot->lock);
    return MF_OK;
}

static mf_status prepare_devices(mf_pilot *p, const mf_work *work, const mf_pilot_devices *devices)
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

bool mf__pilot_wants_device(const mf_pilot_job *j)
{
    return j->frozen && mf_work_wants_device(mf_frozen_work(j->frozen));
}

void mf__pilot_drop(mf_pilot_job *j)
{
    j->dropped = j->gone = true;
    j->channel = 0;
    if (j->task)
        mf_task_cancel(j->task);
    mf__pilot_abort_ranks(j);
    pthread_cond_broadcast(&j->arrived);
}

static bool shares_device(const mf_pilot_job *a, const mf_pilot_job *b)
{
    if (!mf__pilot_wants_device(a) || !mf__pilot_wants_device(b))
        return false;
    for (size_t i = 0; i < a->devices.count; i++)
        for (size_t k = 0; k < b->devices.count; k++)
            if (a->devices.index[i] == b->devices.index[k])
                return true;
    return false;
}

/* A node that no run has taken over is in the way: of the device, which is then waited for, or of a
 * slot. */
static mf_pilot_job *in_the_way(const mf_pilot_job *j)
{
    const mf_pilot *p = j->pilot;
    mf_pilot_job *last = NULL;
    int64_t count = 0;

    for (mf_pilot_job *k = p->jobs; k; k = k->next) {
        if (k != j && k->gone && shares_device(j, k))
            return k;
        count += !k->dropped && k->holds;
        if (k != j && k->gone && !k->dropped && k->holds)
            last = k;
    }
    return count > p->hello.slots ? last : NULL;
}

static void make_room(mf_pilot_job *j)
{
    mf_pilot *p = j->pilot;
    mf_pilot_job *other;

    pthread_mutex_lock(&p->lock);
    while (!j->gone && (other = in_the_way(j))) {
        if (!other->dropped)
            mf__pilot_drop(other);
        if (shares_device(j, other))
            pthread_cond_wait(&p->calm, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
}

/* Until its outputs are in the folder; or they are there already, for another run. */
static mf_status run_task(mf_pilot_job *j)
{
    mf_task *task;

    MF_TRY(read_start(j));
    MF_TRY(prepare_devices(j->pilot, mf_frozen_work(j->frozen), &j->devices));
    if (j->rank.ranks == 1 && mf__pilot_recall(j)) /* else the others wait for it */
        return MF_OK;
    make_room(j);
    MF_TRY(mf_task_new(j->pilot->host, mf_frozen_work(j->frozen), (int)j->threads, &task));
    j->supply = (mf_supply){j, mf__pilot_get_artifact, mf__pilot_load_state, mf__pilot_save_state};
    mf_task_set_supply(task, &j->supply);
    mf_task_set_devices(task, j->devices.index, j->devices.count);
    mf_task_set_files(task, mf__pilot_watch(j->files));
    pthread_mutex_lock(&j->pilot->lock);
    j->task = task;
    if (j->dropped)
        mf_task_cancel(task);
    pthread_mutex_unlock(&j->pilot->lock);
    mf_status status = mf__pilot_meet(j);
    if (!status)
        status = mf_execute(task, &j->limits, &j->result.spent, &j->result.seconds);
    mf__pilot_part(j, !status);
    MF_TRY(status);
    MF_TRY(mf_file_watch_end(mf__pilot_watch(j->files)));
    return j->rank.rank == 0 ? mf__pilot_pack(j) : MF_OK;
}

static void *run_job(void *self);

static mf_status start_thread(mf_pilot_job *j)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run_job, j) != 0)
        return mf_fail(MF_NO_MEMORY, "no thread for a node");
    pthread_detach(thread);
    return MF_OK;
}

/* Under the lock, as what follows. */
static void enter(mf_pilot_job *j)
{
    mf_pilot *p = j->pilot;

    j->number = ++p->last_job;
    j->next = p->jobs;
    p->jobs = j;
    p->running++;
    p->held += j->threads;
    j->holds = true;
}

static void let_go(mf_pilot_job *j)
{
    if (j->holds)
        j->pilot->held -= j->threads;
    j->holds = false;
}

static void unlist(mf_pilot_job *j)
{
    mf_pilot_job **link = &j->pilot->jobs;

    while (*link != j)
        link = &(*link)->next;
    *link = j->next;
}

/* As many of those that wait as there are slots. One that gets no thread goes back. */
static void begin_waiting(mf_pilot *p)
{
    mf_pilot_job *j;

    pthread_mutex_lock(&p->lock);
    while ((j = mf__pilot_next_waiting(p))) {
        enter(j);
        mf_status status = start_thread(j);
        if (!status)
            continue;
        mf_error_free(status);
        let_go(j);
        unlist(j);
        p->running--;
        j->handed_back = true;
        mf__pilot_wait(j);
        mf__pilot_wake(p);
    }
    pthread_mutex_unlock(&p->lock);
}

/* Its slots, to those that wait. */
static void release(mf_pilot_job *j)
{
    mf_pilot *p = j->pilot;

    pthread_mutex_lock(&p->lock);
    let_go(j);
    pthread_mutex_unlock(&p->lock);
    begin_waiting(p);
}

/* It may be at its end while the link is away: what it has made is kept for the next run. */
static mf_status run_and_deliver(mf_pilot_job *j)
{
    mf_status status = run_task(j);

    release(j); /* what it has made goes to the run while the next one computes */
    MF_TRY(status);
    j->made = j->rank.rank == 0;
    return mf__pilot_deliver(j);
}

static mf_status tell_end(mf_pilot_job *j, const mf_error *status)
{
    mf_pilot *p = j->pilot;
    mf_packet done = {0};
    /* A batch system ends the processes of its nodes, too: what they died of is not theirs. */
    bool ended = status && mf_host_signal(p->host);

    pthread_mutex_lock(&p->lock);
    bool full = status && p->full;
    pthread_mutex_unlock(&p->lock);
    ended |= full;
    if (ended) {
        mf_packet_text(&done, mf_error_message(status));
        mf_packet_int(&done, full);
        mf_packet_int(&done, 0);
    } else {
        mf_packet_status(&done, status);
        mf_packet_int(&done, (int64_t)(j->result.seconds * 1e6));
        mf_packet_int(&done, j->result.spent.peak_bytes);
    }
    /* Others may have artifacts that it opened: from here on they ask through another node. */
    pthread_mutex_lock(&j->calling);
    pthread_mutex_lock(&p->lock);
    j->told = true;
    if (status)
        j->asks = j->turn; /* whichever run has it by now */
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_unlock(&j->calling);
    mf__pilot_tell_unsaid(j);
    return mf__pilot_send(j, ended ? MF_LINK_RETURNED : MF_LINK_DONE, &done, NULL, 0);
}

/* The pilot may be gone once the count says so. */
static void end_job(mf_pilot_job *j)
{
    mf_pilot *p = j->pilot;
    mf_task *task;

    pthread_mutex_lock(&p->lock);
    task = j->task;
    j->task = NULL;
    pthread_mutex_unlock(&p->lock);
    mf_task_free(task);
    mf__pilot_clear_result(p, &j->result);
    pthread_mutex_lock(&p->lock);
    let_go(j);
    unlist(j);
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
    mf_status status;

    mf_altstack_set();
    status = mf__pilot_named(j->files, run_and_deliver(j));
    mf_error_free(tell_end(j, status));
    if (j->made)
        mf__pilot_remember(j, !status);
    mf_error_free(status);
    end_job(j);
    return NULL;
}

/* States and results are named by the device. */
static bool has_same_devices(const mf_pilot_job *j, const head *h)
{
    bool same = j->devices.count == h->devices.count;

    for (size_t i = 0; same && mf__pilot_wants_device(j) && i < h->devices.count; i++)
        same = j->devices.index[i] == h->devices.index[i];
    return same;
}

/* One that still runs, of a run that is lost, and is what this one asks for. */
static bool take_over(mf_pilot *p, uint32_t channel, const head *h)
{
    mf_pilot_job *j;

    if (h->rank.ranks > 1) /* it has to meet the others */
        return false;
    pthread_mutex_lock(&p->lock);
    for (j = p->jobs; j; j = j->next)
        if (j->gone && !j->dropped && !j->told && j->rank.ranks == 1 && !strcmp(j->key, h->key) &&
            has_same_devices(j, h))
            break;
    if (j) {
        forget_heard(j);
        j->channel = channel;
        j->gone = j->crowded = false;
        j->lines = 0;
        j->shown = (mf_task_state){0};
        j->turn++;
        pthread_cond_broadcast(&j->arrived);
    }
    pthread_mutex_unlock(&p->lock);
    return j != NULL;
}

static mf_status new_job(mf_pilot *p, mf_frame *f, mf_pilot_job **job)
{
    mf_pilot_job *j = *job = calloc(1, sizeof *j);

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
    return MF_OK;
}

mf_status mf__pilot_start(mf_pilot *p, mf_frame *f)
{
    mf_packet start = f->body; /* read, not taken */
    mf_pilot_job *j;
    head h = {0};
    mf_status status = read_head(&start, &h);
    const bool sound = !status; /* else its thread says so */

    mf_error_free(status);
    if (sound && take_over(p, f->channel, &h))
        return MF_OK;
    MF_TRY(new_job(p, f, &j));
    j->threads = sound ? h.threads : 1;
    if (sound && h.waits) {
        strcpy(j->key, h.key);
        pthread_mutex_lock(&p->lock);
        mf__pilot_wait(j);
        pthread_mutex_unlock(&p->lock);
        begin_waiting(p);
        return MF_OK;
    }
    pthread_mutex_lock(&p->lock);
    enter(j);
    pthread_mutex_unlock(&p->lock);
    status = start_thread(j);
    if (status)
        end_job(j);
    return status;
}
