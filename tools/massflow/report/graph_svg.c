/* graph_svg.c - see graph_svg.h. */
#include "graph_svg.h"
#include "layout.h"
#include "markup.h"
#include "states.h"
#include <stdlib.h>
#include <string.h>

#define MARGIN 16
#define LINE_HEIGHT 15
#define LEGEND_HEIGHT 30
#define SLOT_WIDTH 66 /* room for the name of a type beside its line */

/* What one link is, beside its place. */
typedef struct line {
    const char *type;
    bool gathers; /* all nodes of the source go into one */
    bool stream;
    bool placed; /* its slot is numbered by what is used */
} line;

typedef struct drawing {
    const mf_graph *graph;
    mf_plan *plan;
    mf_layout layout;
    line *lines;
    state_tally *tallies;
    bool seen[STATE_COUNT]; /* for the legend */
    FILE *out;
} drawing;

static mf_status no_memory(void)
{
    return mf_no_memory(0, "a drawing of the graph");
}

/* ---- boxes and links ------------------------------------------------------------------------- */

/* Widths are estimated: the page that shows it chooses the font. */
static double text_width(const char *text, double size, bool bold)
{
    return (double)text_length(text) * size * (bold ? 0.64 : 0.56);
}

static void count_words(const mf_graph_stage *stage, char text[48])
{
    text[0] = '\0';
    if (stage->count != 1 || stage->each_case)
        snprintf(text, 48, "\xc3\x97 %u", stage->count);
}

/* "44 cached, 4 to run": nothing where all is one and the colour says it. */
static void state_line(const state_tally *t, char text[160])
{
    size_t used = 0;

    text[0] = '\0';
    for (int s = 0; s < STATE_COUNT && used < 120; s++) {
        if (t->count[s] == 1 && t->wanted == 1)
            used += (size_t)snprintf(text + used, 160 - used, "%s", state_words((state)s));
        else if (t->count[s])
            used += (size_t)snprintf(text + used, 160 - used, "%s%zu %s", used ? ", " : "",
                                     t->count[s], state_words((state)s));
    }
    if (!used)
        snprintf(text, 160, "not asked for");
}

/* One link from each output of a stage to each stage that reads it. */
static mf_status find_links(drawing *d)
{
    mf_layout *l = &d->layout;
    mf_graph_link *found;
    size_t count;

    MF_TRY(mf_graph_links(d->graph, &found, &count));
    l->links = calloc(count + 1, sizeof *l->links);
    d->lines = calloc(count + 1, sizeof *d->lines);
    for (size_t i = 0; l->links && d->lines && i < count; i++) {
        const mf_graph_link *k = &found[i];
        const char *type = mf_graph_stage_at(d->graph, k->from)->stage->out[k->port].type;
        d->lines[i] =
            (line){.type = type, .gathers = k->gathers, .stream = !strncmp(type, "stream<", 7)};
        l->links[l->link_count++] = (mf_layout_link){.from = k->from, .slot = k->port, .to = k->to};
    }
    free(found);
    return l->links && d->lines ? MF_OK : no_memory();
}

/* Outputs that nobody reads take no room: slots are numbered by those that are used. */
static void find_slots(drawing *d)
{
    mf_layout *l = &d->layout;

    for (uint32_t b = 0; b < l->box_count; b++) {
        const mf_stage *stage = mf_graph_stage_at(d->graph, b)->stage;
        for (uint32_t port = 0; port < mf_port_count(stage->out); port++) {
            bool used = false;
            for (size_t i = 0; i < l->link_count; i++) {
                if (l->links[i].from != b || l->links[i].slot != port || d->lines[i].placed)
                    continue;
                l->links[i].slot = l->boxes[b].slots;
                d->lines[i].placed = true;
                used = true;
            }
            l->boxes[b].slots += used;
        }
    }
}

static void size_box(drawing *d, size_t i)
{
    const mf_graph_stage *stage = mf_graph_stage_at(d->graph, i);
    mf_layout_box *box = &d->layout.boxes[i];
    char count[48], states[160];
    double widest = text_width(stage->label, 13, true), more;

    count_words(stage, count);
    widest += *count ? text_width(count, 12, false) + 14 : 0;
    more = text_width(stage->stage->name, 11, false);
    widest = more > widest ? more : widest;
    box->height = 2 * LINE_HEIGHT + 14;
    if (d->plan) {
        state_line(&d->tallies[i], states);
        more = text_width(states, 10.5, false);
        widest = more > widest ? more : widest;
        box->height += LINE_HEIGHT;
    }
    more = box->slots > 1 ? SLOT_WIDTH * (double)(box->slots + 1) : 0;
    box->width = widest + 24 > more ? widest + 24 : more;
}

/* ---- drawing --------------------------------------------------------------------------------- */

static void draw_states(const drawing *d, size_t i)
{
    const mf_layout_box *b = &d->layout.boxes[i];
    const state_tally *t = &d->tallies[i];
    double x = b->x + 1;

    /* A bar along the lower side: how many of which. */
    for (int s = 0; s < STATE_COUNT && t->wanted; s++) {
        double width = (b->width - 2) * (double)t->count[s] / (double)t->wanted;
        if (t->count[s])
            fprintf(d->out,
                    "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"5\" fill=\"%s\"/>\n", x,
                    b->y + b->height - 6, width, state_color((state)s));
        x += width;
    }
}

static void draw_box(const drawing *d, size_t i)
{
    const mf_graph_stage *stage = mf_graph_stage_at(d->graph, i);
    const mf_layout_box *b = &d->layout.boxes[i];
    const char *style = stage->stage->item ? " stroke-dasharray=\"5 3\"" : "";
    char text[160];
    double y = b->y + 19;

    /* A stage of many nodes looks like a stack of cards. */
    if (stage->count > 1)
        fprintf(d->out,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"5\" "
                "fill=\"#ffffff\" stroke=\"#b4bac2\"/>\n",
                b->x + 4, b->y - 4, b->width, b->height);
    fprintf(d->out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"5\" fill=\"%s\" "
            "stroke=\"#5d6670\"%s/>\n",
            b->x, b->y, b->width, b->height, stage->stage->item ? "#f4f5fa" : "#ffffff", style);
    if (d->plan)
        draw_states(d, i);
    fprintf(d->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"label\">", b->x + 12, y);
    put_text(d->out, stage->label);
    fputs("</text>\n", d->out);
    count_words(stage, text);
    if (*text)
        fprintf(d->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"count\">%s</text>\n",
                b->x + b->width - 12, y, text);
    fprintf(d->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"stage\">", b->x + 12, y + LINE_HEIGHT);
    put_text(d->out, stage->stage->name);
    fputs("</text>\n", d->out);
    if (!d->plan)
        return;
    state_line(&d->tallies[i], text);
    fprintf(d->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"state\">%s</text>\n", b->x + 12,
            y + 2 * LINE_HEIGHT - 1, text);
}

static void draw_link(const drawing *d, size_t i)
{
    const mf_layout_link *k = &d->layout.links[i];
    const line *l = &d->lines[i];
    const double *p = k->points;

    fprintf(d->out, "<path class=\"%s\" d=\"M%.1f %.1f",
            l->stream    ? "link stream"
            : l->gathers ? "link all"
                         : "link",
            p[0], p[1]);
    for (size_t n = 1; n < k->count; n++) {
        double half = (p[2 * n + 1] - p[2 * n - 1]) / 2;
        fprintf(d->out, " C%.1f %.1f %.1f %.1f %.1f %.1f", p[2 * n - 2], p[2 * n - 1] + half,
                p[2 * n], p[2 * n + 1] - half, p[2 * n], p[2 * n + 1]);
    }
    fputs("\" marker-end=\"url(#arrow)\"/>\n", d->out);
}

static bool first_of_slot(const drawing *d, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (d->layout.links[k].from == d->layout.links[i].from &&
            d->layout.links[k].slot == d->layout.links[i].slot)
            return false;
    }
    return true;
}

static void draw_type(const drawing *d, size_t i)
{
    const double *p = d->layout.links[i].points;

    if (!first_of_slot(d, i))
        return;
    fprintf(d->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"type\">", p[0] + 5, p[1] + 13);
    put_text(d->out, d->lines[i].type);
    fputs("</text>\n", d->out);
}

static void draw_legend(const drawing *d, double y)
{
    double x = 0;

    for (int s = 0; s < STATE_COUNT; s++) {
        if (!d->seen[s])
            continue;
        fprintf(d->out,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"11\" height=\"11\" rx=\"2\" fill=\"%s\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" class=\"state\">%s</text>\n",
                x, y, state_color((state)s), x + 16, y + 9.5, state_words((state)s));
        x += 30 + text_width(state_words((state)s), 11, false);
    }
}

/* Rules hold in the drawing alone: it may be a part of a page. */
static const char style[] =
    "<style>.graph text{font-family:'DejaVu Sans','Liberation Sans',Helvetica,Arial,sans-serif;"
    "fill:#20262d}.graph .label{font-size:13px;font-weight:bold}"
    ".graph .count{font-size:12px;text-anchor:end;fill:#46505a}"
    ".graph .stage{font-size:11px;fill:#5d6670}.graph .state{font-size:10.5px;fill:#46505a}"
    ".graph .type{font-size:10px;fill:#5a6470;paint-order:stroke;stroke:#fff;stroke-width:3px}"
    ".graph .link{fill:none;stroke:#8a939d;stroke-width:1.3}.graph .all{stroke-width:2.6}"
    ".graph .stream{stroke:#7a86b8;stroke-dasharray:5 3}</style>\n";

static void draw(const drawing *d, bool standalone)
{
    const mf_layout *l = &d->layout;
    double width = l->width, height = l->height + (d->plan ? LEGEND_HEIGHT : 0);

    width = width < 330 ? 330 : width;
    if (standalone)
        fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", d->out);
    fprintf(d->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"graph\" width=\"%.0f\" "
            "height=\"%.0f\" viewBox=\"%d %d %.0f %.0f\">\n<title>",
            width + 2 * MARGIN, height + 2 * MARGIN, -MARGIN, -MARGIN, width + 2 * MARGIN,
            height + 2 * MARGIN);
    put_text(d->out, mf_graph_path(d->graph));
    fputs("</title>\n", d->out);
    fputs(style, d->out);
    fputs("<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" "
          "markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0.8L8 "
          "4L0 7.2z\" fill=\"#6d7680\"/></marker></defs>\n",
          d->out);
    if (standalone)
        fprintf(d->out, "<rect x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"%.0f\" fill=\"#fff\"/>\n",
                -MARGIN, -MARGIN, width + 2 * MARGIN, height + 2 * MARGIN);
    for (size_t i = 0; i < l->link_count; i++)
        draw_link(d, i);
    for (size_t i = 0; i < l->box_count; i++)
        draw_box(d, i);
    for (size_t i = 0; i < l->link_count; i++)
        draw_type(d, i);
    if (d->plan)
        draw_legend(d, l->height + LEGEND_HEIGHT - 12);
    fputs("</svg>\n", d->out);
}

static mf_status prepare(drawing *d)
{
    size_t count = mf_graph_stage_count(d->graph);

    d->layout.box_count = count;
    d->layout.gap_x = 26;
    d->layout.gap_y = 46;
    d->layout.boxes = calloc(count + 1, sizeof *d->layout.boxes);
    d->tallies = calloc(count + 1, sizeof *d->tallies);
    if (!d->layout.boxes || !d->tallies)
        return no_memory();
    MF_TRY(find_links(d));
    find_slots(d);
    for (size_t i = 0; i < count; i++) {
        if (d->plan)
            d->tallies[i] = tally_stage(d->plan, mf_graph_stage_at(d->graph, i));
        for (int s = 0; s < STATE_COUNT; s++)
            d->seen[s] |= d->tallies[i].count[s] > 0;
        size_box(d, i);
    }
    return mf_layout_solve(&d->layout);
}

mf_status graph_svg(FILE *out, const mf_graph *graph, mf_plan *plan, bool standalone)
{
    drawing d = {.graph = graph, .plan = plan, .out = out};
    mf_status status = prepare(&d);

    if (!status) {
        draw(&d, standalone);
        mf_layout_clear(&d.layout);
    }
    free(d.layout.boxes);
    free(d.layout.links);
    free(d.lines);
    free(d.tallies);
    return status;
}
