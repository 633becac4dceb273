/* batches.c - see batches.h. */
#include "batches.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Up to so many nodes each have their lines. */
#define FEW 4

static size_t count_nodes(mf_plan *plan, const mf_graph_stage *stage)
{
    size_t count = 0;

    for (size_t i = stage->first; i < stage->first + stage->count; i++) {
        const mf_plan_state state = mf_plan_at(plan, i)->state;
        count += state == MF_PLAN_TO_RUN || state == MF_PLAN_WAITING;
    }
    return count;
}

void batches_open(batches *b, mf_plan *plan)
{
    const mf_graph *graph = mf_plan_graph(plan);
    const size_t count = mf_graph_stage_count(graph);

    *b = (batches){calloc(count + 1, sizeof *b->items), 0};
    for (size_t i = 0; b->items && i < count; i++) {
        const mf_graph_stage *stage = mf_graph_stage_at(graph, i);
        const size_t nodes = count_nodes(plan, stage);
        if (!stage->stage->item && nodes > FEW)
            b->items[b->count++] = (batch){.label = stage->label, .nodes = nodes};
    }
}

void batches_close(batches *b)
{
    for (size_t i = 0; i < b->count; i++)
        for (size_t k = 0; k < b->items[i].kind_count; k++)
            free(b->items[i].kinds[k].text);
    free(b->items);
    *b = (batches){0};
}

batch *batches_of(const batches *b, const char *node)
{
    const size_t length = node ? strcspn(node, "[") : 0;

    for (size_t i = 0; i < b->count; i++)
        if (!strncmp(b->items[i].label, node, length) && !b->items[i].label[length])
            return &b->items[i];
    return NULL;
}

/* "46.3% of 1138 voxels" as "#% of # voxels"; the caller frees, NULL without memory. */
static char *without_numbers(const char *line)
{
    char *kind = strdup(line), *to = kind;

    for (const char *from = line; kind && *from;) {
        if (!isdigit((unsigned char)*from)) {
            *to++ = *from++;
            continue;
        }
        *to++ = '#';
        while (isdigit((unsigned char)*from) ||
               (strchr(".,e+-", *from) && *from && isdigit((unsigned char)from[1])))
            from++;
    }
    if (kind)
        *to = '\0';
    return kind;
}

bool batch_shows(batch *b, const char *line)
{
    char *kind = without_numbers(line);

    for (size_t i = 0; kind && i < b->kind_count; i++)
        if (!strcmp(b->kinds[i].text, kind)) {
            b->kinds[i].again++;
            free(kind);
            return false;
        }
    if (kind && b->kind_count < BATCH_KINDS)
        b->kinds[b->kind_count++].text = kind;
    else
        free(kind);
    return true;
}
