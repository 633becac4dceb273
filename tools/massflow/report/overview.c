/* overview.c - the head of a report: what it is of, how it stands, the figures that matter. */
#include "../past.h"
#include "graph_svg.h"
#include "markup.h"
#include "report.h"
#include "states.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

static state_tally tally_all(report *r)
{
    state_tally all = {0};

    for (size_t i = 0; i < mf_graph_stage_count(r->w->graph); i++) {
        state_tally t = tally_stage(r->plan, mf_graph_stage_at(r->w->graph, i));
        for (int s = 0; s < STATE_COUNT; s++)
            all.count[s] += t.count[s];
        all.wanted += t.wanted - t.count[STATE_STREAM];
    }
    return all;
}

static void fact(report *r, const char *value, const char *what)
{
    fputs("<div><b>", r->out);
    put_text(r->out, value);
    fputs("</b><span>", r->out);
    put_text(r->out, what);
    fputs("</span></div>\n", r->out);
}

static void put_facts(report *r, const state_tally *all)
{
    char text[160], took[32];
    int64_t peak = 0;

    fputs("<div class=\"facts\">\n", r->out);
    snprintf(text, sizeof text, "%zu", all->wanted);
    fact(r, text, "nodes");
    snprintf(text, sizeof text, "%zu", all->count[STATE_CACHED]);
    fact(r, text, "in the cache");
    snprintf(text, sizeof text, "%zu", mf_graph_case_count(r->w->graph));
    fact(r, text, "cases");
    if (r->run) {
        words_took(r->run, took);
        fact(r, *took ? took : "not known", "took the run shown below");
        for (size_t i = 0; i < r->node_count; i++)
            peak = r->nodes[i].peak_bytes > peak ? r->nodes[i].peak_bytes : peak;
        words_bytes((double)peak, text);
        if (peak)
            fact(r, text, "peak of resident memory");
    }
    fputs("</div>\n", r->out);
}

/* What a reader must not miss: that something is not there. */
static void put_state(report *r, const state_tally *all)
{
    size_t open = all->count[STATE_RUN] + all->count[STATE_UNDECIDED];

    if (all->count[STATE_CACHED] == all->wanted) {
        fputs("<p>All results are in the cache and belong to this graph file, its parameters and "
              "the code of this massflow.</p>\n",
              r->out);
        return;
    }
    fprintf(r->out,
            "<p class=\"bad\">Not all of this graph has been computed: %zu of %zu nodes are to be "
            "run or undecided",
            open, all->wanted);
    if (all->count[STATE_FAILED])
        fprintf(r->out, ", %zu can't run", all->count[STATE_FAILED]);
    fputs(". What is shown below is what there is.</p>\n", r->out);
}

mf_status report_overview(report *r)
{
    const char *path = mf_graph_path(r->w->graph), *slash = strrchr(path, '/');
    state_tally all = tally_all(r);
    char when[32];

    words_time((int64_t)time(NULL), when);
    fputs("<h1>", r->out);
    put_text(r->out, slash ? slash + 1 : path);
    fprintf(r->out, "</h1>\n<p class=\"sub\">massflow %s \xc2\xb7 report of %s</p>\n", MF_VERSION,
            when);
    put_state(r, &all);
    put_facts(r, &all);
    fputs("<nav><a href=\"#graph\">Graph</a><a href=\"#run\">Run</a><a href=\"#results\">Results"
          "</a><a href=\"#settings\">Stages and parameters</a><a href=\"#provenance\">Provenance"
          "</a><a href=\"#source\">Graph file</a></nav>\n",
          r->out);
    return MF_OK;
}

mf_status report_graph(report *r)
{
    fputs(
        "<h2 id=\"graph\">Graph</h2>\n<p class=\"note\">Each box is a stage, with how many nodes "
        "it has: one for each case or value of its axes. Lines bear the type of what flows; thick "
        "ones bring all nodes of a stage together.</p>\n<figure class=\"scroll\">\n",
        r->out);
    MF_TRY(graph_svg(r->out, r->w->graph, r->plan, false));
    fputs("</figure>\n", r->out);
    return MF_OK;
}
