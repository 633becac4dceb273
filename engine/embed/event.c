/* event.c - see event.h. */
#include "embed/event.h"

#include <stdlib.h>

const char *mf_event_text(mf_run_event_kind kind)
{
    switch (kind) {
    case MF_RUN_PLANNED:
        return "planned";
    case MF_RUN_STARTED:
        return "started";
    case MF_RUN_DONE:
        return "done";
    case MF_RUN_FOUND:
        return "cached";
    case MF_RUN_FAILED:
        return "failed";
    case MF_RUN_BLOCKED:
        return "blocked";
    case MF_RUN_WAITING:
        return "waiting";
    case MF_RUN_OVERTIME:
        return "overtime";
    case MF_RUN_RETURNED:
        return "returned";
    case MF_RUN_LOG:
        return "log";
    case MF_RUN_STOPPING:
    case MF_RUN_STOP_NOW:
        return "stopping";
    default:
        return NULL;
    }
}

mf_workspace_counts mf_event_counts(const mf_run_counts *c)
{
    return (mf_workspace_counts){.wanted = c->wanted,
                                 .done = c->done,
                                 .cached = c->cached,
                                 .failed = c->failed,
                                 .blocked = c->blocked,
                                 .imported = c->imported};
}

/* What runs, for free(); NULL where nothing does, or memory is short: then a tick says less. */
static mf_workspace_active *copy_active(const mf_run_event *event)
{
    mf_workspace_active *active =
        event->active_count ? calloc(event->active_count, sizeof *active) : NULL;

    for (size_t i = 0; active && i < event->active_count; i++) {
        const mf_run_active *a = &event->active[i];
        active[i] = (mf_workspace_active){.node = a->node,
                                          .seconds = a->seconds,
                                          .done = a->state.done,
                                          .total = a->state.total,
                                          .words = a->state.words};
    }
    return active;
}

void mf_event_tell(mf_workspace_watch watch, void *self, const mf_run_event *event)
{
    if (!watch)
        return;
    mf_workspace_active *active = copy_active(event);
    const char *kind = event->kind == MF_RUN_TICK ? "tick" : mf_event_text(event->kind);
    mf_workspace_event told = {.kind = kind,
                               .node = event->node,
                               .text = event->text,
                               .seconds = event->seconds,
                               .active = active,
                               .active_count = active ? event->active_count : 0};

    if (event->counts)
        told.counts = mf_event_counts(event->counts);
    if (kind)
        watch(self, &told);
    free(active);
}
