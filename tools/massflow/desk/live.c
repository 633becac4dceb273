/* live.c - what running nodes say of their steps, kept while the run goes on. */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#define MOST 4096 /* samples; where there are more, every second one is let go */

typedef struct desk_sample {
    char *node, *words;
    int64_t step;
} desk_sample;

void desk_live_clear(desk_live *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->samples[i].node);
        free(l->samples[i].words);
    }
    free(l->samples);
    *l = (desk_live){0};
}

static void thin(desk_live *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->count; i++)
        if (i % 2) {
            free(l->samples[i].node);
            free(l->samples[i].words);
        } else {
            l->samples[kept++] = l->samples[i];
        }
    l->count = kept;
    l->every *= 2;
}

static const desk_sample *last_of(const desk_live *l, const char *node)
{
    for (size_t i = l->count; i-- > 0;)
        if (!strcmp(l->samples[i].node, node))
            return &l->samples[i];
    return NULL;
}

/* Where memory is short the curve has a point less. */
void desk_live_add(desk_live *l, const mf_workspace_active *a)
{
    const desk_sample *last = last_of(l, a->node);

    if (!a->words || !*a->words || (last && last->step == a->done))
        return;
    if (!l->samples) {
        l->samples = calloc(MOST, sizeof *l->samples);
        l->every = 1;
    }
    if (!l->samples || l->seen++ % l->every)
        return;
    if (l->count == MOST)
        thin(l);
    desk_sample s = {strdup(a->node), strdup(a->words), a->done};
    if (s.node && s.words) {
        l->samples[l->count++] = s;
    } else {
        free(s.node);
        free(s.words);
    }
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
