/* events.c - see events.h. */
#include "events.h"
#include "base/utf8.h"
#include "embed/event.h"
#include "run/schedule/journal.h"
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

void events_open(events *e, FILE *out)
{
    memset(e, 0, sizeof *e);
    e->out = out;
}

/* Numbers with three digits after the point: milliseconds. */
static void add_seconds(json_object *o, const char *name, double seconds)
{
    char text[40];

    snprintf(text, sizeof text, "%.3f", seconds);
    json_object_object_add(o, name, json_object_new_double_s(seconds, text));
}

static json_object *new_event(const char *name)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "version", json_object_new_int(EVENTS_VERSION));
    add_seconds(o, "time", mf_journal_now());
    json_object_object_add(o, "event", json_object_new_string(name));
    return o;
}

static void add_text(json_object *o, const char *name, const char *text)
{
    if (text)
        json_object_object_add(o, name, json_object_new_string(text));
}

static void add_count(json_object *o, const char *name, size_t count)
{
    json_object_object_add(o, name, json_object_new_int64((int64_t)count));
}

/* Each line is flushed: whoever reads follows the run. Lines of commands may be no UTF-8. */
static void put(events *e, json_object *o)
{
    char *line = mf_utf8_clean(
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));

    if (line)
        fprintf(e->out, "%s\n", line);
    free(line);
    fflush(e->out);
    json_object_put(o);
}

static void put_progress(events *e, const mf_run_event *event)
{
    double now = mf_journal_now(), rate, left;

    if (now - e->progress < 0.95)
        return;
    e->progress = now;
    for (size_t i = 0; i < event->active_count; i++) {
        const mf_run_active *a = &event->active[i];
        json_object *o = new_event("progress");
        add_text(o, "node", a->node);
        if (*a->place)
            add_text(o, "worker", a->place);
        add_seconds(o, "seconds", a->seconds);
        if (a->state.total > 0) {
            add_count(o, "done", (size_t)a->state.done);
            add_count(o, "total", (size_t)a->state.total);
        }
        if (rate_of(&e->rates, a, &rate, &left)) {
            json_object_object_add(o, "rate", json_object_new_double(rate));
            add_seconds(o, "left", left);
        }
        if (*a->state.words)
            add_text(o, "words", a->state.words);
        put(e, o);
    }
}

void events_run(events *e, const mf_run_event *event)
{
    const char *name = mf_event_text(event->kind);
    json_object *o;

    if (event->kind == MF_RUN_TICK)
        put_progress(e, event);
    if (!name)
        return;
    o = new_event(name);
    add_text(o, "node", event->node);
    if (event->kind == MF_RUN_PLANNED) {
        add_count(o, "wanted", event->counts->wanted);
        add_count(o, "cached", event->counts->cached);
        add_count(o, "imported", event->counts->imported);
    }
    if (event->kind == MF_RUN_DONE || event->kind == MF_RUN_FAILED ||
        event->kind == MF_RUN_OVERTIME || event->kind == MF_RUN_RETURNED)
        add_seconds(o, "seconds", event->seconds);
    if (event->kind == MF_RUN_STOP_NOW)
        json_object_object_add(o, "now", json_object_new_boolean(true));
    if (event->place && *event->place)
        add_text(o, "worker", event->place);
    add_text(o, event->kind == MF_RUN_FAILED ? "error" : "text", event->text);
    put(e, o);
}

void events_workers(events *e, const char *text)
{
    json_object *o = new_event("workers");

    add_text(o, "text", text);
    put(e, o);
}

void events_export(events *e, const mf_exported *file)
{
    json_object *o = new_event("export");

    add_text(o, "node", file->node);
    add_text(o, "path", file->path);
    json_object_object_add(o, "written", json_object_new_boolean(file->written));
    add_text(o, "error", file->error);
    put(e, o);
}

void events_end(events *e, const mf_run_result *result, double seconds, int exit_code)
{
    const mf_run_counts *c = &result->counts;
    json_object *o = new_event("ended");

    json_object_object_add(o, "run", json_object_new_int64(result->run));
    add_text(o, "status", result->interrupted ? "interrupted" : exit_code ? "failed" : "done");
    add_seconds(o, "seconds", seconds);
    add_count(o, "wanted", c->wanted);
    add_count(o, "done", c->done);
    add_count(o, "cached", c->cached);
    add_count(o, "imported", c->imported);
    add_count(o, "failed", c->failed);
    add_count(o, "blocked", c->blocked);
    json_object_object_add(o, "exit", json_object_new_int(exit_code));
    put(e, o);
}
