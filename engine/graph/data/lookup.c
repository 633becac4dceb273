/* lookup.c - see lookup.h. */
#include "graph/data/lookup.h"
#include <stdlib.h>
#include <string.h>

stage_def *mf__find_source(mf_graph *g, const char *text, size_t *length, mf_graph **in, size_t *at)
{
    *at = 0;
    for (;;) {
        size_t word = strcspn(text + *at, ".[");
        mf_graph *below = NULL;
        for (size_t i = 0; i < g->include_count && text[*at + word] == '.'; i++) {
            const char *name = g->includes[i].key->text;
            if (!strncmp(name, text + *at, word) && !name[word])
                below = g->includes[i].graph;
        }
        if (!below) {
            uint32_t index = mf__names_get_n(&g->labels, text + *at, word);
            *length = *at + word;
            *in = g;
            return index == NAME_NONE ? NULL : &g->defs[index];
        }
        *at += word + 1;
        g = below;
    }
}

/* A stage below `in` that has exactly this name. */
static const stage_def *same_name(const mf_graph *in, const char *label)
{
    const stage_def *found_below = NULL;
    for (size_t i = 0; i < in->include_count && !found_below; i++) {
        const mf_graph *below = in->includes[i].graph;
        uint32_t index = mf__names_get(&below->labels, label);
        found_below = index == NAME_NONE ? same_name(below, label) : &below->defs[index];
    }
    return found_below;
}

const char *mf__near_source(const mf_graph *g, const mf_graph *in, const char *label)
{
    const char **all = calloc(in->def_count + 1, sizeof *all), *near = NULL;
    const stage_def *meant = same_name(in, label);
    for (size_t i = 0; all && i < in->def_count; i++)
        all[i] = in->defs[i].key->text;
    if (all && !meant)
        near = mf_nearest(label, all, in->def_count);
    free(all);
    for (size_t i = 0; near && i < in->def_count; i++)
        if (in->defs[i].key->text == near)
            meant = &in->defs[i];
    return meant ? meant->label + strlen(g->prefix) : NULL;
}
