/* live.c - what running nodes say of their steps, kept while the run goes on. */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#define MOST 4096 /* samples; where there are more, every second one of each node is let go */

typedef struct desk_sample {
    char *node, *words;
    int64_t step;
    int64_t seen;  /* the last step of its node since, and */
    size_t passed; /* how many were passed over */
    bool odd;      /* while they are thinned */
} desk_sample;

static void drop(desk_sample *s)
{
    free(s->node);
    free(s->words);
}

void desk_live_clear(desk_live *l)
{
    for (size_t i = 0; i < l->count; i++)
        drop(&l->samples[i]);
    free(l->samples);
    *l = (desk_live){0};
}

/* The last sample of a node among the first `count`. */
static desk_sample *last_of(const desk_live *l, size_t count, const char *node)
{
    for (size_t i = count; i-- > 0;)
        if (!strcmp(l->samples[i].node, node))
            return &l->samples[i];
    return NULL;
}

/* Nodes that run at the same time take turns in the list, so each is thinned for itself. */
static void thin(desk_live *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->count; i++) {
        const desk_sample *before = last_of(l, i, l->samples[i].node);
        l->samples[i].odd = before && !before->odd;
    }
    for (size_t i = 0; i < l->count; i++)
        if (l->samples[i].odd)
            drop(&l->samples[i]);
        else
            l->samples[kept++] = l->samples[i];
    l->count = kept;
}

/* Where there are so many nodes that thinning gains little, the oldest half goes: those have ended.
 */
static void make_room(desk_live *l)
{
    thin(l);
    if (l->count <= MOST / 4 * 3) {
        l->every *= 2;
        return;
    }
    const size_t gone = l->count / 2;
    for (size_t i = 0; i < gone; i++)
        drop(&l->samples[i]);
    l->count -= gone;
    memmove(l->samples, l->samples + gone, l->count * sizeof *l->samples);
}

/* Where memory is short the curve has a point less. */
void desk_live_add(desk_live *l, const mf_workspace_active *a)
{
    desk_sample *last = last_of(l, l->count, a->node);

    if (!a->words || !*a->words || (last && last->seen == a->done))
        return;
    if (last) {
        last->seen = a->done;
        if (++last->passed < l->every)
            return;
    }
    if (!l->samples) {
        l->samples = calloc(MOST, sizeof *l->samples);
        l->every = 1;
    }
    if (!l->samples)
        return;
    if (l->count == MOST)
        make_room(l);
    desk_sample s = {
        .node = strdup(a->node), .words = strdup(a->words), .step = a->done, .seen = a->done};
    if (s.node && s.words)
        l->samples[l->count++] = s;
    else
        drop(&s);
}

json_object *desk_live_json(const desk_live *l)
{
    json_object *list = json_object_new_array();

    for (size_t i = 0; i < l->count; i++) {
        json_object *o = json_object_new_object();
        desk_put(o, "node", l->samples[i].node);
        json_object_object_add(o, "step", json_object_new_int64(l->samples[i].step));
        desk_put(o, "words", l->samples[i].words);
        json_object_array_add(list, o);
    }
    return list;
}
