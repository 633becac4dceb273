/* gang.c - see gang.h. */
#include "run/remote/gang.h"
#include "run/process/altstack.h"
#include "run/remote/address.h"
#include "run/remote/rank_links.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mf_gang {
    int ranks;
    uint8_t secret[MF_SECRET_BYTES];
    bool by_mpi;
    int peers[MF_RANK_LINKS_MOST]; /* which of the launcher's processes the workers are */
    pthread_mutex_t states;        /* see mf_gang_lock */
    pthread_mutex_t lock;          /* of what follows */
    pthread_cond_t changed;
    bool ended; /* one has, not well: all are to end */
    int told;   /* addresses */
    char address[MF_RANK_LINKS_MOST][96];
    char kind[MF_RANK_LINKS_MOST][512];      /* of its devices, as they round */
    mf_channel *channel[MF_RANK_LINKS_MOST]; /* NULL: it has not begun, or has ended */
};

void mf_gang_lock(mf_gang *g)
{
    pthread_mutex_lock(&g->states);
}

void mf_gang_unlock(mf_gang *g)
{
    pthread_mutex_unlock(&g->states);
}

void mf_gang_put(const mf_gang *g, int rank, mf_packet *p)
{
    mf_packet_int(p, rank);
    mf_packet_int(p, g->ranks);
    mf_packet_bytes(p, g->secret, sizeof g->secret);
    mf_packet_int(p, g->by_mpi);
    for (int i = 0; i < g->ranks && g->by_mpi; i++)
        mf_packet_int(p, g->peers[i]);
}

static void tell_end(mf_channel *channel)
{
    mf_packet none = {0};
    bool lost;

    mf_error_free(mf_channel_send(channel, MF_LINK_ABORT, &none, NULL, 0, &lost));
}

void mf_gang_enter(mf_gang *g, int rank, mf_channel *channel)
{
    pthread_mutex_lock(&g->lock);
    g->channel[rank] = channel;
    if (g->ended)
        tell_end(channel);
    pthread_mutex_unlock(&g->lock);
}

void mf_gang_leave(mf_gang *g, int rank, bool well)
{
    pthread_mutex_lock(&g->lock);
    g->channel[rank] = NULL;
    if (!well && !g->ended) {
        g->ended = true;
        for (int i = 0; i < g->ranks; i++)
            if (g->channel[i])
                tell_end(g->channel[i]);
        pthread_cond_broadcast(&g->changed);
    }
    pthread_mutex_unlock(&g->lock);
}

/* ---- meeting --------------------------------------------------------------------------------- */

static mf_status take_told(mf_gang *g, int rank, mf_packet *told)
{
    const char *address = mf_packet_get_text(told), *kind = mf_packet_get_text(told);

    MF_TRY(mf_packet_check(told));
    if (!address || strlen(address) >= sizeof *g->address || !kind ||
        strlen(kind) >= sizeof *g->kind || *g->address[rank])
        return mf_fail(MF_CORRUPT, "a message of the other end is damaged");
    strcpy(g->address[rank], address);
    strcpy(g->kind[rank], kind);
    g->told++;
    return MF_OK;
}

/* All would end with other weights than on one device. */
static mf_status check_kinds(const mf_gang *g)
{
    for (int i = 1; i < g->ranks; i++)
        if (strcmp(g->kind[i], g->kind[0]))
            return mf_hint(mf_fail(MF_UNSUPPORTED,
                                   "worker %d computes on another kind of device than worker 0: "
                                   "%s; %s",
                                   i, g->kind[i], g->kind[0]),
                           "'massflow devices' at both shows driver and form of the kernels");
    return MF_OK;
}

static mf_status check_addresses(const mf_gang *g)
{
    int loopback = 0;

    for (int i = 0; i < g->ranks; i++)
        loopback += mf_address_is_loopback(g->address[i]);
    if (!loopback || loopback == g->ranks)
        return MF_OK;
    return mf_hint(mf_fail(MF_UNSUPPORTED,
                           "workers on other machines can't reach one that is connected by the "
                           "loopback address"),
                   "connect the workers of this machine by the address of its network, too");
}

static mf_status wait_for_all(mf_gang *g)
{
    pthread_cond_broadcast(&g->changed);
    while (g->told < g->ranks && !g->ended)
        pthread_cond_wait(&g->changed, &g->lock);
    if (g->ended)
        return mf_fail(MF_CANCELLED, "another worker of the training has failed or ended");
    MF_TRY(check_kinds(g));
    return check_addresses(g);
}

mf_status mf_gang_meet(mf_gang *g, int rank, mf_packet *told, mf_packet *answer)
{
    pthread_mutex_lock(&g->lock);
    mf_status status = take_told(g, rank, told);
    if (!status)
        status = wait_for_all(g);
    for (int i = 0; i < g->ranks && !status; i++)
        mf_packet_text(answer, g->address[i]);
    pthread_mutex_unlock(&g->lock);
    return status;
}

/* ---- the node -------------------------------------------------------------------------------- */

typedef struct number {
    mf_workers *workers;
    const mf_gang_seat *seat;
    mf_task *task;
    const mf_limits *limits;
    const char *key;
    mf_gang *gang;
    int rank;
    mf_remote_end end;
    mf_status status;
    pthread_t thread;
    bool threaded;
} number;

static void *run_number(void *self)
{
    number *n = self;

    mf_altstack_set();
    n->status = mf_execute_number(n->workers, n->seat, n->task, n->limits, n->key, n->gang, n->rank,
                                  &n->end);
    return NULL;
}

static void start(number *n)
{
    n->threaded = pthread_create(&n->thread, NULL, run_number, n) == 0;
    if (n->threaded)
        return;
    n->status = mf_fail(MF_NO_MEMORY, "no thread for a worker of a node");
    mf_gang_leave(n->gang, n->rank, false);
}

/* An error goes before those of workers that ended because of it. */
static mf_status first_error(number *all, size_t count)
{
    mf_status status = MF_OK;

    for (size_t i = 0; i < count; i++) {
        mf_status own = all[i].status;
        if (own && (!status || (mf_error_code(status) == MF_CANCELLED &&
                                mf_error_code(own) != MF_CANCELLED))) {
            mf_error_free(status);
            status = own;
        } else {
            mf_error_free(own);
        }
    }
    return status;
}

/* Where one was lost or has ended, the node goes back, whatever the others say: they say what came
 * of that. So it does where they lost each other, though all are there. */
static mf_status join_ends(number *all, size_t count, mf_host *host, mf_remote_end *end,
                           size_t *place)
{
    mf_status status;

    *end = all->end;
    end->returned = end->lost = false;
    for (size_t i = 0; i < count; i++) {
        if (!all[i].end.returned || end->lost)
            continue;
        if (!end->returned || all[i].end.lost)
            *place = i;
        end->returned = true;
        end->lost = all[i].end.lost;
    }
    status = first_error(all, count);
    if (!end->returned && status && mf_error_code(status) == MF_CANCELLED &&
        !mf_host_cancelled(host)) {
        end->returned = end->lost = true;
        *place = 0;
    }
    if (!end->returned)
        return status;
    end->store_failed = false;
    mf_error_free(status);
    return MF_OK;
}

/* Where one launcher started all of them. */
static void look_for_mpi(mf_gang *g, mf_workers *workers, const mf_gang_seat *seats)
{
    int64_t group = 0;

    g->by_mpi = true;
    for (int i = 0; i < g->ranks; i++) {
        mf_worker_state s;
        mf_workers_state(workers, seats[i].worker, &s);
        group = i ? group : s.group;
        g->by_mpi = g->by_mpi && s.group && s.group == group;
        g->peers[i] = s.group_rank;
    }
}

/* "runs at n1:1, n2:1 together, which reach each other by MPI" */
static void tell_places(const mf_gang *g, mf_workers *workers, const mf_gang_seat *seats,
                        mf_task *task)
{
    char line[1024];
    size_t length = (size_t)snprintf(line, sizeof line, "runs at ");

    for (int i = 0; i < g->ranks && length < sizeof line; i++) {
        mf_worker_state s;
        mf_workers_state(workers, seats[i].worker, &s);
        length +=
            (size_t)snprintf(line + length, sizeof line - length, "%s%s", i ? ", " : "", s.name);
    }
    if (length < sizeof line)
        snprintf(line + length, sizeof line - length, " together, which reach each other by %s",
                 g->by_mpi ? "MPI" : "TCP");
    mf_host_log(mf_task_host(task), mf_task_work(task)->node, line);
}

static mf_status run_once(mf_gang *g, number *all, size_t count, mf_remote_end *end, size_t *place)
{
    MF_TRY(mf_secret_random(g->secret));
    pthread_mutex_init(&g->lock, NULL);
    pthread_mutex_init(&g->states, NULL);
    pthread_cond_init(&g->changed, NULL);
    for (size_t i = 1; i < count; i++)
        start(&all[i]);
    run_number(&all[0]);
    for (size_t i = 1; i < count; i++)
        if (all[i].threaded)
            pthread_join(all[i].thread, NULL);
    pthread_mutex_destroy(&g->lock);
    pthread_mutex_destroy(&g->states);
    pthread_cond_destroy(&g->changed);
    return join_ends(all, count, mf_task_host(all->task), end, place);
}

static mf_status try_once(mf_workers *workers, const mf_gang_seat *seats, size_t count,
                          mf_task *task, const mf_limits *limits, const char *key,
                          mf_remote_end *end, size_t *place)
{
    mf_gang *g = calloc(1, sizeof *g);
    number *all = calloc(count, sizeof *all);
    mf_status status;

    for (size_t i = 0; i < count && g && all; i++)
        all[i] = (number){.workers = workers,
                          .seat = &seats[i],
                          .task = task,
                          .limits = limits,
                          .key = key,
                          .gang = g,
                          .rank = (int)i};
    if (g && all) {
        g->ranks = (int)count;
        look_for_mpi(g, workers, seats);
        tell_places(g, workers, seats, task);
        mf_task_begin_checkpoints(task);
        mf_task_set_timeout(task, limits->timeout);
        status = run_once(g, all, count, end, place);
        mf_task_set_timeout(task, 0);
    } else {
        status = mf_no_memory(0, "%zu workers of a node", count);
    }
    free(all);
    free(g);
    if (status || end->returned)
        mf_task_drop(task);
    return status;
}

mf_status mf_execute_gang(mf_workers *workers, const mf_gang_seat *seats, size_t count,
                          mf_task *task, const mf_limits *limits, const char *key,
                          mf_remote_end *end, size_t *place)
{
    *place = 0;
    *end = (mf_remote_end){0};
    if (count > MF_RANK_LINKS_MOST)
        return mf_fail(MF_UNSUPPORTED, "%zu workers of a node; at most %d", count,
                       MF_RANK_LINKS_MOST);
    for (int tried = 1;; tried++) {
        mf_status status = try_once(workers, seats, count, task, limits, key, end, place);
        if (!status || end->store_failed || tried > limits->retries ||
            mf_host_cancelled(mf_task_host(task)))
            return status;
        mf_retry_tell(task, status, tried, limits->retries + 1);
        mf_error_free(status);
    }
}
