/* expected.c - see expected.h. */
#include "expected.h"
#include <stdlib.h>
#include <string.h>

/* Newer runs say more than older ones. */
#define MOST 100

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static mf_status read_stage(workspace *w, const mf_graph_stage *stage, past_times *past)
{
    double *seconds;

    MF_TRY(
        mf_store_past_seconds(w->store, w->graph_path, stage->label, MOST, &seconds, &past->count));
    if (!past->count) {
        free(seconds);
        past->imported = true;
        MF_TRY(
            mf_store_imported_seconds(w->store, stage->stage->name, MOST, &seconds, &past->count));
    }
    if (past->count) {
        qsort(seconds, past->count, sizeof *seconds, by_size);
        past->median = seconds[past->count / 2];
    }
    free(seconds);
    return MF_OK;
}

mf_status expected_read(workspace *w, past_times **past)
{
    size_t count = mf_graph_stage_count(w->graph);
    mf_status status = MF_OK;

    *past = calloc(count ? count : 1, sizeof **past);
    if (!*past)
        return mf_fail(MF_NO_MEMORY, "no memory for expected times");
    for (size_t i = 0; w->store && i < count && !status; i++)
        status = read_stage(w, mf_graph_stage_at(w->graph, i), &(*past)[i]);
    if (status) {
        free(*past);
        *past = NULL;
    }
    return status;
}

/* When the node ends if it starts as soon as all above it has ended; `ends` is by node. */
static double ends_at(const mf_plan_node *n, const double *ends, double seconds)
{
    double start = 0;

    for (size_t p = 0; p < n->node->input_count; p++) {
        for (size_t k = 0; k < n->node->inputs[p].count; k++) {
            double above = ends[n->node->inputs[p].edges[k].node];
            start = above > start ? above : start;
        }
    }
    return start + seconds;
}

mf_status expected_all(mf_plan *plan, const past_times *past, int slots, expected_total *total)
{
    size_t count = mf_plan_count(plan);
    double *ends = calloc(count ? count : 1, sizeof *ends);
    double host = 0, device = 0, longest = 0;

    memset(total, 0, sizeof *total);
    if (!ends)
        return mf_fail(MF_NO_MEMORY, "no memory for expected times");
    for (size_t i = 0; i < count; i++) {
        const mf_plan_node *n = mf_plan_at(plan, i);
        const past_times *t = &past[n->node->group];
        bool run = n->state == MF_PLAN_TO_RUN;
        bool undecided = n->state == MF_PLAN_WAITING && !n->work.stage->item;
        double seconds = run || undecided ? t->median : 0;
        total->run += run;
        total->undecided += undecided;
        total->unknown += (run || undecided) && !t->count;
        if (n->work.stage->kernels || n->work.stage->program)
            device += seconds;
        else
            host += seconds;
        ends[i] = ends_at(n, ends, seconds);
        longest = ends[i] > longest ? ends[i] : longest;
    }
    free(ends);
    total->seconds = host / slots + device;
    if (longest > total->seconds)
        total->seconds = longest;
    return MF_OK;
}
