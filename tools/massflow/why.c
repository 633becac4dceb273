/* why.c - the command why: which component of a node's key changed. */
#include "origin.h"
#include "run/plan/reason.h"
#include "workspace.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More nodes than this are counted, not explained one by one. */
#define EXPLAINED 20

static mf_status made(void *self, const mf_plan_node *n)
{
    workspace *w = self;
    mf_action *action = NULL;
    mf_status status;

    MF_TRY(mf_store_find(w->store, n->key, w->device, &action));
    if (!action)
        return MF_OK;
    status = origin_print(w->store, action, n->node->name);
    mf_action_free(action);
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
            status = mf_reason_in_full(stdout, plan, i, w.graph_path, made, &w);
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
