/* expected.c - see expected.h. */
#include "expected.h"
#include <stdlib.h>
#include <string.h>

mf_status expected_read(workspace *w, mf_past_times **past)
{
    size_t count = mf_graph_stage_count(w->graph);
    mf_status status = MF_OK;

    *past = calloc(count ? count : 1, sizeof **past);
    if (!*past)
        return mf_no_memory(0, "expected times");
    for (size_t i = 0; w->store && i < count && !status; i++) {
        const mf_graph_stage *stage = mf_graph_stage_at(w->graph, i);
        status = mf_store_past_times(w->store, w->graph_path, stage->label, stage->stage->name,
                                     &(*past)[i]);
        if ((*past)[i].from == MF_PAST_STAGE) /* other parameters: it only orders nodes */
            (*past)[i] = (mf_past_times){0};
    }
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

mf_status expected_all(mf_plan *plan, const mf_past_times *past, expected_total *total)
{
    size_t count = mf_plan_count(plan);
    double *ends = calloc(count ? count : 1, sizeof *ends);

    memset(total, 0, sizeof *total);
    if (!ends)
        return mf_no_memory(0, "expected times");
    for (size_t i = 0; i < count; i++) {
        const mf_plan_node *n = mf_plan_at(plan, i);
        const mf_past_times *t = &past[n->node->group];
        bool run = n->state == MF_PLAN_TO_RUN;
        bool undecided = n->state == MF_PLAN_WAITING && !n->work.stage->item;
        double seconds = run || undecided ? t->median : 0;
        total->run += run;
        total->undecided += undecided;
        total->unknown += (run || undecided) && !t->count;
        if (n->work.stage->kernels || n->work.stage->program)
            total->device += seconds;
        else
            total->host += seconds;
        ends[i] = ends_at(n, ends, seconds);
        total->longest = ends[i] > total->longest ? ends[i] : total->longest;
    }
    free(ends);
    return MF_OK;
}

double expected_seconds(const expected_total *total, double slots, double devices)
{
    double seconds = (total->host > 0 ? total->host / slots : 0) +
                     (total->device > 0 ? total->device / devices : 0);

    return total->longest > seconds ? total->longest : seconds;
}
