/* combine.h - axes, combinations of their values as numbers, and what a selection looks at. */
#ifndef MF_GRAPH_COMBINE_H
#define MF_GRAPH_COMBINE_H

#include "graph/data/graph_private.h"

uint32_t mf__find_axis(const mf_graph *g, const char *name); /* NAME_NONE */
char *mf__axis_names(const mf_graph *g, uint32_t mask);      /* "case, shots" */
char *mf__axes_pattern(const mf_graph *g, uint32_t mask);    /* "case=ID, shots=VALUE" */
/* How many combinations of values there are; at most MOST_NODES + 1. */
uint64_t mf__axes_space(const mf_graph *g, uint32_t mask);
uint32_t mf__axes_code(const mf_graph *g, uint32_t mask, const uint32_t *at);
void mf__axes_at(const mf_graph *g, uint32_t mask, uint32_t code, uint32_t *at);
/* The combination of a stage's i-th node. */
uint32_t mf__def_code(const stage_def *def, uint32_t i);
void mf__def_at(const stage_def *def, uint32_t i, uint32_t at[MOST_AXES]);
/* The position of a combination among a stage's nodes; NAME_NONE where `where` leaves it out. */
uint32_t mf__code_position(const stage_def *def, uint32_t code);
/* "case=012,shots=5" */
char *mf__axes_text(const mf_graph *g, uint32_t mask, const uint32_t *at);
/* "for case '012'" or "for case=012,shots=5", as a note. */
void mf__note_at(mf_graph *g, uint32_t mask, const uint32_t *at);
/* What a name in brackets or in `where` means at a stage: an axis of it, or a column. */
bool mf__find_subject(const stage_def *def, const char *name, const mf_place *place, subject *s);
/* The text that is compared; NULL where the case has no such column. */
const char *mf__subject_text(const mf_graph *g, const subject *s, const uint32_t *at);

#endif
