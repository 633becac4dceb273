/* pilot_ranks.c - a node that this worker runs together with others. See pilot_private.h, gang.h.
 */
#include "run/remote/pilot.h"
#include "run/remote/pilot_private.h"
#include "run/remote/rank_mpi.h"

#include "compute/devices.h"

#include <stdio.h>
#include <string.h>

#define MEET_SECONDS 60.0

_Static_assert(sizeof((mf_pilot_rank *)0)->peers / sizeof(int) == MF_RANK_LINKS_MOST, "peers");

/* The order in which gang.c puts it. */
void mf__pilot_get_rank(mf_packet *p, mf_pilot_rank *r)
{
    const int64_t rank = mf_packet_get_int(p), ranks = mf_packet_get_int(p);
    size_t size = 0;
    const void *secret = ranks > 1 ? mf_packet_get_bytes(p, &size) : NULL;

    p->failed |= ranks < 1 || ranks > MF_RANK_LINKS_MOST || (ranks & (ranks - 1)) || rank < 0 ||
                 rank >= ranks || (ranks > 1 && (!secret || size != MF_SECRET_BYTES));
    *r = (mf_pilot_rank){.rank = p->failed ? 0 : (int)rank, .ranks = p->failed ? 1 : (int)ranks};
    if (p->failed || ranks == 1)
        return;
    memcpy(r->secret.key, secret, MF_SECRET_BYTES);
    r->by_mpi = mf_packet_get_int(p) != 0;
    for (int64_t i = 0; i < ranks && r->by_mpi; i++) {
        const int64_t peer = mf_packet_get_int(p);
        p->failed |= peer < 0 || peer > INT32_MAX;
        r->peers[i] = (int)peer;
    }
}

/* All of which what is computed there depends. */
static mf_status kind_of(mf_pilot_job *j, char text[512])
{
    const size_t *devices;
    mf_device *device;

    *text = 0;
    if (!mf_work_wants_device(mf_frozen_work(j->frozen)))
        return MF_OK;
    mf_task_device_list(j->task, &devices);
    MF_TRY(mf_host_device(j->pilot->host, devices[0], &device));
    const mf_device_info *info = mf_device_get_info(device);
    snprintf(text, 512, "%s, %s, driver %s, %d compute units, kernels for %s", info->name,
             info->platform, info->driver, info->compute_units, info->plain ? "CPUs" : "GPUs");
    return MF_OK;
}

/* Tells the run where this worker is, and hears where the others are. */
static mf_status ask_addresses(mf_pilot_job *j, mf_packet *answer,
                               const char *addresses[MF_RANK_LINKS_MOST])
{
    mf_packet q = {0};
    char kind[512];
    mf_status status;

    *answer = (mf_packet){0};
    MF_TRY(kind_of(j, kind));
    mf_packet_text(&q, j->links ? mf_rank_links_address(j->links) : "MPI");
    mf_packet_text(&q, kind);
    pthread_mutex_lock(&j->calling);
    status = mf__pilot_call(j, MF_LINK_RANKS, &q, answer);
    pthread_mutex_unlock(&j->calling);
    for (int i = 0; i < j->rank.ranks && !status; i++) {
        addresses[i] = mf_packet_get_text(answer);
        if (!addresses[i])
            status = mf__pilot_damaged();
    }
    return status;
}

static void abort_job(mf_pilot_job *j)
{
    if (j->links)
        mf_rank_links_abort(j->links);
    if (j->mpi)
        mf_rank_mpi_abort(j->mpi);
}

static mf_status listen_beside(mf_pilot_job *j, const mf_rank_links_options *options,
                               mf_rank_links **links)
{
    uint32_t channel;
    mf_link *link = mf__pilot_borrow(j, &channel);
    mf_status status;

    if (!link)
        return mf__pilot_gone();
    status = mf_rank_links_new(options, mf_link_socket(link), links);
    mf__pilot_give_back(j->pilot);
    return status;
}

static mf_status open_links(mf_pilot_job *j)
{
    const size_t *devices;
    const mf_rank_links_options options = {.rank = j->rank.rank,
                                           .ranks = j->rank.ranks,
                                           .devices = (int)mf_task_device_list(j->task, &devices),
                                           .secret = j->rank.secret,
                                           .seconds = MEET_SECONDS};
    const mf_mpi *mpi = j->pilot->options->mpi;
    mf_rank_links *links = NULL;
    mf_rank_mpi *by_mpi = NULL;

    if (!j->rank.by_mpi)
        MF_TRY(listen_beside(j, &options, &links));
    else if (mpi)
        MF_TRY(mf_rank_mpi_new(mpi, &options, j->rank.peers, &by_mpi));
    else
        return mf__pilot_damaged();
    pthread_mutex_lock(&j->pilot->lock);
    j->links = links;
    j->mpi = by_mpi;
    if (j->aborted)
        abort_job(j);
    pthread_mutex_unlock(&j->pilot->lock);
    return MF_OK;
}

static mf_transport *const *transports(mf_pilot_job *j)
{
    return j->mpi ? mf_rank_mpi_transports(j->mpi) : mf_rank_links_transports(j->links);
}

mf_status mf__pilot_meet(mf_pilot_job *j)
{
    const char *addresses[MF_RANK_LINKS_MOST];
    mf_packet answer;
    mf_status status;

    if (j->rank.ranks == 1)
        return MF_OK;
    MF_TRY(open_links(j));
    status = ask_addresses(j, &answer, addresses);
    if (!status && j->links)
        status = mf_rank_links_meet(j->links, addresses);
    mf_packet_clear(&answer);
    if (!status)
        mf_task_set_rank(j->task, j->rank.rank, j->rank.ranks, transports(j));
    return status;
}

/* Who has done well waits for the others: what it sent is taken before its connections are closed.
 * Another one that fails then is the run's to hear of. */
void mf__pilot_part(mf_pilot_job *j, bool well)
{
    mf_rank_links *links = j->links;
    mf_rank_mpi *mpi = j->mpi;
    const size_t *devices;

    if (!links && !mpi)
        return;
    for (size_t i = 0; well && i < mf_task_device_list(j->task, &devices); i++)
        mf_error_free(mf_transport_barrier(transports(j)[i]));
    pthread_mutex_lock(&j->pilot->lock);
    abort_job(j);
    j->links = NULL;
    j->mpi = NULL;
    pthread_mutex_unlock(&j->pilot->lock);
    mf_rank_links_free(links);
    mf_rank_mpi_free(mpi);
}

void mf__pilot_abort_ranks(mf_pilot_job *j)
{
    j->aborted = true;
    abort_job(j);
}

void mf__pilot_abort(mf_pilot *p, uint32_t channel)
{
    pthread_mutex_lock(&p->lock);
    for (mf_pilot_job *j = p->jobs; j; j = j->next)
        if (j->channel == channel)
            mf__pilot_abort_ranks(j);
    pthread_mutex_unlock(&p->lock);
}

/* Where this worker is asked to end the others need not be waited for. */
void mf__pilot_beat_ranks(mf_pilot *p)
{
    const bool ends = mf_host_cancelled(p->host);

    pthread_mutex_lock(&p->lock);
    for (mf_pilot_job *j = p->jobs; j; j = j->next) {
        if (ends)
            abort_job(j);
        else if (j->links)
            mf_rank_links_beat(j->links);
    }
    pthread_mutex_unlock(&p->lock);
}
