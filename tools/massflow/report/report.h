/* report.h - what the parts of a report share. Each part is a file that writes one section. */
#ifndef MF_REPORT_H
#define MF_REPORT_H

#include "run/artifact/sheet.h"
#include "workspace.h"
#include <stdio.h>

typedef struct report {
    FILE *out;
    const args *a;
    workspace *w;
    mf_plan *plan;
    mf_run_entry *runs; /* of this graph, newest first */
    size_t run_count;
    const mf_run_entry *run; /* the newest that ran anything; NULL for none */
    mf_run_node *nodes;      /* of that run, in order of start */
    size_t node_count;
} report;

/* The whole page. */
MF_MUST_USE mf_status report_write(report *r);

/* Sections. A section that has nothing to show writes nothing. */
MF_MUST_USE mf_status report_overview(report *r);
MF_MUST_USE mf_status report_graph(report *r);
MF_MUST_USE mf_status report_timeline(report *r);
MF_MUST_USE mf_status report_curves(report *r);
MF_MUST_USE mf_status report_tables(report *r);
MF_MUST_USE mf_status report_pictures(report *r);
MF_MUST_USE mf_status report_settings(report *r);
MF_MUST_USE mf_status report_provenance(report *r);
MF_MUST_USE mf_status report_source(report *r);

/* ---- shared by sections ---------------------------------------------------------------------- */

/* A node's stored output, or NULL where it is not there; the caller unrefs. */
MF_MUST_USE mf_status report_output(report *r, size_t node, size_t port, mf_artifact **artifact);
/* What could not be read or drawn is said in its place, and the rest of the page goes on. Frees the
 * status; MF_OK is fine. */
void report_trouble(report *r, size_t node, mf_status status);
/* Whether a table is a curve: a column `step` or `epoch`, rising, and at least two rows. -1: no,
 * else that column. */
int sheet_steps(const mf_sheet *sheet);
/* One of some colours that differ. */
const char *report_color(size_t i);

#endif
