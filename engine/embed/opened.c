/* opened.c - see opened.h. */
#include "embed/opened.h"
#include "run/artifact/write.h"
#include "run/process/signals.h"
#include "run/python/python.h"

#include <massflow/compute.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

mf_status mf_opened_registry(const char *folder, mf_registry **registry)
{
    mf_status status = mf_registry_new(registry);

    if (!status)
        status = mf_write_register(*registry);
    if (!status)
        status = mf_registry_load_standard(*registry, mf_python_is(folder) ? NULL : folder);
    if (!status && mf_python_is(folder))
        status = mf_python_load(*registry, folder);
    if (status) {
        mf_registry_free(*registry);
        *registry = NULL;
    }
    return status;
}

static mf_status open_store(const char *dir, mf_store_mode mode, mf_store **store)
{
    mf_status status = mf_store_open(dir, mode, store);

    if (status && mode == MF_STORE_READ && mf_error_code(status) == MF_NOT_FOUND) {
        mf_error_free(status); /* nothing is cached yet */
        *store = NULL;
        return MF_OK;
    }
    return status;
}

mf_status mf_opened_cache(mf_opened *o, const char *dir, mf_store_mode mode)
{
    char *own = NULL;
    mf_status status;

    if (!o->graph_path)
        o->graph_path = realpath(mf_graph_path(o->graph), NULL);
    if (!dir && asprintf(&own, "%s/.massflow", mf_graph_folder(o->graph)) < 0)
        own = NULL;
    if ((dir || own) && o->graph_path)
        status = open_store(dir ? dir : own, mode, &o->store);
    else
        status = mf_no_memory(0, "opening the cache");
    free(own);
    return status;
}

void mf_opened_clear(mf_opened *o)
{
    mf_exports_free(o->exports);
    mf_written_free(o->written);
    mf_store_close(o->store);
    mf_graph_free(o->graph);
    mf_registry_free(o->registry);
    free(o->graph_path);
    free(o->device);
    memset(o, 0, sizeof *o);
}

mf_status mf_opened_rule(mf_opened *o, bool force, bool late, mf_output_rule *rule)
{
    if (!o->written)
        o->written = mf_written_open();
    if (!o->written)
        return mf_no_memory(0, "writing");
    *rule = (mf_output_rule){.force = force,
                             .late = late,
                             .graph = o->graph,
                             .cache = o->store ? mf_store_dir(o->store) : NULL,
                             .written = o->written};
    return MF_OK;
}

/* The name that all devices have. */
static mf_status same_device(const char *words, char **name)
{
    mf_device **devices;
    size_t count;
    mf_status status = mf_devices_open(words, &devices, &count);

    mf_signals_hold();
    if (status && mf_error_code(status) == MF_NOT_FOUND && !words) {
        mf_error_free(status);
        return mf_hint(mf_fail(MF_NOT_FOUND, "--same-device is about the device of this process, "
                                             "and it has none"),
                       "leave it out where workers have the devices: then results of any device "
                       "count");
    }
    MF_TRY(status);
    *name = strdup(mf_device_get_info(devices[0])->name);
    if (!*name)
        status = mf_no_memory(0, "a name");
    for (size_t i = 1; i < count && !status; i++) {
        const char *other = mf_device_get_info(devices[i])->name;
        if (strcmp(*name, other))
            status = mf_hint(
                mf_fail(MF_INVALID, "--same-device: %s and %s are different devices", *name, other),
                "choose devices of one kind with --device");
    }
    for (size_t i = 0; i < count; i++)
        mf_device_unref(devices[i]);
    free(devices);
    return status;
}

/* A run has to have the data of what it exports. */
static mf_status ask_exports(mf_opened *o, mf_plan_options *options)
{
    if (o->looking || !o->store || !mf_graph_export_count(o->graph))
        return MF_OK;
    if (!o->exports)
        MF_TRY(mf_exports_new(o->graph, o->store, &o->exports));
    options->needs = mf_exports_need;
    options->self = o->exports;
    return MF_OK;
}

/* Nobody limits the memory of a stage in Python, or loads its file in an isolated process. */
static mf_status refuse_isolated(const mf_opened *o)
{
    for (size_t i = 0; i < mf_graph_stage_count(o->graph); i++) {
        const mf_graph_stage *s = mf_graph_stage_at(o->graph, i);
        if (s->limits.isolate && mf_python_is(mf_registry_file(o->registry, s->stage)))
            return mf_hint(mf_fail(MF_INVALID, "'%s' is isolated, and %s is a stage in Python",
                                   s->label, s->stage->name),
                           "stages in Python run in processes of their own: write isolate: false "
                           "there, and no memory");
    }
    return MF_OK;
}

/* Marks what is to be run though it is known; each must be part of what is wanted. */
static mf_status select_anew(const mf_opened *o, const mf_opened_ask *ask, bool **anew)
{
    *anew = NULL;
    if (!ask->anew_count)
        return MF_OK;
    for (size_t i = 0; i < ask->anew_count; i++) {
        mf_target target;
        MF_TRY(mf_graph_target(o->graph, ask->anew[i], &target));
        const mf_node *node = mf_graph_node(o->graph, target.first);
        if (target.port >= 0)
            return mf_fail(MF_INVALID, "--force takes nodes, without an output: '%s'", node->name);
        if (node->stage->item)
            return mf_fail(MF_INVALID, "%s is a stream; it is computed whenever it is read",
                           node->name);
    }
    return mf_graph_select(o->graph, ask->anew, ask->anew_count, ask->cases, ask->case_count, anew);
}

/* That a run which does not need what is forced would leave it out without a word. */
static mf_status check_anew(const mf_plan *plan, const bool *anew)
{
    for (size_t i = 0; anew && i < mf_plan_count(plan); i++)
        if (anew[i] && mf_plan_at(plan, i)->state == MF_PLAN_UNWANTED)
            return mf_hint(mf_fail(MF_INVALID, "--force: %s is not part of this run",
                                   mf_plan_at(plan, i)->node->name),
                           "name it as a target, or leave the targets out");
    return MF_OK;
}

mf_status mf_opened_plan(mf_opened *o, const mf_opened_ask *ask, mf_plan **plan)
{
    mf_plan_options options = {.threads = (int)sysconf(_SC_NPROCESSORS_ONLN),
                               .recall_failures = o->looking,
                               .named = ask->target_count > 0,
                               .by_version = ask->by_version};
    bool *wanted = NULL, *anew = NULL;
    mf_status status;

    *plan = NULL;
    MF_TRY(refuse_isolated(o));
    if (ask->same_device && !o->device)
        MF_TRY(same_device(ask->devices, &o->device));
    options.same_device = ask->same_device ? o->device : NULL;
    MF_TRY(ask_exports(o, &options));
    status = mf_graph_select(o->graph, ask->targets, ask->target_count, ask->cases, ask->case_count,
                             &wanted);
    if (!status)
        status = select_anew(o, ask, &anew);
    options.anew = anew;
    if (!status)
        status = mf_plan_new(o->graph, o->store, wanted, &options, plan);
    if (!status)
        status = check_anew(*plan, anew);
    if (status) {
        mf_plan_free(*plan);
        *plan = NULL;
    }
    free(wanted);
    free(anew);
    return status;
}

bool mf_opened_wants_device(mf_plan *plan)
{
    for (size_t i = 0; i < mf_plan_count(plan); i++) {
        const mf_plan_node *n = mf_plan_at(plan, i);
        bool undecided = n->state == MF_PLAN_TO_RUN || n->state == MF_PLAN_WAITING;
        if (undecided && (n->work.stage->kernels || n->work.stage->program))
            return true;
    }
    return false;
}

/* ---- one output ------------------------------------------------------------------------------ */

/* The outputs that came out, or all of a node that has not run: "'n.a', 'n.b'". The caller frees.
 */
static char *list_outputs(const mf_plan_node *n)
{
    const mf_node *node = n->node;
    char *list = NULL;
    size_t size;
    FILE *out = open_memstream(&list, &size);
    const char *between = "";

    for (size_t i = 0; out && node->stage->out[i].name; i++)
        if (n->state != MF_PLAN_CACHED || *n->outputs[i].id) {
            fprintf(out, "%s'%s.%s'", between, node->name, node->stage->out[i].name);
            between = ", ";
        }
    if (out)
        fclose(out);
    return list;
}

static mf_status several_outputs(const mf_plan_node *n)
{
    char *list = list_outputs(n);
    mf_status status = mf_fail(MF_INVALID, "%s has several outputs; take one of them: %s",
                               n->node->name, list ? list : "");

    free(list);
    return status;
}

static mf_status no_such_output(const mf_plan_node *n, const char *port)
{
    char *list = list_outputs(n);
    mf_status status = mf_hint(mf_fail(MF_INVALID, "%s has no output '%s'", n->node->name, port),
                               "it has: %s", list && *list ? list : "no output");

    free(list);
    return status;
}

mf_status mf_opened_port(const mf_opened *o, const mf_target *target, const mf_plan_node *n,
                         const char *file, uint32_t *port)
{
    size_t count = mf_port_count(n->node->stage->out), there = 0;

    *port = target->port < 0 ? 0 : (uint32_t)target->port;
    if (target->port >= 0 || count == 1 ||
        (file && mf_registry_writable(o->registry, n->node->stage, file, port) == 1))
        return MF_OK;
    for (uint32_t i = 0; n->state == MF_PLAN_CACHED && i < count; i++)
        if (*n->outputs[i].id) {
            *port = i;
            there++;
        }
    return there == 1 ? MF_OK : several_outputs(n);
}

void mf_located_clear(mf_located *located)
{
    mf_plan_free(located->plan);
    memset(located, 0, sizeof *located);
}

#define NODES_LISTED 6

/* "'seg' names 9 nodes; take one of them: 'seg[case=000]', ... and 3 more" */
static mf_status several_nodes(const mf_graph *graph, const char *text, const mf_target *target,
                               const char *hint)
{
    const char *output =
        target->port < 0 ? "" : mf_graph_node(graph, target->first)->stage->out[target->port].name;
    char *list = NULL;
    size_t size, listed = 0;
    FILE *out = open_memstream(&list, &size);

    for (size_t i = target->first;
         out && i < mf_graph_node_count(graph) && listed < target->count && listed < NODES_LISTED;
         i++)
        if (mf_target_has(graph, target, i))
            fprintf(out, "%s'%s%s%s'", listed++ ? ", " : "", mf_graph_node(graph, i)->name,
                    *output ? "." : "", output);
    if (out && target->count > listed)
        fprintf(out, " and %zu more", target->count - listed);
    if (out)
        fclose(out);
    mf_status status = mf_fail(MF_INVALID, "'%s' names %u nodes; take one of them: %s", text,
                               target->count, list ? list : "");
    free(list);
    return hint ? mf_hint(status, "%s", hint) : status;
}

static mf_status locate(mf_opened *o, const mf_opened_ask *ask, const char *text, const char *file,
                        const char *several, mf_located *l)
{
    mf_target target = {0};
    mf_opened_ask one = *ask;
    const mf_plan_node *n;

    MF_TRY(mf_graph_target(o->graph, text, &target));
    if (target.count != 1)
        return several_nodes(o->graph, text, &target, several);
    const mf_node *node = mf_graph_node(o->graph, target.first);
    if (node->stage->item)
        return mf_fail(MF_INVALID, "%s is a stream; its items are never stored", node->name);
    one.targets = &node->name;
    one.target_count = 1;
    o->looking = true;
    MF_TRY(mf_opened_plan(o, &one, &l->plan));
    l->node = target.first;
    n = mf_plan_at(l->plan, l->node);
    MF_TRY(mf_opened_port(o, &target, n, file, &l->port));
    if (n->state != MF_PLAN_CACHED || !n->outputs[l->port].present)
        return MF_OK;
    if (!*n->outputs[l->port].id)
        return no_such_output(n, node->stage->out[l->port].name);
    l->id = n->outputs[l->port].id;
    return MF_OK;
}

mf_status mf_opened_locate(mf_opened *o, const mf_opened_ask *ask, const char *text,
                           const char *file, const char *several, mf_located *located)
{
    memset(located, 0, sizeof *located);
    mf_status status = locate(o, ask, text, file, several, located);
    if (status)
        mf_located_clear(located);
    return status;
}
