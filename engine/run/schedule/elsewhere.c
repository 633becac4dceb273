/* elsewhere.c - nodes that another process on the same cache is running. */
#include "run/schedule/runner.h"

#include <stdio.h>
#include <string.h>

static void tell_wait(mf_runner *r, const char *node, const mf_lease_owner *owner)
{
    char text[512];

    snprintf(text, sizeof text, "waiting: process %lld on host %s has been computing it for %lld s",
             (long long)owner->pid, owner->host, (long long)owner->seconds);
    mf_runner_tell(
        r,
        (mf_run_event){.kind = MF_RUN_WAITING, .node = node, .text = text + strlen("waiting: ")});
    mf_runner_give_up(r, mf_journal_line(r->journal, node, text));
}

/* Goes by what was seen of the lease of node i, which is to be run: true when it is not to be
 * started now, for it is known by now or being made. */
bool mf_runner_settle_lease(mf_runner *r, size_t i, mf_lease_state state,
                            const mf_lease_owner *owner)
{
    const mf_plan_node *n = mf_plan_at(r->plan, i);
    mf_wait *w;

    if (state == MF_LEASE_FREE)
        return false;
    w = mf_waits_need(&r->waits, i);
    if (!w) {
        mf_runner_give_up(r, mf_no_memory(0, "waiting for %s", n->work.node));
        return true;
    }
    if (state == MF_LEASE_HELD) {
        mf_plan_defer(r->plan, i);
        if (mf_wait_seen(&r->waits, w, owner, r->clock()))
            tell_wait(r, n->work.node, owner);
        return true;
    }
    mf_runner_give_up(r, mf_plan_look_again(r->plan, i));
    if (n->state == MF_PLAN_CACHED)
        mf_runner_on_change(r, i);
    w->insist = n->state == MF_PLAN_TO_RUN; /* recorded, but not what this run takes */
    mf_runner_settle(r);
    return !w->insist;
}

/* Whether node i need not be started here and now. */
bool mf_runner_made_elsewhere(mf_runner *r, size_t i)
{
    const mf_wait *w = mf_waits_find(&r->waits, i);
    mf_lease_state state = MF_LEASE_FREE;
    mf_lease_owner owner;

    if (!r->store)
        return false;
    mf_runner_give_up(r, mf_store_lease_look(r->store, mf_plan_at(r->plan, i)->key, w ? w->dead : 0,
                                             &state, &owner));
    return mf_runner_settle_lease(r, i, state, &owner);
}

/* Looks at what is waited for; what is no longer held may go on. */
void mf_runner_look(mf_runner *r)
{
    for (size_t k = 0; k < r->waits.count && !r->stopping; k++) {
        size_t i = r->waits.items[k].index;
        const mf_plan_node *n = mf_plan_at(r->plan, i);
        if (!r->waits.items[k].waiting)
            continue;
        if (n->state == MF_PLAN_TO_RUN && mf_runner_made_elsewhere(r, i) && n->elsewhere &&
            n->state == MF_PLAN_TO_RUN)
            continue;
        mf_plan_resume(r->plan, i);
        mf_wait_over(&r->waits, &r->waits.items[k]);
    }
}

/* Nodes that were waited for when the run was stopped. */
void mf_runner_end_waits(mf_runner *r)
{
    for (size_t k = 0; k < r->waits.count; k++) {
        const mf_plan_node *n = mf_plan_at(r->plan, r->waits.items[k].index);
        if (!r->waits.items[k].waiting || n->state != MF_PLAN_TO_RUN)
            continue;
        mf_plan_cancel(r->plan, r->waits.items[k].index);
        mf_runner_record(r, r->waits.items[k].index, MF_NODE_CANCELLED, NULL);
    }
    mf_waits_clear(&r->waits);
}
