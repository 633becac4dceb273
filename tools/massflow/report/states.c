/* states.c - see states.h. */
#include "states.h"

state_tally tally_stage(mf_plan *plan, const mf_graph_stage *stage)
{
    state_tally t = {0};

    for (size_t i = stage->first; i < (size_t)stage->first + stage->count; i++) {
        const mf_plan_node *n = mf_plan_at(plan, i);
        state s = STATE_UNDECIDED;
        if (n->state == MF_PLAN_UNWANTED)
            continue;
        if (stage->stage->item)
            s = STATE_STREAM;
        else if (n->state == MF_PLAN_CACHED || n->state == MF_PLAN_DONE)
            s = STATE_CACHED;
        else if (n->state == MF_PLAN_TO_RUN || n->state == MF_PLAN_RUNNING)
            s = STATE_RUN;
        else if (n->state == MF_PLAN_FAILED || n->state == MF_PLAN_BLOCKED)
            s = STATE_FAILED;
        t.count[s]++;
        t.wanted++;
    }
    return t;
}

const char *state_words(state s)
{
    static const char *const words[STATE_COUNT] = {"cached", "to run", "undecided", "can't run",
                                                   "stream"};

    return words[s];
}

const char *state_color(state s)
{
    static const char *const colors[STATE_COUNT] = {"#2f8f83", "#e0912f", "#a9b0b8", "#b3362b",
                                                    "#7a86b8"};

    return colors[s];
}
