/* curves.c - tables with a column `step` as curves: the loss of a training against its steps. */
#include "chart.h"
#include "markup.h"
#include "report.h"
#include <stdlib.h>
#include <string.h>

#define MOST_LINES 12  /* nodes of one stage in one chart */
#define MOST_CHARTS 12 /* columns of one table */

/* The tables of one output of a stage, those that are there. */
typedef struct family {
    mf_sheet sheets[MOST_LINES];
    const char *nodes[MOST_LINES];
    int steps[MOST_LINES];
    size_t count, left_out;
} family;

static void clear(family *f)
{
    for (size_t i = 0; i < f->count; i++)
        mf_sheet_clear(&f->sheets[i]);
    memset(f, 0, sizeof *f);
}

static mf_status read_node(report *r, size_t node, size_t port, family *f)
{
    mf_artifact *table;
    mf_sheet *sheet = &f->sheets[f->count];
    mf_status status;

    MF_TRY(report_output(r, node, port, &table));
    if (!table)
        return MF_OK;
    status = mf_sheet_read(table, sheet);
    mf_artifact_unref(table);
    MF_TRY(status);
    f->steps[f->count] = sheet_steps(sheet);
    if (f->steps[f->count] < 0) {
        mf_sheet_clear(sheet);
        return MF_OK;
    }
    f->nodes[f->count++] = mf_plan_at(r->plan, node)->node->name;
    return MF_OK;
}

static const double *column(const mf_sheet *sheet, const char *name)
{
    for (size_t c = 0; c < sheet->count; c++) {
        if (!strcmp(sheet->columns[c].name, name) && sheet->columns[c].numbers)
            return sheet->columns[c].numbers->data;
    }
    return NULL;
}

static void draw_column(report *r, const family *f, size_t c)
{
    const char *name = f->sheets[0].columns[c].name;
    const char *x_name = f->sheets[0].columns[f->steps[0]].name;
    chart_line lines[MOST_LINES];
    size_t count = 0;

    for (size_t i = 0; i < f->count; i++) {
        const double *y = column(&f->sheets[i], name);
        if (y)
            lines[count++] = (chart_line){f->sheets[i].columns[f->steps[i]].numbers->data, y,
                                          f->sheets[i].rows, report_color(i)};
    }
    fputs("<figure><figcaption><b>", r->out);
    put_text(r->out, name);
    fputs("</b></figcaption>\n", r->out);
    chart_draw(r->out, lines, count, x_name, 320, 190);
    fputs("</figure>\n", r->out);
}

static void draw_family(report *r, const mf_graph_stage *stage, size_t port, const family *f)
{
    size_t drawn = 0;

    fputs("<h3>", r->out);
    put_text(r->out, stage->label);
    fputs("<small>", r->out);
    put_text(r->out, stage->stage->out[port].name);
    fputs("</small></h3>\n", r->out);
    if (f->count > 1) {
        fputs("<p class=\"note\">", r->out);
        for (size_t i = 0; i < f->count; i++) {
            fprintf(r->out,
                    "<svg width=\"10\" height=\"10\" style=\"display:inline\"><rect "
                    "width=\"10\" height=\"10\" fill=\"%s\"/></svg> ",
                    report_color(i));
            put_text(r->out, f->nodes[i]);
            fputs("&ensp; ", r->out);
        }
        if (f->left_out)
            fprintf(r->out, "and %zu more that are not drawn", f->left_out);
        fputs("</p>\n", r->out);
    }
    fputs("<div class=\"charts\">\n", r->out);
    for (size_t c = 0; c < f->sheets[0].count && drawn < MOST_CHARTS; c++) {
        if ((int)c == f->steps[0] || !f->sheets[0].columns[c].numbers)
            continue;
        draw_column(r, f, c);
        drawn++;
    }
    fputs("</div>\n", r->out);
}

static void draw_stage(report *r, const mf_graph_stage *stage, size_t port, bool *any)
{
    family f = {0};
    size_t troubles = 0;

    for (size_t i = 0; i < stage->count; i++) {
        mf_status status = MF_OK;
        if (f.count < MOST_LINES)
            status = read_node(r, stage->first + i, port, &f);
        else
            f.left_out++;
        /* The section of tables says what is wrong: it reads them all. */
        troubles += status != NULL;
        mf_error_free(status);
        if (!f.count && i >= 2 + troubles)
            break; /* tables of one stage are of one kind */
    }
    if (f.count) {
        if (!*any)
            fputs("<h2 id=\"results\">Curves</h2>\n", r->out);
        *any = true;
        draw_family(r, stage, port, &f);
    }
    clear(&f);
}

mf_status report_curves(report *r)
{
    bool any = false;

    for (size_t i = 0; i < mf_graph_stage_count(r->w->graph); i++) {
        const mf_graph_stage *stage = mf_graph_stage_at(r->w->graph, i);
        for (size_t p = 0; p < mf_port_count(stage->stage->out); p++) {
            if (!strcmp(stage->stage->out[p].type, "table"))
                draw_stage(r, stage, p, &any);
        }
    }
    if (!any)
        fputs("<span id=\"results\"></span>\n", r->out);
    return MF_OK;
}
