/* workers.h - the workers of a run on other machines: they join by TCP, come and go.
 *
 * A worker has a number, from 1, which it keeps when it is gone. It is known by host, process,
 * start of the process and a random number that it drew: what a worker that was given up says later
 * is not heard, for its link is cut. A thread of each worker hears it and hands what it hears to
 * the channels of its nodes; one more thread listens, and sends heartbeats. */
#ifndef MASSFLOW_RUN_REMOTE_WORKERS_H
#define MASSFLOW_RUN_REMOTE_WORKERS_H

#include "run/plan/work.h"
#include "run/remote/frames.h"
#include "run/remote/hello.h"
#include "run/remote/spool.h"

typedef struct mf_workers mf_workers;

typedef struct mf_workers_options {
    const char *address; /* "HOST:PORT"; port 0: any that is free */
    mf_token token;
    double beat;         /* s; 0: MF_LINK_BEAT */
    const char *version; /* of massflow */
    const char *spool;   /* a folder for chunks that the workers see, or NULL */
    int64_t spool_bytes; /* that it may hold */
    /* What happens to connections and workers, a line each; from threads of its own. */
    void (*tell)(void *self, const char *line);
    void *self;
} mf_workers_options;

MF_MUST_USE mf_status mf_workers_open(const mf_workers_options *options, mf_workers **workers);
/* Tells all that the run is over, and takes no more; waits for none of them. No node may run any
 * more. */
void mf_workers_dismiss(mf_workers *workers);
/* The same, and waits until they are gone. NULL is fine. */
void mf_workers_close(mf_workers *workers);
const char *mf_workers_address(const mf_workers *workers); /* "127.0.0.1:40123" */

typedef struct mf_worker_state {
    char name[128]; /* "n1:4711" */
    char pool[64];
    int slots;
    size_t bytes, device_count;
    double ends; /* by mf_seconds */
    bool open, lost;
    bool again;             /* it had joined before: its link was lost, not it */
    size_t running;         /* nodes */
    int64_t sent, received; /* bytes */
    int64_t group;          /* that reaches each other by MPI; 0: none */
    int group_rank;
} mf_worker_state;

size_t mf_workers_count(mf_workers *workers);
void mf_workers_state(mf_workers *workers, size_t number, mf_worker_state *state);
/* Called when a worker has come, has closed or is lost; from any thread. NULL: nobody. */
void mf_workers_watch(mf_workers *workers, void (*changed)(void *self), void *self);
/* Why it can't run such work; NULL: it can. For one thread; the text is there until the next call.
 */
const char *mf_workers_cannot(mf_workers *workers, size_t number, const mf_work *work);
/* Borrowed for as long as the workers. */
const mf_device_info *mf_workers_device(mf_workers *workers, size_t number, size_t device);
bool mf_workers_same_memory(mf_workers *workers, size_t number, size_t a, size_t b);
/* Bytes of the work's inputs that were not sent there yet, nor made there. */
int64_t mf_workers_missing(mf_workers *workers, size_t number, const mf_work *work,
                           int64_t (*bytes)(void *self, const char *id), void *self);
/* A worker that says it has the result of that key, made for a run that was lost, or is making it;
 * 0: none. */
size_t mf_workers_made(mf_workers *workers, const char *key);
/* A node that waits for a slot there is handed back. Never waits. */
void mf_workers_take_back(mf_workers *workers, size_t number, const char *key);
/* All that runs ends at its next cancel point. Never waits. */
void mf_workers_cancel(mf_workers *workers);

/* ---- channels: one running node -------------------------------------------------------------- */

typedef struct mf_channel mf_channel;
/* *channel NULL: the worker takes no nodes any more. */
MF_MUST_USE mf_status mf_channel_open(mf_workers *workers, size_t number, mf_channel **channel);
void mf_channel_close(mf_channel *channel); /* NULL is fine */
/* *lost: the worker is gone. */
MF_MUST_USE mf_status mf_channel_send(mf_channel *channel, mf_link_kind kind, mf_packet *body,
                                      const void *bytes, size_t size, bool *lost);
/* The next frame; *lost: there is none, for the worker is gone. */
void mf_channel_next(mf_channel *channel, mf_frame *frame, bool *lost);
/* It said what makes no sense: it is not heard any more, and all its nodes go back. */
void mf_channel_refuse(mf_channel *channel, const mf_error *why);
const char *mf_channel_worker(const mf_channel *channel); /* its name */
/* It was sent a chunk: other workers may find it in the spool. */
void mf_channel_spool(mf_channel *channel, const uint8_t digest[MF_DIGEST_BYTES],
                      const mf_chunk *chunk);
/* The worker has that artifact now. */
void mf_channel_knows(mf_channel *channel, const char *id);

#endif
