/* export.h - the files that a graph wants outside the cache: written where they are missing, are
 * not what was written, or are of an older result. */
#ifndef MASSFLOW_RUN_EXPORT_H
#define MASSFLOW_RUN_EXPORT_H

#include "run/output/output.h"
#include "run/plan/plan.h"

typedef struct mf_exported {
    const char *path;
    const char *node;
    bool written;      /* false: it stood there already, or it failed */
    const char *error; /* NULL when all is well */
} mf_exported;

typedef void (*mf_export_watch)(void *self, const mf_exported *file);

/* Of all nodes of the plan that are cached or done; `watch` is called for each file. What was
 * written is remembered in the store's folder (`exports`). *failed counts files that could not be
 * written. */
MF_MUST_USE mf_status mf_export_all(mf_plan *plan, const mf_registry *registry,
                                    const mf_output_rule *rule, mf_export_watch watch, void *self,
                                    size_t *failed);

/* A file that an earlier run of the graph exported, and that is none of its exports now: of a case
 * that is no longer there, or of other parameters. */
typedef struct mf_stale {
    const char *path;
    bool changed; /* somebody has changed it since: it is theirs */
    bool removed;
} mf_stale;
typedef void (*mf_stale_call)(void *self, const mf_stale *stale);
/* Tells of each that is still there as it was written. With `remove` these are removed, and those
 * that were changed (or are links now) told of and forgotten. What the graph reads now stays. */
MF_MUST_USE mf_status mf_export_stale(mf_plan *plan, const mf_output_rule *rule, bool remove,
                                      mf_stale_call tell, void *self);

/* Whether what is wanted can be written, as far as that shows before anything runs: folders that
 * can be made and written in, no folder where a file is to be, and no file of somebody's own (see
 * output.h). Changes nothing. */
MF_MUST_USE mf_status mf_export_check(mf_plan *plan, const mf_output_rule *rule);

/* Which data exports need: of files that do not stand as they were written. For mf_plan_options;
 * graph and store are borrowed. */
typedef struct mf_exports mf_exports;
MF_MUST_USE mf_status mf_exports_new(const mf_graph *graph, mf_store *store, mf_exports **exports);
void mf_exports_free(mf_exports *exports); /* NULL is fine */
bool mf_exports_need(void *exports, size_t node, size_t port, const char *id);

#endif
