/* pooled_run.h - a run of the desk with workers of pools: what `massflow run --pool` does. */
#ifndef MF_DESK_POOLED_RUN_H
#define MF_DESK_POOLED_RUN_H

#include "desk.h"

#include "embed/workspace.h"

typedef struct desk_pooled desk_pooled;

/* `names`: pools of the site's file, "gpu,cpu". `local`: this process has slots, too. The file is
 * read at once: the error has all that is wrong with it, with the places. */
MF_MUST_USE mf_status desk_pooled_new(desk *d, const char *names, bool local, desk_pooled **pooled);
/* For one call of mf_workspace_run_helped. */
mf_workspace_helpers desk_pooled_helpers(desk_pooled *p);
void desk_pooled_free(desk_pooled *p); /* NULL is fine; the run is over */

#endif
