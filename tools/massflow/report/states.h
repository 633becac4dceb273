/* states.h - how the nodes of a stage stand, and the colours for it. */
#ifndef MF_REPORT_STATES_H
#define MF_REPORT_STATES_H

#include "run/plan/plan.h"

typedef enum state {
    STATE_CACHED,
    STATE_RUN,
    STATE_UNDECIDED,
    STATE_FAILED, /* or blocked by what failed */
    STATE_STREAM,
    STATE_COUNT
} state;

typedef struct state_tally {
    size_t count[STATE_COUNT];
    size_t wanted;
} state_tally;

state_tally tally_stage(mf_plan *plan, const mf_graph_stage *stage);
const char *state_words(state s); /* "to run" */
const char *state_color(state s); /* "#2f8f83": told apart by the colour-blind, and in grey */

#endif
