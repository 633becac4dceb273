/* frozen.c - work to message and back: parameters as the texts that a user would write. */
#include "run/worker/frozen.h"

#include "base/arena.h"
#include "stages/stages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- putting --------------------------------------------------------------------------------- */

static void put_number(mf_packet *p, bool whole, const void *at)
{
    char text[40];

    if (whole)
        snprintf(text, sizeof text, "%lld", (long long)*(const int64_t *)at);
    else
        snprintf(text, sizeof text, "%.17g", *(const double *)at);
    mf_packet_text(p, text);
}

static void put_list(mf_packet *p, bool whole, const void *elements, size_t count)
{
    mf_packet_int(p, true);
    mf_packet_int(p, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        put_number(p, whole, (const char *)elements + 8 * i);
}

static void put_labels(mf_packet *p, const mf_labels *labels)
{
    mf_packet_int(p, true);
    mf_packet_int(p, (int64_t)labels->count);
    for (size_t i = 0; i < labels->count; i++)
        if (labels->v[i].name)
            mf_packet_text(p, labels->v[i].name);
        else
            put_number(p, true, &labels->v[i].value);
}

/* Whether it is a list, how many texts, the texts. A path that is left out has none. */
static void put_value(mf_packet *p, const mf_param *param, const void *field)
{
    const mf_ints *list = field; /* mf_reals has the same layout */

    switch (param->kind) {
    case MF_PARAM_INT3:
    case MF_PARAM_REAL3:
        put_list(p, param->kind == MF_PARAM_INT3, field, 3);
        return;
    case MF_PARAM_INTS:
    case MF_PARAM_REALS:
        put_list(p, param->kind == MF_PARAM_INTS, list->v, list->count);
        return;
    case MF_PARAM_LABELS:
        put_labels(p, field);
        return;
    default:
        break;
    }
    mf_packet_int(p, false);
    if (param->kind == MF_PARAM_PATH && !*(const char *const *)field) {
        mf_packet_int(p, 0);
        return;
    }
    mf_packet_int(p, 1);
    if (param->kind == MF_PARAM_BOOL)
        mf_packet_text(p, *(const bool *)field ? "true" : "false");
    else if (param->kind == MF_PARAM_INT || param->kind == MF_PARAM_REAL)
        put_number(p, param->kind == MF_PARAM_INT, field);
    else
        mf_packet_text(p, *(const char *const *)field);
}

/* What a stage may be told of a case, name and value in turn. The path is not. */
static void put_columns(mf_packet *p, const mf_feed *feed, const mf_case *row)
{
    size_t count = row && feed->port->marks & MF_KEYED ? mf_graph_column_count(row->graph) : 0;

    for (size_t i = 0; i < count; i++) {
        const char *name = mf_graph_column(row->graph, i), *value = mf_case_column(row, name);
        if (!value || !strcmp(name, "path"))
            continue;
        mf_packet_text(p, name);
        mf_packet_text(p, value);
    }
    mf_packet_text(p, NULL);
}

/* The axes that tell it from the others that are gathered. */
static void put_axes(mf_packet *p, const mf_work *work, const mf_feed *feed, const mf_element *e)
{
    const mf_axis_value *axis;

    for (size_t k = 0; feed->port->marks & MF_KEYED && (axis = mf_element_axis(work, e, k)); k++) {
        mf_packet_text(p, axis->axis);
        mf_packet_text(p, axis->value);
    }
    mf_packet_text(p, NULL);
}

static mf_status put_feed(mf_packet *p, const mf_work *work, const mf_feed *feed)
{
    mf_packet_int(p, feed->list);
    mf_packet_int(p, (int64_t)feed->count);
    for (size_t i = 0; i < feed->count; i++) {
        mf_packet_text(p, feed->elements[i].id);
        mf_packet_text(p, feed->elements[i].node);
        mf_packet_text(p, feed->elements[i].case_id);
        put_columns(p, feed, feed->elements[i].row);
        put_axes(p, work, feed, &feed->elements[i]);
    }
    mf_packet_int(p, feed->stream != NULL);
    return feed->stream ? mf_frozen_put(p, feed->stream) : MF_OK;
}

mf_status mf_frozen_put(mf_packet *p, const mf_work *work)
{
    const char *values = mf_params_struct(work->params);
    char code[80];

    mf_stage_code(work->stage, code);
    mf_packet_text(p, work->node);
    mf_packet_text(p, work->stage->name);
    mf_packet_text(p, code);
    mf_packet_text(p, work->case_id);
    for (const mf_param *param = work->stage->params; param && param->name; param++) {
        mf_packet_text(p, param->name);
        put_value(p, param, values + param->offset);
    }
    mf_packet_text(p, NULL);
    for (size_t i = 0; i < work->feed_count; i++)
        MF_TRY(put_feed(p, work, &work->feeds[i]));
    return MF_OK;
}

/* ---- getting --------------------------------------------------------------------------------- */

struct mf_frozen {
    mf_arena *arena;
    mf_work *work;
    mf_frozen_path place;
    void *self;
    mf_params **params; /* to be given back */
    size_t params_count, params_room;
};

static mf_status get_stage(mf_packet *p, const mf_registry *registry, const mf_stage **stage)
{
    const char *name = mf_packet_get_text(p), *code = mf_packet_get_text(p);
    char own[80];

    if (!name || !code)
        p->failed = true;
    MF_TRY(mf_packet_check(p));
    *stage = mf_registry_stage(registry, name);
    if (!*stage)
        return mf_fail(MF_NOT_FOUND, "the worker process has no stage %s", name);
    mf_stage_code(*stage, own);
    if (strcmp(own, code))
        return mf_hint(
            mf_fail(MF_INVALID, "the plugin of %s was changed during the run", (*stage)->name),
            "start the run again");
    return MF_OK;
}

static mf_status get_value(mf_packet *p, const mf_frozen *f, mf_params *params,
                           const mf_param *param)
{
    bool list = mf_packet_get_int(p) != 0;
    size_t count = mf_packet_get_count(p);
    const char **texts = calloc(count + 1, sizeof *texts);
    mf_status status;

    if (!texts)
        return mf_no_memory(0, "parameters");
    for (size_t i = 0; i < count; i++) {
        texts[i] = mf_packet_get_text(p);
        p->failed |= !texts[i];
        if (texts[i] && param->kind == MF_PARAM_PATH && f->place) {
            const char *here = f->place(f->self, texts[i]);
            texts[i] = here ? here : texts[i];
        }
    }
    status = mf_packet_check(p);
    if (!status && (list || count))
        status = mf_params_set(params, param, list, texts, count, NULL, NULL);
    free(texts);
    return status;
}

static mf_status get_params(mf_packet *p, mf_frozen *f, const mf_stage *stage, mf_params **params)
{
    const char *name;

    MF_TRY(mf_params_new(stage, params));
    f->params = mf_grow(f->params, &f->params_room, f->params_count + 1, sizeof *f->params);
    f->params[f->params_count++] = *params;
    while ((name = mf_packet_get_text(p))) {
        const mf_param *param = mf_param_find(stage, name);
        if (!param)
            return mf_fail(MF_INTERNAL, "%s has no parameter '%s'", stage->name, name);
        MF_TRY(get_value(p, f, *params, param));
    }
    MF_TRY(mf_packet_check(p));
    return mf_params_finish(*params);
}

/* Names and values in turn, closed by NULL. */
static const char *const *get_pairs(mf_packet *p, mf_arena *arena, size_t *pairs)
{
    const char **texts = NULL, **kept;
    size_t count = 0, room = 0;
    const char *text;

    while ((text = mf_packet_get_text(p))) {
        texts = mf_grow(texts, &room, count + 1, sizeof *texts);
        texts[count++] = text;
    }
    kept = mf_arena_alloc(arena, count + 2, sizeof *kept); /* closed, also after an odd number */
    if (count)
        memcpy(kept, texts, count * sizeof *kept);
    free(texts);
    *pairs = count / 2;
    return kept;
}

static void get_axes(mf_packet *p, mf_arena *arena, mf_element *e)
{
    const char *const *pairs = get_pairs(p, arena, &e->axis_count);
    mf_axis_value *axes = mf_arena_alloc(arena, e->axis_count, sizeof *axes);

    for (size_t i = 0; i < e->axis_count; i++)
        axes[i] = (mf_axis_value){pairs[2 * i], pairs[2 * i + 1]};
    e->axes = axes;
}

static mf_status get_work(mf_packet *p, const mf_registry *registry, mf_frozen *f, mf_work **work);

static mf_status get_feed(mf_packet *p, const mf_registry *registry, mf_frozen *f, mf_feed *feed)
{
    mf_work *stream;

    feed->list = mf_packet_get_int(p) != 0;
    feed->count = mf_packet_get_count(p);
    feed->elements = mf_arena_alloc(f->arena, feed->count, sizeof *feed->elements);
    for (size_t i = 0; i < feed->count; i++) {
        mf_element *e = &feed->elements[i];
        const char *id = mf_packet_get_text(p);
        size_t pairs;
        e->node = mf_packet_get_text(p);
        e->case_id = mf_packet_get_text(p);
        e->columns = get_pairs(p, f->arena, &pairs);
        get_axes(p, f->arena, e);
        p->failed |= !id || strlen(id) >= sizeof e->id || !e->node || !e->case_id;
        if (!p->failed)
            strcpy(e->id, id);
        MF_TRY(mf_packet_check(p));
    }
    if (!mf_packet_get_int(p))
        return mf_packet_check(p);
    MF_TRY(get_work(p, registry, f, &stream));
    feed->stream = stream;
    return MF_OK;
}

static mf_status get_work(mf_packet *p, const mf_registry *registry, mf_frozen *f, mf_work **work)
{
    mf_work *w = *work = mf_arena_alloc(f->arena, 1, sizeof *w);
    mf_params *params;

    w->node = mf_packet_get_text(p);
    MF_TRY(get_stage(p, registry, &w->stage));
    w->case_id = mf_packet_get_text(p);
    p->failed |= !w->node || !w->case_id;
    MF_TRY(mf_packet_check(p));
    MF_TRY(get_params(p, f, w->stage, &params));
    w->params = params;
    w->out_count = mf_port_count(w->stage->out);
    w->feed_count = mf_port_count(w->stage->in);
    w->feeds = mf_arena_alloc(f->arena, w->feed_count, sizeof *w->feeds);
    for (size_t i = 0; i < w->feed_count; i++) {
        w->feeds[i].port = &w->stage->in[i];
        MF_TRY(get_feed(p, registry, f, &w->feeds[i]));
    }
    return MF_OK;
}

mf_status mf_frozen_get(mf_packet *p, const mf_registry *registry, mf_frozen_path place, void *self,
                        mf_frozen **frozen)
{
    mf_frozen *f = calloc(1, sizeof *f);
    mf_status status;

    *frozen = NULL;
    if (!f)
        return mf_no_memory(0, "a node");
    f->arena = mf_arena_new();
    f->place = place;
    f->self = self;
    status = get_work(p, registry, f, &f->work);
    if (status) {
        mf_frozen_free(f);
        return status;
    }
    *frozen = f;
    return MF_OK;
}

const mf_work *mf_frozen_work(const mf_frozen *frozen)
{
    return frozen->work;
}

void mf_frozen_free(mf_frozen *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->params_count; i++)
        mf_params_unref(f->params[i]);
    free(f->params);
    mf_arena_free(f->arena);
    free(f);
}
