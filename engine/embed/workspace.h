/* workspace.h - what a workspace is made of, for the files that do its work. */
#ifndef MASSFLOW_EMBED_WORKSPACE_H
#define MASSFLOW_EMBED_WORKSPACE_H

#include <massflow/embed.h>

#include "embed/opened.h"
#include "run/schedule/run.h"
#include "run/task/host.h"

#include <pthread.h>
#include <stdatomic.h>

struct mf_workspace {
    atomic_int refs; /* its opener's, and one for each plan and run of it */
    char *cache;     /* as given, or NULL */
    char *devices;   /* the same */
    bool by_version;
    pthread_mutex_t lock; /* of `look`, and of whoever asks the graph which files it reads */
    mf_opened look;
    mf_store **gone; /* caches that were deleted meanwhile: plans still look into them */
    size_t gone_count;
    pthread_mutex_t run_lock; /* of what follows */
    bool running, cancelled;
    mf_host *host; /* of the run, once it has one */
};

/* `ask` with what the workspace was opened with; `ask` may be NULL. */
mf_opened_ask mf_workspace_asked(const mf_workspace *w, const mf_workspace_ask *ask);
/* Opens the cache for reading if it has come to be, or anew if it was deleted. With the lock held.
 */
MF_MUST_USE mf_status mf_workspace_look(mf_workspace *w);

/* Who brings workers on other machines to a run. All is called in the thread of the run. */
typedef struct mf_workspace_helpers {
    /* The graph is planned, and nothing has begun: options of the run may be changed. An error is
     * that of the run. */
    mf_status (*plan)(void *self, mf_opened *opened, mf_plan *plan, mf_run_options *options);
    /* The host is open: it may be given workers. An error is that of the run; `end` is not called
     * then. */
    mf_status (*begin)(void *self, mf_host *host);
    void (*event)(void *self, const mf_run_event *event); /* before the workspace's own watch */
    void (*end)(void *self); /* nothing runs any more; the host is still there */
    void *self;
} mf_workspace_helpers;
/* mf_workspace_run with workers on other machines. `helpers` may be NULL. */
MF_MUST_USE mf_status mf_workspace_run_helped(mf_workspace *w, const mf_workspace_ask *ask,
                                              const mf_workspace_run_options *options,
                                              const mf_workspace_helpers *helpers,
                                              mf_workspace_result *result);

#endif
