/* frames.c - sealed frames over a socket, and the handshake before them. See frames.h. */
#include "run/remote/frames.h"

#include <massflow/seconds.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEAD 8                 /* kind, zeros, channel */
#define STEP ((size_t)1 << 20) /* memory grows with what is really there */
#define READ_AHEAD ((size_t)64 << 10)

struct mf_link {
    int socket;
    double beat;
    pthread_mutex_t lock; /* of sending */
    mf_seal *out, *in;
    uint8_t *room; /* for one frame */
    size_t room_size;
    double sent_at, heard_at;
    int64_t sent, received;
    uint8_t ahead[READ_AHEAD]; /* read, not taken yet */
    size_t ahead_at, ahead_size;
};

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

mf_status mf_link_new(int socket, const uint8_t send_key[MF_SECRET_BYTES],
                      const uint8_t receive_key[MF_SECRET_BYTES], mf_link **link)
{
    mf_link *l = calloc(1, sizeof *l);
    int yes = 1;
    mf_status status;

    *link = NULL;
    if (!l) {
        close(socket);
        return mf_no_memory(0, "a link");
    }
    l->socket = socket;
    pthread_mutex_init(&l->lock, NULL);
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    status = mf_seal_new(send_key, &l->out);
    if (!status)
        status = mf_seal_new(receive_key, &l->in);
    if (status) {
        mf_link_free(l);
        return status;
    }
    l->sent_at = l->heard_at = mf_seconds();
    mf_link_set_beat(l, MF_LINK_BEAT);
    *link = l;
    return MF_OK;
}

void mf_link_close(mf_link *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->socket >= 0)
        close(l->socket);
    l->socket = -1;
    free(l->room);
    l->room = NULL;
    l->room_size = 0;
    pthread_mutex_unlock(&l->lock);
}

void mf_link_free(mf_link *l)
{
    if (!l)
        return;
    mf_link_close(l);
    mf_seal_free(l->out);
    mf_seal_free(l->in);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void mf_link_set_beat(mf_link *l, double seconds)
{
    double most = seconds * MF_LINK_BEATS;
    struct timeval wait = {.tv_sec = (time_t)most,
                           .tv_usec = (suseconds_t)((most - (double)(time_t)most) * 1e6)};
    unsigned milliseconds = (unsigned)(most * 1e3);

    l->beat = seconds;
    setsockopt(l->socket, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    setsockopt(l->socket, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(l->socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
}

void mf_link_cut(mf_link *l)
{
    shutdown(l->socket, SHUT_RDWR);
}

int mf_link_socket(const mf_link *l)
{
    return l->socket;
}

int64_t mf_link_sent(const mf_link *l)
{
    return __atomic_load_n(&l->sent, __ATOMIC_RELAXED);
}

int64_t mf_link_received(const mf_link *l)
{
    return __atomic_load_n(&l->received, __ATOMIC_RELAXED);
}

/* ---- sending --------------------------------------------------------------------------------- */

static mf_status lost(const char *doing)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        errno = ETIMEDOUT;
    return mf_fail(MF_IO, "%s the other end: %s", doing, strerror(errno));
}

static mf_status send_all(mf_link *l, const uint8_t *bytes, size_t size)
{
    while (size) {
        ssize_t done = send(l->socket, bytes, size, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return lost("telling");
        bytes += done;
        size -= (size_t)done;
        __atomic_add_fetch(&l->sent, (int64_t)done, __ATOMIC_RELAXED);
    }
    return MF_OK;
}

/* Head, first part, second part: the lock is held. */
static mf_status send_frame(mf_link *l, mf_link_kind kind, uint32_t channel, const mf_packet *body,
                            const void *bytes, size_t size)
{
    size_t first = HEAD + body->size, sealed = first + size, all = 4 + sealed + MF_SEAL_BYTES;
    uint8_t small[512], *head = first <= sizeof small ? small : malloc(first);
    mf_status status;

    if (!head)
        return mf_no_memory(first, "a message");
    if (l->room_size < all) {
        uint8_t *grown = realloc(l->room, all);
        if (!grown) {
            if (head != small)
                free(head);
            return mf_no_memory(all, "a message");
        }
        l->room = grown;
        l->room_size = all;
    }
    memset(head, 0, HEAD);
    head[0] = (uint8_t)kind;
    put32(head + 4, channel);
    if (body->size)
        memcpy(head + HEAD, body->bytes, body->size);
    put32(l->room, (uint32_t)sealed);
    status = mf_seal_close(l->out, l->room, 4, head, first, bytes, size, l->room + 4,
                           l->room + 4 + sealed);
    if (head != small)
        free(head);
    MF_TRY(status);
    l->sent_at = mf_seconds();
    return send_all(l, l->room, all);
}

mf_status mf_link_send_bytes(mf_link *l, mf_link_kind kind, uint32_t channel, mf_packet *body,
                             const void *bytes, size_t size)
{
    mf_status status;

    if (body->failed)
        status = mf_no_memory(0, "a message");
    else if (HEAD + body->size + size > MF_LINK_MOST)
        status = mf_fail(MF_UNSUPPORTED, "a message of %zu bytes is longer than %zu",
                         body->size + size, MF_LINK_MOST);
    else {
        pthread_mutex_lock(&l->lock);
        status = send_frame(l, kind, channel, body, bytes, size);
        pthread_mutex_unlock(&l->lock);
        if (status && mf_error_code(status) == MF_IO)
            mf_link_cut(l); /* part of a frame may be on its way: nothing can follow it */
    }
    mf_packet_clear(body);
    return status;
}

mf_status mf_link_send(mf_link *l, mf_link_kind kind, uint32_t channel, mf_packet *body)
{
    return mf_link_send_bytes(l, kind, channel, body, NULL, 0);
}

/* Where a frame is being sent, or the socket is full, the other end hears something anyway. */
void mf_link_beat(mf_link *l)
{
    struct pollfd ready = {.fd = l->socket, .events = POLLOUT};
    mf_packet none = {0};

    if (pthread_mutex_trylock(&l->lock) != 0)
        return;
    if (mf_seconds() - l->sent_at >= l->beat && poll(&ready, 1, 0) == 1 &&
        (ready.revents & POLLOUT))
        mf_error_free(send_frame(l, MF_LINK_PING, 0, &none, NULL, 0));
    pthread_mutex_unlock(&l->lock);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* Bytes from the socket, through a buffer for short ones. *got may be less than `size` at the
 * end. */
static mf_status read_some(mf_link *l, uint8_t *to, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size) {
        size_t left = size - *got, here = l->ahead_size - l->ahead_at;
        bool direct = left >= READ_AHEAD;
        ssize_t done;
        if (here) {
            here = here < left ? here : left;
            memcpy(to + *got, l->ahead + l->ahead_at, here);
            l->ahead_at += here;
            *got += here;
            continue;
        }
        done =
            direct ? recv(l->socket, to + *got, left, 0) : recv(l->socket, l->ahead, READ_AHEAD, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return lost("hearing");
        if (done == 0)
            return MF_OK;
        __atomic_add_fetch(&l->received, (int64_t)done, __ATOMIC_RELAXED);
        if (direct) {
            *got += (size_t)done;
        } else {
            l->ahead_at = 0;
            l->ahead_size = (size_t)done;
        }
    }
    return MF_OK;
}

static mf_status damaged(void)
{
    return mf_fail(MF_CORRUPT, "a message of the other end is damaged");
}

static mf_status read_whole(mf_link *l, uint8_t *to, size_t size)
{
    size_t got;

    MF_TRY(read_some(l, to, size, &got));
    return got == size ? MF_OK : mf_fail(MF_IO, "the other end went in the middle of a message");
}

static mf_status read_sealed(mf_link *l, mf_packet *p, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t step = size - at < STEP ? size - at : STEP;
        uint8_t *grown;
        if (at + step > p->room) {
            /* Doubled, but never past what is said: a long message is copied a few times. */
            size_t room = 2 * (at + step) < size ? 2 * (at + step) : size;
            grown = realloc(p->bytes, room);
            if (!grown)
                return mf_no_memory(room, "a message");
            p->bytes = grown;
            p->room = room;
        }
        MF_TRY(read_whole(l, p->bytes + at, step));
        at += step;
        p->size = at;
    }
    return MF_OK;
}

static mf_status receive(mf_link *l, mf_frame *f, bool *end)
{
    uint8_t size[4], tag[MF_SEAL_BYTES];
    size_t got, sealed;

    MF_TRY(read_some(l, size, sizeof size, &got));
    *end = got == 0;
    if (*end)
        return MF_OK;
    sealed = get32(size);
    if (got < sizeof size)
        return mf_fail(MF_IO, "the other end went in the middle of a message");
    if (sealed < HEAD || sealed > MF_LINK_MOST)
        return damaged();
    MF_TRY(read_sealed(l, &f->body, sealed));
    MF_TRY(read_whole(l, tag, sizeof tag));
    if (!mf_seal_open(l->in, size, sizeof size, f->body.bytes, sealed, tag) ||
        f->body.bytes[0] >= MF_LINK_KIND_COUNT || f->body.bytes[1] || f->body.bytes[2] ||
        f->body.bytes[3])
        return damaged();
    f->kind = (mf_link_kind)f->body.bytes[0];
    f->channel = get32(f->body.bytes + 4);
    f->body.at = HEAD;
    return MF_OK;
}

mf_status mf_link_receive(mf_link *l, mf_frame *frame, bool *end)
{
    mf_status status;

    *end = false;
    do {
        *frame = (mf_frame){0};
        status = receive(l, frame, end);
        if (status || *end || frame->kind == MF_LINK_PING)
            mf_packet_clear(&frame->body);
    } while (!status && !*end && frame->kind == MF_LINK_PING);
    if (status)
        mf_link_cut(l);
    return status;
}

/* ---- the handshake --------------------------------------------------------------------------- */

static mf_status make_link(int socket, const mf_token *token, bool worker, const uint8_t *a,
                           const uint8_t *b, mf_link **link)
{
    uint8_t up[MF_SECRET_BYTES], down[MF_SECRET_BYTES];

    mf_secret_derive(token, "key of the worker", a, b, up);
    mf_secret_derive(token, "key of the coordinator", a, b, down);
    return worker ? mf_link_new(socket, up, down, link) : mf_link_new(socket, down, up, link);
}

/* By a deadline; few bytes. *got less at the end of the stream. */
static mf_status hear_by(int socket, uint8_t *bytes, size_t size, double deadline, size_t *got)
{
    *got = 0;
    while (*got < size) {
        struct pollfd wait = {.fd = socket, .events = POLLIN};
        double left = deadline - mf_seconds();
        ssize_t done;
        int ready = left > 0 ? poll(&wait, 1, (int)(left * 1e3) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0) {
            errno = ETIMEDOUT;
            return lost("hearing");
        }
        done = recv(socket, bytes + *got, size - *got, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno != ECONNRESET)
            return lost("hearing");
        if (done <= 0)
            return MF_OK;
        *got += (size_t)done;
    }
    return MF_OK;
}

static mf_status check_magic(const uint8_t *heard, size_t got, const char *where)
{
    if (got >= MF_LINK_MAGIC_BYTES && !memcmp(heard, MF_LINK_MAGIC, MF_LINK_MAGIC_BYTES))
        return MF_OK;
    if (got >= MF_LINK_MAGIC_BYTES && !memcmp(heard, MF_LINK_MAGIC, 14))
        return mf_hint(mf_fail(MF_UNSUPPORTED, "%s speaks another protocol of workers", where),
                       "use the same version of massflow on all machines");
    if (!got)
        return mf_fail(MF_IO, "%s closed the connection without a word", where);
    return mf_fail(MF_INVALID, "%s is not a massflow run that listens", where);
}

static mf_status join(int socket, const mf_token *token, double deadline, const char *where,
                      uint8_t *a, uint8_t *b)
{
    uint8_t heard[MF_LINK_MAGIC_BYTES + MF_SECRET_BYTES], proof[MF_SECRET_BYTES],
        wanted[MF_SECRET_BYTES], said[MF_LINK_MAGIC_BYTES + 2 * MF_SECRET_BYTES];
    size_t got;

    MF_TRY(hear_by(socket, heard, sizeof heard, deadline, &got));
    MF_TRY(check_magic(heard, got, where));
    if (got < sizeof heard)
        return mf_fail(MF_IO, "%s closed the connection without a word", where);
    memcpy(a, heard + MF_LINK_MAGIC_BYTES, MF_SECRET_BYTES);
    MF_TRY(mf_secret_random(b));
    memcpy(said, MF_LINK_MAGIC, MF_LINK_MAGIC_BYTES);
    memcpy(said + MF_LINK_MAGIC_BYTES, b, MF_SECRET_BYTES);
    mf_secret_derive(token, "worker", a, b, said + MF_LINK_MAGIC_BYTES + MF_SECRET_BYTES);
    if (send(socket, said, sizeof said, MSG_NOSIGNAL) != (ssize_t)sizeof said)
        return lost("telling");
    MF_TRY(hear_by(socket, proof, sizeof proof, deadline, &got));
    mf_secret_derive(token, "coordinator", a, b, wanted);
    if (got < sizeof proof)
        return mf_hint(mf_fail(MF_INVALID, "%s refused the token", where),
                       "give run and worker the same token file");
    if (!mf_secret_same(proof, wanted, sizeof proof))
        return mf_hint(mf_fail(MF_INVALID, "%s does not know the token", where),
                       "something else answers at that address");
    return MF_OK;
}

mf_status mf_link_join(int socket, const mf_token *token, double timeout, const char *where,
                       mf_link **link)
{
    uint8_t a[MF_SECRET_BYTES], b[MF_SECRET_BYTES];
    mf_status status = join(socket, token, mf_seconds() + timeout, where, a, b);

    *link = NULL;
    if (!status)
        return make_link(socket, token, true, a, b, link);
    close(socket);
    return status;
}

bool mf_handshake_begin(mf_handshake *h, int socket)
{
    uint8_t said[MF_LINK_MAGIC_BYTES + MF_SECRET_BYTES];
    mf_status status = mf_secret_random(h->random);

    h->size = 0;
    memcpy(said, MF_LINK_MAGIC, MF_LINK_MAGIC_BYTES);
    memcpy(said + MF_LINK_MAGIC_BYTES, h->random, MF_SECRET_BYTES);
    bool good = !status && send(socket, said, sizeof said, MSG_NOSIGNAL | MSG_DONTWAIT) ==
                               (ssize_t)sizeof said;
    mf_error_free(status);
    return good;
}

static mf_status check_proof(const mf_handshake *h, int socket, const mf_token *token)
{
    uint8_t proof[MF_SECRET_BYTES];
    const uint8_t *b = h->heard + MF_LINK_MAGIC_BYTES;

    mf_secret_derive(token, "worker", h->random, b, proof);
    if (!mf_secret_same(proof, b + MF_SECRET_BYTES, sizeof proof))
        return mf_fail(MF_INVALID, "it does not know the token");
    mf_secret_derive(token, "coordinator", h->random, b, proof);
    if (send(socket, proof, sizeof proof, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof proof)
        return lost("telling");
    return MF_OK;
}

mf_status mf_handshake_hear(mf_handshake *h, int socket, const mf_token *token, bool *done,
                            mf_link **link)
{
    ssize_t got = recv(socket, h->heard + h->size, sizeof h->heard - h->size, MSG_DONTWAIT);
    size_t known;

    *done = false;
    *link = NULL;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return MF_OK;
    if (got < 0 && errno != ECONNRESET)
        return lost("hearing");
    if (got <= 0)
        return mf_fail(MF_IO, h->size ? "it went in the middle of the handshake"
                                      : "it went without a word");
    h->size += (size_t)got;
    known = h->size < MF_LINK_MAGIC_BYTES ? h->size : MF_LINK_MAGIC_BYTES;
    if (memcmp(h->heard, MF_LINK_MAGIC, known))
        return mf_fail(MF_INVALID, "it is no worker of this version of massflow");
    if (h->size < sizeof h->heard)
        return MF_OK;
    MF_TRY(check_proof(h, socket, token));
    *done = true;
    return make_link(socket, token, false, h->random, h->heard + MF_LINK_MAGIC_BYTES, link);
}
