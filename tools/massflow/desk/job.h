/* job.h - what the desk computes for a page besides runs of the graph: stages on top of the user's
 * graph (own_graph.h). One at a time, with progress, and stopped by the page. */
#ifndef MASSFLOW_DESK_JOB_H
#define MASSFLOW_DESK_JOB_H

#include "own_graph.h"
#include "parts.h"

/* One of them. */
typedef struct desk_job {
    desk *d;
    own_graph graph; /* its texts are the job's */
    char *cache, *path;
    mf_setting *own; /* set_0, set_1, ... */
} desk_job;

/* Takes what it needs of the desk: the graph that is open now, with its settings. It is cleared in
 * any case. */
MF_MUST_USE mf_status desk_job_begin(desk *d, desk_job *j);
void desk_job_clear(desk_job *j);
/* Writes the graph (own_graph_write) and opens it. The caller closes *w. */
MF_MUST_USE mf_status desk_job_open(desk_job *j, const char *name,
                                    void (*put)(FILE *f, const void *self), const void *self,
                                    mf_workspace **w);
/* Runs targets of it, after what others run; a failed node is an error with its text. */
MF_MUST_USE mf_status desk_job_run(desk_job *j, mf_workspace *w, const char *const *targets,
                                   size_t count);

/* ---- results of the user's graph, as a page names them: "scan[case=012].volume" ---------------
 */

/* There is one of that name and type. */
MF_MUST_USE mf_status desk_output_check(const mf_workspace *w, const char *wanted,
                                        const char *type);
/* As a graph that includes it names it, "scan.volume[case=012]"; for free(). */
char *desk_output_included(const char *output);
/* In the opened graph of a job, its name there: it is still the one that the page shows. Else a
 * mask of one scan would lie over another, or come from a model that was trained anew since. */
MF_MUST_USE mf_status desk_output_same(mf_workspace *w, const char *included, const char *id);

#endif
