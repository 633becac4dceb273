/* tables.c - tables that are no curves; those of many nodes as one, with the node in front. */
#include "markup.h"
#include "report.h"
#include <stdlib.h>
#include <string.h>

#define MOST_ROWS 20 /* of one table; the rest is counted */

typedef struct writer {
    report *r;
    const mf_graph_stage *stage;
    size_t port;
    size_t columns; /* 0: nothing written yet */
    int64_t rows;   /* written, and left out */
    bool *any;      /* the section has its title */
} writer;

static void begin(writer *w, const mf_sheet *sheet)
{
    FILE *out = w->r->out;

    if (!*w->any)
        fputs("<h2>Tables</h2>\n<div class=\"tables\">\n", out);
    *w->any = true;
    w->columns = sheet->count;
    fputs("<section>\n<h3>", out);
    put_text(out, w->stage->label);
    fputs("<small>", out);
    put_text(out, w->stage->stage->out[w->port].name);
    fputs("</small></h3>\n<div class=\"scroll\"><table><tr>", out);
    if (w->stage->count > 1)
        fputs("<th>node</th>", out);
    for (size_t c = 0; c < sheet->count; c++) {
        fprintf(out, "<th%s>", sheet->columns[c].numbers ? " class=\"n\"" : "");
        put_text(out, sheet->columns[c].name);
        fputs("</th>", out);
    }
    fputs("</tr>\n", out);
}

static mf_status put_row(writer *w, const mf_sheet *sheet, int64_t row, const char *node)
{
    FILE *out = w->r->out;

    fputs("<tr>", out);
    if (w->stage->count > 1) {
        fputs("<td>", out);
        put_text(out, strchr(node, '[') ? strchr(node, '[') : node);
        fputs("</td>", out);
    }
    for (size_t c = 0; c < sheet->count; c++) {
        char *cell = mf_sheet_cell(sheet, c, row, 5);
        if (!cell)
            return mf_no_memory(0, "a table");
        fprintf(out, "<td%s>", sheet->columns[c].numbers ? " class=\"n\"" : "");
        put_text(out, sheet->columns[c].numbers && !*cell ? "\xe2\x80\x93" : cell);
        fputs("</td>", out);
        free(cell);
    }
    fputs("</tr>\n", out);
    return MF_OK;
}

static mf_status put_sheet(writer *w, const mf_sheet *sheet, const char *node)
{
    mf_status status = MF_OK;

    if (sheet_steps(sheet) >= 0)
        return MF_OK;
    if (!w->columns && sheet->count)
        begin(w, sheet);
    if (sheet->count != w->columns)
        return MF_OK; /* of another form than the stage's first */
    for (int64_t i = 0; i < sheet->rows && !status; i++, w->rows++) {
        if (w->rows < MOST_ROWS)
            status = put_row(w, sheet, i, node);
    }
    return status;
}

static mf_status put_node(writer *w, size_t node)
{
    mf_artifact *table;
    mf_sheet sheet;
    mf_status status;

    MF_TRY(report_output(w->r, node, w->port, &table));
    if (!table)
        return MF_OK;
    status = mf_sheet_read(table, &sheet);
    mf_artifact_unref(table);
    MF_TRY(status);
    status = put_sheet(w, &sheet, mf_plan_at(w->r->plan, node)->node->name);
    mf_sheet_clear(&sheet);
    return status;
}

static void put_stage(report *r, const mf_graph_stage *stage, size_t port, bool *any)
{
    writer w = {.r = r, .stage = stage, .port = port, .any = any};

    for (size_t i = 0; i < stage->count; i++) {
        mf_status status = put_node(&w, stage->first + i);
        /* Inside a table there is no place for it. */
        if (status && w.columns)
            fputs("<tr class=\"more\"><td colspan=\"100\">", r->out);
        report_trouble(r, stage->first + i, status);
        if (status && w.columns)
            fputs("</td></tr>\n", r->out);
    }
    if (w.rows > MOST_ROWS)
        fprintf(r->out,
                "<tr class=\"more\"><td colspan=\"%zu\">and %lld more rows: massflow get "
                "has them all</td></tr>\n",
                w.columns + 1, (long long)(w.rows - MOST_ROWS));
    if (w.columns)
        fputs("</table></div>\n</section>\n", r->out);
}

mf_status report_tables(report *r)
{
    bool any = false;

    for (size_t i = mf_graph_stage_count(r->w->graph); i-- > 0;) {
        const mf_graph_stage *stage = mf_graph_stage_at(r->w->graph, i);
        for (size_t p = 0; p < mf_port_count(stage->stage->out); p++) {
            if (!strcmp(stage->stage->out[p].type, "table"))
                put_stage(r, stage, p, &any);
        }
    }
    if (any)
        fputs("</div>\n", r->out);
    return MF_OK;
}
