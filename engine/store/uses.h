/* uses.h - which nodes of which graphs have an artifact as their result, by the record of runs. */
#ifndef MASSFLOW_STORE_USES_H
#define MASSFLOW_STORE_USES_H

#include "store/store.h"

typedef struct mf_use {
    const char *graph, *node; /* absolute path; "" where no run here came to it: imported */
    const char *stage, *port; /* that made it */
    char id[MF_HEX_SIZE];
    const char *type;
    bool present;
    int64_t bytes, stored, created; /* as mf_artifact_entry */
} mf_use;
/* Borrowed for the call. An error ends the list. */
typedef mf_status (*mf_use_call)(void *self, const mf_use *use);

/* In order of graph and node; an artifact once for each node that has it, also where that was with
 * other parameters. `graph`: of that one alone; NULL: of all, and what no run came to at last. */
MF_MUST_USE mf_status mf_store_list_uses(mf_store *store, const char *graph, mf_use_call tell,
                                         void *self);

#endif
