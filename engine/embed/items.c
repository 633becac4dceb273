/* items.c - what a program reads that is no result: the items of streams, made as for a stage that
 * reads them, and what a stage saved of itself. Both by a task that runs no stage. */
#include "embed/first_use.h"
#include "embed/own_program.h"
#include "embed/workspace.h"
#include "run/task/task.h"

#include <stdlib.h>
#include <string.h>

struct mf_items {
    mf_workspace *w;
    mf_store *store; /* the workspace's, at the time */
    mf_plan *plan;   /* has what the stream is made from */
    mf_host *host;
    mf_task *reader;
    mf_stream *stream;
};

/* The one node that a text names. */
static mf_status find_node(const mf_workspace *w, const char *name, size_t *node)
{
    mf_target target;

    MF_TRY(mf_graph_target(w->look.graph, name, &target));
    const mf_graph_stage *stage = mf_graph_stage_at(w->look.graph, target.group);
    size_t count = 0;
    for (size_t i = stage->first; i < stage->first + stage->count; i++)
        if (mf_target_has(w->look.graph, &target, i)) {
            *node = i;
            count++;
        }
    if (count == 1)
        return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "%s names %zu nodes", name, count), "name one: '%s'",
                   mf_graph_node(w->look.graph, (uint32_t)*node)->name);
}

/* A plan of that node alone. */
static mf_status plan_node(mf_workspace *w, const char *name, size_t *node, mf_plan **plan)
{
    MF_TRY(mf_workspace_look(w));
    MF_TRY(find_node(w, name, node));
    const char *target = mf_graph_node(w->look.graph, (uint32_t)*node)->name;
    const mf_workspace_ask ask = {.targets = &target, .target_count = 1};
    mf_opened_ask all = mf_workspace_asked(w, &ask);
    return mf_opened_plan(&w->look, &all, plan);
}

static mf_status plan_stream(mf_items *s, const char *name, size_t *node)
{
    MF_TRY(plan_node(s->w, name, node, &s->plan));
    s->store = s->w->look.store;
    const mf_plan_node *n = mf_plan_at(s->plan, *node);
    if (!n->work.stage->item)
        return mf_fail(MF_INVALID, "%s is no stream", name);
    if (s->store && n->state == MF_PLAN_RECIPE)
        return MF_OK;
    return mf_hint(mf_fail(MF_NOT_FOUND, "what %s reads is not in the cache", n->node->name),
                   "run the graph first, or what it reads alone: '%s'", n->node->name);
}

static void ignore(void *self, const char *text)
{
    (void)self, (void)text;
}

static mf_status open_host(mf_items *s)
{
    MF_TRY(mf_host_new(s->store, s->w->look.registry, s->w->devices, &s->host));
    if (!mf_opened_wants_device(s->plan))
        return MF_OK;
    char *program = mf_program_path();
    mf_status status = program ? mf_host_set_program(s->host, program) : MF_OK;
    free(program);
    if (!status)
        status = mf_first_use(s->host, ignore, NULL);
    return status;
}

static mf_status open_items(mf_items *s, const char *name, int threads)
{
    size_t node;

    pthread_mutex_lock(&s->w->lock);
    mf_status status = plan_stream(s, name, &node);
    pthread_mutex_unlock(&s->w->lock);
    if (!status)
        status = open_host(s);
    if (!status)
        status = mf_task_new(s->host, &mf_plan_at(s->plan, node)->work, threads, &s->reader);
    if (!status)
        status = mf_stream_new(s->reader, &mf_plan_at(s->plan, node)->work, threads, &s->stream);
    return status;
}

mf_status mf_workspace_items(mf_workspace *w, const char *name, int threads, mf_items **items)
{
    mf_items *s = calloc(1, sizeof *s);

    *items = NULL;
    if (!s)
        return mf_no_memory(sizeof *s, "a stream");
    s->w = mf_workspace_ref(w);
    mf_status status = open_items(s, name, threads < 1 ? 1 : threads);
    if (status)
        mf_items_close(s);
    else
        *items = s;
    return status;
}

mf_status mf_items_next(mf_items *s, mf_artifact **item)
{
    return mf_stream_next(s->stream, item);
}

mf_status mf_items_seek(mf_items *s, int64_t i)
{
    if (i < 0)
        return mf_fail(MF_INVALID, "a stream has no item %lld", (long long)i);
    return mf_stream_seek(s->stream, i);
}

void mf_items_close(mf_items *s)
{
    if (!s)
        return;
    mf_stream_free(s->stream);
    mf_task_free(s->reader);
    mf_host_free(s->host);
    mf_plan_free(s->plan);
    mf_workspace_close(s->w);
    free(s);
}

/* ---- states ---------------------------------------------------------------------------------- */

static mf_status load_state(const mf_workspace *w, mf_store *store, const mf_plan_node *n,
                            int64_t *step, mf_artifact **state)
{
    mf_host *host;
    mf_task *task = NULL;

    MF_TRY(mf_host_new(store, w->look.registry, w->devices, &host));
    mf_status status = mf_task_new(host, &n->work, 1, &task);
    if (!status)
        status = mf_checkpoint_load(task, INT64_MAX, step, state);
    mf_task_free(task);
    mf_host_free(host);
    return status;
}

mf_status mf_workspace_state(mf_workspace *w, const char *name, int64_t *step, mf_artifact **state)
{
    mf_plan *plan = NULL;
    size_t node;

    *step = 0;
    *state = NULL;
    pthread_mutex_lock(&w->lock);
    mf_status status = plan_node(w, name, &node, &plan);
    mf_store *store = w->look.store;
    pthread_mutex_unlock(&w->lock);
    const mf_plan_node *n = status ? NULL : mf_plan_at(plan, node);
    if (n && store && n->work.state_key && *n->work.state_key)
        status = load_state(w, store, n, step, state);
    if (!status && !*state)
        status = mf_fail(MF_NOT_FOUND, "%s has no saved state in this cache", n->node->name);
    mf_plan_free(plan);
    return status;
}
