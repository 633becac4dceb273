/* key.c - a node's components as canonical JSON: names sorted, nothing that changes by itself. */
#include "run/plan/key.h"
#include "run/numerics.code.h"

#include <massflow/compute.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that grows; what is wrong with it is found at the end. */
typedef struct text {
    char *data;
    size_t length, room;
    bool failed;
} text;

static void put_bytes(text *out, const char *bytes, size_t count)
{
    if (out->failed)
        return;
    if (count >= out->room - out->length) {
        size_t room = 2 * out->room + count + 512;
        char *grown = realloc(out->data, room);
        if (!grown) {
            out->failed = true;
            return;
        }
        out->data = grown;
        out->room = room;
    }
    memcpy(out->data + out->length, bytes, count);
    out->length += count;
    out->data[out->length] = '\0';
}

static void put(text *out, const char *bytes)
{
    put_bytes(out, bytes, strlen(bytes));
}

static void put_text(text *out, const char *value)
{
    const char *from = value, *c = value;
    char escaped[8];

    put(out, "\"");
    for (; *c; c++) {
        if (*c != '"' && *c != '\\' && (unsigned char)*c >= 0x20)
            continue;
        put_bytes(out, from, (size_t)(c - from));
        snprintf(escaped, sizeof escaped, *c == '"' || *c == '\\' ? "\\%c" : "\\u%04x", *c);
        put(out, escaped);
        from = c + 1;
    }
    put_bytes(out, from, (size_t)(c - from));
    put(out, "\"");
}

static void put_pair(text *out, const char *name, const char *value, bool *first)
{
    if (!*first)
        put(out, ",");
    *first = false;
    put_text(out, name);
    put(out, ":");
    put_text(out, value);
}

const mf_axis_value *mf_element_axis(const mf_work *work, const mf_element *e, size_t k)
{
    for (size_t i = 0; i < e->axis_count; i++) {
        bool own = false;
        for (size_t j = 0; j < work->axis_count && !own; j++)
            own = !strcmp(work->axes[j].axis, e->axes[i].axis);
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
static void put_element(text *out, const mf_work *work, const mf_feed *feed, const mf_element *e)
{
    bool first = true;

    if (!(feed->port->marks & MF_KEYED)) {
        put_text(out, e->id);
        return;
    }
    put(out, "{\"artifact\":");
    put_text(out, e->id);
    if (mf_element_axis(work, e, 0)) {
        put(out, ",\"axes\":{");
        for (size_t k = 0; mf_element_axis(work, e, k); k++)
            put_pair(out, mf_element_axis(work, e, k)->axis, mf_element_axis(work, e, k)->value,
                     &first);
        put(out, "}");
    }
    put(out, ",\"case\":");
    put_text(out, e->case_id);
    if (e->row) {
        first = true;
        put(out, ",\"columns\":{");
        for (size_t i = 0; i < mf_graph_column_count(e->row->graph); i++) {
            const char *name = mf_graph_column(e->row->graph, i);
            const char *value = mf_case_column(e->row, name);
            if (value && strcmp(name, "id") && strcmp(name, "path"))
                put_pair(out, name, value, &first);
        }
        put(out, "}");
    }
    put(out, "}");
}

static void put_feed(text *out, const mf_work *work, const mf_feed *feed, const char *recipe)
{
    if (feed->stream) {
        put(out, recipe);
    } else if (feed->list) {
        put(out, "[");
        for (size_t i = 0; i < feed->count; i++) {
            if (i)
                put(out, ",");
            put_element(out, work, feed, &feed->elements[i]);
        }
        put(out, "]");
    } else {
        put_element(out, work, feed, &feed->elements[0]);
    }
}

static int by_port_name(const void *a, const void *b)
{
    const mf_feed *const *x = a, *const *y = b;

    return strcmp((*x)->port->name, (*y)->port->name);
}

static mf_status put_inputs(text *out, const mf_work *work, const char *const *recipes)
{
    const mf_feed **order = calloc(work->feed_count ? work->feed_count : 1, sizeof *order);
    bool first = true;

    if (!order)
        return mf_no_memory(0, "a key");
    for (size_t i = 0; i < work->feed_count; i++)
        order[i] = &work->feeds[i];
    if (work->feed_count)
        qsort(order, work->feed_count, sizeof *order, by_port_name);
    put(out, ",\"inputs\":{");
    for (size_t i = 0; i < work->feed_count; i++) {
        if (!order[i]->stream && !order[i]->count && !order[i]->list)
            continue;
        if (!first)
            put(out, ",");
        first = false;
        put_text(out, order[i]->port->name);
        put(out, ":");
        put_feed(out, work, order[i], recipes[order[i] - work->feeds]);
    }
    put(out, "}");
    free(order);
    return MF_OK;
}

static void put_code(text *out, const mf_work *work, bool by_version)
{
    char code[80];

    if (by_version)
        snprintf(code, sizeof code, "version %d", work->stage->version);
    else
        mf_stage_code(work->stage, code);
    put_text(out, code);
}

static mf_status put_paths(text *out, const mf_work *work, const mf_key_source *source)
{
    size_t count = mf_params_path_count(work->params);

    if (!count)
        return MF_OK;
    put(out, ",\"paths\":{");
    for (size_t i = 0; i < count; i++) {
        mf_file_use use = {.stage = work->stage};
        use.path = mf_params_path(work->params, i, &use.param);
        const char *digest = source->digest(source->self, &use);
        if (!digest)
            return mf_fail(MF_IO, "%s could not be read", use.path);
        if (i)
            put(out, ",");
        put_text(out, use.param);
        put(out, ":");
        put_text(out, digest);
    }
    put(out, "}");
    return MF_OK;
}

static mf_status put_all(text *out, const mf_work *work, const char *const *recipes,
                         const mf_key_source *source)
{
    char number[64];

    snprintf(number, sizeof number, ",\"format\":%d", MF_KEY_FORMAT);
    put(out, "{");
    if (work->stage->random && *work->case_id) {
        put(out, "\"case\":");
        put_text(out, work->case_id);
        put(out, ",");
    }
    put(out, "\"code\":");
    put_code(out, work, source->by_version);
    put(out, number);
    MF_TRY(put_inputs(out, work, recipes));
    if (work->stage->program && source->by_version)
        snprintf(number, sizeof number, ",\"numerics\":\"version %d\"", MF_NUMERICS_VERSION);
    if (work->stage->program)
        put(out, source->by_version ? number : ",\"numerics\":\"" MF_NUMERICS_CODE "\"");
    put(out, ",\"params\":");
    put(out, source->of_state ? mf_params_base_json(work->params) : mf_params_json(work->params));
    MF_TRY(put_paths(out, work, source));
    put(out, ",\"stage\":");
    put_text(out, work->stage->name);
    put(out, "}");
    return MF_OK;
}

mf_status mf_key_components(const mf_work *work, const char *const *recipes,
                            const mf_key_source *source, char **json)
{
    text out = {0};
    mf_status status = put_all(&out, work, recipes, source);

    if (!status && out.failed)
        status = mf_no_memory(0, "a key");
    *json = status ? NULL : out.data;
    if (status)
        free(out.data);
    return status;
}
