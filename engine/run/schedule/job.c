/* job.c - one node that waits for a place or runs: what it needs, and what it has there. */
#include "run/schedule/runner.h"

#include <stdlib.h>

const char *mf_job_device(const mf_job *j)
{
    const mf_executor *e = j->run->executor;

    return j->needs.device ? e->device(e->self, j->place, j->device)->name : "";
}

const char *mf_job_place(const mf_job *j)
{
    return j->place ? j->run->spots.items[j->place].is.name : "";
}

/* Of this process. Where nodes may run elsewhere, it may have none. */
static mf_status open_devices(mf_runner *r)
{
    bool alone = r->spots.count == 1 && !r->may_come_count;
    size_t count = 0;
    mf_status status;

    if (r->devices_opened || (r->options->no_local && !alone))
        return MF_OK;
    status = r->executor->open_devices(r->executor->self, &count);
    if (status && alone)
        return status;
    mf_error_free(status);
    r->devices_opened = true;
    return mf_spots_open_devices(&r->spots, status ? 0 : count);
}

void mf_job_free(mf_job *j)
{
    if (!j)
        return;
    j->run->executor->free(j->execution);
    free(j->others);
    free(j->grants);
    free(j);
}

/* Seconds that a place must have left for node i; one that keeps its state goes on elsewhere. */
static double expected(const mf_runner *r, size_t i)
{
    const mf_return *back = r->returns.count ? mf_returns_find(&r->returns, i) : NULL;
    double seconds = mf_plan_expected(r->plan, i);

    if (mf_plan_at(r->plan, i)->node->stage->saves)
        return 0;
    return back && back->ran > seconds ? back->ran : seconds;
}

mf_status mf_job_new(mf_runner *r, size_t i, mf_job **out)
{
    const mf_plan_node *n = mf_plan_at(r->plan, i);
    mf_job *j = calloc(1, sizeof *j);
    mf_status status;

    *out = NULL;
    if (!j)
        return mf_no_memory(0, "starting %s", n->work.node);
    j->run = r;
    j->index = i;
    j->turn = n->turn;
    j->ranks = mf_work_ranks(&n->work);
    j->keeps = MF_SPOT_NONE;
    j->expects = expected(r, i);
    status = r->executor->prepare(r->executor->self, r->plan, i, &j->needs, &j->execution);
    if (!status && j->needs.device)
        status = open_devices(r);
    if (status) {
        mf_job_free(j);
        return status;
    }
    *out = j;
    return MF_OK;
}

/* In any thread. */
static void on_ended(void *self, const mf_execution_end *end)
{
    mf_job *j = self;

    j->end = *end;
    j->run->hand_over(j->run->self, j);
}

/* Of the list of its place that begins there. */
static void unlink_job(mf_job **first, const mf_job *j)
{
    *(j->previous ? &j->previous->next : first) = j->next;
    if (j->next)
        j->next->previous = j->previous;
}

static void enter_place(mf_runner *r, mf_job *j)
{
    mf_spot *p = &r->spots.items[j->place];

    j->previous = NULL;
    j->next = p->jobs;
    if (p->jobs)
        p->jobs->previous = j;
    p->jobs = j;
    p->job_count++;
    p->slots_used += j->slots;
    p->bytes_used += j->bytes;
    for (size_t i = 0; i < j->device_count; i++)
        p->device_busy[j->devices[i]] = true;
    mf_spots_list(&r->spots, j->place);
}

static void wait_there(mf_runner *r, mf_job *j)
{
    mf_spot *p = &r->spots.items[j->place];

    j->next = NULL;
    j->previous = p->ahead_last;
    if (p->ahead_last)
        p->ahead_last->next = j;
    else
        p->ahead = j;
    p->ahead_last = j;
    p->ahead_count++;
    p->ahead_seconds += j->pace;
    p->bytes_used += j->bytes;
    r->spots.ahead++;
    mf_spots_list(&r->spots, j->place);
}

static void end_waiting_there(mf_runner *r, mf_job *j)
{
    mf_spot *p = &r->spots.items[j->place];

    if (p->ahead_last == j)
        p->ahead_last = j->previous;
    unlink_job(&p->ahead, j);
    p->ahead_count--;
    p->ahead_seconds = p->ahead ? p->ahead_seconds - j->pace : 0; /* no sum of rounding errors */
    p->bytes_used -= j->bytes;
    r->spots.ahead--;
    mf_spots_list(&r->spots, j->place);
    mf_spots_free(&r->spots, j->place);
}

static void enter(mf_runner *r, mf_job *j)
{
    r->running++;
    if (j->ahead) {
        wait_there(r, j);
        return;
    }
    enter_place(r, j);
    for (size_t k = 0; k + 1 < j->ranks; k++)
        enter_place(r, &j->others[k]);
}

static void leave_place(mf_runner *r, mf_job *j)
{
    mf_spot *p = &r->spots.items[j->place];

    unlink_job(&p->jobs, j);
    p->job_count--;
    p->slots_used -= j->slots;
    p->bytes_used -= j->bytes;
    for (size_t i = 0; i < j->device_count; i++)
        p->device_busy[j->devices[i]] = false;
    mf_spots_list(&r->spots, j->place);
    mf_spots_free(&r->spots, j->place);
}

void mf_job_leave(mf_job *j)
{
    mf_runner *r = j->run;

    r->running--;
    if (j->ahead) {
        end_waiting_there(r, j);
        return;
    }
    leave_place(r, j);
    for (size_t k = 0; k + 1 < j->ranks; k++)
        leave_place(r, &j->others[k]);
}

static void note_start(mf_runner *r, mf_job *j)
{
    j->start = r->clock();
    j->started = mf_journal_now();
}

static void tell_begun(mf_runner *r, mf_job *j)
{
    mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_STARTED,
                                     .node = mf_plan_at(r->plan, j->index)->work.node,
                                     .place = mf_job_place(j)});
    note_start(r, j);
    mf_runner_record(r, j->index, MF_NODE_RUNNING, j);
}

void mf_job_begin(mf_job *j)
{
    mf_runner *r = j->run;

    end_waiting_there(r, j);
    j->ahead = false;
    enter_place(r, j);
    tell_begun(r, j);
}

void mf_job_launch(mf_runner *r, mf_job *j)
{
    const mf_wait *w = mf_waits_find(&r->waits, j->index);
    const mf_grant grant = {.slots = j->slots,
                            .place = j->place,
                            .device = j->device,
                            .devices = j->devices,
                            .device_count = j->device_count,
                            .others = j->grants,
                            .other_count = j->ranks - 1,
                            .run = mf_journal_run(r->journal),
                            .dead = w ? w->dead : 0,
                            .insist = w && w->insist,
                            .ahead = j->ahead};

    enter(r, j);
    mf_plan_start(r->plan, j->index);
    mf_runner_settle(r);
    if (j->ahead)
        note_start(r, j);
    else
        tell_begun(r, j);
    if (!j->place)
        mf_runner_sample(r);
    r->executor->start(j->execution, &grant, on_ended, j);
}
