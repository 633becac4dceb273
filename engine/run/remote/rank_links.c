/* rank_links.c - see rank_links.h. */
#include "run/remote/rank_links.h"
#include "run/remote/address.h"

#include <massflow/seconds.h>

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define JOIN_SECONDS 20.0
#define STRANGERS 16 /* connections that have proved nothing yet */
#define SLICE ((size_t)16 << 20)
#define WORTH_A_THREAD ((size_t)64 << 10) /* bytes each way */

enum { BITS = 6 }; /* of the number of a worker */
_Static_assert(1 << BITS == MF_RANK_LINKS_MOST, "bits of a rank");

/* Of a device: to the workers whose number differs in bit 0, 1, ... */
typedef struct lane {
    mf_rank_links *all;
    mf_transport transport;
    mf_link *link[BITS];
} lane;

typedef struct stranger {
    int socket;
    mf_handshake handshake;
} stranger;

struct mf_rank_links {
    mf_rank_links_options options;
    int socket;
    char address[96];
    stranger strangers[STRANGERS]; /* the oldest first */
    int stranger_count;
    pthread_mutex_t lock; /* of the links as they come, the end of the socket, and what follows */
    bool aborted;
    lane *lanes;               /* [devices] */
    mf_transport **transports; /* [devices] */
};

static int bit_of(int a, int b)
{
    return __builtin_ctz((unsigned)(a ^ b));
}

static bool differ_in_one(int a, int b)
{
    return a != b && ((a ^ b) & ((a ^ b) - 1)) == 0;
}

static bool is_aborted(mf_rank_links *l)
{
    pthread_mutex_lock(&l->lock);
    bool aborted = l->aborted;
    pthread_mutex_unlock(&l->lock);
    return aborted;
}

/* ---- messages -------------------------------------------------------------------------------- */

static mf_status gone(int rank)
{
    return mf_fail(MF_CANCELLED, "worker %d of the training has failed or ended", rank);
}

/* Why does not matter: the run knows of the other one. */
static mf_status gone_for(mf_status status, int rank)
{
    if (!status || mf_error_code(status) == MF_NO_MEMORY)
        return status;
    mf_error_free(status);
    return gone(rank);
}

static mf_status find_link(const lane *l, int other, mf_link **link)
{
    *link =
        differ_in_one(l->transport.rank, other) ? l->link[bit_of(l->transport.rank, other)] : NULL;
    return *link ? MF_OK : mf_fail(MF_INTERNAL, "worker %d is no neighbour", other);
}

static mf_status send_message(const lane *l, int to, const void *data, size_t bytes)
{
    mf_link *link;

    MF_TRY(find_link(l, to, &link));
    for (size_t at = 0; at < bytes; at += SLICE) {
        const size_t size = bytes - at < SLICE ? bytes - at : SLICE;
        mf_packet head = {0};
        mf_packet_int(&head, (int64_t)bytes);
        MF_TRY(gone_for(
            mf_link_send_bytes(link, MF_LINK_BYTES, 0, &head, (const char *)data + at, size), to));
    }
    return MF_OK;
}

/* The next part of a message, of which `left` bytes are still to come. */
static mf_status take_part(mf_frame *f, char *data, size_t bytes, size_t left, size_t *size)
{
    const int64_t all = mf_packet_get_int(&f->body);

    *size = f->body.size - f->body.at;
    if (f->kind != MF_LINK_BYTES || f->body.failed || (size_t)all != bytes || !*size ||
        *size > left)
        return mf_fail(MF_INTERNAL, "%lld bytes of another worker, not %zu", (long long)all, bytes);
    memcpy(data, f->body.bytes + f->body.at, *size);
    return MF_OK;
}

static mf_status receive_message(const lane *l, int from, void *data, size_t bytes)
{
    mf_link *link;

    MF_TRY(find_link(l, from, &link));
    for (size_t at = 0, size; at < bytes; at += size) {
        mf_frame f;
        bool end;
        MF_TRY(gone_for(mf_link_receive(link, &f, &end), from));
        if (end)
            return gone(from);
        mf_status status = take_part(&f, (char *)data + at, bytes, bytes - at, &size);
        mf_packet_clear(&f.body);
        MF_TRY(status);
    }
    return MF_OK;
}

/* What a thread sends while another one receives. */
typedef struct sending {
    lane *lane;
    int to;
    const void *data;
    size_t bytes;
    mf_status status;
} sending;

static void *send_beside(void *self)
{
    sending *s = self;

    s->status = send_message(s->lane, s->to, s->data, s->bytes);
    return NULL;
}

/* The lower rank sends first. */
static mf_status swap_in_turn(lane *l, int other, const void *out, size_t out_bytes, void *in,
                              size_t in_bytes)
{
    if (l->transport.rank < other)
        MF_TRY(send_message(l, other, out, out_bytes));
    MF_TRY(receive_message(l, other, in, in_bytes));
    return l->transport.rank > other ? send_message(l, other, out, out_bytes) : MF_OK;
}

/* Both ways at once, where it is worth a thread: a connection carries as much in both directions
 * together as in each. The other end may do it in either way. */
static mf_status swap(void *self, int other, const void *out, size_t out_bytes, void *in,
                      size_t in_bytes)
{
    lane *l = self;
    sending s = {l, other, out, out_bytes, MF_OK};
    mf_link *link;
    pthread_t thread;

    MF_TRY(find_link(l, other, &link));
    if (out_bytes < WORTH_A_THREAD || in_bytes < WORTH_A_THREAD ||
        pthread_create(&thread, NULL, send_beside, &s) != 0)
        return swap_in_turn(l, other, out, out_bytes, in, in_bytes);
    mf_status status = receive_message(l, other, in, in_bytes);
    if (status)
        mf_link_cut(link); /* it sends to nobody */
    pthread_join(thread, NULL);
    if (!status)
        return s.status;
    mf_error_free(s.status);
    return status;
}

void mf_rank_links_abort(mf_rank_links *l)
{
    pthread_mutex_lock(&l->lock);
    l->aborted = true;
    if (l->socket >= 0)
        shutdown(l->socket, SHUT_RDWR); /* wakes whoever waits for the others to connect */
    for (int i = 0; i < l->options.devices; i++)
        for (int b = 0; b < BITS; b++)
            if (l->lanes[i].link[b])
                mf_link_cut(l->lanes[i].link[b]);
    pthread_mutex_unlock(&l->lock);
}

static void abort_all(void *self)
{
    mf_rank_links_abort(((lane *)self)->all);
}

void mf_rank_links_beat(mf_rank_links *l)
{
    pthread_mutex_lock(&l->lock);
    for (int i = 0; i < l->options.devices; i++)
        for (int b = 0; b < BITS; b++)
            if (l->lanes[i].link[b])
                mf_link_beat(l->lanes[i].link[b]);
    pthread_mutex_unlock(&l->lock);
}

mf_transport *const *mf_rank_links_transports(mf_rank_links *l)
{
    return l->transports;
}

/* ---- opening --------------------------------------------------------------------------------- */

static mf_status open_all(mf_rank_links *l, int beside)
{
    const mf_rank_links_options *o = &l->options;

    l->lanes = calloc((size_t)o->devices, sizeof *l->lanes);
    l->transports = calloc((size_t)o->devices, sizeof(mf_transport *));
    if (!l->lanes || !l->transports)
        return mf_no_memory(0, "connections of %d devices", o->devices);
    for (int i = 0; i < o->devices; i++) {
        lane *a = &l->lanes[i];
        a->all = l;
        a->transport = (mf_transport){a, o->rank, o->ranks, swap, abort_all, 0};
        l->transports[i] = &a->transport;
    }
    return mf_address_listen_beside(beside, &l->socket, l->address);
}

mf_status mf_rank_links_new(const mf_rank_links_options *options, int beside, mf_rank_links **links)
{
    mf_rank_links *l = calloc(1, sizeof *l);
    mf_status status;

    *links = NULL;
    if (!l)
        return mf_no_memory(sizeof *l, "connections to other workers");
    l->options = *options;
    l->socket = -1;
    pthread_mutex_init(&l->lock, NULL);
    status = open_all(l, beside);
    if (status) {
        l->options.devices = l->lanes ? options->devices : 0;
        mf_rank_links_free(l);
        return status;
    }
    *links = l;
    return MF_OK;
}

void mf_rank_links_free(mf_rank_links *l)
{
    if (!l)
        return;
    for (int i = 0; i < l->options.devices; i++)
        for (int b = 0; b < BITS; b++)
            mf_link_free(l->lanes[i].link[b]);
    for (int i = 0; i < l->stranger_count; i++)
        close(l->strangers[i].socket);
    if (l->socket >= 0)
        close(l->socket);
    pthread_mutex_destroy(&l->lock);
    free(l->lanes);
    free(l->transports);
    free(l);
}

const char *mf_rank_links_address(const mf_rank_links *l)
{
    return l->address;
}

/* ---- meeting --------------------------------------------------------------------------------- */

/* Takes over the link. */
static mf_status enter(mf_rank_links *l, int other, int device, mf_link *link)
{
    mf_link **place = &l->lanes[device].link[bit_of(l->options.rank, other)];

    mf_link_set_beat(link, MF_LINK_BEAT);
    pthread_mutex_lock(&l->lock);
    bool taken = *place != NULL, aborted = l->aborted;
    if (!taken && !aborted)
        *place = link;
    pthread_mutex_unlock(&l->lock);
    if (!taken && !aborted)
        return MF_OK;
    mf_link_free(link);
    return aborted ? gone(other) : mf_fail(MF_CORRUPT, "worker %d has connected twice", other);
}

static mf_status say_rank(mf_rank_links *l, int device, mf_link *link)
{
    mf_packet p = {0};

    mf_packet_int(&p, l->options.rank);
    mf_packet_int(&p, device);
    return mf_link_send(link, MF_LINK_RANK, 0, &p);
}

static mf_status reach(mf_rank_links *l, int other, int device, const char *where)
{
    mf_link *link;
    int socket;

    MF_TRY(mf_address_connect(where, &socket));
    MF_TRY(mf_link_join(socket, &l->options.secret, JOIN_SECONDS, where, &link));
    mf_link_set_beat(link, JOIN_SECONDS / MF_LINK_BEATS);
    mf_status status = say_rank(l, device, link);
    if (!status)
        return enter(l, other, device, link);
    mf_link_free(link);
    return status;
}

/* Those with a lower number are reached, the others come. */
static mf_status reach_all(mf_rank_links *l, const char *const *addresses)
{
    for (int bit = 1; bit < l->options.ranks; bit *= 2) {
        const int other = l->options.rank ^ bit;
        for (int i = 0; i < l->options.devices && other < l->options.rank; i++) {
            if (is_aborted(l))
                return gone(other);
            MF_TRY(mf_hint(mf_within(reach(l, other, i, addresses[other]),
                                     "the direct connection to worker %d", other),
                           "workers that run one training reach each other at the addresses by "
                           "which they reach the run"));
        }
    }
    return MF_OK;
}

static mf_status hear_rank(mf_rank_links *l, mf_link *link, int *other, int *device)
{
    mf_frame f;
    bool end;

    mf_link_set_beat(link, JOIN_SECONDS / MF_LINK_BEATS);
    MF_TRY(mf_link_receive(link, &f, &end));
    const int64_t rank = mf_packet_get_int(&f.body), at = mf_packet_get_int(&f.body);
    const bool good = !end && f.kind == MF_LINK_RANK && !f.body.failed && rank > l->options.rank &&
                      rank < l->options.ranks && differ_in_one((int)rank, l->options.rank) &&
                      at >= 0 && at < l->options.devices;
    mf_packet_clear(&f.body);
    *other = (int)rank;
    *device = (int)at;
    return good ? MF_OK : mf_fail(MF_CORRUPT, "a message of another worker is damaged");
}

static void forget(mf_rank_links *l, int i)
{
    l->stranger_count--;
    memmove(&l->strangers[i], &l->strangers[i + 1],
            (size_t)(l->stranger_count - i) * sizeof *l->strangers);
}

/* One that is none of the workers is closed and forgotten. */
static mf_status hear_stranger(mf_rank_links *l, int i)
{
    stranger *s = &l->strangers[i];
    mf_link *link;
    bool done;
    int other, device;
    mf_status status =
        mf_handshake_hear(&s->handshake, s->socket, &l->options.secret, &done, &link);

    if (!status && !done)
        return MF_OK;
    if (status && !done)
        close(s->socket);
    forget(l, i);
    if (status) {
        mf_error_free(status);
        return MF_OK;
    }
    status = hear_rank(l, link, &other, &device);
    if (!status)
        return enter(l, other, device, link);
    mf_link_free(link);
    return status;
}

/* Where there are too many, the oldest makes room. */
static void take_connection(mf_rank_links *l)
{
    int socket = accept4(l->socket, NULL, NULL, SOCK_CLOEXEC);
    stranger *s;

    if (socket < 0)
        return;
    if (l->stranger_count == STRANGERS) {
        close(l->strangers[0].socket);
        forget(l, 0);
    }
    s = &l->strangers[l->stranger_count];
    *s = (stranger){.socket = socket};
    if (mf_handshake_begin(&s->handshake, socket))
        l->stranger_count++;
    else
        close(socket);
}

/* Until then at most; an abort wakes it. */
static mf_status hear_some(mf_rank_links *l, double until)
{
    struct pollfd waits[1 + STRANGERS];
    const int count = l->stranger_count;
    const double left = fmax(until - mf_seconds(), 0);

    waits[0] = (struct pollfd){.fd = l->socket, .events = POLLIN};
    for (int i = 0; i < count; i++)
        waits[1 + i] = (struct pollfd){.fd = l->strangers[i].socket, .events = POLLIN};
    if (poll(waits, 1 + (nfds_t)count, (int)(left * 1e3) + 1) <= 0)
        return MF_OK;
    for (int i = count; i-- > 0;)
        if (waits[1 + i].revents)
            MF_TRY(hear_stranger(l, i));
    if (waits[0].revents)
        take_connection(l);
    return MF_OK;
}

/* One that is not connected yet; -1: all are. */
static int missing(mf_rank_links *l)
{
    int other = -1;

    pthread_mutex_lock(&l->lock);
    for (int bit = 1; bit < l->options.ranks && other < 0; bit *= 2)
        for (int i = 0; i < l->options.devices && other < 0; i++)
            if (!l->lanes[i].link[bit_of(0, bit)])
                other = l->options.rank ^ bit;
    pthread_mutex_unlock(&l->lock);
    return other;
}

mf_status mf_rank_links_meet(mf_rank_links *l, const char *const *addresses)
{
    const double until = mf_seconds() + l->options.seconds;
    int other;

    MF_TRY(reach_all(l, addresses));
    while ((other = missing(l)) >= 0) {
        if (is_aborted(l))
            return gone(other);
        if (mf_seconds() > until)
            return mf_hint(mf_fail(MF_IO, "worker %d has not connected to %s in %.0f s", other,
                                   l->address, l->options.seconds),
                           "workers that run one training reach each other at the addresses by "
                           "which they reach the run: is there a firewall?");
        MF_TRY(hear_some(l, until));
    }
    pthread_mutex_lock(&l->lock);
    close(l->socket);
    l->socket = -1;
    pthread_mutex_unlock(&l->lock);
    return MF_OK;
}
