/* key.c - a node's components as canonical JSON: names sorted, nothing that changes by itself. */
#include "run/key.h"
#include "run/numerics.code.h"

#include <massflow/compute.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

static void put_pair(FILE *out, const char *name, const char *value, bool *first)
{
    if (!*first)
        fputc(',', out);
    *first = false;
    put_text(out, name);
    fputc(':', out);
    put_text(out, value);
}

const mf_axis_value *mf_element_axis(const mf_work *work, const mf_element *e, size_t k)
{
    for (size_t i = 0; i < e->axis_count; i++) {
        bool own = false;
        for (size_t j = 0; j < work->axis_count && !own; j++)
            own = strcmp(work->axes[j].axis, e->axes[i].axis) == 0;
        if (!own && k-- == 0)
            return &e->axes[i];
    }
    return NULL;
}

bool mf_work_wants_device(const mf_work *work)
{
    bool wants = work->stage->kernels || work->stage->program;

    for (size_t i = 0; i < work->feed_count && !wants; i++)
        wants = work->feeds[i].stream && mf_work_wants_device(work->feeds[i].stream);
    return wants;
}

/* One element of an input. Where case ids are told to the stage they, the columns and the axes that
 * are gathered are part of what it sees; the path is not told. */
static void put_element(FILE *out, const mf_work *work, const mf_feed *feed, const mf_element *e)
{
    bool first = true;

    if (!(feed->port->marks & MF_KEYED)) {
        put_text(out, e->id);
        return;
    }
    fputs("{\"artifact\":", out);
    put_text(out, e->id);
    if (mf_element_axis(work, e, 0)) {
        fputs(",\"axes\":{", out);
        for (size_t k = 0; mf_element_axis(work, e, k); k++)
            put_pair(out, mf_element_axis(work, e, k)->axis, mf_element_axis(work, e, k)->value,
                     &first);
        fputc('}', out);
    }
    fputs(",\"case\":", out);
    put_text(out, e->case_id);
    if (e->row) {
        first = true;
        fputs(",\"columns\":{", out);
        for (size_t i = 0; i < mf_graph_column_count(e->row->graph); i++) {
            const char *name = mf_graph_column(e->row->graph, i);
            const char *value = mf_case_column(e->row, name);
            if (value && strcmp(name, "id") != 0 && strcmp(name, "path") != 0)
                put_pair(out, name, value, &first);
        }
        fputc('}', out);
    }
    fputc('}', out);
}

static void put_feed(FILE *out, const mf_work *work, const mf_feed *feed, const char *recipe)
{
    if (feed->stream) {
        fputs(recipe, out);
    } else if (feed->list) {
        fputc('[', out);
        for (size_t i = 0; i < feed->count; i++) {
            if (i)
                fputc(',', out);
            put_element(out, work, feed, &feed->elements[i]);
        }
        fputc(']', out);
    } else {
        put_element(out, work, feed, &feed->elements[0]);
    }
}

static int by_port_name(const void *a, const void *b)
{
    const mf_feed *const *x = a, *const *y = b;

    return strcmp((*x)->port->name, (*y)->port->name);
}

static mf_status put_inputs(FILE *out, const mf_work *work, const char *const *recipes)
{
    const mf_feed **order = calloc(work->feed_count ? work->feed_count : 1, sizeof *order);
    bool first = true;

    if (!order)
        return mf_fail(MF_NO_MEMORY, "no memory for a key");
    for (size_t i = 0; i < work->feed_count; i++)
        order[i] = &work->feeds[i];
    if (work->feed_count)
        qsort(order, work->feed_count, sizeof *order, by_port_name);
    fputs(",\"inputs\":{", out);
    for (size_t i = 0; i < work->feed_count; i++) {
        if (!order[i]->stream && !order[i]->count && !order[i]->list)
            continue;
        if (!first)
            fputc(',', out);
        first = false;
        put_text(out, order[i]->port->name);
        fputc(':', out);
        put_feed(out, work, order[i], recipes[order[i] - work->feeds]);
    }
    fputc('}', out);
    free(order);
    return MF_OK;
}

static void put_code(FILE *out, const mf_work *work, bool by_version)
{
    char code[80];

    if (by_version)
        snprintf(code, sizeof code, "version %d", work->stage->version);
    else
        mf_stage_code(work->stage, code);
    put_text(out, code);
}

static mf_status put_paths(FILE *out, const mf_work *work, const mf_key_source *source)
{
    size_t count = mf_params_path_count(work->params);

    if (!count)
        return MF_OK;
    fputs(",\"paths\":{", out);
    for (size_t i = 0; i < count; i++) {
        mf_file_use use = {.stage = work->stage};
        use.path = mf_params_path(work->params, i, &use.param);
        const char *digest = source->digest(source->self, &use);
        if (!digest)
            return mf_fail(MF_IO, "%s could not be read", use.path);
        if (i)
            fputc(',', out);
        put_text(out, use.param);
        fputc(':', out);
        put_text(out, digest);
    }
    fputc('}', out);
    return MF_OK;
}

static mf_status put_all(FILE *out, const mf_work *work, const char *const *recipes,
                         const mf_key_source *source)
{
    fputc('{', out);
    if (work->stage->random && *work->case_id) {
        fputs("\"case\":", out);
        put_text(out, work->case_id);
        fputc(',', out);
    }
    fputs("\"code\":", out);
    put_code(out, work, source->by_version);
    fprintf(out, ",\"format\":%d", MF_KEY_FORMAT);
    MF_TRY(put_inputs(out, work, recipes));
    if (work->stage->program && source->by_version)
        fprintf(out, ",\"numerics\":\"version %d\"", MF_NUMERICS_VERSION);
    else if (work->stage->program)
        fprintf(out, ",\"numerics\":\"%s\"", MF_NUMERICS_CODE);
    fprintf(out, ",\"params\":%s",
            source->of_state ? mf_params_base_json(work->params) : mf_params_json(work->params));
    MF_TRY(put_paths(out, work, source));
    fputs(",\"stage\":", out);
    put_text(out, work->stage->name);
    fputc('}', out);
    return MF_OK;
}

mf_status mf_key_components(const mf_work *work, const char *const *recipes,
                            const mf_key_source *source, char **json)
{
    size_t size = 0;
    FILE *out;
    mf_status status;

    *json = NULL;
    out = open_memstream(json, &size);
    if (!out)
        return mf_fail(MF_NO_MEMORY, "no memory for a key");
    status = put_all(out, work, recipes, source);
    if (fclose(out) != 0 && !status)
        status = mf_fail(MF_NO_MEMORY, "no memory for a key");
    if (status) {
        free(*json);
        *json = NULL;
    }
    return status;
}
