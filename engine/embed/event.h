/* event.h - what happens in a run, in the words that programs are told. */
#ifndef MASSFLOW_EMBED_EVENT_H
#define MASSFLOW_EMBED_EVENT_H

#include "run/schedule/run.h"

#include <massflow/embed.h>

/* "started"; NULL for what programs are not told by a word of its own. */
const char *mf_event_text(mf_run_event_kind kind);
mf_workspace_counts mf_event_counts(const mf_run_counts *counts);
/* Hands it on; `watch` may be NULL. */
void mf_event_tell(mf_workspace_watch watch, void *self, const mf_run_event *event);

#endif
