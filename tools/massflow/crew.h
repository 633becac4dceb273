/* crew.h - the workers of a run as a small file in its cache, for 'massflow workers': written every
 * second or so, and removed at the end. It is nothing that anything relies on. */
#ifndef MF_CREW_H
#define MF_CREW_H

#include "run/schedule/run.h"
#include "run_pools.h"
#include "workspace.h"

#include <json-c/json.h>

typedef struct crew crew;

/* Of a run that has workers; NULL where memory is short. Borrows all three. */
crew *crew_new(const workspace *w, mf_workers *workers, run_pools *pools);
/* In the thread of the run. Does nothing within a second of the last time. */
void crew_note(crew *c, const mf_run_counts *counts);
void crew_free(crew *c); /* removes the file; NULL is fine */

/* The runs of a cache that have workers, as objects of crew.c: an array, for json_object_put. */
MF_MUST_USE mf_status crew_read(const char *cache, json_object **runs);

#endif
