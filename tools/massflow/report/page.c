/* page.c - the page of a report: its head, its sections in order, what they share. */
#include "markup.h"
#include "page.css.h"
#include "report.h"
#include "run/artifact/check.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void put_head(report *r)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "style-src 'unsafe-inline'; img-src data:\">\n<title>",
          r->out);
    put_text(r->out, base_name(mf_graph_path(r->w->graph)));
    fputs(" \xe2\x80\x93 massflow report</title>\n<style>\n", r->out);
    fputs(page_css, r->out);
    fputs("</style>\n</head>\n<body>\n<main>\n", r->out);
}

mf_status report_write(report *r)
{
    static mf_status (*const sections[])(report *) = {
        report_overview, report_graph,    report_timeline,   report_curves, report_tables,
        report_pictures, report_settings, report_provenance, report_source};

    put_head(r);
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        MF_TRY(sections[i](r));
    fputs("</main>\n</body>\n</html>\n", r->out);
    return MF_OK;
}

mf_status report_output(report *r, size_t node, size_t port, mf_artifact **artifact)
{
    const mf_plan_node *n = mf_plan_at(r->plan, node);

    *artifact = NULL;
    if (n->state != MF_PLAN_CACHED || !n->outputs[port].present)
        return MF_OK;
    return mf_open_artifact(r->w->store, r->w->registry, n->outputs[port].id, artifact);
}

void report_trouble(report *r, size_t node, mf_status status)
{
    char *text;

    if (!status)
        return;
    text = mf_error_text(status);
    fputs("<p class=\"bad\"><b>", r->out);
    put_text(r->out, mf_plan_at(r->plan, node)->node->name);
    fputs("</b> can't be shown: ", r->out);
    put_text(r->out, text ? text : "out of memory");
    fputs("</p>\n", r->out);
    free(text);
    mf_error_free(status);
}

int sheet_steps(const mf_sheet *sheet)
{
    for (size_t c = 0; c < sheet->count && sheet->rows > 1; c++) {
        const mf_sheet_column *column = &sheet->columns[c];
        const double *v = column->numbers ? column->numbers->data : NULL;
        bool rising = true;
        if (!v || (strcmp(column->name, "step") != 0 && strcmp(column->name, "epoch")))
            continue;
        for (int64_t i = 1; i < sheet->rows && rising; i++)
            rising = v[i] > v[i - 1];
        if (rising)
            return (int)c;
    }
    return -1;
}

const char *report_color(size_t i)
{
    static const char *const colors[] = {
        "#35618f", "#c8702a", "#3f8f5b", "#a8446b", "#7a63b0", "#8a7a1f", "#2f9aa8", "#b0503f",
        "#5f7d2f", "#4f6bb8", "#9a5fa0", "#1f6f6a", "#8c5a2b", "#c23b7a", "#6b8e9e", "#3c3f8a"};

    return colors[i % (sizeof colors / sizeof *colors)];
}
