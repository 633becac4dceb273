/* outcome.c - what becomes of nodes: found, done, failed, blocked; and what follows for others. */
#include "run/schedule/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mf_runner_settle(mf_runner *r)
{
    mf_runner_give_up(r, mf_plan_settle(r->plan));
}

/* What a node leaves out that may do so. */
void mf_runner_tell_skipped(mf_runner *r, const mf_plan_node *n)
{
    if (n->skipped_count && n->message && n->state != MF_PLAN_BLOCKED)
        mf_runner_tell(
            r, (mf_run_event){.kind = MF_RUN_LOG, .node = n->work.node, .text = n->message});
}

static void node_changed(mf_runner *r, size_t i, const mf_job *j)
{
    const mf_plan_node *n = mf_plan_at(r->plan, i);

    mf_runner_tell_skipped(r, n);
    if (n->state == MF_PLAN_CACHED) {
        mf_runner_record(r, i, MF_NODE_CACHED, NULL);
        mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_FOUND, .node = n->work.node});
    } else if (n->state == MF_PLAN_BLOCKED) {
        /* Streams are no nodes of their own to the user. */
        if (n->work.stage->item)
            return;
        mf_runner_record(r, i, MF_NODE_BLOCKED, NULL);
        mf_runner_tell(
            r, (mf_run_event){.kind = MF_RUN_BLOCKED, .node = n->work.node, .text = n->message});
    } else if (n->state == MF_PLAN_FAILED) {
        mf_runner_record(r, i, MF_NODE_FAILED, j);
        mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_FAILED,
                                         .node = n->work.node,
                                         .text = n->message ? n->message : "out of memory",
                                         .place = j ? mf_job_place(j) : "",
                                         .seconds = n->seconds});
        if (r->options->fail_fast) {
            r->stopping = true;
            r->executor->cancel(r->executor->self);
        }
    }
}

void mf_runner_on_change(void *self, size_t i)
{
    node_changed(self, i, NULL);
}

/* `j`: the job that failed, NULL where it could not be made. */
void mf_runner_failed(mf_runner *r, size_t i, const mf_job *j, mf_status status)
{
    if (mf_error_code(status) == MF_CANCELLED && r->executor->cancelled(r->executor->self)) {
        mf_plan_cancel(r->plan, i);
        mf_runner_record(r, i, MF_NODE_CANCELLED, j);
    } else {
        mf_plan_fail(r->plan, i, mf_error_text(status), j ? j->end.seconds : 0);
        node_changed(r, i, j);
    }
    mf_runner_settle(r);
    mf_error_free(status);
}

/* The other process was first after all. */
static void job_not_run(mf_runner *r, mf_job *j)
{
    mf_plan_put_back(r->plan, j->index);
    mf_runner_settle_lease(r, j->index, j->end.lease, &j->end.owner);
    mf_runner_settle(r);
}

/* Its place was lost or ended: the node is to be run as before, unless it may be what ends places,
 * or no place has room for what it reads and makes. */
static void job_returned(mf_runner *r, mf_job *j)
{
    const char *node = mf_plan_at(r->plan, j->index)->work.node;
    const char *place = *j->end.place ? j->end.place : mf_job_place(j);
    double seconds = r->clock() - j->start;
    mf_return_why why = j->end.lost   ? MF_RETURN_LOST
                        : j->end.full ? MF_RETURN_FULL
                                      : MF_RETURN_ENDED;
    char text[256];
    static const char *const words[] = {[MF_RETURN_ENDED] = "has ended",
                                        [MF_RETURN_LOST] = "was lost",
                                        [MF_RETURN_FULL] = "can't write to its folder"};
    mf_status status;

    if (r->executor->cancelled(r->executor->self)) {
        mf_runner_failed(r, j->index, j, mf_fail(MF_CANCELLED, "its place is gone"));
        return;
    }
    mf_runner_give_up(r, mf_returns_add(&r->returns, j->index, place, seconds, why));
    status = r->failure ? NULL : mf_return_verdict(mf_returns_find(&r->returns, j->index));
    if (status) {
        mf_runner_failed(r, j->index, j, status);
        return;
    }
    snprintf(text, sizeof text, "came back after %.0f s: worker %s %s; it is to be run again",
             seconds, place, words[why]);
    mf_plan_put_back(r->plan, j->index);
    mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_RETURNED,
                                     .node = node,
                                     .text = text,
                                     .place = place,
                                     .seconds = seconds});
    mf_runner_give_up(r, mf_journal_line(r->journal, node, text));
    mf_runner_settle(r);
}

/* It had not begun where it waited: nothing has happened to it. */
static void job_handed_back(mf_runner *r, mf_job *j)
{
    if (r->executor->cancelled(r->executor->self)) {
        mf_runner_failed(r, j->index, j, mf_fail(MF_CANCELLED, "it had not begun"));
        return;
    }
    if (j->end.lost)
        mf_runner_give_up(
            r, mf_returns_add(&r->returns, j->index, mf_job_place(j), 0, MF_RETURN_QUEUED));
    mf_plan_put_back(r->plan, j->index);
    mf_runner_settle(r);
}

/* Of one that its place lost it is known only that its turn had not come. */
static bool has_begun(const mf_job *j)
{
    return j->end.lease == MF_LEASE_FREE &&
           !(j->end.returned && (j->end.unbegun || (j->ahead && j->end.lost)));
}

void mf_runner_end(mf_runner *r, mf_job *j)
{
    const mf_plan_node *n = mf_plan_at(r->plan, j->index);
    size_t i = j->index;
    const bool begun = has_begun(j);

    if (j->ahead && begun) /* what it waited for has ended, and is told next */
        mf_job_begin(j);
    if (!j->place)
        mf_runner_sample(r);
    mf_job_leave(j);
    if (j->end.lease != MF_LEASE_FREE) {
        job_not_run(r, j);
        mf_job_free(j);
        return;
    }
    if (j->end.returned && !begun) {
        job_handed_back(r, j);
    } else if (j->end.returned) {
        job_returned(r, j);
    } else if (j->end.store_failed) {
        mf_plan_cancel(r->plan, i);
        mf_runner_give_up(r, j->end.status);
        mf_runner_settle(r);
    } else if (j->end.status) {
        mf_runner_failed(r, i, j, j->end.status);
    } else {
        r->ran_at[i] = (uint32_t)j->place + 1;
        mf_runner_pace(r, i, j->end.seconds);
        mf_plan_finish(r->plan, i, j->end.outputs, j->end.seconds);
        mf_runner_record(r, i, MF_NODE_DONE, j);
        mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_DONE,
                                         .node = n->work.node,
                                         .place = mf_job_place(j),
                                         .seconds = j->end.seconds});
        mf_runner_settle(r);
    }
    mf_job_free(j);
}
