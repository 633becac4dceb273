/* why.c - the command why: which component of a node's key changed. */
#include "origin.h"
#include "reason.h"
#include "workspace.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More nodes than this are counted, not explained one by one. */
#define EXPLAINED 20

static mf_status made(workspace *w, const mf_plan_node *n)
{
    mf_action *action = NULL;
    mf_status status;

    MF_TRY(mf_store_find(w->store, n->key, w->device, &action));
    if (!action)
        return MF_OK;
    status = origin_print(w->store, action, n->node->name);
    mf_action_free(action);
    return status;
}

static mf_status explain(workspace *w, mf_plan *plan, size_t i)
{
    const mf_plan_node *n = mf_plan_at(plan, i);
    mf_status status;
    mf_why why;
    size_t above;

    if (n->state == MF_PLAN_FAILED || n->state == MF_PLAN_BLOCKED) {
        printf("%s: can't run: %s\n", n->node->name, n->message ? n->message : "");
        return MF_OK;
    }
    if (n->state == MF_PLAN_WAITING) {
        above = mf_why_above(plan, i);
        if (above == mf_plan_count(plan)) {
            printf("%s: undecided: its inputs are not known yet\n", n->node->name);
            return MF_OK;
        }
        printf("%s: undecided: depends on the result of %s\n", n->node->name,
               mf_plan_at(plan, above)->node->name);
        return explain(w, plan, above);
    }
    status = mf_why_node(plan, i, w->graph_path, &why);
    if (!status && n->state == MF_PLAN_CACHED) {
        printf("%s: cached%s\n", n->node->name, n->imported ? ", imported" : "");
        status = made(w, n);
        if (!status && why.changes.count)
            printf("  since the result before that:\n");
        if (!status)
            why_changes(&why.changes);
    } else if (!status && n->state == MF_PLAN_RECIPE) {
        printf("%s: a stream: computed while it is read\n", n->node->name);
    } else if (!status) {
        why_in_full(plan, i, &why);
    }
    mf_why_clear(&why);
    return status;
}

static int why(const args *a)
{
    const char *target = args_at(a, 1);
    workspace w;
    mf_plan *plan = NULL;
    mf_target found = {0};
    mf_status status = MF_OK;
    int code = workspace_open(a, MF_STORE_READ, &w);

    if (code)
        return code;
    status = mf_graph_target(w.graph, target, &found);
    if (status)
        code = command_fail(status, EXIT_REQUEST);
    else
        code = workspace_plan(a, &w, &target, 1, &plan);
    status = MF_OK;
    for (size_t i = found.first, shown = 0;
         !code && !status && shown < found.count && shown < EXPLAINED; i++)
        if (mf_target_has(w.graph, &found, i)) {
            status = explain(&w, plan, i);
            shown++;
        }
    if (status)
        code = command_fail(status, EXIT_FAILED);
    if (!code && found.count > EXPLAINED)
        printf("and %u more\n", found.count - EXPLAINED);
    mf_plan_free(plan);
    workspace_close(&w);
    return code;
}

static const option why_options[] = {OPTION_SET,  OPTION_DEVICE,  OPTION_SAME_DEVICE, OPTION_CACHE,
                                     OPTION_CODE, OPTION_PLUGINS, OPTION_END};

const command command_why = {"why",
                             "GRAPH NODE",
                             "show which component of a node's cache key changed, old -> new",
                             "NODE is a stage or one of its nodes: masks, 'masks[case=012]'.",
                             why_options,
                             2,
                             2,
                             why};
