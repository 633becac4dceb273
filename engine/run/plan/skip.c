/* skip.c - see skip.h. */
#include "run/plan/skip.h"
#include "run/plan/plan_private.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 3 /* nodes named in a message */

static bool skips(const mf_plan *plan, const mf_plan_node *n)
{
    return mf_graph_stage_at(plan->graph, n->node->group)->skip_failed;
}

bool mf_skip_could(const mf_plan *plan, const mf_plan_node *n, size_t i)
{
    if (skips(plan, n))
        return false;
    for (size_t p = 0; p < n->node->input_count; p++) {
        const mf_input *input = &n->node->inputs[p];
        for (size_t k = 0; k < input->count; k++) {
            if (input->edges[k].node == i && !input->edges[k].gathered)
                return false;
        }
    }
    return true;
}

bool mf_skip_edge(const mf_plan *plan, const mf_plan_node *n, const mf_edge *edge)
{
    return edge->gathered && skips(plan, n);
}

static bool same_axes(const mf_node *a, const mf_node *b)
{
    if (a->axis_count != b->axis_count)
        return false;
    for (size_t i = 0; i < a->axis_count; i++) {
        if (strcmp(a->axes[i].axis, b->axes[i].axis) || strcmp(a->axes[i].value, b->axes[i].value))
            return false;
    }
    return true;
}

static bool belongs(const mf_node *lost, const mf_node *other)
{
    if (lost->of_case || other->of_case)
        return lost->of_case == other->of_case;
    return lost == other || (lost->axis_count && same_axes(lost, other));
}

bool mf_skip_has(const mf_plan *plan, const mf_plan_node *n, const mf_edge *edge)
{
    if (!edge->gathered)
        return false;
    for (size_t i = 0; i < n->skipped_count; i++) {
        if (belongs(plan->nodes[n->skipped[i]].node, plan->nodes[edge->node].node))
            return true;
    }
    return false;
}

/* "goes on without more[case=b], more[case=c] and 4 more" */
static char *list_skipped(mf_plan *plan, const mf_plan_node *n)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    fprintf(out, "continues without ");
    for (size_t i = 0; i < n->skipped_count && i < SHOWN; i++)
        fprintf(out, "%s%s", i ? ", " : "", mf_plan_at(plan, n->skipped[i])->node->name);
    if (n->skipped_count > SHOWN)
        fprintf(out, " and %zu more", n->skipped_count - SHOWN);
    fclose(out);
    return text;
}

mf_status mf_skip_choose(mf_plan *plan, mf_plan_node *n, bool data)
{

    free(n->message); /* of what was left out when it was last decided */
    n->message = NULL;
    if (!skips(plan, n))
        return MF_OK;
    free(n->skipped);
    n->skipped = NULL;
    n->skipped_count = 0;
    for (size_t p = 0; p < n->node->input_count; p++) {
        const mf_input *input = &n->node->inputs[p];
        for (size_t k = 0; k < input->count; k++) {
            if (!mf_plan__lost(plan, &input->edges[k], data))
                continue;
            uint32_t *grown = mf_list_more(n->skipped, n->skipped_count, sizeof *grown);
            if (!grown)
                return mf_no_memory(0, "a plan");
            n->skipped = grown;
            n->skipped[n->skipped_count++] = input->edges[k].node;
        }
    }
    if (n->skipped_count)
        n->message = list_skipped(plan, n);
    return MF_OK;
}

char *mf_skip_none_left(const mf_plan *plan, const mf_input *input)
{
    char *text = NULL;
    const char *label = plan->nodes[input->edges[0].node].node->label;

    return asprintf(&text, "needs %s, of which none succeeded", label) < 0 ? NULL : text;
}
