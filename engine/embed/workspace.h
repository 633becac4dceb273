/* workspace.h - what a workspace is made of, for the files that do its work. */
#ifndef MASSFLOW_EMBED_WORKSPACE_H
#define MASSFLOW_EMBED_WORKSPACE_H

#include <massflow/embed.h>

#include "embed/opened.h"
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

#endif
