/* embed.c - see massflow/embed.h.
 *
 * A workspace looks through a store that is opened for reading, and a run has one of its own for
 * writing, which is closed when it ends: so a program that only looks changes nothing, and one that
 * looks while it runs waits for nobody. */
#include <massflow/embed.h>

#include "embed/opened.h"
#include "embed/own_program.h"
#include "embed/params_json.h"
#include "embed/version.h"
#include "embed/workspace.h"
#include "run/artifact/check.h"
#include "run/artifact/write.h"
#include "run/output/partial.h"
#include "run/plan/reason.h"

#include <massflow/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mf_forecast {
    mf_workspace *w;
    mf_plan *plan;
};

const char *mf_version(void)
{
    return MF_VERSION;
}

const char *mf_stands_text(mf_stands stands)
{
    static const char *const texts[] = {
#define X(name, text) text,
        MF_STANDS(X)
#undef X
    };

    return (unsigned)stands < MF_STANDS_COUNT ? texts[stands] : "unknown";
}

char *mf_workspace_command(void)
{
    return mf_program_path();
}

/* ---- workspaces ------------------------------------------------------------------------------ */

static mf_status copy(const char *text, char **to)
{
    if (!text)
        return MF_OK;
    *to = strdup(text);
    return *to ? MF_OK : mf_no_memory(0, "a graph");
}

/* The errors of the file as one error; its warnings alone in *warnings. */
static mf_status read_graph(mf_workspace *w, const char *path, const mf_workspace_options *options,
                            mf_diagnostics *d, char **warnings)
{
    MF_TRY(mf_graph_load(path, w->look.registry, options->settings, options->setting_count, d,
                         &w->look.graph));
    if (!(mf_diagnostics_errors(d) + mf_diagnostics_warnings(d)))
        return MF_OK;
    char *text = mf_diagnostics_text(d);
    if (!text)
        return mf_no_memory(0, "the errors of a graph");
    size_t length = strlen(text);
    while (length && text[length - 1] == '\n')
        text[--length] = 0;
    if (w->look.graph) {
        *warnings = text;
        return MF_OK;
    }
    mf_status status = mf_fail(MF_INVALID, "%s", text);
    free(text);
    return status;
}

static mf_status open_graph(mf_workspace *w, const char *path, const mf_workspace_options *options,
                            char **warnings)
{
    mf_diagnostics *d;

    MF_TRY(mf_opened_registry(options->plugins, &w->look.registry));
    MF_TRY(mf_diagnostics_new(&d));
    mf_status status = read_graph(w, path, options, d, warnings);
    mf_diagnostics_free(d);
    MF_TRY(status);
    w->by_version = options->by_version;
    MF_TRY(copy(options->cache, &w->cache));
    MF_TRY(copy(options->devices, &w->devices));
    return mf_opened_cache(&w->look, w->cache, MF_STORE_READ);
}

mf_status mf_workspace_open(const char *graph, const mf_workspace_options *options, char **warnings,
                            mf_workspace **workspace)
{
    const mf_workspace_options usual = {0};
    mf_workspace *w = calloc(1, sizeof *w);
    char *said = NULL;

    *workspace = NULL;
    if (warnings)
        *warnings = NULL;
    if (!w)
        return mf_no_memory(sizeof *w, "a graph");
    w->refs = 1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->run_lock, NULL);
    mf_status status = open_graph(w, graph, options ? options : &usual, &said);
    if (status || !warnings)
        free(said);
    else
        *warnings = said;
    if (status)
        mf_workspace_close(w);
    else
        *workspace = w;
    return status;
}

void mf_workspace_close(mf_workspace *w)
{
    if (!w || atomic_fetch_sub(&w->refs, 1) > 1)
        return;
    mf_opened_clear(&w->look);
    for (size_t i = 0; i < w->gone_count; i++)
        mf_store_close(w->gone[i]);
    free(w->gone);
    pthread_mutex_destroy(&w->lock);
    pthread_mutex_destroy(&w->run_lock);
    free(w->cache);
    free(w->devices);
    free(w);
}

mf_workspace *mf_workspace_ref(mf_workspace *w)
{
    atomic_fetch_add(&w->refs, 1);
    return w;
}

const char *mf_workspace_path(const mf_workspace *w)
{
    return w->look.graph_path;
}

char *mf_workspace_text(const mf_workspace *w)
{
    return mf_graph_text(w->look.graph);
}

size_t mf_workspace_stage_count(const mf_workspace *w)
{
    return mf_graph_stage_count(w->look.graph);
}

void mf_workspace_stage_at(const mf_workspace *w, size_t i, mf_workspace_stage *stage)
{
    const mf_graph_stage *s = mf_graph_stage_at(w->look.graph, i);

    *stage = (mf_workspace_stage){.name = s->label,
                                  .use = s->stage->name,
                                  .summary = s->stage->summary,
                                  .first = s->first,
                                  .count = s->count,
                                  .stream = s->stage->item != NULL};
}

mf_status mf_workspace_links(const mf_workspace *w, mf_workspace_link **links, size_t *count)
{
    mf_graph_link *found;

    *links = NULL;
    MF_TRY(mf_graph_links(w->look.graph, &found, count));
    *links = calloc(*count + 1, sizeof **links);
    for (size_t i = 0; *links && i < *count; i++) {
        const mf_graph_link *k = &found[i];
        const mf_port *port = &mf_graph_stage_at(w->look.graph, k->from)->stage->out[k->port];
        (*links)[i] = (mf_workspace_link){.from = k->from,
                                          .to = k->to,
                                          .port = k->port,
                                          .output = port->name,
                                          .type = port->type,
                                          .gathers = k->gathers};
    }
    free(found);
    return *links ? MF_OK : mf_no_memory(0, "the links of a graph");
}

mf_status mf_workspace_params_json(const mf_workspace *w, char **json)
{
    json_object *list = mf_graph_params_json(w->look.graph);

    *json = strdup(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN |
                                                            JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(list);
    return *json ? MF_OK : mf_no_memory(0, "parameters");
}

mf_status mf_workspace_node_params_json(const mf_workspace *w, size_t i, char **json)
{
    json_object *o = mf_node_params_json(mf_graph_node(w->look.graph, i));

    *json = strdup(
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
    return *json ? MF_OK : mf_no_memory(0, "parameters");
}

size_t mf_workspace_node_count(const mf_workspace *w)
{
    return mf_graph_node_count(w->look.graph);
}

const char *mf_workspace_node(const mf_workspace *w, size_t i)
{
    return mf_graph_node(w->look.graph, i)->name;
}

const char *mf_workspace_output(const mf_workspace *w, size_t i, size_t k, const char **type)
{
    const mf_stage *stage = mf_graph_node(w->look.graph, i)->stage;

    *type = NULL;
    if (k >= mf_port_count(stage->out))
        return NULL;
    *type = stage->out[k].type;
    return stage->out[k].name;
}

size_t mf_workspace_case_count(const mf_workspace *w)
{
    return mf_graph_case_count(w->look.graph);
}

const char *mf_workspace_case(const mf_workspace *w, size_t i)
{
    return mf_graph_case(w->look.graph, i)->id;
}

mf_opened_ask mf_workspace_asked(const mf_workspace *w, const mf_workspace_ask *ask)
{
    mf_opened_ask all = {.by_version = w->by_version, .devices = w->devices};

    if (ask) {
        all.targets = ask->targets;
        all.target_count = ask->target_count;
        all.cases = ask->cases;
        all.case_count = ask->case_count;
    }
    return all;
}

/* A cache that was deleted or replaced is no longer this graph's. */
static mf_status leave_deleted(mf_workspace *w)
{
    if (!w->look.store || mf_store_stands(w->look.store))
        return MF_OK;
    mf_store **grown = mf_list_more(w->gone, w->gone_count, sizeof *grown);
    if (!grown)
        return mf_no_memory(0, "a graph");
    w->gone = grown;
    w->gone[w->gone_count++] = w->look.store;
    w->look.store = NULL;
    return MF_OK;
}

/* What changes outside is looked at anew: a cache that is there by now or is gone, files that were
 * written. */
mf_status mf_workspace_look(mf_workspace *w)
{
    MF_TRY(leave_deleted(w));
    mf_exports_free(w->look.exports);
    mf_written_free(w->look.written);
    w->look.exports = NULL;
    w->look.written = NULL;
    w->look.looking = false;
    return w->look.store ? MF_OK : mf_opened_cache(&w->look, w->cache, MF_STORE_READ);
}

/* ---- plans ----------------------------------------------------------------------------------- */

mf_status mf_workspace_plan(mf_workspace *w, const mf_workspace_ask *ask, mf_forecast **forecast)
{
    mf_opened_ask all = mf_workspace_asked(w, ask);
    mf_forecast *f = calloc(1, sizeof *f);

    *forecast = NULL;
    if (!f)
        return mf_no_memory(sizeof *f, "a plan");
    f->w = w;
    atomic_fetch_add(&w->refs, 1);
    pthread_mutex_lock(&w->lock);
    mf_status status = mf_workspace_look(w);
    if (!status)
        status = mf_opened_plan(&w->look, &all, &f->plan);
    pthread_mutex_unlock(&w->lock);
    if (status)
        mf_forecast_free(f);
    else
        *forecast = f;
    return status;
}

void mf_forecast_free(mf_forecast *f)
{
    if (!f)
        return;
    mf_plan_free(f->plan);
    mf_workspace_close(f->w);
    free(f);
}

mf_stands mf_forecast_node(const mf_forecast *f, size_t i)
{
    switch (mf_plan_at(f->plan, i)->state) {
    case MF_PLAN_UNWANTED:
        return MF_STANDS_UNWANTED;
    case MF_PLAN_RECIPE:
        return MF_STANDS_STREAM;
    case MF_PLAN_CACHED:
    case MF_PLAN_DONE:
        return MF_STANDS_CACHED;
    case MF_PLAN_TO_RUN:
    case MF_PLAN_RUNNING:
        return MF_STANDS_TO_RUN;
    case MF_PLAN_FAILED:
        return MF_STANDS_FAILED;
    case MF_PLAN_BLOCKED:
    case MF_PLAN_CANCELLED:
        return MF_STANDS_BLOCKED;
    default:
        /* A stream below a node that has to run waits with it, and is no work of its own. */
        return mf_plan_at(f->plan, i)->work.stage->item ? MF_STANDS_STREAM : MF_STANDS_UNDECIDED;
    }
}

size_t mf_forecast_count(const mf_forecast *f, mf_stands stands)
{
    size_t count = 0;

    for (size_t i = 0; i < mf_plan_count(f->plan); i++)
        count += mf_forecast_node(f, i) == stands;
    return count;
}

const char *mf_forecast_output(const mf_forecast *f, size_t i, size_t k)
{
    const mf_plan_node *n = mf_plan_at(f->plan, i);

    if (mf_forecast_node(f, i) != MF_STANDS_CACHED || k >= mf_port_count(n->work.stage->out) ||
        !*n->outputs[k].id || !n->outputs[k].present)
        return NULL;
    return n->outputs[k].id;
}

mf_status mf_forecast_why(mf_forecast *f, size_t i, bool in_full, char **text)
{
    size_t size;
    mf_status status = MF_OK;
    char *said = NULL;
    FILE *out = open_memstream(&said, &size);

    *text = NULL;
    if (!out)
        return mf_no_memory(0, "a reason");
    pthread_mutex_lock(&f->w->lock);
    if (in_full)
        status = mf_reason_in_full(out, f->plan, i, f->w->look.graph_path, NULL, NULL);
    else if (mf_plan_at(f->plan, i)->state != MF_PLAN_UNWANTED &&
             mf_plan_at(f->plan, i)->state != MF_PLAN_CACHED &&
             mf_plan_at(f->plan, i)->state != MF_PLAN_RECIPE)
        mf_reason_in_short(out, f->plan, i, f->w->look.graph_path);
    pthread_mutex_unlock(&f->w->lock);
    if (fclose(out) != 0 && !status)
        status = mf_no_memory(0, "a reason");
    if (status)
        free(said);
    else
        *text = said;
    return status;
}

/* ---- results --------------------------------------------------------------------------------- */

static mf_status open_artifact(mf_workspace *w, const char *name, const char *file,
                               mf_artifact **artifact)
{
    mf_opened_ask all = mf_workspace_asked(w, NULL);
    mf_located l;
    mf_status status;

    *artifact = NULL;
    MF_TRY(mf_workspace_look(w));
    MF_TRY(mf_opened_locate(&w->look, &all, name, file, NULL, &l));
    const char *node = mf_graph_node(w->look.graph, l.node)->name;
    if (l.id)
        status = mf_open_artifact(w->look.store, w->look.registry, l.id, artifact);
    else
        status = mf_hint(mf_fail(MF_NOT_FOUND, "%s is not in the cache", node),
                         "run the graph first, or this target alone: '%s'", node);
    mf_located_clear(&l);
    return status;
}

mf_status mf_workspace_artifact(mf_workspace *w, const char *name, mf_artifact **artifact)
{
    pthread_mutex_lock(&w->lock);
    mf_status status = open_artifact(w, name, NULL, artifact);
    pthread_mutex_unlock(&w->lock);
    return status;
}

static mf_status open_id(mf_workspace *w, const char *id, mf_artifact **artifact)
{
    if (strlen(id) != MF_HEX_SIZE - 1 || strspn(id, "0123456789abcdef") != MF_HEX_SIZE - 1)
        return mf_fail(MF_INVALID, "an id has 64 hex digits, not '%.80s'", id);
    MF_TRY(mf_workspace_look(w));
    if (!w->look.store)
        return mf_fail(MF_NOT_FOUND, "there is no cache of %s yet", w->look.graph_path);
    return mf_open_artifact(w->look.store, w->look.registry, id, artifact);
}

mf_status mf_workspace_artifact_of_id(mf_workspace *w, const char *id, mf_artifact **artifact)
{
    *artifact = NULL;
    pthread_mutex_lock(&w->lock);
    mf_status status = open_id(w, id, artifact);
    pthread_mutex_unlock(&w->lock);
    return status;
}

static mf_status write_artifact(mf_workspace *w, const mf_artifact *artifact, const char *path,
                                bool force)
{
    mf_output_rule rule;

    MF_TRY(mf_opened_rule(&w->look, force, true, &rule));
    mf_partials_sweep(path);
    return mf_write_output(w->look.registry, artifact, path, NULL, &rule, NULL, NULL);
}

static mf_status write_file(mf_workspace *w, const char *name, const char *path, bool force)
{
    mf_artifact *artifact;

    MF_TRY(open_artifact(w, name, path, &artifact));
    mf_status status = write_artifact(w, artifact, path, force);
    mf_artifact_unref(artifact);
    return status;
}

mf_status mf_workspace_write(mf_workspace *w, const char *name, const char *path, bool force)
{
    pthread_mutex_lock(&w->lock);
    mf_status status = write_file(w, name, path, force);
    pthread_mutex_unlock(&w->lock);
    return status;
}

mf_status mf_workspace_write_artifact(mf_workspace *w, const mf_artifact *artifact,
                                      const char *path, bool force)
{
    pthread_mutex_lock(&w->lock);
    mf_status status = write_artifact(w, artifact, path, force);
    pthread_mutex_unlock(&w->lock);
    return status;
}
