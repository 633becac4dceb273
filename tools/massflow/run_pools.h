/* run_pools.h - the pools of a run: before it, what the site says and whether the graph's stages
 * ask for pools that the run has; during it, how many workers could be used; after it, its end. */
#ifndef MF_RUN_POOLS_H
#define MF_RUN_POOLS_H

#include "listen.h"
#include "notices.h"
#include "sites.h"
#include "workspace.h"

#include "run/pool/pools.h"
#include "run/remote/workers.h"
#include "run/schedule/executor.h"

typedef struct run_pools {
    mf_site *site;
    const mf_pool **chosen;
    size_t count;
    mf_shared *shared;
    char *listen;           /* where the run is to listen */
    char *otherwise;        /* where the port of last time is taken; NULL: the user named it */
    mf_run_place *may_come; /* a worker of each pool */
    /* Once it listens. */
    mf_workers *workers;
    char *connect, *plugins;
    int slots; /* of this process */
    mf_pools *pools;
    bool stopping;
    uint64_t changes; /* of the plan, when it was last looked at */
    uint8_t *can;     /* by pool and stage of the graph: 0 not asked yet, 1 yes, 2 no */
} run_pools;

/* The pools of the site that `names` says: "gpu,cpu". `listen`: the address that workers connect
 * to, or NULL: as the site has it. Takes the site over; after an error all is zero. */
MF_MUST_USE mf_status run_pools_open(mf_site *site, const char *names, const char *listen,
                                     const workspace *w, mf_plan *plan, run_pools *r);
/* Where and how the run is to listen for them; all NULL without pools. Borrowed. */
listen_at run_pools_listen(const run_pools *r);
/* The run listens: workers may be asked for, with the stages of `plugins` (NULL: the standard ones
 * alone). `slots`: of this process. `trial`: it is about one worker; what goes wrong with it is
 * told at once. */
MF_MUST_USE mf_status run_pools_start(run_pools *r, const char *plugins, mf_workers *workers,
                                      int slots, bool trial, notices *said);
/* Now and then, in the thread of the run: how many workers could be used. */
void run_pools_look(run_pools *r, mf_plan *plan, const mf_executor *executor);
/* The run is being stopped: nothing more is asked for. */
void run_pools_stop(run_pools *r);
/* No more workers: before the listener is closed. */
void run_pools_end(run_pools *r);
void run_pools_clear(run_pools *r);

#endif
