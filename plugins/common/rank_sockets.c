/* rank_sockets.c - see rank_sockets.h. A message is its length, 8 bytes, and its bytes. Both ends
 * run on machines of one byte order. A rank that fails shuts its sockets down, and one that dies
 * leaves them closed: the others meet their end. */
#include "rank_sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct mf_rank_sockets {
    mf_transport transport;
    int *sockets; /* [ranks] */
};

static mf_status gone(int other)
{
    return mf_fail(MF_CANCELLED, "rank %d of the training has failed or ended", other);
}

static mf_status send_all(const mf_rank_sockets *s, int to, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes) {
        const ssize_t sent = send(s->sockets[to], at, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return gone(to);
        at += sent;
        bytes -= (size_t)sent;
    }
    return MF_OK;
}

static mf_status receive_all(const mf_rank_sockets *s, int from, void *data, size_t bytes)
{
    char *at = data;
    while (bytes) {
        const ssize_t got = recv(s->sockets[from], at, bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return gone(from);
        at += got;
        bytes -= (size_t)got;
    }
    return MF_OK;
}

static mf_status send_message(void *self, int to, const void *data, size_t bytes)
{
    const uint64_t length = bytes;
    MF_TRY(send_all(self, to, &length, sizeof length));
    return send_all(self, to, data, bytes);
}

static mf_status receive_message(void *self, int from, void *data, size_t bytes)
{
    uint64_t length;
    MF_TRY(receive_all(self, from, &length, sizeof length));
    if (length != bytes)
        return mf_fail(MF_INTERNAL, "%llu bytes of rank %d, not %zu", (unsigned long long)length,
                       from, bytes);
    return receive_all(self, from, data, bytes);
}

/* Rank 0 hears all others, then answers them. */
static mf_status barrier(void *self)
{
    mf_rank_sockets *s = self;
    char word = 0;
    if (s->transport.rank > 0) {
        MF_TRY(send_message(s, 0, &word, 1));
        return receive_message(s, 0, &word, 1);
    }
    for (int other = 1; other < s->transport.ranks; other++)
        MF_TRY(receive_message(s, other, &word, 1));
    for (int other = 1; other < s->transport.ranks; other++)
        MF_TRY(send_message(s, other, &word, 1));
    return MF_OK;
}

static void abort_all(void *self)
{
    mf_rank_sockets *s = self;
    for (int other = 0; other < s->transport.ranks; other++)
        if (other != s->transport.rank)
            shutdown(s->sockets[other], SHUT_RDWR);
}

mf_status mf_rank_sockets_new(int rank, int ranks, const int *sockets, mf_rank_sockets **made)
{
    *made = NULL;
    mf_rank_sockets *s = calloc(1, sizeof *s);
    if (s)
        s->sockets = malloc((size_t)ranks * sizeof *s->sockets);
    if (!s || !s->sockets) {
        free(s);
        for (int other = 0; other < ranks; other++)
            if (other != rank)
                close(sockets[other]);
        return mf_no_memory(0, "%d ranks", ranks);
    }
    memcpy(s->sockets, sockets, (size_t)ranks * sizeof *s->sockets);
    s->transport =
        (mf_transport){s, rank, ranks, send_message, receive_message, barrier, abort_all, 0};
    *made = s;
    return MF_OK;
}

void mf_rank_sockets_free(mf_rank_sockets *s)
{
    if (!s)
        return;
    for (int other = 0; other < s->transport.ranks; other++)
        if (other != s->transport.rank)
            close(s->sockets[other]);
    free(s->sockets);
    free(s);
}

mf_transport *mf_rank_sockets_transport(mf_rank_sockets *s)
{
    return &s->transport;
}
