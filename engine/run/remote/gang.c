/* gang.c - see gang.h. */
#include "run/remote/gang.h"
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

mf_status mf_gang_new(mf_workers *workers, const mf_gang_seat *seats, size_t count, mf_gang **gang)
{
    mf_gang *g;
    mf_status status;

    *gang = NULL;
    if (count > MF_RANK_LINKS_MOST)
        return mf_fail(MF_UNSUPPORTED, "%zu workers of a node; at most %d", count,
                       MF_RANK_LINKS_MOST);
    g = calloc(1, sizeof *g);
    if (!g)
        return mf_no_memory(sizeof *g, "%zu workers of a node", count);
    g->ranks = (int)count;
    pthread_mutex_init(&g->lock, NULL);
    pthread_mutex_init(&g->states, NULL);
    pthread_cond_init(&g->changed, NULL);
    look_for_mpi(g, workers, seats);
    status = mf_secret_random(g->secret);
    if (status) {
        mf_gang_free(g);
        return status;
    }
    *gang = g;
    return MF_OK;
}

void mf_gang_free(mf_gang *g)
{
    if (!g)
        return;
    pthread_mutex_destroy(&g->lock);
    pthread_mutex_destroy(&g->states);
    pthread_cond_destroy(&g->changed);
    free(g);
}

bool mf_gang_by_mpi(const mf_gang *g)
{
    return g->by_mpi;
}

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
