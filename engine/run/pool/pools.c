/* pools.c - see pools.h. What is to be done is growth.c's; here it is done. */
#include "run/pool/pools.h"

#include "run/pool/growth.h"
#include "run/pool/slurm.h"
#include "run/pool/tool.h"

#include <massflow/file.h>
#include <massflow/seconds.h>

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_EVERY 30.0 /* s */
#define TELL_AFTER 3
#define PATIENCE 60.0 /* s for a command of the batch system */
#define SOON 60.0     /* s: what ends before it never worked */
#define LOOK 1.0      /* s between looks at commands that run */
#define LEAVE 10.0    /* s that a command has to end by itself when the run is over */

/* A command that was started: it lives as long as its worker, or it has handed it to a queue. */
typedef struct started {
    pid_t pid;
    double since;
} started;

typedef struct pool {
    const mf_pool *site;
    size_t each; /* workers of an allocation, in which `growth` counts */
    mf_pool_worker worker;
    mf_growth *growth;
    char *script;              /* its file */
    size_t wanted, connected;  /* told; under the lock */
    mf_pool_state state;       /* under the lock */
    bool changed;              /* under the lock */
    bool told_quick, troubled; /* said */
    started *commands;
    size_t command_count, command_room, command_number;
    bool hands_over; /* a command has ended well at once: a queue has its worker now */
} pool;

struct mf_pools {
    mf_pools_options options;
    mf_arena *arena;
    pool *pools;
    size_t count;
    char *names; /* of all pools of Slurm, joined by commas */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ending;
};

/* That have so many workers. */
static size_t allocations(const pool *o, size_t workers)
{
    return (workers + o->each - 1) / o->each;
}

static void say(mf_pools *p, const char *format, ...) MF_PRINTF(2, 3);
static void say(mf_pools *p, const char *format, ...)
{
    va_list args;
    char *text;
    if (!p->options.say)
        return;
    va_start(args, format);
    if (vasprintf(&text, format, args) >= 0) {
        p->options.say(p->options.self, text);
        free(text);
    }
    va_end(args);
}

/* ---- submission ------------------------------------------------------------------------------ */

/* The token as a variable of the environment, where the site wants it so. */
static mf_status token_variable(mf_arena *arena, const pool *o, const char *extra[2])
{
    char *bytes;
    size_t size;
    extra[0] = extra[1] = NULL;
    if (!o->site->token_by_environment)
        return MF_OK;
    MF_TRY(mf_file_read(o->worker.token, 4096, &bytes, &size));
    bytes[strcspn(bytes, "\r\n")] = 0;
    extra[0] = mf_arena_print(arena, "MASSFLOW_TOKEN=%s", bytes);
    memset(bytes, 0, size);
    free(bytes);
    return MF_OK;
}

static mf_status submit_slurm(mf_arena *arena, pool *o, size_t count)
{
    const char *extra[2];
    char *output;
    MF_TRY(token_variable(arena, o, extra));
    mf_status status = mf_tool_run(
        mf_slurm_submit(arena, &o->worker, o->script, count, mf_growth_excluded(o->growth)), extra,
        PATIENCE, &output);
    free(output);
    return status;
}

/* One command is one worker. */
static mf_status start_command(mf_arena *arena, pool *o)
{
    const char *words[] = {"sh", "-c", mf_pool_line(arena, &o->worker, o->site->command), NULL};
    const char *log =
        mf_arena_print(arena, "%s/%s-%zu.txt", o->worker.log, o->site->name, ++o->command_number);
    started s = {.since = mf_seconds()};
    o->commands = mf_grow(o->commands, &o->command_room, o->command_count + 1, sizeof s);
    MF_TRY(mf_tool_start(words, NULL, log, &s.pid));
    o->commands[o->command_count++] = s;
    return MF_OK;
}

static void note_trouble(mf_pools *p, pool *o, mf_status status, bool first)
{
    char *text = status ? mf_error_text(status) : NULL;
    pthread_mutex_lock(&p->lock);
    snprintf(o->state.trouble, sizeof o->state.trouble, "%s", text ? text : "");
    pthread_mutex_unlock(&p->lock);
    if (first)
        say(p, "pool %s: no worker could be asked for; it is tried again: %s", o->site->name,
            text ? text : "");
    else if (!status && o->troubled)
        say(p, "pool %s: workers are asked for again", o->site->name);
    o->troubled = status;
    free(text);
}

static void submit(mf_pools *p, pool *o, size_t count)
{
    mf_arena *arena = mf_arena_new();
    mf_status status = MF_OK;
    size_t done = 0;
    if (o->site->submit == MF_SUBMIT_SLURM) {
        status = submit_slurm(arena, o, count);
        done = status ? 0 : count;
    }
    while (o->site->submit == MF_SUBMIT_COMMAND && !status && done < count) {
        status = start_command(arena, o);
        done += !status;
    }
    if (done)
        mf_growth_submitted(o->growth, mf_seconds(), done, true);
    bool first = status && mf_growth_submitted(o->growth, mf_seconds(), 0, false);
    note_trouble(p, o, status, first);
    mf_error_free(status);
    mf_arena_free(arena);
}

/* ---- counting -------------------------------------------------------------------------------- */

/* What one call of squeue shows, for every pool of Slurm. */
static void count_slurm(mf_pools *p)
{
    mf_arena *arena = mf_arena_new();
    mf_slurm_job *jobs = NULL;
    size_t count = 0;
    char *text;
    mf_status status = mf_tool_run(mf_slurm_count(arena, p->names), NULL, PATIENCE, &text);
    double now = mf_seconds();
    if (!status)
        mf_slurm_read(arena, text, &jobs, &count);
    free(text);
    for (size_t i = 0; i < p->count; i++) {
        pool *o = &p->pools[i];
        mf_seen *seen = mf_arena_alloc(arena, count + 1, sizeof *seen);
        size_t n = 0;
        const char *reason = "";
        if (o->site->submit != MF_SUBMIT_SLURM)
            continue;
        for (size_t k = 0; k < count; k++) {
            if (strcmp(jobs[k].name, o->worker.name))
                continue;
            seen[n++] = jobs[k].seen;
            if (jobs[k].seen.state == MF_SEEN_WAITING && strcmp(jobs[k].reason, "None"))
                reason = jobs[k].reason;
        }
        mf_growth_counted(o->growth, now, status ? NULL : seen, n);
        pthread_mutex_lock(&p->lock);
        snprintf(o->state.reason, sizeof o->state.reason, "%s", reason);
        pthread_mutex_unlock(&p->lock);
    }
    mf_error_free(status); /* the controller may be away for a while: what was known holds */
    mf_arena_free(arena);
}

/* By the site's own line, or by the commands that still run. */
static void count_commands(pool *o)
{
    mf_arena *arena = mf_arena_new();
    char *text = NULL, *end = NULL;
    if (!o->site->count) {
        if (o->hands_over)
            mf_growth_counted(o->growth, mf_seconds(), NULL, 0);
        else
            mf_growth_counted_only(o->growth, mf_seconds(), o->command_count);
        mf_arena_free(arena);
        return;
    }
    const char *words[] = {"sh", "-c", mf_pool_line(arena, &o->worker, o->site->count), NULL};
    mf_status status = mf_tool_run(words, NULL, PATIENCE, &text);
    long count = status ? -1 : strtol(text, &end, 10);
    if (status || end == text || count < 0)
        mf_growth_counted(o->growth, mf_seconds(), NULL, 0);
    else
        mf_growth_counted_only(o->growth, mf_seconds(), (size_t)count);
    mf_error_free(status);
    free(text);
    mf_arena_free(arena);
}

/* Commands that have ended: what ends at once, and not well, never worked. */
static void look_at_commands(pool *o)
{
    for (size_t i = o->command_count; i-- > 0;) {
        int code = 0;
        double now = mf_seconds();
        if (!mf_tool_ended(o->commands[i].pid, &code))
            continue;
        bool soon = now - o->commands[i].since < SOON;
        o->commands[i] = o->commands[--o->command_count];
        if (soon && code)
            mf_growth_ended(o->growth, now, "");
        else if (soon && !mf_growth_running(o->growth))
            o->hands_over = true;
        if (!o->hands_over && !o->site->count)
            mf_growth_counted_only(o->growth, now, o->command_count);
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static mf_status cancel(pool *o, bool all)
{
    mf_arena *arena = mf_arena_new();
    char *text = NULL;
    mf_status status = MF_OK;
    if (o->site->submit == MF_SUBMIT_SLURM)
        status = mf_tool_run(mf_slurm_cancel(arena, o->worker.name, all), NULL, PATIENCE, &text);
    else if (o->site->cancel) {
        const char *words[] = {"sh", "-c", mf_pool_line(arena, &o->worker, o->site->cancel), NULL};
        status = mf_tool_run(words, NULL, PATIENCE, &text);
    }
    free(text);
    mf_arena_free(arena);
    return status;
}

/* What was asked for is not left in the queue. Workers that are connected end by themselves; one
 * that has just started would look for a coordinator that is gone. */
static void end_slurm(mf_pools *p, pool *o)
{
    mf_status status = MF_OK;
    pthread_mutex_lock(&p->lock);
    size_t connected = o->connected;
    pthread_mutex_unlock(&p->lock);
    if (!mf_growth_waiting(o->growth) && mf_growth_running(o->growth) <= allocations(o, connected))
        return;
    for (int i = 0; i < 3; i++) {
        mf_error_free(status);
        status = cancel(o, true);
        if (!status)
            return;
        poll(NULL, 0, 1000);
    }
    char *text = mf_error_text(status);
    say(p, "pool %s: what waits could not be cancelled: %s\n  scancel --me --name=%s",
        o->site->name, text ? text : "", o->worker.name);
    free(text);
    mf_error_free(status);
}

static void end_commands(pool *o)
{
    double until = mf_seconds() + LEAVE;
    if (mf_growth_waiting(o->growth))
        mf_error_free(cancel(o, false));
    while (o->command_count && mf_seconds() < until) {
        look_at_commands(o);
        if (o->command_count)
            poll(NULL, 0, 20);
    }
    while (o->command_count)
        mf_tool_end(o->commands[--o->command_count].pid, 5);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void tell(mf_pools *p, pool *o)
{
    const char *host;
    while ((host = mf_growth_news(o->growth)))
        say(p,
            "pool %s: host %s is left out: 3 workers ended there within a minute; what they "
            "printed is in %s",
            o->site->name, host, o->worker.log);
    size_t quick = mf_growth_quick(o->growth), most = p->options.tell_after;
    if (quick < (most ? most : TELL_AFTER))
        o->told_quick = false;
    else if (!o->told_quick) {
        char *file, *words = mf_shared_last_words(p->options.shared, o->site->name, &file);
        o->told_quick = true;
        say(p,
            "pool %s: %zu worker%s ended within a minute and none has connected; it is tried "
            "again. "
            "%s%s%s",
            o->site->name, quick, quick == 1 ? "" : "s",
            file ? "The end of " : "They printed nothing", file ? file : "", words ? words : "");
        free(words);
        free(file);
    }
}

static void note_state(mf_pools *p, pool *o)
{
    pthread_mutex_lock(&p->lock);
    o->state.wanted = o->wanted;
    o->state.connected = o->connected;
    o->state.waiting = mf_growth_waiting(o->growth) * o->each;
    o->state.running = mf_growth_running(o->growth) * o->each;
    if (!o->state.waiting)
        o->state.reason[0] = 0;
    snprintf(o->state.excluded, sizeof o->state.excluded, "%s", mf_growth_excluded(o->growth));
    pthread_mutex_unlock(&p->lock);
}

/* Does what is due for a pool; when something may be due next. */
static double serve(mf_pools *p, pool *o)
{
    mf_growth_step step = {.until = INFINITY};
    bool slurm = o->site->submit == MF_SUBMIT_SLURM;
    look_at_commands(o);
    for (bool rest = false; !rest;) {
        step = mf_growth_next(o->growth, mf_seconds());
        rest = step.act == MF_GROW_REST;
        if (step.act == MF_GROW_COUNT && slurm)
            count_slurm(p);
        else if (step.act == MF_GROW_COUNT)
            count_commands(o);
        else if (step.act == MF_GROW_SUBMIT)
            submit(p, o, step.count);
        else if (step.act == MF_GROW_CANCEL) {
            mf_error_free(cancel(o, false));
            mf_growth_cancelled(o->growth);
        }
        tell(p, o);
    }
    note_state(p, o);
    double look = mf_seconds() + LOOK;
    return o->command_count && look < step.until ? look : step.until;
}

/* Takes over what was told; whether the run is over. */
static bool take_news(mf_pools *p)
{
    double now = mf_seconds();
    pthread_mutex_lock(&p->lock);
    bool ending = p->ending;
    for (size_t i = 0; i < p->count; i++) {
        pool *o = &p->pools[i];
        o->changed = false;
        mf_growth_want(o->growth, now, allocations(o, o->wanted));
        mf_growth_connected(o->growth, allocations(o, o->connected));
    }
    pthread_mutex_unlock(&p->lock);
    return ending;
}

static bool any_news(const mf_pools *p)
{
    bool any = p->ending;
    for (size_t i = 0; i < p->count; i++)
        any |= p->pools[i].changed;
    return any;
}

static void sleep_until(mf_pools *p, double until)
{
    pthread_mutex_lock(&p->lock);
    while (!any_news(p)) {
        double now = mf_seconds(), end = until - now > 3600 ? now + 3600 : until;
        if (end <= now)
            break;
        struct timespec at = {.tv_sec = (time_t)end}; /* mf_seconds is the clock of `wake` */
        at.tv_nsec = (long)((end - (double)at.tv_sec) * 1e9);
        pthread_cond_timedwait(&p->wake, &p->lock, &at);
    }
    pthread_mutex_unlock(&p->lock);
}

static void *work(void *self)
{
    mf_pools *p = self;
    while (!take_news(p)) {
        double until = INFINITY;
        for (size_t i = 0; i < p->count; i++) {
            double next = serve(p, &p->pools[i]);
            until = next < until ? next : until;
        }
        sleep_until(p, until);
    }
    for (size_t i = 0; i < p->count; i++) {
        if (p->pools[i].site->submit == MF_SUBMIT_SLURM)
            end_slurm(p, &p->pools[i]);
        else
            end_commands(&p->pools[i]);
    }
    return NULL;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static mf_status open_pool(mf_pools *p, pool *o, const mf_pool *site)
{
    const mf_shared *shared = p->options.shared;
    double every = p->options.count_every > 0 ? p->options.count_every : COUNT_EVERY;
    o->site = site;
    o->worker = (mf_pool_worker){
        .pool = site,
        .name = mf_arena_print(p->arena, "massflow-%s-%s", site->name, shared->key),
        .connect = p->options.connect,
        .token = shared->token,
        .program = site->program ? site->program : p->options.program,
        .plugins = p->options.plugins,
        .log = shared->log};
    o->each = (size_t)mf_pool_tasks(site);
    o->growth =
        mf_growth_new(site->max / (int)o->each, (int)allocations(o, (size_t)site->backlog), every);
    if (!o->growth)
        return mf_no_memory(0, "a pool");
    if (site->submit != MF_SUBMIT_SLURM)
        return MF_OK;
    p->names = p->names ? mf_arena_print(p->arena, "%s,%s", p->names, o->worker.name)
                        : mf_arena_copy(p->arena, o->worker.name);
    return mf_shared_write(shared, mf_arena_print(p->arena, "%s.sh", site->name),
                           mf_slurm_script(p->arena, &o->worker), &o->script);
}

mf_status mf_pools_new(const mf_pools_options *options, mf_pools **pools)
{
    mf_pools *p = calloc(1, sizeof *p);
    pthread_condattr_t how;
    mf_status status = MF_OK;
    *pools = NULL;
    if (!p)
        return mf_no_memory(0, "pools");
    p->options = *options;
    p->arena = mf_arena_new();
    p->pools = mf_arena_alloc(p->arena, options->count, sizeof *p->pools);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&how);
    pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &how);
    pthread_condattr_destroy(&how);
    for (size_t i = 0; i < options->count && !status; i++) {
        p->count++;
        status = open_pool(p, &p->pools[i], options->pools[i]);
    }
    if (!status) {
        int failed = pthread_create(&p->thread, NULL, work, p);
        p->started = !failed;
        if (failed)
            status = mf_fail(MF_IO, "no thread could be started: %s", strerror(failed));
    }
    if (status) {
        mf_pools_free(p);
        return status;
    }
    *pools = p;
    return MF_OK;
}

static void set(mf_pools *p, size_t *number, pool *o, size_t value)
{
    pthread_mutex_lock(&p->lock);
    if (*number != value) {
        *number = value;
        o->changed = true;
        pthread_cond_signal(&p->wake);
    }
    pthread_mutex_unlock(&p->lock);
}

void mf_pools_want(mf_pools *p, size_t i, size_t workers)
{
    set(p, &p->pools[i].wanted, &p->pools[i], workers);
}

void mf_pools_connected(mf_pools *p, size_t i, size_t workers)
{
    set(p, &p->pools[i].connected, &p->pools[i], workers);
}

void mf_pools_state(mf_pools *p, size_t i, mf_pool_state *state)
{
    pthread_mutex_lock(&p->lock);
    *state = p->pools[i].state;
    pthread_mutex_unlock(&p->lock);
}

void mf_pools_free(mf_pools *p)
{
    if (!p)
        return;
    if (p->started) {
        pthread_mutex_lock(&p->lock);
        p->ending = true;
        pthread_cond_signal(&p->wake);
        pthread_mutex_unlock(&p->lock);
        pthread_join(p->thread, NULL);
    }
    for (size_t i = 0; i < p->count; i++) {
        mf_growth_free(p->pools[i].growth);
        free(p->pools[i].script);
        free(p->pools[i].commands);
    }
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    mf_arena_free(p->arena);
    free(p);
}
