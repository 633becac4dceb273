/* expected_pools.c - see expected_pools.h. */
#include "expected_pools.h"
#include "sites.h"

#include "run/pool/slurm.h"

#include <math.h>
#include <stdlib.h>

static void print_with(const expected_total *total, double slots, double devices, size_t workers)
{
    char took[32];

    words_seconds(expected_seconds(total, slots, devices), took);
    printf("  %7zu   %s\n", workers, took);
}

/* Stages of which a node takes longer than an allocation lasts. */
static void print_too_long(mf_plan *plan, const mf_past_times *past, const mf_pool *p)
{
    const mf_graph *graph = mf_plan_graph(plan);
    double work = p->time - p->signal;

    for (size_t i = 0; i < mf_graph_stage_count(graph); i++) {
        char took[32], has[32];
        if (!past[i].count || past[i].median <= work)
            continue;
        words_seconds(past[i].median, took);
        words_seconds(work, has);
        printf("  %s takes %s, and a worker has %s: it runs there only if it saves states\n",
               mf_graph_stage_at(graph, i)->label, took, has);
    }
}

/* Stages that want more workers at the same time than there are. */
static void print_too_few(mf_plan *plan, size_t most)
{
    const mf_graph *graph = mf_plan_graph(plan);
    size_t said = mf_graph_stage_count(graph); /* nodes of a stage follow each other */

    for (size_t i = 0; i < mf_plan_count(plan); i++) {
        const mf_plan_node *n = mf_plan_at(plan, i);
        const size_t ranks = mf_work_ranks(&n->work);
        if (ranks <= most || n->node->group == said ||
            (n->state != MF_PLAN_TO_RUN && n->state != MF_PLAN_WAITING))
            continue;
        said = n->node->group;
        printf("  %s can't run there: it needs %zu workers at the same time (`ranks`), and there "
               "are at most %zu (`max`)\n",
               mf_graph_stage_at(graph, said)->label, ranks, most);
    }
}

/* By the number of workers: 0, 1, 2, 4, ... most. */
static void print_times(const expected_total *total, int here, size_t most, int slots, int devices)
{
    char longest[32];

    printf("  workers   %s\n", total->unknown ? "expected at least" : "expected");
    print_with(total, here, 1, 0);
    for (size_t n = 1; n < 2 * most; n *= 2) {
        const size_t workers = n < most ? n : most;
        print_with(total, here + (double)workers * slots, 1 + (double)workers * devices, workers);
    }
    words_seconds(total->longest, longest);
    printf("  the critical path takes %s, with any number of workers\n", longest);
}

static void print_pool(mf_plan *plan, const mf_past_times *past, const mf_pool *p, int here,
                       const expected_total *total)
{
    int slots, devices;
    size_t memory, most = (size_t)(p->max - p->max % mf_pool_tasks(p));

    mf_slurm_sizes(p, &slots, &memory, &devices);
    if (devices < 1) /* its processor is one */
        devices = 1;
    printf("\nwith workers of pool %s (%d slot%s, %d device%s each) beside %d slot%s here:\n",
           p->name, slots, slots == 1 ? "" : "s", devices, devices == 1 ? "" : "s", here,
           here == 1 ? "" : "s");
    if (total->unknown < total->run + total->undecided)
        print_times(total, here, most, slots, devices);
    else
        printf("  expected time not known: none of it has run here yet\n");
    print_too_long(plan, past, p);
    print_too_few(plan, most);
}

int expected_with_pools(const args *a, mf_plan *plan, const mf_past_times *past, int slots,
                        const expected_total *total)
{
    const mf_pool **pools;
    size_t count;
    mf_site *site;
    int code = open_site(a, &site);

    if (code)
        return code;
    mf_status status = mf_site_choose(site, args_value(a, "pool"), &pools, &count);
    for (size_t i = 0; i < count && !status; i++)
        print_pool(plan, past, pools[i], slots, total);
    free(pools);
    mf_site_free(site);
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}
