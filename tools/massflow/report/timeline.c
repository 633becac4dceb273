/* timeline.c - the section that shows a run: which node ran when, memory, and sums by stage. */
#include "../past.h"
#include "chart.h"
#include "markup.h"
#include "report.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 960
#define LEFT 8
#define LANE 15
#define MOST_LANES 40 /* of a host */
#define MOST_WORKERS 200
#define MEMORY_HEIGHT 54
#define BINS 320
#define NAMED 60 /* a bar this wide bears its name */

typedef struct span {
    double from, to; /* seconds since the first node */
    size_t host, lane, stage;
    const mf_run_node *node;
} span;

/* The process of the run, or a worker: lanes of its own, below a line with its name. */
typedef struct host {
    const char *name; /* "" of the process */
    double free_at[MOST_LANES];
    size_t lanes, first; /* of all: where its lanes begin */
} host;

typedef struct times {
    report *r;
    span *spans;
    host *hosts;
    size_t count, host_count, lanes;
    double length; /* seconds */
} times;

/* The stage of a recorded node by its name, "masks[case=1]"; the count of stages where the graph
 * has it no more. */
static size_t stage_of(const report *r, const char *node)
{
    size_t length = strcspn(node, "["), i = 0;

    for (; i < mf_graph_stage_count(r->w->graph); i++) {
        const char *label = mf_graph_stage_at(r->w->graph, i)->label;
        if (strlen(label) == length && !strncmp(label, node, length))
            break;
    }
    return i;
}

static size_t host_of(times *t, const char *name)
{
    size_t i = 0;

    while (i < t->host_count && strcmp(t->hosts[i].name, name))
        i++;
    if (i < t->host_count)
        return i;
    if (i > MOST_WORKERS)
        return MOST_WORKERS; /* those that came last share one */
    t->hosts[i].name = name;
    return t->host_count++;
}

/* Each node goes to the first lane of its host that is free: lanes are what ran at once. */
static size_t lane_of(host *h, const span *s)
{
    size_t lane = 0;

    while (lane + 1 < MOST_LANES && h->free_at[lane] > s->from + 1e-3)
        lane++;
    h->free_at[lane] = s->to;
    h->lanes = lane + 1 > h->lanes ? lane + 1 : h->lanes;
    return lane;
}

static bool is_named(const times *t)
{
    return t->host_count > 1;
}

/* One below the other. */
static void stack_hosts(times *t)
{
    for (size_t i = 0; i < t->host_count; i++) {
        if (i && !t->hosts[i].lanes)
            continue;
        t->hosts[i].first = t->lanes + is_named(t);
        t->lanes += t->hosts[i].lanes + is_named(t);
    }
    for (size_t i = 0; i < t->count; i++)
        t->spans[i].lane += t->hosts[t->spans[i].host].first;
}

static mf_status lay_out(times *t)
{
    double zero = 0;
    report *r = t->r;

    t->spans = calloc(r->node_count + 1, sizeof *t->spans);
    t->hosts = calloc(MOST_WORKERS + 2, sizeof *t->hosts);
    if (!t->spans || !t->hosts)
        return mf_no_memory((size_t)(r->node_count + 1) * sizeof *t->spans, "a timeline");
    host_of(t, "");
    for (size_t i = 0; i < r->node_count; i++) {
        const mf_run_node *n = &r->nodes[i];
        span *s = &t->spans[t->count];
        if (!(n->started > 0))
            continue;
        if (!t->count)
            zero = n->started;
        *s = (span){.from = n->started - zero,
                    .to = n->started - zero + n->seconds,
                    .host = host_of(t, n->place),
                    .stage = stage_of(r, n->node),
                    .node = n};
        s->lane = lane_of(&t->hosts[s->host], s);
        t->length = s->to > t->length ? s->to : t->length;
        t->count++;
    }
    stack_hosts(t);
    return MF_OK;
}

static double x_of(const times *t, double seconds)
{
    return LEFT + seconds / (t->length > 0 ? t->length : 1) * (WIDTH - 2 * LEFT);
}

static void words_axis(double seconds, double step, char text[32])
{
    char number[32];

    if (step >= 60) {
        snprintf(text, 32, "%.0f min", seconds / 60);
    } else {
        chart_number(seconds, step, number);
        snprintf(text, 32, "%.20s s", number);
    }
}

/* Round places in seconds: beyond two minutes those of minutes. */
static void draw_axis(const times *t, double y, double top)
{
    double first, step;
    char text[32];

    chart_ticks(0, t->length > 120 ? t->length / 60 : t->length, 10, &first, &step);
    if (t->length > 120)
        step = step * 60 < 60 ? 60 : step * 60;
    for (double s = 0; s <= t->length * 1.0001 && step > 0; s += step) {
        words_axis(s, step, text);
        fprintf(t->r->out,
                "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#e3e7eb\"/><text x=\"%.1f\" y=\"%.1f\" "
                "text-anchor=\"%s\">%s</text>\n",
                x_of(t, s), top, y, x_of(t, s), y + 13, s > 0 ? "middle" : "start", text);
    }
}

static void draw_bar(const times *t, const span *s)
{
    double x = x_of(t, s->from), width = x_of(t, s->to) - x;
    const mf_run_node *n = s->node;
    bool failed = n->outcome != MF_NODE_DONE;
    char took[32];

    width = width < 0.6 ? 0.6 : width;
    words_seconds(n->seconds, took);
    fprintf(t->r->out,
            "<rect x=\"%.2f\" y=\"%zu\" width=\"%.2f\" height=\"%d\" fill=\"%s\"%s><title>", x,
            s->lane * LANE + 2, width, LANE - 3, report_color(s->stage),
            failed ? " stroke=\"#a02a20\" stroke-width=\"2\"" : "");
    put_text(t->r->out, n->node);
    if (*n->place) {
        fputs(" on ", t->r->out);
        put_text(t->r->out, n->place);
    }
    fprintf(t->r->out, " \xe2\x80\x93 %s, %s</title></rect>\n", mf_outcome_text(n->outcome), took);
    if (width < NAMED)
        return;
    fprintf(t->r->out, "<text x=\"%.1f\" y=\"%zu\" fill=\"#fff\">", x + 5, s->lane * LANE + 12);
    put_short(t->r->out, n->node, (size_t)(width / 6.6));
    fputs("</text>\n", t->r->out);
}

/* A node's peak holds for all of its time, so what was resident at a moment was at most the least
 * peak of those that ran. Nodes in processes of their own tell nothing of this one. */
static void draw_memory(const times *t, double top)
{
    double bound[BINS], most = 0, first, step;
    char text[32];

    for (int b = 0; b < BINS; b++)
        bound[b] = NAN;
    for (size_t i = 0; i < t->count; i++) {
        const span *s = &t->spans[i];
        double scale = BINS / (t->length > 0 ? t->length : 1);
        if (!s->node->peak_bytes || s->node->own_process)
            continue;
        for (int b = (int)(s->from * scale); b <= (int)(s->to * scale) && b < BINS; b++)
            bound[b] = isnan(bound[b]) ? (double)s->node->peak_bytes
                                       : fmin(bound[b], (double)s->node->peak_bytes);
    }
    for (int b = 0; b < BINS; b++)
        most = isnan(bound[b]) || bound[b] < most ? most : bound[b];
    if (!(most > 0))
        return;
    fputs("<path fill=\"#c9d6e3\" d=\"", t->r->out);
    for (int b = 0; b < BINS; b++) {
        double height = isnan(bound[b]) ? 0 : bound[b] / most * MEMORY_HEIGHT;
        double x = LEFT + (double)b / BINS * (WIDTH - 2 * LEFT);
        if (height > 0)
            fprintf(t->r->out, "M%.1f %.1fv%.1fh%.2fV%.1fz", x, top + MEMORY_HEIGHT, -height,
                    (double)(WIDTH - 2 * LEFT) / BINS + 0.1, top + MEMORY_HEIGHT);
    }
    fputs("\"/>\n", t->r->out);
    chart_ticks(0, most, 3, &first, &step);
    for (double v = step; v <= most; v += step) {
        double y = top + MEMORY_HEIGHT - v / most * MEMORY_HEIGHT;
        words_bytes(v, text);
        fprintf(t->r->out,
                "<path d=\"M%d %.1fH%d\" stroke=\"#8a939d\" stroke-dasharray=\"2 3\"/><text "
                "x=\"%d\" y=\"%.1f\" fill=\"#5a6470\">%s</text>\n",
                LEFT, y, WIDTH - LEFT, LEFT + 2, y - 2, text);
    }
    fprintf(t->r->out,
            "<text x=\"%d\" y=\"%.1f\" fill=\"#5a6470\">resident "
            "memory, at most</text>\n",
            LEFT, top - 6);
}

static void draw_host(const times *t, size_t i)
{
    const host *h = &t->hosts[i];

    if (i && !h->lanes)
        return;
    fprintf(t->r->out, "<text x=\"%d\" y=\"%zu\" fill=\"#5a6470\">", LEFT,
            (h->first - 1) * LANE + 12);
    put_text(t->r->out, i == MOST_WORKERS ? "other workers" : *h->name ? h->name : "this process");
    fputs("</text>\n", t->r->out);
}

static void draw(const times *t)
{
    double lanes = (double)t->lanes * LANE + 4, memory = lanes + 44;
    double height = memory + MEMORY_HEIGHT + 4;

    fprintf(t->r->out,
            "<figure><svg viewBox=\"0 0 %d %.0f\" width=\"%d\" height=\"%.0f\" font-size=\"10\" "
            "fill=\"#20262d\">\n",
            WIDTH, height, WIDTH, height);
    draw_axis(t, lanes, 0);
    for (size_t i = 0; is_named(t) && i < t->host_count; i++)
        draw_host(t, i);
    for (size_t i = 0; i < t->count; i++)
        draw_bar(t, &t->spans[i]);
    draw_memory(t, memory);
    fputs("</svg></figure>\n", t->r->out);
}

/* ---- by stage -------------------------------------------------------------------------------- */

typedef struct stage_sums {
    size_t outcomes[MF_OUTCOME_COUNT];
    double seconds, longest;
    int64_t peak;
    bool own_process;
    const char *device;
} stage_sums;

/* Columns of the table: an outcome of its own, or those of nodes that did not end. */
static const struct {
    const char *name;
    unsigned outcomes; /* bits */
} columns[] = {
    {"run", 1u << MF_NODE_DONE},
    {"cached", 1u << MF_NODE_CACHED},
    {"failed", 1u << MF_NODE_FAILED},
    {"not ended", 1u << MF_NODE_BLOCKED | 1u << MF_NODE_CANCELLED | 1u << MF_NODE_RUNNING}};
#define COLUMNS (sizeof columns / sizeof *columns)

static size_t count_of(const stage_sums *s, size_t column)
{
    size_t count = 0;

    for (int o = 0; o < MF_OUTCOME_COUNT; o++)
        count += columns[column].outcomes >> o & 1 ? s->outcomes[o] : 0;
    return count;
}

static void put_stage(report *r, size_t i, const stage_sums *s, const bool *shown)
{
    char took[32] = "", longest[32] = "", peak[32] = "", count[24];

    if (s->seconds > 0) {
        words_seconds(s->seconds, took);
        words_seconds(s->longest, longest);
    }
    if (s->peak)
        words_bytes((double)s->peak, peak);
    fprintf(r->out,
            "<tr><td><svg width=\"10\" height=\"10\" style=\"display:inline\"><rect "
            "width=\"10\" height=\"10\" fill=\"%s\"/></svg> ",
            report_color(i));
    put_text(r->out, mf_graph_stage_at(r->w->graph, i)->label);
    fputs("</td>", r->out);
    for (size_t c = 0; c < COLUMNS; c++) {
        snprintf(count, sizeof count, "%zu", count_of(s, c));
        if (shown[c])
            fprintf(r->out, "<td class=\"n\">%s</td>", count_of(s, c) ? count : "");
    }
    fprintf(r->out, "<td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s%s</td><td>",
            took, longest, peak, s->own_process ? " *" : "");
    put_text(r->out, s->device ? s->device : "");
    fputs("</td></tr>\n", r->out);
}

static void sum_up(const report *r, stage_sums *sums)
{
    for (size_t i = 0; i < r->node_count; i++) {
        const mf_run_node *n = &r->nodes[i];
        stage_sums *s = &sums[stage_of(r, n->node)];
        s->outcomes[n->outcome]++;
        s->seconds += n->seconds;
        s->longest = n->seconds > s->longest ? n->seconds : s->longest;
        s->peak = n->peak_bytes > s->peak ? n->peak_bytes : s->peak;
        s->own_process |= n->own_process;
        if (*n->device)
            s->device = n->device;
    }
}

static mf_status put_stages(report *r)
{
    size_t count = mf_graph_stage_count(r->w->graph);
    stage_sums *sums = calloc(count + 1, sizeof *sums);
    bool shown[COLUMNS] = {false}, own = false;

    if (!sums)
        return mf_no_memory(0, "a report");
    sum_up(r, sums);
    for (size_t i = 0; i < count; i++) {
        own |= sums[i].own_process;
        for (size_t c = 0; c < COLUMNS; c++)
            shown[c] |= count_of(&sums[i], c) > 0;
    }
    fputs("<table><tr><th>stage</th>", r->out);
    for (size_t c = 0; c < COLUMNS; c++) {
        if (shown[c])
            fprintf(r->out, "<th class=\"n\">%s</th>", columns[c].name);
    }
    fputs("<th class=\"n\">time in all</th><th class=\"n\">longest</th><th class=\"n\">peak "
          "memory</th><th>device</th></tr>\n",
          r->out);
    for (size_t i = 0; i < count; i++) {
        bool any = false;
        for (size_t c = 0; c < COLUMNS; c++)
            any |= count_of(&sums[i], c) > 0;
        if (any)
            put_stage(r, i, &sums[i], shown);
    }
    fprintf(r->out,
            "</table>\n<p class=\"note\">Peak memory: the most that was resident while a node of "
            "the stage ran, of all of massflow with what ran beside it, looked at ten times a "
            "second%s.</p>\n",
            own ? "; * of the node's own process" : "");
    free(sums);
    return MF_OK;
}

static void put_failures(report *r)
{
    for (size_t i = 0; i < r->node_count; i++) {
        const mf_run_node *n = &r->nodes[i];
        if (n->outcome != MF_NODE_FAILED)
            continue;
        fputs("<p class=\"bad\"><b>", r->out);
        put_text(r->out, n->node);
        fputs("</b> failed: ", r->out);
        put_text(r->out, n->message);
        fputs("</p>\n", r->out);
    }
}

static void put_run(report *r)
{
    char when[32], took[32], counts[160], workers[80];

    words_time(r->run->start, when);
    words_took(r->run, took);
    words_counts(r->run, counts);
    fprintf(r->out, "<p>Run %" PRId64 ", started %s on ", r->run->id, when);
    put_text(r->out, r->run->host);
    fprintf(r->out, ", massflow ");
    put_text(r->out, r->run->version);
    fprintf(r->out, ", %d worker slot%s: %s%s%s; %s.", r->run->slots, r->run->slots == 1 ? "" : "s",
            r->run->status, *took ? " in " : "", took, counts);
    if (words_workers(r->nodes, r->node_count, workers))
        fprintf(r->out, " %s.", workers);
    if (r->run != r->runs)
        fprintf(r->out, " Runs after it did nothing for these results.");
    fputs("</p>\n<pre>", r->out);
    put_text(r->out, r->run->command);
    fputs("</pre>\n", r->out);
}

mf_status report_timeline(report *r)
{
    times t = {.r = r};
    mf_status status;

    fputs("<h2 id=\"run\">Run</h2>\n", r->out);
    if (!r->run) {
        fputs(r->run_count ? "<p>No run with this cache made any of these results.</p>\n"
                           : "<p>This graph has not been run with this cache.</p>\n",
              r->out);
        return MF_OK;
    }
    put_run(r);
    put_failures(r);
    status = lay_out(&t);
    if (!status && t.count)
        draw(&t);
    free(t.spans);
    free(t.hosts);
    MF_TRY(status);
    return put_stages(r);
}
