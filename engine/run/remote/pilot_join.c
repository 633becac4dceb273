/* pilot_join.c - a worker reaches the run and says what it is. See pilot_private.h. */
#include "run/remote/address.h"
#include "run/remote/mpi.h"
#include "run/remote/pilot.h"
#include "run/remote/pilot_private.h"
#include "store/process.h"

#include "compute/devices.h"
#include <massflow/seconds.h>

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOIN_SECONDS 20.0 /* for a handshake */
#define RETRY_EVERY 0.2   /* s, at first */
#define RETRY_MOST 10.0

/* One that is not here, or that others can write to, is left alone. */
static mf_status take_spool(mf_pilot *p, const char *dir)
{
    char *spool = NULL, *before;

    if (dir && !mf_chunk_folder(dir)) {
        mf__pilot_say(p, "the spool '%s' is not read: no folder here that only this user writes to",
                      dir);
    } else if (dir) {
        spool = strdup(dir);
        if (!spool)
            return mf_no_memory(0, "a spool");
    }
    pthread_mutex_lock(&p->lock);
    before = p->spool;
    p->spool = spool;
    pthread_mutex_unlock(&p->lock);
    free(before);
    return MF_OK;
}

static mf_status greet(mf_pilot *p, mf_link *link)
{
    mf_packet q = {0};
    mf_frame f;
    bool end;
    mf_status status;
    double beat;

    p->hello.ends = p->ends - mf_seconds();
    MF_TRY(mf__pilot_list_made(p));
    mf_hello_put(&q, &p->hello);
    MF_TRY(mf_link_send(link, MF_LINK_HELLO, 0, &q));
    MF_TRY(mf_link_receive(link, &f, &end));
    if (end)
        return mf_fail(MF_IO, "%s closed the connection without a word", p->options->where);
    beat = f.kind == MF_LINK_WELCOME ? (double)mf_packet_get_int(&f.body) * 1e-3 : 0;
    if (f.kind == MF_LINK_REFUSED) {
        const char *words = mf_packet_get_text(&f.body);
        status = mf_fail(MF_INVALID, "%s refused this worker: %s", p->options->where,
                         words ? words : "");
    } else if (f.kind != MF_LINK_WELCOME || beat < MF_LINK_LEAST_BEAT || beat > MF_LINK_MOST_BEAT) {
        status = mf__pilot_damaged();
    } else {
        status = MF_OK;
        mf_link_set_beat(link, beat);
        status = take_spool(p, mf_packet_get_text(&f.body));
    }
    mf_packet_clear(&f.body);
    return status;
}

static mf_status join_once(mf_pilot *p)
{
    int socket;
    mf_link *link;
    mf_status status;

    MF_TRY(mf_address_connect(p->options->where, &socket));
    MF_TRY(mf_link_join(socket, &p->options->token, JOIN_SECONDS, p->options->where, &link));
    mf_link_set_beat(link, JOIN_SECONDS / MF_LINK_BEATS);
    status = greet(p, link);
    if (status) {
        mf_link_free(link);
        return status;
    }
    pthread_mutex_lock(&p->lock);
    p->link = link;
    p->busy = p->since = mf_seconds();
    pthread_mutex_unlock(&p->lock);
    return MF_OK;
}

mf_status mf__pilot_join(mf_pilot *p)
{
    double until = fmin(mf_seconds() + p->options->retry, p->ends), pause = RETRY_EVERY;
    bool said = false;

    for (;;) {
        mf_status status = join_once(p);
        if (!status || mf_error_code(status) != MF_IO || mf_seconds() + pause > until ||
            mf_host_signal(p->host))
            return status;
        if (!said)
            mf__pilot_say(p, "%s; trying again for %.0f s", mf_error_message(status),
                          p->options->retry);
        said = true;
        mf_error_free(status);
        /* Readable once it is asked to end. */
        struct pollfd asked = {.fd = mf_host_cancel_event(p->host), .events = POLLIN};
        poll(&asked, 1, (int)(pause * 1e3));
        pause = pause * 1.5 < RETRY_MOST ? pause * 1.5 : RETRY_MOST;
    }
}

static mf_status fill_devices(mf_pilot *p)
{
    mf_device *const *devices;
    size_t count;

    if (!p->options->devices)
        return MF_OK;
    MF_TRY(mf_host_devices(p->host, &devices, &count));
    p->hello.devices = calloc(count + 1, sizeof *p->hello.devices);
    if (!p->hello.devices)
        return mf_no_memory(0, "the devices of a worker");
    for (size_t i = 0; i < count; i++) {
        mf_hello_device *d = &p->hello.devices[i];
        d->info = *mf_device_get_info(devices[i]);
        while (d->memory_of < (int64_t)i &&
               !mf_device_same_memory(devices[d->memory_of], devices[i]))
            d->memory_of++;
        p->hello.device_count++;
    }
    return MF_OK;
}

mf_status mf__pilot_fill_hello(mf_pilot *p)
{
    const mf_pilot_options *o = p->options;
    mf_process self;
    uint8_t random[MF_SECRET_BYTES];

    mf_process_self(&self);
    MF_TRY(mf_secret_random(random));
    memcpy(p->hello.random, random, sizeof p->hello.random);
    p->hello.pid = self.pid;
    p->hello.start = self.start;
    p->hello.slots = o->slots;
    p->hello.bytes = (int64_t)o->bytes;
    p->hello.group = o->mpi ? o->mpi->group : 0;
    p->hello.group_rank = o->mpi ? o->mpi->rank : 0;
    snprintf(p->hello.version, sizeof p->hello.version, "%s", o->version);
    snprintf(p->hello.pool, sizeof p->hello.pool, "%s", o->pool);
    if (gethostname(p->hello.host, sizeof p->hello.host - 1) != 0)
        snprintf(p->hello.host, sizeof p->hello.host, "unknown");
    MF_TRY(mf_hello_fill(mf_host_registry(p->host), &p->hello));
    return fill_devices(p);
}
