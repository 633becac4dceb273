/* job.c - one node as it runs: what it needs, its slots and its device while it runs. */
#include "run/schedule/runner.h"

#include <stdlib.h>

const char *mf_job_device(const mf_job *j)
{
    const mf_executor *e = j->run->executor;

    return j->needs.device ? e->device(e->self, j->place, j->device)->name : "";
}

static mf_status open_devices(mf_runner *r)
{
    if (r->device_busy)
        return MF_OK;
    MF_TRY(r->executor->open_devices(r->executor->self, &r->device_count));
    r->device_busy = calloc(r->device_count, sizeof *r->device_busy);
    return r->device_busy ? MF_OK : mf_no_memory(0, "the list of devices");
}

void mf_job_free(mf_job *j)
{
    if (!j)
        return;
    j->run->executor->free(j->execution);
    free(j);
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

void mf_job_launch(mf_runner *r, mf_job *j)
{
    const mf_wait *w = mf_waits_find(&r->waits, j->index);
    const mf_grant grant = {.slots = j->slots,
                            .place = j->place,
                            .device = j->device,
                            .run = mf_journal_run(r->journal),
                            .dead = w ? w->dead : 0,
                            .insist = w && w->insist};

    j->next = r->running;
    r->running = j;
    mf_plan_start(r->plan, j->index);
    mf_runner_settle(r);
    r->slots_used += j->slots;
    r->bytes_used += j->bytes;
    if (j->needs.device)
        r->device_busy[j->device] = true;
    mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_STARTED,
                                     .node = mf_plan_at(r->plan, j->index)->work.node});
    j->start = r->clock();
    j->started = mf_journal_now();
    mf_runner_record(r, j->index, MF_NODE_RUNNING, j);
    mf_runner_sample(r);
    r->executor->start(j->execution, &grant, on_ended, j);
}
