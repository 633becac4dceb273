/* growth.c - see growth.h. */
#include "run/pool/growth.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PAUSE 5.0     /* s after a submission that failed; doubled with each one more */
#define LONGEST_PAUSE 300.0 /* s */
#define QUICK 60.0          /* s: an allocation that fails sooner ended at once */
#define STRIKES 3           /* of them on a host, and it is left out */
#define UNWANTED 60.0       /* s that nobody wants what waits before it is cancelled */

typedef struct host {
    char *name;
    int strikes;
    bool excluded, said;
} host;

struct mf_growth {
    size_t max, backlog;
    double count_every;
    size_t wanted, connected;
    size_t waiting, running; /* as far as is known */
    double unwanted_since;   /* what waits; INFINITY: it is wanted */
    double counted;          /* when last tried; -INFINITY */
    double not_before;       /* the next submission */
    size_t failures;         /* submissions in a row */
    size_t quick;            /* allocations in a row that ended at once */
    bool ever;               /* a worker has connected */
    host *hosts;
    size_t host_count, host_room;
    char **ended; /* ids of allocations that ended at once, each counted once */
    size_t ended_count, ended_room;
    mf_text excluded;
};

mf_growth *mf_growth_new(int max, int backlog, double count_every)
{
    mf_growth *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->max = (size_t)max;
    g->backlog = (size_t)backlog;
    g->count_every = count_every;
    g->unwanted_since = INFINITY;
    g->counted = -INFINITY;
    g->not_before = -INFINITY;
    return g;
}

void mf_growth_free(mf_growth *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->host_count; i++)
        free(g->hosts[i].name);
    for (size_t i = 0; i < g->ended_count; i++)
        free(g->ended[i]);
    free(g->hosts);
    free(g->ended);
    free(g->excluded.data);
    free(g);
}

/* ---- what is seen ---------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Allocations that are to be there: never more than the nodes can use. */
static size_t target(const mf_growth *g)
{
    return least(g->wanted, g->max);
}

static void look_unwanted(mf_growth *g, double now)
{
    bool wanted = !g->waiting || target(g) > g->running;
    if (wanted)
        g->unwanted_since = INFINITY;
    else if (isinf(g->unwanted_since))
        g->unwanted_since = now;
}

void mf_growth_want(mf_growth *g, double now, size_t workers)
{
    g->wanted = workers;
    look_unwanted(g, now);
}

void mf_growth_connected(mf_growth *g, size_t workers)
{
    /* What connects has left the queue; what is gone is no allocation any more. */
    if (workers > g->running)
        g->waiting -= least(g->waiting, workers - g->running);
    else if (workers < g->connected)
        g->running -= least(g->running, g->connected - workers);
    if (workers > g->running)
        g->running = workers;
    if (workers) {
        g->ever = true;
        g->quick = 0;
    }
    g->connected = workers;
}

/* The next submission waits: longer each time, never for good. */
static void pause_for(mf_growth *g, double now, size_t failures)
{
    double pause = FIRST_PAUSE;
    for (size_t i = 1; i < failures && pause < LONGEST_PAUSE; i++)
        pause *= 2;
    g->not_before = now + (pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE);
}

/* Hosts that were left out may be all that there are. */
static void admit_all(mf_growth *g)
{
    for (size_t i = 0; i < g->host_count; i++)
        g->hosts[i].excluded = false, g->hosts[i].strikes = 0;
    g->excluded.length = 0;
    if (g->excluded.data)
        *g->excluded.data = 0;
}

bool mf_growth_submitted(mf_growth *g, double now, size_t count, bool accepted)
{
    if (accepted) {
        g->waiting += count;
        g->failures = 0;
        return false;
    }
    admit_all(g);
    pause_for(g, now, ++g->failures);
    return g->failures == 1;
}

static host *host_of(mf_growth *g, const char *name)
{
    for (size_t i = 0; i < g->host_count; i++)
        if (!strcmp(g->hosts[i].name, name))
            return &g->hosts[i];
    g->hosts = mf_grow(g->hosts, &g->host_room, g->host_count + 1, sizeof *g->hosts);
    host *h = &g->hosts[g->host_count];
    *h = (host){.name = strdup(name)};
    if (!h->name)
        abort();
    g->host_count++;
    return h;
}

void mf_growth_ended(mf_growth *g, double now, const char *name)
{
    if (!g->ever)
        pause_for(g, now, ++g->quick);
    if (!*name)
        return;
    host *h = host_of(g, name);
    if (++h->strikes < STRIKES || h->excluded)
        return;
    h->excluded = true;
    mf_text_add(&g->excluded, "%s%s", g->excluded.length ? "," : "", name);
}

/* An allocation that ended at once counts once, however often it is seen; one of a run before this
 * one does not count. */
static void note_ended(mf_growth *g, double now, const mf_seen *s, bool first)
{
    for (size_t i = 0; i < g->ended_count; i++)
        if (!strcmp(g->ended[i], s->id))
            return;
    g->ended = mf_grow(g->ended, &g->ended_room, g->ended_count + 1, sizeof *g->ended);
    g->ended[g->ended_count] = strdup(s->id);
    if (!g->ended[g->ended_count++])
        abort();
    if (!first)
        mf_growth_ended(g, now, s->host);
}

void mf_growth_counted(mf_growth *g, double now, const mf_seen *seen, size_t count)
{
    bool first = isinf(g->counted);
    g->counted = now;
    if (!seen)
        return;
    g->waiting = g->running = 0;
    for (size_t i = 0; i < count; i++) {
        const mf_seen *s = &seen[i];
        g->waiting += s->state == MF_SEEN_WAITING;
        g->running += s->state == MF_SEEN_RUNNING;
        if (s->state == MF_SEEN_FAILED && s->used < QUICK)
            note_ended(g, now, s, first);
        if (s->state == MF_SEEN_RUNNING && s->used >= QUICK && *s->host)
            host_of(g, s->host)->strikes = 0;
    }
    if (g->connected > g->running) /* of another coordinator's time, or not shown yet */
        g->running = g->connected;
    look_unwanted(g, now);
}

void mf_growth_counted_only(mf_growth *g, double now, size_t count)
{
    g->counted = now;
    g->running = g->connected;
    g->waiting = count > g->connected ? count - g->connected : 0;
    look_unwanted(g, now);
}

void mf_growth_cancelled(mf_growth *g)
{
    g->waiting = 0;
    g->unwanted_since = INFINITY;
}

/* ---- what to do ------------------------------------------------------------------------------ */

static size_t to_submit(const mf_growth *g)
{
    size_t there = g->waiting + g->running;
    size_t missing = target(g) > there ? target(g) - there : 0;
    size_t room = g->backlog > g->waiting ? g->backlog - g->waiting : 0;
    return least(missing, room);
}

static double soonest(double a, double b)
{
    return a < b ? a : b;
}

mf_growth_step mf_growth_next(mf_growth *g, double now)
{
    double count_at = g->counted + g->count_every, until = INFINITY;
    size_t count = to_submit(g);
    /* Before the first submission too: a run that was killed may have left some. */
    bool unsure = g->waiting || g->running > g->connected || (count && isinf(g->counted));
    if (g->waiting && now - g->unwanted_since >= UNWANTED)
        return (mf_growth_step){.act = MF_GROW_CANCEL};
    if (unsure && now >= count_at)
        return (mf_growth_step){.act = MF_GROW_COUNT};
    if (count && now >= g->not_before)
        return (mf_growth_step){.act = MF_GROW_SUBMIT, .count = count};
    if (count)
        until = g->not_before;
    if (unsure)
        until = soonest(until, count_at);
    if (g->waiting && !isinf(g->unwanted_since))
        until = soonest(until, g->unwanted_since + UNWANTED);
    return (mf_growth_step){.act = MF_GROW_REST, .until = until};
}

/* ---- asking ---------------------------------------------------------------------------------- */

const char *mf_growth_excluded(const mf_growth *g)
{
    return g->excluded.length ? g->excluded.data : "";
}

const char *mf_growth_news(mf_growth *g)
{
    for (size_t i = 0; i < g->host_count; i++)
        if (g->hosts[i].excluded && !g->hosts[i].said) {
            g->hosts[i].said = true;
            return g->hosts[i].name;
        }
    return NULL;
}

size_t mf_growth_quick(const mf_growth *g)
{
    return g->quick;
}

size_t mf_growth_waiting(const mf_growth *g)
{
    return g->waiting;
}

size_t mf_growth_running(const mf_growth *g)
{
    return g->running;
}
