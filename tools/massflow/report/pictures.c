/* pictures.c - slices of scans with labels and masks over them, and the pictures that stages made,
 * as PNG inside the page. */
#include "../draw.h"
#include "markup.h"
#include "report.h"
#include "run/artifact/write.h"
#include <stdlib.h>
#include <string.h>

#define MOST 24 /* of the page */

/* How many nodes of a stage are shown; 0: not of this type. Samples of each are enough. */
static size_t wanted(const char *type)
{
    static const struct {
        const char *type;
        size_t count;
    } types[] = {{"image", 3},  {"labels", 2}, {"masks", 2},
                 {"sample", 1}, {"seeds", 1},  {"volume", 1}};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!strcmp(types[i].type, type))
            return types[i].count;
    }
    return 1; /* a plugin's own */
}

static mf_status put_png(FILE *out, const mf_array *rgb)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&bytes, &size);
    mf_status status;

    if (!file)
        return mf_no_memory(0, "a picture");
    status = mf_encode_png(file, rgb);
    if (fclose(file) != 0 && !status)
        status = mf_no_memory(0, "a picture");
    if (!status)
        put_base64(out, (const uint8_t *)bytes, size);
    free(bytes);
    return status;
}

static mf_status put_picture(report *r, size_t node, size_t port, const mf_artifact *a)
{
    static const mf_view view = {.axis = 0, .slice = -1, .slices = 6, .tile = 176};
    const mf_plan_node *n = mf_plan_at(r->plan, node);
    mf_array *rgb;
    mf_status status;

    MF_TRY(draw_artifact(r->w->registry, r->plan, node, a, &view, &rgb));
    fputs("<figure><img alt=\"", r->out);
    put_text(r->out, n->node->name);
    fputs("\" src=\"data:image/png;base64,", r->out);
    status = put_png(r->out, rgb);
    mf_array_unref(rgb);
    fputs("\"><figcaption><b>", r->out);
    put_text(r->out, n->node->name);
    fputs("</b> ", r->out);
    put_text(r->out, n->work.stage->out[port].name);
    fprintf(r->out, " <span class=\"id\">%.12s</span></figcaption></figure>\n",
            n->outputs[port].id);
    return status;
}

static void put_stage(report *r, const mf_graph_stage *stage, size_t port, size_t *count)
{
    size_t most = wanted(stage->stage->out[port].type), shown = 0;

    for (size_t i = 0; i < stage->count && shown < most && *count < MOST; i++) {
        mf_artifact *a;
        mf_status status = report_output(r, stage->first + i, port, &a);
        if (!status && !a)
            continue;
        if (!*count)
            fputs(
                "<h2>Pictures</h2>\n<p class=\"note\">The first cases of each stage; the number "
                "in a corner is the slice's, from below. Axial slices, the patient's right on the "
                "left. Labels and masks are drawn over their scan.</p>\n<div "
                "class=\"pictures\">\n",
                r->out);
        if (!status)
            status = put_picture(r, stage->first + i, port, a);
        report_trouble(r, stage->first + i, status);
        mf_artifact_unref(a);
        shown++;
        ++*count;
    }
}

mf_status report_pictures(report *r)
{
    size_t count = 0;

    for (size_t i = 0; i < mf_graph_stage_count(r->w->graph); i++) {
        const mf_graph_stage *stage = mf_graph_stage_at(r->w->graph, i);
        for (size_t p = 0; p < mf_port_count(stage->stage->out); p++) {
            if (draw_can(r->w->registry, stage->stage->out[p].type))
                put_stage(r, stage, p, &count);
        }
    }
    if (count)
        fputs("</div>\n", r->out);
    return MF_OK;
}
