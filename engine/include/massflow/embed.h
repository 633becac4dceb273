/* embed.h - massflow inside another program: open a graph, plan it, run it, read what came out.
 *
 * A workspace is a graph file with its plugins and its cache. Any thread may call any function
 * here; calls on one workspace that plan or open artifacts wait for each other, and it has one run
 * at a time, during which everything else still answers. Artifacts are read by artifact.h. They
 * stay readable when their workspace is closed. Texts that a struct points to are borrowed from the
 * object it was asked of.
 *
 * The library sets no signal handlers, and changes neither the current folder nor the environment.
 * Drivers of OpenCL devices may set handlers when a run opens them. Handles do not survive a fork:
 * a child process opens its own. Programs are started by the library for isolated stages and for
 * the first check of a device: the command massflow of the same build or installation. */
#ifndef MASSFLOW_EMBED_H
#define MASSFLOW_EMBED_H

#include <massflow/artifact.h>

#ifdef __cplusplus
extern "C" {
#endif

MF_API const char *mf_version(void); /* "0.1.0"; static */

/* A parameter of a graph, as --set NAME=VALUE. A value in brackets ("[1, 2]") is a list, all else
 * is text. Relative paths in it start from the current folder, those in the file from the file's.
 */
typedef struct mf_setting {
    const char *name, *value; /* both given */
} mf_setting;

/* ---- workspaces ------------------------------------------------------------------------------ */

typedef struct mf_workspace mf_workspace; /* opaque: a graph with its plugins and its cache */

/* How a graph is opened. Zeros are the defaults. All is copied. */
typedef struct mf_workspace_options {
    const mf_setting *settings; /* parameters of the graph */
    size_t setting_count;       /* how many there are */
    const char *plugins;        /* besides the standard ones: a folder, a file NAME.py, or NULL */
    const char *cache;          /* its folder; NULL: .massflow beside the graph */
    const char *devices;        /* as --device: "cpu", "gpu", "all", a number, a name; or NULL */
    bool by_version;            /* stages are known by their version, not their sources */
} mf_workspace_options;

/* Reads a graph file. What is wrong with it is one error of kind MF_INVALID, whose message has all
 * errors of the file with their places. *warnings: those of the file, NULL where there are none;
 * the caller frees. Nothing is created. `options` may be NULL. */
MF_API MF_MUST_USE mf_status mf_workspace_open(const char *graph,
                                               const mf_workspace_options *options, char **warnings,
                                               mf_workspace **workspace);
/* NULL is fine. References are counted: plans and a run that are there keep what they need. */
MF_API void mf_workspace_close(mf_workspace *workspace);
/* One reference more, which mf_workspace_close gives back. */
MF_API mf_workspace *mf_workspace_ref(mf_workspace *workspace);

MF_API const char *mf_workspace_path(const mf_workspace *w); /* of the graph file, absolute */
/* The graph as text, one stage a line; the caller frees. NULL when memory is short. */
MF_API char *mf_workspace_text(const mf_workspace *w);

/* A stage as the file writes it. */
typedef struct mf_workspace_stage {
    const char *name;    /* in the graph: "scan" */
    const char *use;     /* the stage: "volume.load" */
    const char *summary; /* of that, one line */
    size_t first, count; /* its nodes */
    bool stream;         /* it never runs by itself and stores nothing */
} mf_workspace_stage;
MF_API size_t mf_workspace_stage_count(const mf_workspace *w); /* in topological order */
/* Of the i-th stage; i is below the count. */
MF_API void mf_workspace_stage_at(const mf_workspace *w, size_t i, mf_workspace_stage *stage);
/* From an output of a stage to a stage that reads it. */
typedef struct mf_workspace_link {
    size_t from, to;    /* indices of the stages */
    size_t port;        /* index of the output */
    const char *output; /* its name, */
    const char *type;   /* and its type */
    bool gathers;       /* many nodes go into one */
} mf_workspace_link;
/* All of them; the caller frees *links. */
MF_API MF_MUST_USE mf_status mf_workspace_links(const mf_workspace *w, mf_workspace_link **links,
                                                size_t *count);
MF_API size_t mf_workspace_node_count(const mf_workspace *w);          /* nodes of all stages */
MF_API const char *mf_workspace_node(const mf_workspace *w, size_t i); /* "scan[case=012]" */
/* The name and *type of the k-th output of node i; NULL past the last. */
MF_API const char *mf_workspace_output(const mf_workspace *w, size_t i, size_t k,
                                       const char **type);
/* The parameters that node i runs with, those that the file leaves out with their defaults, as a
 * JSON object: name and value. The caller frees. */
MF_API MF_MUST_USE mf_status mf_workspace_node_params_json(const mf_workspace *w, size_t i,
                                                           char **json);
MF_API size_t mf_workspace_case_count(const mf_workspace *w);          /* cases of the file */
MF_API const char *mf_workspace_case(const mf_workspace *w, size_t i); /* the id of the i-th */

/* The parameters of the graph in the order of the file, as a JSON list of objects: name; value, as
 * --set takes it; written, the value of the file; set, whether a setting gave the value; comment,
 * of the file behind the value; and where a stage's parameter takes the value as it is, that stage
 * and param, an object as those of mf_stages_json. The caller frees. */
MF_API MF_MUST_USE mf_status mf_workspace_params_json(const mf_workspace *w, char **json);

/* The stages of the standard plugins and of `plugins` (a folder, a file NAME.py, or NULL), in order
 * of name, as a JSON list of objects: name, summary, help; in and out (name, type, help); params
 * (name, kind, help, unit, and where they have it default, range, choices). The caller frees. */
MF_API MF_MUST_USE mf_status mf_stages_json(const char *plugins, char **json);

/* ---- what is asked for ----------------------------------------------------------------------- */

/* Which nodes: all where nothing is said. */
typedef struct mf_workspace_ask {
    const char *const *targets; /* "masks", "seg[case=012]", "seg[shots=5]" */
    size_t target_count;        /* how many */
    const char *const *cases;   /* only these cases */
    size_t case_count;          /* how many */
} mf_workspace_ask;

/* ---- plans ----------------------------------------------------------------------------------- */

typedef struct mf_forecast mf_forecast; /* opaque: what is known already, and what has to run */

/* How a node stands: name, text. */
#define MF_STANDS(X)                                                                               \
    X(MF_STANDS_UNWANTED, "unwanted")   /* nothing that was asked for needs it */                  \
    X(MF_STANDS_CACHED, "cached")       /* its result is in the cache */                           \
    X(MF_STANDS_TO_RUN, "to run")       /* its result is not known */                              \
    X(MF_STANDS_UNDECIDED, "undecided") /* the result of a node above decides */                   \
    X(MF_STANDS_FAILED, "failed")       /* it can't run */                                         \
    X(MF_STANDS_BLOCKED, "blocked")     /* a node above can't run */                               \
    X(MF_STANDS_STREAM, "stream")       /* computed while it is read */

/* How a node stands before a run. */
typedef enum mf_stands {
#define X(stands, text) stands,
    MF_STANDS(X)
#undef X
        MF_STANDS_COUNT
} mf_stands;
MF_API const char *mf_stands_text(mf_stands stands); /* "to run"; static */

/* Finds out what would run. Files that the graph reads are hashed. Nothing is created. `ask` may
 * be NULL. The caller frees *forecast. */
MF_API MF_MUST_USE mf_status mf_workspace_plan(mf_workspace *w, const mf_workspace_ask *ask,
                                               mf_forecast **forecast);
MF_API void mf_forecast_free(mf_forecast *forecast); /* NULL is fine */
/* How many nodes stand like that. */
MF_API size_t mf_forecast_count(const mf_forecast *forecast, mf_stands stands);
/* How node i of the workspace stands. */
MF_API mf_stands mf_forecast_node(const mf_forecast *forecast, size_t i);
/* The id of the k-th output of node i, where it is in the cache; else NULL. Borrowed. */
MF_API const char *mf_forecast_output(const mf_forecast *forecast, size_t i, size_t k);
/* Why node i stands like that: in one line, or with all changes since it last ran. The caller frees
 * *text. */
MF_API MF_MUST_USE mf_status mf_forecast_why(mf_forecast *forecast, size_t i, bool in_full,
                                             char **text);

/* ---- runs ------------------------------------------------------------------------------------ */

/* Numbers of nodes. */
typedef struct mf_workspace_counts {
    size_t wanted;                        /* to be known at the end */
    size_t done, cached, failed, blocked; /* how they ended so far */
    size_t imported;                      /* of the cached ones */
} mf_workspace_counts;

/* A node that runs. */
typedef struct mf_workspace_active {
    const char *node;    /* its name */
    double seconds;      /* since it started */
    int64_t done, total; /* its progress; total 0: not known */
    const char *words;   /* "loss 0.31", or "" */
} mf_workspace_active;

/* What happens in a run. `kind` is one of
 *
 *     planned                       counts
 *     started, done, cached         node; seconds of `done`
 *     failed, blocked               node, text; seconds of `failed`
 *     waiting                       node, text: another process computes it
 *     overtime                      node, text: its time is over, and it goes on
 *     log                           node, text: a line that the stage logged
 *     notice                        text: a line about a device
 *     stopping                      the run was cancelled
 *     tick                          active, active_count
 *     export                        node, text: the path of a file that was written
 *     export failed                 node, text
 */
typedef struct mf_workspace_event {
    const char *kind;                  /* see above; static */
    const char *node, *text;           /* NULL where there is none; until the callback returns */
    double seconds;                    /* that it ran */
    mf_workspace_counts counts;        /* so far; not of `notice` and exports */
    const mf_workspace_active *active; /* what runs */
    size_t active_count;               /* how many */
} mf_workspace_event;
/* Called in the thread that called mf_workspace_run. */
typedef void (*mf_workspace_watch)(void *self, const mf_workspace_event *event);

/* How a graph is run. Zeros are the defaults. */
typedef struct mf_workspace_run_options {
    int jobs;                 /* worker slots; 0: as many as the machine has cores */
    bool fail_fast;           /* the first failure stops the run */
    bool force;               /* exports also replace files that massflow did not write */
    int tick;                 /* milliseconds between ticks; 0: none */
    const char *command;      /* what the record of the run names; or NULL */
    mf_workspace_watch watch; /* may be NULL */
    void *self;               /* for watch */
} mf_workspace_run_options;

/* How it ended. */
typedef struct mf_workspace_result {
    mf_workspace_counts counts; /* at the end */
    size_t exports_failed;      /* files that could not be written */
    bool cancelled;             /* mf_workspace_cancel ended it */
    int64_t run;                /* its number in the cache */
} mf_workspace_result;

/* Runs what is asked for and not known yet, and writes the exports of the graph unless it was
 * cancelled. Makes the cache where it is missing. Failed nodes are no error of the call: see the
 * events, and the counts. `ask` and `options` may be NULL. */
MF_API MF_MUST_USE mf_status mf_workspace_run(mf_workspace *w, const mf_workspace_ask *ask,
                                              const mf_workspace_run_options *options,
                                              mf_workspace_result *result);
/* Ends the run that is going on, from another thread: stages end at their next cancel point, and
 * those that save their state do so. Calling it again, or without a run, does nothing. */
MF_API void mf_workspace_cancel(mf_workspace *w);

/* ---- results --------------------------------------------------------------------------------- */

/* The result of a node, as "scan[case=012]", or with its output, "scan[case=012].volume", where it
 * has several. MF_NOT_FOUND where it is not in the cache. The caller unrefs *artifact. */
MF_API MF_MUST_USE mf_status mf_workspace_artifact(mf_workspace *w, const char *name,
                                                   mf_artifact **artifact);
/* The artifact of that id (64 hex digits), whichever node it came from. */
MF_API MF_MUST_USE mf_status mf_workspace_artifact_of_id(mf_workspace *w, const char *id,
                                                         mf_artifact **artifact);
/* Writes it to a file, by its suffix, as `massflow get` does. `force`: also in the place of a file
 * that massflow did not write. */
MF_API MF_MUST_USE mf_status mf_workspace_write(mf_workspace *w, const char *name, const char *path,
                                                bool force);
/* The same of an artifact that is open already. */
MF_API MF_MUST_USE mf_status mf_workspace_write_artifact(mf_workspace *w,
                                                         const mf_artifact *artifact,
                                                         const char *path, bool force);

/* ---- streams --------------------------------------------------------------------------------- *
 * A stream's items are made while they are read, by threads that work ahead, and are never stored.
 * They are those that a stage reads: item i depends on the graph and i alone. One thread at a time
 * reads a stream. */

typedef struct mf_items mf_items; /* opaque: a stream that is being read */
/* Begins to read the stream of a node, "views" or "views[seed=1]", at its first item. What it is
 * made from must be in the cache, else MF_NOT_FOUND. mf_items_close frees *items. */
MF_API MF_MUST_USE mf_status mf_workspace_items(mf_workspace *w, const char *name, int threads,
                                                mf_items **items);
/* The next item, in memory, which the caller unrefs; NULL past the end of a finite stream. */
MF_API MF_MUST_USE mf_status mf_items_next(mf_items *items, mf_artifact **item);
MF_API MF_MUST_USE mf_status mf_items_seek(mf_items *items, int64_t i); /* the next one is item i */
MF_API void mf_items_close(mf_items *items);                            /* NULL is fine */

/* ---- states ---------------------------------------------------------------------------------- */

/* The newest state that the stage of a node saved while it ran on this kind of device, in memory,
 * which the caller unrefs, and the *step after which it was saved. MF_NOT_FOUND where there is
 * none. A run may be going on. */
MF_API MF_MUST_USE mf_status mf_workspace_state(mf_workspace *w, const char *name, int64_t *step,
                                                mf_artifact **state);

/* ---- others ---------------------------------------------------------------------------------- */

/* The command massflow of this build or installation; NULL where there is none. The caller frees.
 */
MF_API char *mf_workspace_command(void);

#ifdef __cplusplus
}
#endif
#endif
