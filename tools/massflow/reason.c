/* reason.c - see reason.h. */
#include "reason.h"
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

void why_in_short(mf_plan *plan, size_t i, const mf_why *why)
{
    const mf_node *node = mf_plan_at(plan, i)->node;
    const mf_change *first = why->changes.items;

    switch (why->kind) {
    case MF_WHY_NEW:
        printf("never run");
        break;
    case MF_WHY_NEW_STAGE:
        printf("never run: the stage is new");
        break;
    case MF_WHY_NEW_NODE:
        printf("never run%s%s%s", *selection(node) ? ": " : "", selection(node),
               *selection(node) ? " is new" : "");
        break;
    case MF_WHY_RENAMED:
        printf("case renamed: %s -> %s", or_none(first->before), or_none(first->after));
        break;
    case MF_WHY_MISSING:
        printf("its result is not in the cache any more");
        break;
    case MF_WHY_DROPPED:
        printf("its data was deleted, and %s needs it", name_of(plan, mf_why_needs(plan, i)));
        break;
    case MF_WHY_DEVICE:
        printf("only computed on another device: %s", why->other);
        break;
    case MF_WHY_CHANGED:
        if (!why->changes.count) {
            printf("never run with this key");
            break;
        }
        printf("%s: %s -> %s", first->name, or_none(first->before), or_none(first->after));
        if (why->changes.count > 1)
            printf(" (and %zu more)", why->changes.count - 1);
        break;
    default:
        printf("not known");
    }
}

void why_changes(const mf_changes *changes)
{
    for (size_t i = 0; i < changes->count && i < LISTED; i++) {
        const mf_change *c = &changes->items[i];
        printf("  %s: %s -> %s\n", c->name, or_none(c->before), or_none(c->after));
    }
    if (changes->count > LISTED)
        printf("  and %zu more\n", changes->count - LISTED);
}

static void print_new(const mf_node *node, const mf_why *why)
{
    if (why->kind == MF_WHY_NEW_STAGE)
        printf("%s: to run: never run: no earlier run of this graph had a stage '%s'\n", node->name,
               node->label);
    else if (why->kind == MF_WHY_RENAMED)
        printf("%s: to run: same as %s of earlier runs, but %s draws random numbers, which depend "
               "on the case id\n",
               node->name, why->other, node->stage->name);
    else
        printf("%s: to run: never run: it is new among the nodes of %s\n", node->name, node->label);
    if (why->kind == MF_WHY_NEW_NODE && why->other)
        printf("  compared with %s of earlier runs:\n", why->other);
}

/* The data that it waits for, of a result that is known. */
static void print_rebuilt(mf_plan *plan, size_t i)
{
    const mf_plan_node *n = mf_plan_at(plan, i);

    while (n->waits && mf_plan_at(plan, n->waits->node)->state == MF_PLAN_RECIPE)
        n = mf_plan_at(plan, n->waits->node);
    if (n->waits && mf_plan_at(plan, n->waits->node)->again)
        printf("  it reads %s, whose data was deleted from the cache and is computed again\n",
               mf_plan_at(plan, n->waits->node)->node->name);
}

void why_in_full(mf_plan *plan, size_t i, const mf_why *why)
{
    const mf_node *node = mf_plan_at(plan, i)->node;

    switch (why->kind) {
    case MF_WHY_NEW:
        printf("%s: to run: never run\n", node->name);
        break;
    case MF_WHY_NEW_STAGE:
    case MF_WHY_NEW_NODE:
    case MF_WHY_RENAMED:
        print_new(node, why);
        break;
    case MF_WHY_MISSING:
        printf("%s: to run: nothing changed, but its result is not in the cache any more\n",
               node->name);
        break;
    case MF_WHY_DROPPED:
        printf("%s: to run: nothing changed, but its data was deleted from the cache, and %s needs "
               "it\n",
               node->name, name_of(plan, mf_why_needs(plan, i)));
        break;
    case MF_WHY_DEVICE:
        printf("%s: to run: nothing changed, but its result was computed on another device, and "
               "--same-device requires this\n"
               "  device: %s -> %s\n",
               node->name, why->other, mf_plan_get_options(plan)->same_device);
        return;
    default:
        printf("%s: to run\n", node->name);
    }
    why_changes(&why->changes);
    print_rebuilt(plan, i);
}
