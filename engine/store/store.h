/* store.h - artifacts, actions and runs, kept in SQLite in one folder.
 *
 *   cache.db    the index: artifacts, actions, runs, digests of files (WAL; a rollback journal
 *               on network file systems)
 *   chunks.db   the data of arrays, in content-addressed chunks (64 KiB pages, rollback journal)
 *
 * Any thread may call anything here. Writes are handed to one writer thread, which gathers what is
 * waiting into one transaction; a call that writes returns when its data is committed, or with the
 * error. Reads run in the calling thread on connections of their own. Chunks are committed before
 * the artifact, and the artifact before the action, that names them: a crash at any moment leaves
 * at worst chunks that nothing names. Several processes may have one store open.
 *
 * Ids and keys are SHA-256 in 64 hex digits, lower case. Times are seconds since 1970 (UTC). */
#ifndef MASSFLOW_STORE_STORE_H
#define MASSFLOW_STORE_STORE_H

#include <massflow/artifact.h>

#include "store/digest.h"

typedef struct mf_store mf_store;

/* ---- opening --------------------------------------------------------------------------------- */

typedef enum mf_store_mode {
    MF_STORE_READ, /* never creates or changes anything: for commands that only look; every call
                      that writes fails with MF_INVALID. A folder without a store is MF_NOT_FOUND */
    MF_STORE_WRITE /* makes the folder and the files where they are missing */
} mf_store_mode;

/* Fails with MF_UNSUPPORTED on a store of a newer schema, naming both versions. */
MF_MUST_USE mf_status mf_store_open(const char *dir, mf_store_mode mode, mf_store **store);
/* Has this process say what it waits for, where another one keeps a file of a store locked: after a
 * second, then each minute, in the thread that waits. For all stores; set it before any is opened.
 */
typedef void (*mf_store_waiting)(void *self, const char *text);
void mf_store_on_wait(mf_store_waiting waiting, void *self);
/* Writes what is still waiting and closes. Lazy artifacts that are still held stay readable.
 * NULL is fine. */
void mf_store_close(mf_store *store);
const char *mf_store_dir(const mf_store *store);
/* Whether its folder still has the files that were opened: else somebody has deleted or replaced
 * the cache, and what is read here is of the old one. */
bool mf_store_stands(const mf_store *store);

/* Between these two the calling thread's look-ups share one read transaction: many are then several
 * times faster, and all see one state of the store (not what is written meanwhile, also not by this
 * thread). For a plan over many nodes. Hold it for seconds, not for a whole run. Calls nest. On a
 * network file system, where there is no WAL, it does nothing: a reader would keep the writer
 * waiting. */
MF_MUST_USE mf_status mf_store_hold(mf_store *store);
void mf_store_release(mf_store *store);

/* Between these two no other process collects what this one has just looked up or stored, and has
 * not yet named in an action or in its run. Pinned from opening for writing until a run's first
 * nodes are recorded. Calls nest; any thread. Hold it for moments. */
void mf_store_pin(mf_store *store);
void mf_store_unpin(mf_store *store);

/* ---- artifacts ------------------------------------------------------------------------------- */

/* Stores `artifact` and writes its id. Equal content (type, attributes, arrays; not the order in
 * which they were added) gives an equal id and is stored once. `artifact` itself stays as it is: to
 * let go of its memory, unref it and get the lazy one. Uses several threads for large arrays. */
MF_MUST_USE mf_status mf_store_put(mf_store *store, const mf_artifact *artifact,
                                   char id[MF_HEX_SIZE]);
/* Only the id that mf_store_put would give; nothing is written. */
MF_MUST_USE mf_status mf_store_identify(const mf_artifact *artifact, char id[MF_HEX_SIZE]);

/* The lazy artifact of that id: attributes are there, arrays are read on demand, verified by digest
 * (MF_CORRUPT where they do not match: the artifact then counts as not present any more, so that
 * the next run makes it again). MF_NOT_FOUND where there is none or its data was dropped. */
MF_MUST_USE mf_status mf_store_get(mf_store *store, const char *id, mf_artifact **artifact);
/* Whether the data of that artifact is there (not whether every byte is sound). */
MF_MUST_USE mf_status mf_store_has(mf_store *store, const char *id, bool *present);

typedef struct mf_artifact_entry {
    char id[MF_HEX_SIZE];
    char type[64];
    bool present;   /* false: known by its id, data dropped */
    int64_t bytes;  /* of its arrays, uncompressed */
    int64_t stored; /* of its chunks as stored, each counted though others may share it */
    int64_t created;
} mf_artifact_entry;

/* Artifacts, newest first: of `type` (NULL for all), whose id begins with `prefix` (NULL for any),
 * at most `limit` (0: all). The caller frees *entries with free(). */
MF_MUST_USE mf_status mf_store_list_artifacts(mf_store *store, const char *type, const char *prefix,
                                              size_t limit, mf_artifact_entry **entries,
                                              size_t *count);
/* The one id that begins with `prefix` (4 digits or more): MF_NOT_FOUND or, where several do,
 * MF_INVALID with some of them in the message. */
MF_MUST_USE mf_status mf_store_resolve(mf_store *store, const char *prefix, char id[MF_HEX_SIZE]);

/* ---- actions --------------------------------------------------------------------------------- */

typedef struct mf_action_output {
    const char *port;
    int64_t position;     /* in an output list; 0 for a port of one artifact */
    char id[MF_HEX_SIZE]; /* artifact */
    bool present;         /* set by look-ups: the data is there. Not read by mf_store_record */
} mf_action_output;

typedef struct mf_action {
    char key[MF_HEX_SIZE];
    const char *stage;      /* "mass.train" */
    const char *components; /* JSON text of everything that went into the key. Look-ups by key leave
                               it NULL: see mf_store_components */
    const char *device;     /* device class that made it; "" where no device took part */
    double seconds;         /* wall time of the stage */
    int64_t peak_bytes;     /* of host memory; 0 where it is not known */
    int64_t created;        /* set by mf_store_record; of an imported one by where it was made */
    int64_t run;            /* id of the run that made it; 0 for none */
    int64_t import;         /* 0: made here; else what it came with, see mf_store_get_import */
    const char *host;       /* of an imported one: where it was made; "" where that is not known */
    mf_action_output *outputs; /* in order of port and position */
    size_t output_count;
} mf_action;

/* Records an action that was finished here. All outputs must be stored already. The same key and
 * device again replaces the older record. Ends this store's lease of the action, see leases.h. */
MF_MUST_USE mf_status mf_store_record(mf_store *store, const mf_action *action);
/* The action of that key, *action NULL where there is none: the newest that was made here, else the
 * one that was imported first. `device`: only one made by that device class, or by the host alone;
 * NULL for any. The caller frees it with mf_action_free. */
MF_MUST_USE mf_status mf_store_find(mf_store *store, const char *key, const char *device,
                                    mf_action **action);
void mf_action_free(mf_action *action); /* NULL is fine; only for what look-ups gave */
/* The JSON text of an action's key; NULL where the key is not known. The caller frees. */
MF_MUST_USE mf_status mf_store_components(mf_store *store, const char *key, char **json);

/* The actions that a node used in past runs of its graph, made by it or found by it, newest run
 * first and without repeats, at most `limit`, components filled in. For `why`: the first one whose
 * key differs from today's is the one to compare with. Free with mf_action_list_free. */
MF_MUST_USE mf_status mf_store_node_actions(mf_store *store, const char *graph, const char *node,
                                            size_t limit, mf_action ***actions, size_t *count);
/* Newest first: of `stage` (NULL for all), at most `limit` (0: all), without components. */
MF_MUST_USE mf_status mf_store_list_actions(mf_store *store, const char *stage, size_t limit,
                                            mf_action ***actions, size_t *count);
void mf_action_list_free(mf_action **actions, size_t count);

/* Where imported actions came from. Texts are "" and times 0 where that is not known. */
typedef struct mf_import {
    int64_t num;
    char *file;            /* the export file; "": before this was recorded */
    int64_t imported;      /* when */
    char *user;            /* who imported it */
    int64_t exported;      /* when the file was written, */
    char *host, *exporter; /* where and by whom */
    int64_t actions;       /* that came with it and are there */
} mf_import;

/* In order of number; free with mf_import_list_free. */
MF_MUST_USE mf_status mf_store_list_imports(mf_store *store, mf_import **imports, size_t *count);
/* One of them; *import NULL where there is none. Free with mf_import_list_free(import, 1). */
MF_MUST_USE mf_status mf_store_get_import(mf_store *store, int64_t num, mf_import **import);
void mf_import_list_free(mf_import *imports, size_t count);
/* Actions that name an artifact, those made here first, at most `limit`, without components. */
MF_MUST_USE mf_status mf_store_artifact_actions(mf_store *store, const char *id, size_t limit,
                                                mf_action ***actions, size_t *count);

/* ---- runs ------------------------------------------------------------------------------------ */

/* How a node came out. The texts are what the table holds and what commands print. */
#define MF_OUTCOMES(X)                                                                             \
    X(MF_NODE_DONE, "done")                                                                        \
    X(MF_NODE_CACHED, "cached")                                                                    \
    X(MF_NODE_FAILED, "failed")                                                                    \
    X(MF_NODE_BLOCKED, "blocked")                                                                  \
    X(MF_NODE_CANCELLED, "cancelled")                                                              \
    X(MF_NODE_RUNNING, "running") /* it still does, or the run was killed while it did */

typedef enum mf_outcome {
#define X(outcome, text) outcome,
    MF_OUTCOMES(X)
#undef X
        MF_OUTCOME_COUNT
} mf_outcome;

typedef struct mf_run_node {
    const char *node; /* "scan[case=012]" */
    mf_outcome outcome;
    double started; /* with fractions of a second; 0 where it did not start */
    double seconds;
    const char *device; /* that it ran on; NULL or "" for none */
    const char *place;  /* the worker that ran it; NULL or "" for the process of the run */
    /* The most that was resident while it ran; 0 where it is not known. Of the node's own process,
     * or of all of massflow, other nodes included: the nodes of one process can't be told apart. */
    int64_t peak_bytes;
    bool own_process;
    const char *message; /* error text; NULL or "" for none */
    const char *key;     /* of the action it used; NULL where it came to none */
} mf_run_node;

/* A line that a stage logged. */
typedef struct mf_run_line {
    const char *node;
    double at;
    const char *text;
} mf_run_line;

typedef struct mf_run_start {
    const char *graph;   /* the graph file's absolute path */
    const char *command; /* as typed */
    const char *version; /* of massflow */
    int slots;           /* worker slots */
} mf_run_start;

typedef struct mf_run_entry {
    int64_t id;
    char *graph, *command, *version, *host;
    char *status; /* "running", "done", "failed", "interrupted"; "killed" where it never ended and
                     its process is gone. On another host that can't be seen: it stays "running" */
    int64_t pid;
    int slots;
    int64_t start, end;               /* end 0: not ended, or killed */
    int64_t counts[MF_OUTCOME_COUNT]; /* nodes by mf_outcome */
} mf_run_entry;

MF_MUST_USE mf_status mf_store_run_begin(mf_store *store, const mf_run_start *start, int64_t *run);
/* Adds nodes of a run; a node given again is replaced. Give many at once where there are many (all
 * cached ones in one call): each call is one commit. */
MF_MUST_USE mf_status mf_store_run_nodes(mf_store *store, int64_t run, const mf_run_node *nodes,
                                         size_t count);
MF_MUST_USE mf_status mf_store_run_lines(mf_store *store, int64_t run, const mf_run_line *lines,
                                         size_t count);
MF_MUST_USE mf_status mf_store_run_end(mf_store *store, int64_t run, const char *status);

/* Newest first; `graph` NULL for all. Free with mf_run_list_free. */
MF_MUST_USE mf_status mf_store_list_runs(mf_store *store, const char *graph, size_t limit,
                                         mf_run_entry **runs, size_t *count);
void mf_run_list_free(mf_run_entry *runs, size_t count);
/* The nodes of one run in order of name. Free with mf_run_node_list_free. */
MF_MUST_USE mf_status mf_store_list_run_nodes(mf_store *store, int64_t run, mf_run_node **nodes,
                                              size_t *count);
void mf_run_node_list_free(mf_run_node *nodes, size_t count);
/* How the node with this key came out when it was last met: *outcome, with its message (the caller
 * frees; NULL for none). *outcome is MF_OUTCOME_COUNT where it never was. */
MF_MUST_USE mf_status mf_store_last_outcome(mf_store *store, const char *node, const char *key,
                                            mf_outcome *outcome, char **message);
/* What a node of a run logged, or all of them (NULL), in the order it was said. Free with
 * mf_run_line_list_free. */
MF_MUST_USE mf_status mf_store_list_run_lines(mf_store *store, int64_t run, const char *node,
                                              mf_run_line **lines, size_t *count);
void mf_run_line_list_free(mf_run_line *lines, size_t count);
/* How long one node of a stage takes, by what its nodes took that came out well. */
typedef enum mf_past_from {
    MF_PAST_GRAPH,    /* in the newest runs of this graph */
    MF_PAST_IMPORTED, /* where imported results of the stage were made */
    MF_PAST_STAGE     /* in other graphs on this cache, whatever their parameters were */
} mf_past_from;
typedef struct mf_past_times {
    double median; /* s */
    size_t count;  /* nodes that it is the median of, the newest MF_PAST_MOST; 0: not known */
    mf_past_from from;
} mf_past_times;
#define MF_PAST_MOST 100
/* From the first of these sources that has any. `graph`: its real path; `label`: the stage's name
 * there; `stage`: its own name. */
MF_MUST_USE mf_status mf_store_past_times(mf_store *store, const char *graph, const char *label,
                                          const char *stage, mf_past_times *past);
/* The names of that stage's nodes in earlier runs of the graph, newest run first, at most `limit`;
 * *ran says whether the graph ran at all. Free with mf_name_list_free. */
MF_MUST_USE mf_status mf_store_past_nodes(mf_store *store, const char *graph, const char *label,
                                          size_t limit, char ***names, size_t *count, bool *ran);
void mf_name_list_free(char **names, size_t count);
/* Whether a node of a graph once had a result of that key, though it may be gone by now. */
MF_MUST_USE mf_status mf_store_node_used(mf_store *store, const char *graph, const char *node,
                                         const char *key, bool *used);
/* The node that made a result in that run; NULL where it is not known. The caller frees. */
MF_MUST_USE mf_status mf_store_maker(mf_store *store, int64_t run, const char *key, char **node);
const char *mf_outcome_text(mf_outcome outcome);

/* ---- input files ----------------------------------------------------------------------------- */

/* The content digest of a file or folder (mf_digest_path). A file is read again only when its size,
 * inode, mtime or ctime is not what it was when it was last hashed, or when it was hashed so soon
 * after its last change that a later change might not show. Calls from several threads go in
 * parallel. In MF_STORE_READ what was hashed is not remembered. */
MF_MUST_USE mf_status mf_store_file(mf_store *store, const char *path, char digest[MF_HEX_SIZE]);

/* ---- what is there --------------------------------------------------------------------------- */

typedef struct mf_store_type_stat {
    char type[64];
    int64_t count, bytes, stored; /* artifacts whose data is present; as mf_artifact_entry */
} mf_store_type_stat;

typedef struct mf_store_stat {
    int schema;
    int64_t artifacts, dropped; /* present; known but without data */
    int64_t actions, imported;  /* imported ones among the actions */
    int64_t runs, files, chunks;
    int64_t bytes;             /* logical: arrays of all present artifacts, uncompressed */
    int64_t stored;            /* chunks as stored, each once */
    int64_t file_bytes;        /* cache.db and chunks.db on disk */
    mf_store_type_stat *types; /* most stored first */
    size_t type_count;
} mf_store_stat;

MF_MUST_USE mf_status mf_store_get_stat(mf_store *store, mf_store_stat *stat);
void mf_store_stat_clear(mf_store_stat *stat);

#endif
