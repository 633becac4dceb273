/* growth.h - how many allocations a pool has, and what is to be done about it: submit some, count
 * them, cancel what waits, leave out a host. It knows neither Slurm nor clocks nor processes: it is
 * told what was seen and when, and answers what to do next.
 *
 * An allocation is wanted, then waits in the queue of the batch system, then runs; its worker
 * connects, works, and ends by itself. Nothing is concluded from an id: how many there are is what
 * was last counted, and what was submitted since. So it is counted before anything is submitted,
 * and one that is not there any more is asked for again where it is still wanted. */
#ifndef MASSFLOW_RUN_GROWTH_H
#define MASSFLOW_RUN_GROWTH_H

#include <stdbool.h>
#include <stddef.h>

typedef enum mf_seen_state {
    MF_SEEN_WAITING,
    MF_SEEN_RUNNING,
    MF_SEEN_ENDED, /* as it should: done, cancelled, out of time, preempted */
    MF_SEEN_FAILED /* its script did, or its host */
} mf_seen_state;

/* One allocation as the batch system shows it. */
typedef struct mf_seen {
    const char *id;   /* of the allocation, to tell it from others; "12_3" */
    const char *host; /* "" where it has none */
    mf_seen_state state;
    double used; /* s that it ran */
} mf_seen;

typedef struct mf_growth mf_growth;

/* `max`, `backlog`: as in the pool (site.h). `count_every`: s between two counts, at least. NULL
 * where memory is short. */
mf_growth *mf_growth_new(int max, int backlog, double count_every);
void mf_growth_free(mf_growth *g); /* NULL is fine */

/* What is seen. `now` goes forward only. */
/* Workers that the nodes which could start or run now could use. */
void mf_growth_want(mf_growth *g, double now, size_t workers);
/* Workers of the pool that are connected. */
void mf_growth_connected(mf_growth *g, size_t workers);
/* What a submission came to: all of `count`, or an error. True where that is to be said: the first
 * of several in a row. */
bool mf_growth_submitted(mf_growth *g, double now, size_t count, bool accepted);
/* What a count has shown, of all allocations of the pool; NULL: it could not be made. */
void mf_growth_counted(mf_growth *g, double now, const mf_seen *seen, size_t count);
/* The batch system only tells how many wait or run. */
void mf_growth_counted_only(mf_growth *g, double now, size_t count);
/* An allocation that ended within a minute; see mf_growth_quick. */
void mf_growth_ended(mf_growth *g, double now, const char *host);
void mf_growth_cancelled(mf_growth *g); /* those that waited are not there any more */

typedef enum mf_growth_act {
    MF_GROW_REST,  /* until something is seen, or `until` */
    MF_GROW_COUNT, /* mf_growth_counted is to follow */
    MF_GROW_SUBMIT,
    MF_GROW_CANCEL /* what waits: nobody wants it any more */
} mf_growth_act;

typedef struct mf_growth_step {
    mf_growth_act act;
    size_t count; /* SUBMIT: allocations, at least 1 */
    double until; /* REST: something may be due then; INFINITY */
} mf_growth_step;

mf_growth_step mf_growth_next(mf_growth *g, double now);

/* Hosts to leave out; "" for none, else "n1,n2". Until the next call of the growth. */
const char *mf_growth_excluded(const mf_growth *g);
/* Whether something is to be said: a host that has just been left out. NULL: nothing, else the
 * host. Each is said once. */
const char *mf_growth_news(mf_growth *g);
/* Allocations that ended at once in a row, while no worker ever connected: it is the set-up then,
 * not a host. To be said when it comes to 3. */
size_t mf_growth_quick(const mf_growth *g);

/* As last counted or submitted. */
size_t mf_growth_waiting(const mf_growth *g);
size_t mf_growth_running(const mf_growth *g);

#endif
