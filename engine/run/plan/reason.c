/* reason.c - see reason.h. */
#include "run/plan/reason.h"

#include <stdio.h>
#include <string.h>

/* More changes than this are counted, not listed. */
#define LISTED 40

static const char *or_none(const char *text)
{
    return text ? text : "none";
}

/* "[case=d,shots=5]", or "" */
static const char *selection(const mf_node *node)
{
    return strchr(node->name, '[') ? strchr(node->name, '[') : "";
}

static const char *name_of(mf_plan *plan, size_t i)
{
    return i < mf_plan_count(plan) ? mf_plan_at(plan, i)->node->name : "a node below";
}

void mf_why_in_short(FILE *out, mf_plan *plan, size_t i, const mf_why *why)
{
    const mf_node *node = mf_plan_at(plan, i)->node;
    const mf_change *first = why->changes.items;

    switch (why->kind) {
    case MF_WHY_NEW:
        fprintf(out, "never run");
        break;
    case MF_WHY_NEW_STAGE:
        fprintf(out, "never run: the stage is new");
        break;
    case MF_WHY_NEW_NODE:
        fprintf(out, "never run%s%s%s", *selection(node) ? ": " : "", selection(node),
                *selection(node) ? " is new" : "");
        break;
    case MF_WHY_RENAMED:
        fprintf(out, "case renamed: %s -> %s", or_none(first->before), or_none(first->after));
        break;
    case MF_WHY_MISSING:
        fprintf(out, "its result is not in the cache any more");
        break;
    case MF_WHY_DROPPED:
        fprintf(out, "its data was deleted, and %s needs it", name_of(plan, mf_why_needs(plan, i)));
        break;
    case MF_WHY_ANEW:
        fprintf(out, "asked for again, by --force");
        break;
    case MF_WHY_DEVICE:
        fprintf(out, "only computed on another device: %s", why->other);
        break;
    case MF_WHY_CHANGED:
        if (!why->changes.count) {
            fprintf(out, "never run with this key");
            break;
        }
        fprintf(out, "%s: %s -> %s", first->name, or_none(first->before), or_none(first->after));
        if (why->changes.count > 1)
            fprintf(out, " (and %zu more)", why->changes.count - 1);
        break;
    default:
        fprintf(out, "not known");
    }
}

void mf_why_changes(FILE *out, const mf_changes *changes)
{
    for (size_t i = 0; i < changes->count && i < LISTED; i++) {
        const mf_change *c = &changes->items[i];
        fprintf(out, "  %s: %s -> %s\n", c->name, or_none(c->before), or_none(c->after));
    }
    if (changes->count > LISTED)
        fprintf(out, "  and %zu more\n", changes->count - LISTED);
}

static void print_new(FILE *out, const mf_node *node, const mf_why *why)
{
    if (why->kind == MF_WHY_NEW_STAGE)
        fprintf(out, "%s: to run: never run: no earlier run of this graph had a stage '%s'\n",
                node->name, node->label);
    else if (why->kind == MF_WHY_RENAMED)
        fprintf(out,
                "%s: to run: same as %s of earlier runs, but %s draws random numbers, which depend "
                "on the case id\n",
                node->name, why->other, node->stage->name);
    else
        fprintf(out, "%s: to run: never run: it is new among the nodes of %s\n", node->name,
                node->label);
    if (why->kind == MF_WHY_NEW_NODE && why->other)
        fprintf(out, "  compared with %s of earlier runs:\n", why->other);
}

/* The data that it waits for, of a result that is known. */
static void print_rebuilt(FILE *out, mf_plan *plan, size_t i)
{
    const mf_plan_node *n = mf_plan_at(plan, i);

    while (n->waits && mf_plan_at(plan, n->waits->node)->state == MF_PLAN_RECIPE)
        n = mf_plan_at(plan, n->waits->node);
    if (n->waits && mf_plan_at(plan, n->waits->node)->again)
        fprintf(out, "  it reads %s, whose data was deleted from the cache and is computed again\n",
                mf_plan_at(plan, n->waits->node)->node->name);
}

void mf_why_in_full(FILE *out, mf_plan *plan, size_t i, const mf_why *why)
{
    const mf_node *node = mf_plan_at(plan, i)->node;

    switch (why->kind) {
    case MF_WHY_NEW:
        fprintf(out, "%s: to run: never run\n", node->name);
        break;
    case MF_WHY_NEW_STAGE:
    case MF_WHY_NEW_NODE:
    case MF_WHY_RENAMED:
        print_new(out, node, why);
        break;
    case MF_WHY_MISSING:
        fprintf(out, "%s: to run: nothing changed, but its result is not in the cache any more\n",
                node->name);
        break;
    case MF_WHY_DROPPED:
        fprintf(
            out,
            "%s: to run: nothing changed, but its data was deleted from the cache, and %s needs "
            "it\n",
            node->name, name_of(plan, mf_why_needs(plan, i)));
        break;
    case MF_WHY_ANEW:
        fprintf(out, "%s: to run: nothing changed, but it is asked for again, by --force\n",
                node->name);
        break;
    case MF_WHY_DEVICE:
        fprintf(out,
                "%s: to run: nothing changed, but its result was computed on another device, and "
                "--same-device requires this\n"
                "  device: %s -> %s\n",
                node->name, why->other, mf_plan_get_options(plan)->same_device);
        return;
    default:
        fprintf(out, "%s: to run\n", node->name);
    }
    mf_why_changes(out, &why->changes);
    print_rebuilt(out, plan, i);
}

void mf_reason_in_short(FILE *out, mf_plan *plan, size_t i, const char *graph)
{
    const mf_plan_node *n = mf_plan_at(plan, i);
    mf_why why;
    mf_status status;

    if (n->state == MF_PLAN_FAILED || n->state == MF_PLAN_BLOCKED) {
        fprintf(out, "%s", n->message ? n->message : "");
        return;
    }
    if (n->state == MF_PLAN_WAITING) {
        size_t above = mf_why_above(plan, i);
        fprintf(out, "depends on %s",
                above < mf_plan_count(plan) ? mf_plan_at(plan, above)->node->name : "its inputs");
        return;
    }
    status = mf_why_node(plan, i, graph, &why);
    if (status)
        fprintf(out, "not known");
    else
        mf_why_in_short(out, plan, i, &why);
    mf_error_free(status);
    mf_why_clear(&why);
}

mf_status mf_reason_in_full(FILE *out, mf_plan *plan, size_t i, const char *graph,
                            mf_reason_made made, void *self)
{
    const mf_plan_node *n = mf_plan_at(plan, i);
    mf_status status;
    mf_why why;
    size_t above;

    if (n->state == MF_PLAN_FAILED || n->state == MF_PLAN_BLOCKED) {
        fprintf(out, "%s: can't run: %s\n", n->node->name, n->message ? n->message : "");
        return MF_OK;
    }
    if (n->state == MF_PLAN_WAITING) {
        above = mf_why_above(plan, i);
        if (above == mf_plan_count(plan)) {
            fprintf(out, "%s: undecided: its inputs are not known yet\n", n->node->name);
            return MF_OK;
        }
        fprintf(out, "%s: undecided: depends on the result of %s\n", n->node->name,
                mf_plan_at(plan, above)->node->name);
        return mf_reason_in_full(out, plan, above, graph, made, self);
    }
    status = mf_why_node(plan, i, graph, &why);
    if (!status && n->state == MF_PLAN_CACHED) {
        fprintf(out, "%s: cached%s\n", n->node->name, n->imported ? ", imported" : "");
        if (made)
            status = made(self, n);
        if (!status && why.changes.count)
            fprintf(out, "  since the result before that:\n");
        if (!status)
            mf_why_changes(out, &why.changes);
    } else if (!status && n->state == MF_PLAN_RECIPE) {
        fprintf(out, "%s: a stream: computed while it is read\n", n->node->name);
    } else if (!status) {
        mf_why_in_full(out, plan, i, &why);
    }
    mf_why_clear(&why);
    return status;
}
