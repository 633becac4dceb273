/* workspace.h - what the commands that look into a cache share: plugins, graph, store, plan. */
#ifndef MF_WORKSPACE_H
#define MF_WORKSPACE_H

#include "command.h"
#include "embed/opened.h"

#define OPTION_CACHE                                                                               \
    {                                                                                              \
        0, "cache", "DIR", "the cache; default: .massflow beside the graph"                        \
    }
#define OPTION_CODE                                                                                \
    {                                                                                              \
        0, "code", "digest|version",                                                               \
            "identify stages by the digest of their sources, or by their version number"           \
    }
#define OPTION_DEVICE                                                                              \
    {                                                                                              \
        0, "device", "D",                                                                          \
            "device: cpu, gpu, all, a number of 'massflow devices', part of a name; or several: "  \
            "D,D"                                                                                  \
    }
#define OPTION_SAME_DEVICE                                                                         \
    {                                                                                              \
        0, "same-device", NULL,                                                                    \
            "use only cached results of the CPU host or of this kind of device"                    \
    }
#define OPTION_CASE                                                                                \
    {                                                                                              \
        0, "case", "ID", "only this case; may be repeated"                                         \
    }

/* Of what runs a graph; what writes files has another --force, below. */
#define OPTION_FORCE_NODE                                                                          \
    {                                                                                              \
        0, "force", "NODE", "run this node or stage though its result is known; may be repeated"   \
    }
#define OPTION_FORCE                                                                               \
    {                                                                                              \
        0, "force", NULL,                                                                          \
            "also replace files that massflow did not write; inputs are never replaced"            \
    }

typedef mf_opened workspace;

/* Reads graph (first operand), plugins and cache. 0, or an exit code after printing why not. */
int workspace_open(const args *a, mf_store_mode mode, workspace *w);
void workspace_close(workspace *w);
/* Only the cache: --cache, else .massflow in the current folder. */
int workspace_open_cache(const args *a, workspace *w);

/* The plan for some targets; `targets` may be empty. */
int workspace_plan(const args *a, workspace *w, const char *const *targets, size_t count,
                   mf_plan **plan);

/* By what files are written: what the graph reads and the cache are kept. 0, or an exit code. */
int workspace_rule(const args *a, workspace *w, bool late, mf_output_rule *rule);

/* A stored artifact, and where in the graph it comes from. */
typedef struct located {
    mf_artifact *artifact;
    mf_located at; /* without a plan where it was not named by its node */
} located;
void located_clear(located *f);

/* The stored artifact that "NODE" or "NODE.PORT" of the graph names, of several outputs without a
 * port the one that `file` (or NULL) can hold. */
int workspace_artifact(const args *a, workspace *w, const char *text, const char *file, located *f);

/* "3.2 s", "2 min 10 s", "1 h 3 min" */
void words_seconds(double seconds, char text[32]);
/* "312 MB" */
void words_bytes(double bytes, char text[32]);

#endif
