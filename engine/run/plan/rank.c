/* rank.c - which of several nodes that can start comes first: the one with the longest critical
 * path below it, in seconds.
 *
 * What one node of a graph stage takes is the median of earlier runs where the store has any, else
 * what the stage estimates for the first of its nodes whose inputs are there (mf_needs.cost), else
 * a second. Streams take no time of their own, nor does what is known already. */
#include "run/plan/plan_private.h"

#include <math.h>
#include <stdlib.h>

static bool is_to_come(const mf_plan_node *n)
{
    return (n->state == MF_PLAN_WAITING || n->state == MF_PLAN_TO_RUN) && !n->node->stage->item;
}

void mf_plan__rank(mf_plan *plan)
{
    for (size_t i = plan->count; i-- > 0;) {
        mf_plan_node *n = &plan->nodes[i];
        double below = 0;
        for (size_t k = 0; k < n->consumer_count; k++) {
            double r = plan->nodes[n->consumers[k]].rank;
            below = r > below ? r : below;
        }
        n->rank = below + (is_to_come(n) ? plan->paces[n->node->group].seconds : 0);
    }
    for (size_t k = 0; k < plan->active_count; k++)
        mf_heap_order(&plan->startable[plan->active[k]]);
}

mf_status mf_plan__pace_all(mf_plan *plan)
{
    size_t count = mf_graph_stage_count(plan->graph);

    plan->paces = calloc(count ? count : 1, sizeof *plan->paces);
    plan->unpaced = calloc(count ? count : 1, sizeof *plan->unpaced);
    if (!plan->paces || !plan->unpaced)
        return mf_no_memory(0, "a plan");
    for (size_t g = 0; g < count; g++)
        plan->paces[g].seconds = 1;
    return MF_OK;
}

void mf_plan__can_estimate(mf_plan *plan, const mf_plan_node *n)
{
    mf__pace *pace = &plan->paces[n->node->group];

    if (pace->listed || !n->node->stage->needs)
        return;
    pace->listed = true;
    plan->unpaced[plan->unpaced_count++] = (size_t)(n - plan->nodes);
}

static mf_status read_past(mf_plan *plan, const char *graph)
{
    for (size_t g = 0; g < mf_graph_stage_count(plan->graph); g++) {
        const mf_graph_stage *s = mf_graph_stage_at(plan->graph, g);
        mf_past_times past;
        if (s->stage->item)
            continue;
        MF_TRY(mf_store_past_times(plan->store, graph, s->label, s->stage->name, &past));
        if (!past.count || !isfinite(past.median) || past.median < 0)
            continue;
        plan->paces[g].seconds = past.median;
        plan->paces[g].known = plan->paces[g].past = true;
    }
    return MF_OK;
}

mf_status mf_plan_expect(mf_plan *plan)
{
    char *graph;
    mf_status status;

    if (!plan->store)
        return MF_OK;
    graph = realpath(mf_graph_path(plan->graph), NULL);
    status = read_past(plan, graph ? graph : "");
    free(graph);
    if (!status)
        mf_plan__rank(plan);
    return status;
}

double mf_plan_expected(const mf_plan *plan, size_t i)
{
    const mf__pace *pace = &plan->paces[plan->nodes[i].node->group];

    return pace->past ? pace->seconds : 0;
}

size_t mf_plan_unestimated(mf_plan *plan)
{
    while (plan->unpaced_count) {
        size_t i = plan->unpaced[plan->unpaced_count - 1];
        mf__pace *pace = &plan->paces[plan->nodes[i].node->group];
        if (!pace->known && mf_plan_can_start(&plan->nodes[i]))
            return i;
        pace->listed = pace->known; /* the next one that can start is asked */
        plan->unpaced_count--;
    }
    return plan->count;
}

void mf_plan_estimate(mf_plan *plan, size_t i, double seconds)
{
    mf__pace *pace = &plan->paces[plan->nodes[i].node->group];
    bool differs = pace->seconds < seconds || pace->seconds > seconds;

    if (pace->known)
        return;
    pace->known = true;
    pace->seconds = seconds;
    if (differs)
        mf_plan__rank(plan);
}
