/* run.c - the commands that run a graph or say what would run: run, plan. */
#include "clean.h"
#include "colour.h"
#include "crash.h"
#include "crew.h"
#include "embed/first_use.h"
#include "events.h"
#include "expected.h"
#include "expected_pools.h"
#include "listen.h"
#include "progress.h"
#include "run/plan/reason.h"
#include "run/schedule/export.h"
#include "run_pools.h"
#include "sites.h"
#include "workspace.h"

#include <massflow/seconds.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- plan ------------------------------------------------------------------------------------ */

typedef struct tally {
    size_t wanted, cached, imported, run, waiting, failed;
    size_t first_run, first_waiting, first_failed; /* node to name the reason of */
} tally;

static tally count_stage(mf_plan *plan, const mf_graph_stage *stage)
{
    tally t = {0};

    for (size_t i = stage->first + stage->count; i-- > stage->first;) {
        switch (mf_plan_at(plan, i)->state) {
        case MF_PLAN_UNWANTED:
        case MF_PLAN_RECIPE:
            continue;
        case MF_PLAN_CACHED:
            t.cached++;
            t.imported += mf_plan_at(plan, i)->imported;
            break;
        case MF_PLAN_TO_RUN:
            t.run++;
            t.first_run = i;
            break;
        case MF_PLAN_FAILED:
        case MF_PLAN_BLOCKED:
            t.failed++;
            t.first_failed = i;
            break;
        default:
            t.waiting++;
            t.first_waiting = i;
        }
        t.wanted++;
    }
    return t;
}

/* "expected 3 min 2 s, from 12 earlier runs" of those that are to run or may have to. */
static void print_expected(const tally *t, const mf_past_times *past)
{
    size_t count = t->run + t->waiting;
    char took[32];

    if (!count)
        return;
    words_seconds((double)count * past->median, took);
    if (past->count)
        printf("%-20s        expected %s%s, from %zu %s%s of it\n", "",
               t->waiting ? "at most " : "", took, past->count,
               past->from == MF_PAST_IMPORTED ? "imported result" : "earlier run",
               past->count == 1 ? "" : "s");
    else
        printf("%-20s        expected time not known: it has not run here yet\n", "");
}

/* What the node says of its needs where no device has so much memory; else MF_OK. What else is
 * wrong there is said when it runs. */
static mf_status check_memory(mf_host *host, mf_plan *plan, size_t i)
{
    const mf_work *work = &mf_plan_at(plan, i)->work;
    mf_needs needs = {0};
    mf_task *task;

    mf_plan_preview(plan, i);
    MF_TRY(mf_task_new(host, work, 1, &task));
    mf_status status = mf_task_needs(task, &needs);
    mf_task_free(task);
    if (!status || mf_error_code(status) == MF_NO_MEMORY)
        return status;
    mf_error_free(status);
    return MF_OK;
}

/* Of the first node of a stage that is to run or may have to. */
static void print_memory(mf_host *host, mf_plan *plan, const mf_graph_stage *stage, const tally *t)
{
    mf_status status;
    char *text;

    if ((!t->run && !t->waiting) || !stage->stage->needs)
        return;
    status = check_memory(host, plan, t->run ? t->first_run : t->first_waiting);
    text = status ? mf_error_text(status) : NULL;
    for (char *line = text, *rest; line; line = rest) {
        rest = strchr(line, '\n');
        if (rest)
            *rest++ = 0;
        printf("%-20s        %s%s\n", "", line == text ? "will fail: " : "", line);
    }
    free(text);
    mf_error_free(status);
}

/* "masks   12 to run      parameter sizes: 20 -> 16": so many nodes, and the reason of one. */
static void print_state(const workspace *w, mf_plan *plan, const mf_graph_stage *stage,
                        size_t count, colour c, const char *words, size_t first)
{
    printf("%-20s %6zu ", stage->label, count);
    colour_print(stdout, c, "%s", words);
    printf("%*s", 12 - (int)strlen(words), "");
    mf_reason_in_short(stdout, plan, first, w->graph_path);
    printf("\n");
}

static void print_stage(workspace *w, mf_host *host, mf_plan *plan, const mf_graph_stage *stage,
                        const mf_past_times *past)
{
    tally t = count_stage(plan, stage);

    if (!t.wanted || stage->stage->item)
        return;
    if (t.cached) {
        printf("%-20s %6zu ", stage->label, t.cached);
        colour_print(stdout, COLOUR_GOOD, "cached");
        if (t.imported)
            printf("      %zu of them imported", t.imported);
        printf("\n");
    }
    if (t.run)
        print_state(w, plan, stage, t.run, COLOUR_WARN, "to run", t.first_run);
    if (t.waiting)
        print_state(w, plan, stage, t.waiting, COLOUR_FAINT, "undecided", t.first_waiting);
    if (t.failed)
        print_state(w, plan, stage, t.failed, COLOUR_BAD, "can't run", t.first_failed);
    print_expected(&t, past);
    print_memory(host, plan, stage, &t);
}

static int print_total(const args *a, mf_plan *plan, const mf_past_times *past, int slots)
{
    expected_total total;
    char took[32];
    mf_status status = expected_all(plan, past, &total);

    if (status)
        return command_fail(status, EXIT_FAILED);
    if (!total.run && !total.undecided)
        return EXIT_DONE;
    words_seconds(expected_seconds(&total, slots, 1), took);
    printf("\ntotal: %zu node%s", total.run, total.run == 1 ? "" : "s");
    if (total.undecided)
        printf(" and %zu undecided one%s", total.undecided, total.undecided == 1 ? "" : "s");
    if (total.unknown == total.run + total.undecided)
        printf("; expected time not known: none of it has run here yet\n");
    else if (total.unknown)
        printf("; expected at least %s with %d worker%s; for %zu the time is not known\n", took,
               slots, slots == 1 ? "" : "s", total.unknown);
    else
        printf("; expected %s%s with %d worker%s\n", total.undecided ? "at most " : "", took, slots,
               slots == 1 ? "" : "s");
    return args_has(a, "pool") ? expected_with_pools(a, plan, past, slots, &total) : EXIT_DONE;
}

static int print_plan(const args *a, workspace *w, mf_plan *plan)
{
    const char *jobs = args_value(a, "jobs");
    int slots = jobs ? atoi(jobs) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    mf_past_times *past;
    mf_host *host;
    mf_status status = expected_read(w, &past);

    if (!status)
        status = mf_host_new(w->store, w->registry, args_value(a, "device"), &host);
    if (status)
        return command_fail(status, EXIT_FAILED);
    for (size_t i = 0; i < mf_graph_stage_count(w->graph); i++)
        print_stage(w, host, plan, mf_graph_stage_at(w->graph, i), &past[i]);
    int code = print_total(a, plan, past, slots);
    free(past);
    mf_host_free(host);
    return code;
}

static int check_jobs(const args *a)
{
    const char *jobs = args_value(a, "jobs"), *local = args_value(a, "local");

    if (local && (strspn(local, "0123456789") != strlen(local) || !*local || strlen(local) > 4))
        return command_refuse("--local is a number from 0 to 9999, not '%s'", local);
    if (local && !args_has(a, "listen") && !args_has(a, "pool"))
        return command_refuse("--local goes with --pool or --listen; 'massflow run -j N' without");
    if (local && jobs)
        return command_refuse("--local and --jobs both say how many slots this process has");

    if (jobs && (strspn(jobs, "0123456789") != strlen(jobs) || atoi(jobs) < 1 || strlen(jobs) > 4))
        return command_refuse("--jobs is a number from 1 to 9999, not '%s'", jobs);
    return EXIT_DONE;
}

static int show_plan(const args *a)
{
    workspace w;
    mf_plan *plan = NULL;
    int code = check_jobs(a);

    if (code)
        return code;
    code = workspace_open(a, MF_STORE_READ, &w);
    if (code)
        return code;
    code = workspace_plan(a, &w, args_all(a) + 1, args_count(a) - 1, &plan);
    if (!code)
        code = print_plan(a, &w, plan);
    mf_plan_free(plan);
    workspace_close(&w);
    return code;
}

static const option plan_options[] = {
    OPTION_SET,
    OPTION_CASE,
    OPTION_FORCE_NODE,
    {'j', "jobs", "N", "number of worker slots, for the expected time"},
    {0, "pool", "NAME[,NAME]", "also the expected time with 1, 2, 4, ... workers of these pools"},
    OPTION_POOLS,
    OPTION_DEVICE,
    OPTION_SAME_DEVICE,
    OPTION_CACHE,
    OPTION_CODE,
    OPTION_PLUGINS,
    OPTION_END};

const command command_plan = {
    "plan",
    "GRAPH [TARGET...]",
    "show what would run, what is cached, and why",
    "'undecided' nodes depend on the result of an upstream node: if it is the same as before,\n"
    "byte for byte, they stay cached. Expected times are the median time of the stage's nodes in\n"
    "earlier runs of this graph, for any parameters.",
    plan_options,
    1,
    -1,
    show_plan};

/* ---- run ------------------------------------------------------------------------------------- */

/* The command line, to be typed again. */
static char *command_line(const args *a)
{
    static const char *const options[] = {"set",   "case",   "force", "jobs",  "device",
                                          "pool",  "pools",  "code",  "cache", "plugins",
                                          "local", "listen", NULL};
    static const char *const flags[] = {"same-device", "fail-fast", "overwrite", NULL};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    fprintf(out, "massflow run");
    for (size_t i = 0; i < args_count(a); i++) {
        fputc(' ', out);
        args_quote_path(out, args_at(a, i));
    }
    args_repeat(out, a, options);
    for (size_t i = 0; flags[i]; i++)
        if (args_has(a, flags[i]))
            fprintf(out, " --%s", flags[i]);
    fclose(out);
    return text;
}

static void print_failures(const args *a, mf_plan *plan)
{
    for (size_t i = 0; i < mf_plan_count(plan); i++) {
        const mf_plan_node *n = mf_plan_at(plan, i);
        if (n->state != MF_PLAN_FAILED)
            continue;
        fprintf(stderr, "\n");
        colour_print(stderr, COLOUR_BAD, "failed:");
        fprintf(stderr, " %s\n  %s\n", n->node->name, n->message ? n->message : "");
        char *again = args_again(a, n->node->name);
        fprintf(stderr, "  retry: %s\n", again ? again : "out of memory");
        free(again);
    }
}

/* What follows a run: lines for people, and with --log json events on stdout; then the lines are on
 * stderr. */
typedef struct watcher {
    progress shown;
    events told;
    bool json, deaf; /* deaf: stdout has failed */
    FILE *people;
    mf_plan *plan;
    mf_executor executor;
    run_pools pools;
    mf_workers *workers;
    crew *crew;
    notices *said; /* by workers and pools */
} watcher;

static void print_summary(FILE *out, const mf_run_result *result, double seconds)
{
    const mf_run_counts *c = &result->counts;
    size_t ended = c->done + c->cached + c->failed + c->blocked;
    char took[32];

    words_seconds(seconds, took);
    colour_print(out,
                 result->interrupted       ? COLOUR_WARN
                 : c->failed || c->blocked ? COLOUR_BAD
                                           : COLOUR_GOOD,
                 "%s:", result->interrupted ? "interrupted" : "finished");
    fprintf(out, " %zu run, %zu cached", c->done, c->cached);
    if (c->imported)
        fprintf(out, " (%zu imported)", c->imported);
    if (c->failed)
        fprintf(out, ", %zu failed", c->failed);
    if (c->blocked)
        fprintf(out, ", %zu blocked", c->blocked);
    if (c->wanted > ended)
        fprintf(out, ", %zu left", c->wanted - ended);
    fprintf(out, " in %s\n", took);
    fflush(out);
}

/* Nobody reads any more (`massflow run | head`), or the terminal is gone: the run is worth more
 * than its lines. What is written from here on goes nowhere. */
static void mind_output(watcher *w)
{
    if (w->deaf || !ferror(stdout))
        return;
    w->deaf = true;
    fprintf(stderr, "massflow: standard output can't be written any more; the run continues\n");
    clean_silence(stdout);
}

static void say_notices(watcher *w)
{
    char *line;
    bool wrong;

    while ((line = notices_take(w->said, &wrong))) {
        if (wrong || !w->shown.quiet)
            progress_say(&w->shown, line);
        if (w->json)
            events_workers(&w->told, line);
        free(line);
    }
}

static void watch_run(void *self, const mf_run_event *event)
{
    watcher *w = self;

    if (event->kind == MF_RUN_STOPPING)
        run_pools_stop(&w->pools);
    if (event->kind == MF_RUN_TICK || event->kind == MF_RUN_PLANNED) {
        run_pools_look(&w->pools, w->plan, &w->executor);
        say_notices(w);
        if (w->crew)
            crew_note(w->crew, event->counts);
    }
    if (w->json)
        events_run(&w->told, event);
    crash_event(event);
    progress_event(&w->shown, event);
    mind_output(w);
}

static void watch_export(void *self, const mf_exported *file)
{
    watcher *w = self;

    if (file->error)
        fprintf(stderr, "\nfailed: export of %s\n  %s\n", file->node, file->error);
    else if (file->written && !w->shown.quiet)
        fprintf(w->people, "wrote %s\n", file->path);
    if (w->json)
        events_export(&w->told, file);
}

/* Exports of what came through; *code as it is to be after them. */
static void write_exports(workspace *w, mf_plan *plan, const mf_output_rule *rule,
                          watcher *watching, int *code)
{
    size_t failed = 0;
    mf_status status = mf_export_all(plan, w->registry, rule, watch_export, watching, &failed);

    if (status)
        *code = command_fail(status, EXIT_FAILED);
    else if (failed)
        *code = EXIT_FAILED;
}

#define STALE_NAMED 5 /* files by their names */

typedef struct stale_files {
    FILE *out;
    bool remove, quiet;
    size_t count;
} stale_files;

static void tell_stale(void *self, const mf_stale *file)
{
    stale_files *s = self;

    s->count++;
    if (s->remove && !(s->quiet && file->removed))
        fprintf(s->out, "%s %s%s\n", file->removed ? "removed" : "kept", file->path,
                file->changed ? ": it was changed after it was written" : "");
    else if (!s->remove && !s->quiet && s->count <= STALE_NAMED)
        fprintf(s->out, "stale    %s\n", file->path);
}

/* Files of exports that the graph does not have any more. */
static void look_for_stale(const args *a, const watcher *w, const mf_output_rule *rule)
{
    stale_files s = {w->people, args_has(a, "remove-stale"), w->shown.quiet, 0};
    mf_status status = mf_export_stale(w->plan, rule, s.remove, tell_stale, &s);

    if (status)
        command_fail(status, EXIT_FAILED);
    else if (s.count && !s.remove && !s.quiet)
        fprintf(s.out,
                "%zu file%s that this graph exported %s of cases or parameters that it does not "
                "have now; 'massflow run --remove-stale' removes %s\n",
                s.count, s.count == 1 ? "" : "s", s.count == 1 ? "is" : "are",
                s.count == 1 ? "it" : "them");
}

static void say(void *self, const char *text)
{
    (void)self;
    fprintf(stderr, "massflow: %s\n", text);
}

/* Slots of this process: --local or --jobs, else one a core. */
static int local_slots(const args *a)
{
    const char *slots = args_value(a, "local") ? args_value(a, "local") : args_value(a, "jobs");

    return slots ? atoi(slots) : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* The host, with its devices where the plan will want one: that there is none is found out before
 * anything runs. */
static mf_status open_host(const args *a, workspace *w, mf_plan *plan, mf_host **host)
{
    mf_status status;

    MF_TRY(mf_host_new(w->store, w->registry, args_value(a, "device"), host));
    /* This very program, also when its file is replaced meanwhile. */
    status = mf_host_set_program(*host, "/proc/self/exe");
    if (!status && local_slots(a) && mf_opened_wants_device(plan))
        status = mf_first_use(*host, say, NULL);
    if (status) {
        mf_host_free(*host);
        *host = NULL;
    }
    return status;
}

/* Of --pool: all zero without it. 0, or an exit code after printing why not. */
static int open_pools(const args *a, const workspace *w, mf_plan *plan, run_pools *r)
{
    mf_site *site;

    memset(r, 0, sizeof *r);
    if (!args_has(a, "pool"))
        return args_has(a, "pools") ? command_refuse("--pools goes with --pool") : EXIT_DONE;
    int code = open_site(a, &site);
    if (code)
        return code;
    mf_status status =
        run_pools_open(site, args_value(a, "pool"), args_value(a, "listen"), w, plan, r);
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

/* The listener and the pools, of a run that has them. 0, or an exit code after printing why not. */
static int begin_workers(const args *a, const workspace *work, watcher *w, mf_host *host)
{
    const listen_at at = run_pools_listen(&w->pools);
    int code = listen_open(a, &at, w->said, &w->workers);

    if (code)
        return code;
    mf_host_set_workers(host, w->workers);
    if (w->workers)
        w->crew = crew_new(work, w->workers, &w->pools);
    if (w->workers && work->device && !local_slots(a) && mf_opened_wants_device(w->plan))
        fprintf(stderr,
                "massflow: --same-device: nodes that want a device wait for workers that have only "
                "'%s', as this process\n",
                work->device);
    mf_status status = MF_OK;
    if (w->pools.listen)
        status = run_pools_start(&w->pools, args_value(a, "plugins"), w->workers, local_slots(a),
                                 false, w->said);
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

static void end_workers(watcher *w)
{
    crew_free(w->crew);
    w->crew = NULL;
    run_pools_end(&w->pools);
    mf_workers_close(w->workers);
    w->workers = NULL;
    say_notices(w);
}

static int run_with(const args *a, workspace *w, watcher *watching, const mf_output_rule *rule,
                    mf_host *host, const char *line, double begun)
{
    mf_plan *plan = watching->plan;
    mf_run_result result = {0};
    int slots = local_slots(a);
    mf_run_options options = {.jobs = args_has(a, "jobs") || args_has(a, "local") ? slots : 0,
                              .no_local = !slots,
                              .may_come = watching->pools.may_come,
                              .may_come_count = watching->pools.count,
                              .fail_fast = args_has(a, "fail-fast"),
                              .signals = true,
                              .command = line,
                              .version = MF_VERSION,
                              .watch = watch_run,
                              .self = watching};

    watching->executor = mf_host_executor(host);
    options.tick = watching->shown.live ? 200 : 1000;
    mf_status status = mf_run(plan, &watching->executor, &options, &result);
    end_workers(watching);
    progress_close(&watching->shown);
    int code = status || result.counts.done + result.counts.cached < result.counts.wanted
                   ? EXIT_FAILED
                   : EXIT_DONE;
    if (!status && !result.interrupted) {
        write_exports(w, plan, rule, watching, &code);
        look_for_stale(a, watching, rule);
    }
    if (result.interrupted && !status)
        code = EXIT_INTERRUPTED;
    if (watching->json)
        events_end(&watching->told, &result, mf_seconds() - begun, code);
    if (!args_has(a, "quiet") || code != EXIT_DONE)
        print_summary(watching->people, &result, mf_seconds() - begun);
    print_failures(a, plan);
    mind_output(watching);
    return status ? command_fail(status, EXIT_FAILED) : code;
}

static int run_plan(const args *a, workspace *w, mf_plan *plan, const mf_output_rule *rule,
                    double begun)
{
    watcher watching = {.json = args_has(a, "log"), .people = stdout, .plan = plan};
    char *line = command_line(a);
    mf_host *host;
    int code = open_pools(a, w, plan, &watching.pools);
    mf_status status = code ? MF_OK : open_host(a, w, plan, &host);

    if (code || status) {
        run_pools_clear(&watching.pools);
        free(line);
        return status ? command_fail(status, EXIT_REQUEST) : code;
    }
    if (watching.json)
        watching.people = stderr;
    watching.said = notices_new();
    events_open(&watching.told, stdout);
    progress_open(&watching.shown, watching.people, args_has(a, "quiet"), plan);
    code = watching.said ? begin_workers(a, w, &watching, host)
                         : command_fail(mf_no_memory(0, "a run"), EXIT_FAILED);
    if (!code)
        code = run_with(a, w, &watching, rule, host, line, begun);
    else
        progress_close(&watching.shown);
    end_workers(&watching);
    run_pools_clear(&watching.pools);
    mf_host_free(host);
    notices_free(watching.said);
    free(line);
    return code;
}

static int run_checked(const args *a, workspace *w, mf_plan *plan, double begun)
{
    mf_output_rule rule;
    mf_status status;
    int code = workspace_rule(a, w, false, &rule);

    if (code)
        return code;
    rule.force = args_has(a, "overwrite"); /* --force is about nodes here */
    rule.option = "--overwrite";
    status = mf_export_check(plan, &rule);
    return status ? command_fail(status, EXIT_REQUEST) : run_plan(a, w, plan, &rule, begun);
}

static int run(const args *a)
{
    bool dry = args_has(a, "dry-run");
    double begun = mf_seconds();
    workspace w;
    mf_plan *plan = NULL;
    int code;

    code = check_jobs(a);
    if (code)
        return code;
    if (args_has(a, "log") && strcmp(args_value(a, "log"), "json"))
        return command_refuse("--log is 'json', not '%s'", args_value(a, "log"));
    code = workspace_open(a, dry ? MF_STORE_READ : MF_STORE_WRITE, &w);
    if (code)
        return code;
    code = workspace_plan(a, &w, args_all(a) + 1, args_count(a) - 1, &plan);
    if (!code && dry)
        code = print_plan(a, &w, plan);
    else if (!code)
        code = run_checked(a, &w, plan, begun);
    mf_plan_free(plan);
    workspace_close(&w);
    return code;
}

static const option run_options[] = {
    OPTION_SET,
    OPTION_CASE,
    {'j', "jobs", "N", "number of worker slots; default: one per core"},
    OPTION_DEVICE,
    OPTION_SAME_DEVICE,
    {0, "fail-fast", NULL, "stop after the first failure"},
    OPTION_FORCE_NODE,
    {0, "overwrite", NULL,
     "also replace exports that massflow did not write; inputs are never replaced"},
    {0, "remove-stale", NULL,
     "remove exported files of cases and parameters that the graph does not have any more"},
    {0, "log", "json", "write events to stdout, one JSON object per line, and text to stderr"},
    {'q', "quiet", NULL, "print only what goes wrong; 'massflow log' has the rest"},
    {0, "pool", "NAME[,NAME]", "have workers of these pools; 'massflow pools' lists them"},
    OPTION_POOLS,
    {0, "local", "N", "with workers: slots of this process beside them; 0: none"},
    OPTIONS_LISTEN,
    {'n', "dry-run", NULL, "only show what would run, as 'massflow plan' does"},
    OPTION_CACHE,
    OPTION_CODE,
    OPTION_PLUGINS,
    OPTION_END};

const command command_run = {
    "run",
    "GRAPH [TARGET...]",
    "run a graph, or only some targets and what they need",
    "A TARGET is a stage or some of its nodes: masks, 'masks[case=012]', 'seg[shots=5]'.\n"
    "Exit status: 0 success, 1 a stage failed, 2 invalid request (nothing was run),\n"
    "130 cancelled. Ctrl-C cancels the run at a safe point; a second Ctrl-C stops at once.",
    run_options,
    1,
    -1,
    run};
