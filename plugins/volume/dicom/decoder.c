/* decoder.c - see decoder.h. */
#include "decoder.h"
#include "../../common/beside.h"

#include <massflow/seconds.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "massflow-decode"
#define LOOK_EVERY 50     /* ms between looks for a stop */
#define TIMEOUT_FACTOR 10 /* times the processor time that a frame may take */

/* One frame on its way. */
typedef struct exchange {
    const char *where, *name;
    const decode_request *request;
    double looked, waited, timeout; /* the last look; s without a byte; s to wait for one */
    bool gone, refused;             /* the process has ended; it has said why it gives no pixels */
} exchange;

/* ---- starting and ending --------------------------------------------------------------------- */

static mf_status start(decoder *d, const char *where)
{
    int sockets[2];
    if (d->running)
        return MF_OK;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
        return mf_fail(MF_IO, "%s: its pixels cannot be decoded: %s", where, strerror(errno));
    char *beside = d->program ? NULL : beside_module(PROGRAM);
    const char *program = d->program ? d->program : beside ? beside : PROGRAM;
    int failed =
        beside_start(program, (char *const[]){(char *)PROGRAM, NULL}, sockets[1], -1, &d->pid);
    mf_status status = MF_OK;
    close(sockets[1]);
    d->socket = sockets[0];
    d->running = !failed;
    if (failed) {
        close(sockets[0]);
        status = mf_hint(mf_fail(MF_NOT_FOUND,
                                 "%s: its pixels cannot be decoded: %s cannot be started: %s",
                                 where, program, strerror(failed)),
                         "it is a part of massflow: build or install massflow again");
    }
    free(beside);
    return status;
}

/* Returns how it ended. At rest it ends by itself once the socket is closed. */
static int end(decoder *d, bool at_once)
{
    int how = 0;
    if (at_once)
        kill(d->pid, SIGKILL);
    close(d->socket);
    while (waitpid(d->pid, &how, 0) < 0 && errno == EINTR)
        ;
    d->running = false;
    return how;
}

void decoder_close(decoder *d)
{
    if (d->running)
        (void)end(d, false);
}

/* Why the process ended in the middle of a frame. */
static mf_status ended(const exchange *x, int how)
{
    int number = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    const char *known = number ? sigabbrev_np(number) : NULL;
    if (number == SIGXCPU)
        return mf_fail(
            MF_CORRUPT,
            "%s: its %s pixels were not decoded within %llu s of processor time; the file "
            "is damaged",
            x->where, x->name, (unsigned long long)decode_seconds(x->request));
    if (number == SIGSEGV || number == SIGBUS || number == SIGABRT || number == SIGFPE ||
        number == SIGILL || number == SIGTRAP || number == SIGSYS)
        return mf_fail(MF_CORRUPT,
                       "%s: the decoder of its %s pixels ended by signal %d (SIG%s); the file is "
                       "damaged",
                       x->where, x->name, number, known ? known : "?");
    if (number)
        return mf_fail(MF_IO, "%s: the decoder of its %s pixels was killed by signal %d (SIG%s)",
                       x->where, x->name, number, known ? known : "?");
    return mf_fail(MF_IO, "%s: the decoder of its %s pixels ended with exit status %d", x->where,
                   x->name, WEXITSTATUS(how));
}

/* ---- talking --------------------------------------------------------------------------------- */

/* A process whose memory is damaged may wait for itself: that takes no processor time. That
 * massflow was stopped (Ctrl-Z) does not count: no look is longer than two. */
static mf_status check_timeout(const decoder *d, exchange *x)
{
    double time = mf_seconds(), gap = time - x->looked, most = 2e-3 * LOOK_EVERY;
    x->looked = time;
    x->waited += gap > most ? most : gap;
    if (d->stop)
        MF_TRY(d->stop(d->of));
    if (x->waited < x->timeout)
        return MF_OK;
    return mf_fail(MF_CORRUPT,
                   "%s: the decoder of its %s pixels gave no answer within %.0f s; the file is "
                   "damaged",
                   x->where, x->name, x->timeout);
}

/* Sends or receives `size` bytes, unless the other side has ended. */
static mf_status move(decoder *d, exchange *x, void *bytes, size_t size, bool out)
{
    size_t done = 0;
    while (done < size && !x->gone) {
        struct pollfd wait = {.fd = d->socket, .events = out ? POLLOUT : POLLIN};
        if (poll(&wait, 1, LOOK_EVERY) <= 0) {
            MF_TRY(check_timeout(d, x));
            continue;
        }
        char *at = (char *)bytes + done;
        ssize_t n = out ? send(d->socket, at, size - done, MSG_DONTWAIT | MSG_NOSIGNAL)
                        : recv(d->socket, at, size - done, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        x->gone = n <= 0;
        done += n > 0 ? (size_t)n : 0;
        x->looked = mf_seconds();
        x->waited = 0;
    }
    return MF_OK;
}

static mf_status broken_off(const exchange *x)
{
    return mf_fail(MF_CORRUPT, "%s: its decoder gave an answer that is none; the file is damaged",
                   x->where);
}

/* The words of the decoder, as far as they are printable: damage may have reached them. */
static mf_status refused(decoder *d, exchange *x, size_t size)
{
    char text[DECODE_TEXT + 1] = "";
    if (size > DECODE_TEXT)
        return broken_off(x);
    MF_TRY(move(d, x, text, size, false));
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    if (x->gone)
        return MF_OK;
    x->refused = true;
    return mf_fail(MF_CORRUPT, "%s: its %s pixels are damaged: %s", x->where, x->name, text);
}

static mf_status take_pixels(decoder *d, exchange *x, mf_dtype dtype, mf_array **pixels)
{
    const int64_t shape[3] = {1, x->request->rows, x->request->columns};
    MF_TRY(mf_array_new(dtype, 3, shape, pixels));
    mf_status status = move(d, x, (*pixels)->data, (*pixels)->bytes, false);
    if (status || x->gone) {
        mf_array_unref(*pixels);
        *pixels = NULL;
    }
    return status;
}

static mf_status talk(decoder *d, exchange *x, const unsigned char *stream, mf_dtype dtype,
                      mf_array **pixels)
{
    decode_reply reply = {0};
    decode_request sent = *x->request;
    sent.mark = DECODE_MARK;
    MF_TRY(move(d, x, &sent, sizeof sent, true));
    MF_TRY(move(d, x, (void *)stream, sent.bytes, true));
    MF_TRY(move(d, x, &reply, sizeof reply, false));
    if (x->gone)
        return MF_OK;
    if (reply.mark == DECODE_MARK && reply.failed)
        return refused(d, x, reply.bytes);
    if (reply.mark != DECODE_MARK || reply.bytes != decode_pixel_bytes(&sent))
        return broken_off(x);
    return take_pixels(d, x, dtype, pixels);
}

mf_status decoder_run(decoder *d, const char *where, const char *name, const decode_request *r,
                      const unsigned char *stream, mf_dtype dtype, mf_array **pixels)
{
    *pixels = NULL;
    exchange x = {.where = where,
                  .name = name,
                  .request = r,
                  .looked = mf_seconds(),
                  .timeout =
                      d->timeout > 0 ? d->timeout : TIMEOUT_FACTOR * (double)decode_seconds(r)};
    MF_TRY(start(d, where));
    mf_status status = talk(d, &x, stream, dtype, pixels);
    if (x.gone)
        return ended(&x, end(d, false));
    if (status && !x.refused)
        (void)end(d, true);
    return status;
}
