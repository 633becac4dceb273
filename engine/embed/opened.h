/* opened.h - a graph with its plugins and its cache, as the command and programs that embed
 * massflow open them. Nothing is printed here. */
#ifndef MASSFLOW_EMBED_OPENED_H
#define MASSFLOW_EMBED_OPENED_H

#include "run/plan/plan.h"
#include "run/schedule/export.h"

typedef struct mf_opened {
    mf_registry *registry;
    mf_graph *graph;
    char *graph_path;    /* absolute */
    char *device;        /* with same_device: the only kind whose results count */
    mf_store *store;     /* NULL where there is none yet and it is only to be looked at */
    mf_exports *exports; /* that a plan asks; NULL without */
    mf_written *written; /* what massflow wrote; once it is asked */
    bool looking; /* at results: what failed when last run does not hide what went on without */
} mf_opened;

/* The standard plugins, those of `folder` (may be NULL; also a file NAME.py), and the writers that
 * need none. */
MF_MUST_USE mf_status mf_opened_registry(const char *folder, mf_registry **registry);
/* The cache of o->graph: `dir`, or .massflow beside the graph where that is NULL. To be read, one
 * that is not there yet gives no store. Sets graph_path, too. */
MF_MUST_USE mf_status mf_opened_cache(mf_opened *o, const char *dir, mf_store_mode mode);
void mf_opened_clear(mf_opened *o);

/* What is asked for. Lists may be empty. */
typedef struct mf_opened_ask {
    const char *const *targets;
    size_t target_count;
    const char *const *cases;
    size_t case_count;
    bool by_version;         /* --code version */
    bool same_device;        /* --same-device */
    const char *devices;     /* as in mf_devices_open */
    const char *const *anew; /* nodes that are run though their results are known */
    size_t anew_count;
} mf_opened_ask;
MF_MUST_USE mf_status mf_opened_plan(mf_opened *o, const mf_opened_ask *ask, mf_plan **plan);
/* Whether anything that may have to run launches kernels. */
bool mf_opened_wants_device(mf_plan *plan);

/* By what files are written: what the graph reads and the cache are kept. */
MF_MUST_USE mf_status mf_opened_rule(mf_opened *o, bool force, bool late, mf_output_rule *rule);

/* The output of one node that a text names. */
typedef struct mf_located {
    mf_plan *plan;
    size_t node;
    uint32_t port;
    const char *id; /* of its artifact, in the plan; NULL: it is not in the cache */
} mf_located;
/* The output of a node that is meant: the one named, the only one, the only one that `file` (or
 * NULL) can hold, or the only one that came out. */
MF_MUST_USE mf_status mf_opened_port(const mf_opened *o, const mf_target *target,
                                     const mf_plan_node *n, const char *file, uint32_t *port);
/* "NODE" or "NODE.PORT"; of several outputs without a port the one that `file` (or NULL) can hold.
 * `several`: a hint where more nodes than one are named; or NULL. Looks at results (`looking`) from
 * then on. */
MF_MUST_USE mf_status mf_opened_locate(mf_opened *o, const mf_opened_ask *ask, const char *text,
                                       const char *file, const char *several, mf_located *located);
void mf_located_clear(mf_located *located);

#endif
