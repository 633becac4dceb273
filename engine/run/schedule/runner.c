/* runner.c - a run's begin and end, what is told of it and what is recorded. See runner.h. */
#include "run/schedule/runner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* As the plan has them now. */
static void count(mf_runner *r)
{
    r->result->counts = (mf_run_counts){.imported = r->result->counts.imported,
                                        .wanted = mf_plan_wanted(r->plan),
                                        .done = mf_plan_tally(r->plan, MF_PLAN_DONE),
                                        .cached = mf_plan_tally(r->plan, MF_PLAN_CACHED),
                                        .failed = mf_plan_tally(r->plan, MF_PLAN_FAILED),
                                        .blocked = mf_plan_tally(r->plan, MF_PLAN_BLOCKED),
                                        .cancelled = mf_plan_tally(r->plan, MF_PLAN_CANCELLED)};
}

static void count_imported(mf_runner *r)
{
    r->result->counts.imported = 0;
    for (size_t i = 0; i < mf_plan_count(r->plan); i++) {
        const mf_plan_node *n = mf_plan_at(r->plan, i);
        r->result->counts.imported += n->state == MF_PLAN_CACHED && n->imported;
    }
}

void mf_runner_tell(mf_runner *r, mf_run_event event)
{
    count(r);
    event.counts = &r->result->counts;
    if (r->options->watch)
        r->options->watch(r->options->self, &event);
}

void mf_runner_give_up(mf_runner *r, mf_status status)
{
    if (!status)
        return;
    if (r->failure)
        mf_error_free(status);
    else
        r->failure = status;
    r->stopping = true;
    r->executor->cancel(r->executor->self);
}

void mf_runner_record(mf_runner *r, size_t i, mf_outcome outcome, const mf_job *j)
{
    const mf_plan_node *n = mf_plan_at(r->plan, i);
    mf_run_node entry = {.node = n->node->name,
                         .outcome = outcome,
                         .message = n->message,
                         .key = *n->key ? n->key : NULL};

    if (j) {
        entry.started = j->started;
        entry.seconds = j->end.seconds;
        entry.device = mf_job_device(j);
        entry.place = mf_job_place(j);
        entry.peak_bytes = j->end.peak_bytes ? j->end.peak_bytes : j->peak;
        entry.own_process = j->end.peak_bytes != 0;
    }
    mf_runner_give_up(r, mf_journal_node(r->journal, &entry));
}

void mf_runner_flush(mf_runner *r)
{
    if (!r->failure)
        mf_runner_give_up(r, mf_journal_flush(r->journal));
}

void mf_runner_sample(mf_runner *r)
{
    size_t bytes = 0;

    if (uv_resident_set_memory(&bytes) != 0)
        return;
    for (mf_job *j = r->spots.items[0].jobs; j; j = j->next) {
        if ((int64_t)bytes > j->peak)
            j->peak = (int64_t)bytes;
    }
}

/* ---- begin and end --------------------------------------------------------------------------- */

static void size_up(mf_runner *r)
{
    uv_cpu_info_t *cpus;
    int cores = 0;

    r->slots = r->options->jobs;
    if (r->slots < 1) {
        if (uv_cpu_info(&cpus, &cores) == 0)
            uv_free_cpu_info(cpus, cores);
        r->slots = cores > 0 ? cores : 1;
    }
    r->bytes = r->options->host_bytes;
    if (!r->bytes) {
        uint64_t available = uv_get_free_memory(), limit = uv_get_constrained_memory();
        if (limit && limit < available)
            available = limit;
        r->bytes = (size_t)((double)available * 0.8);
    }
}

/* Where workers join by themselves, and nothing is said of what may come, any may. */
static void expect_places(mf_runner *r)
{
    static const mf_run_place any = {
        .slots = INT32_MAX, .device_count = SIZE_MAX, .ends = INFINITY, .open = true};
    const mf_executor *e = r->executor;

    r->may_come = r->options->may_come;
    r->may_come_count = r->options->may_come_count;
    if (r->may_come_count || !e->joinable || !e->joinable(e->self))
        return;
    r->may_come = &any;
    r->may_come_count = 1;
}

static mf_status open_places(mf_runner *r)
{
    size_t stages = mf_graph_stage_count(mf_plan_graph(r->plan));
    bool changed;

    r->queues = calloc(stages + 1, sizeof *r->queues);
    r->ran_at = calloc(mf_plan_count(r->plan) + 1, sizeof *r->ran_at);
    r->coming = calloc(stages * r->may_come_count + 1, 1);
    r->here = calloc(stages + 1, 1);
    if (!r->queues || !r->ran_at || !r->coming || !r->here)
        return mf_no_memory(0, "a run");
    if (r->options->no_local)
        r->slots = 1; /* for what no worker can run */
    return mf_spots_look(&r->spots, r->executor, r->slots, r->bytes, stages, mf_job_unkeep,
                         &changed);
}

mf_status mf_runner_open(mf_runner *r)
{
    const mf_run_options *o = r->options;
    char *graph;
    mf_status status;

    memset(r->result, 0, sizeof *r->result);
    size_up(r);
    expect_places(r);
    MF_TRY(open_places(r));
    graph = realpath(mf_graph_path(mf_plan_graph(r->plan)), NULL);
    if (!graph)
        return mf_no_memory(0, "a run");
    const mf_run_start start = {graph, o->command ? o->command : "", o->version ? o->version : "",
                                r->slots};
    status = mf_journal_open(r->store, &start, &r->journal);
    if (!status)
        r->result->run = mf_journal_run(r->journal);
    free(graph);
    return status;
}

void mf_runner_begin(mf_runner *r)
{
    mf_plan_watch(r->plan, mf_runner_on_change, r);
    for (size_t i = 0; i < mf_plan_count(r->plan); i++) {
        if (mf_plan_at(r->plan, i)->state == MF_PLAN_CACHED)
            mf_runner_record(r, i, MF_NODE_CACHED, NULL);
    }
    count_imported(r);
    if (mf_plan_tally(r->plan, MF_PLAN_TO_RUN))
        mf_runner_give_up(r, mf_plan_expect(r->plan));
    mf_runner_tell(r, (mf_run_event){.kind = MF_RUN_PLANNED});
    for (size_t i = 0; i < mf_plan_count(r->plan); i++) {
        mf_plan_state state = mf_plan_at(r->plan, i)->state;
        if (state == MF_PLAN_FAILED || state == MF_PLAN_BLOCKED)
            mf_runner_on_change(r, i);
        else
            mf_runner_tell_skipped(r, mf_plan_at(r->plan, i));
    }
    mf_runner_flush(r);
    mf_runner_give_up(r, mf_runner_check_places(r));
}

void mf_runner_close(mf_runner *r)
{
    mf_runner_end_waiting(r);
    mf_runner_end_waits(r);
    if (!r->stopping)
        mf_runner_give_up(r, mf_plan_left(r->plan));
    mf_plan_watch(r->plan, NULL, NULL);
    count_imported(r);
    count(r);
}

mf_status mf_runner_free(mf_runner *r)
{
    const mf_run_counts *c = &r->result->counts;
    const char *status = r->result->interrupted                  ? "interrupted"
                         : r->failure || c->failed || c->blocked ? "failed"
                                                                 : "done";

    if (!r->failure && r->journal)
        mf_runner_give_up(r, mf_journal_end(r->journal, status));
    mf_spots_clear(&r->spots);
    mf_returns_clear(&r->returns);
    free(r->waiting);
    free(r->queues);
    free(r->coming);
    free(r->here);
    free(r->ran_at);
    mf_journal_free(r->journal);
    return r->failure;
}
