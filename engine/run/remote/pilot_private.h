/* pilot_private.h - a worker and its running nodes, for the files of the worker's side alone.
 *
 * pilot.c hears the run and hands what it hears to the nodes; pilot_job.c runs one. A node asks the
 * run (pilot_ask.c) for artifacts (pilot_artifact.c), hands over outputs (pilot_output.c), and
 * loads and saves states (pilot_state.c), and meets other workers that run it, too (pilot_ranks.c).
 * pilot_join.c comes before all that. */
#ifndef MASSFLOW_RUN_REMOTE_PILOT_PRIVATE_H
#define MASSFLOW_RUN_REMOTE_PILOT_PRIVATE_H

#include "run/remote/frames.h"
#include "run/remote/hello.h"
#include "run/remote/pilot.h"
#include "run/worker/execute.h"
#include "run/worker/frozen.h"
#include "store/chunk_cache.h"

#include <pthread.h>

typedef struct mf_pilot mf_pilot;

typedef struct mf_pilot_frame {
    mf_frame frame;
    struct mf_pilot_frame *next;
} mf_pilot_frame;

/* Which of the workers that run a node together this one is. */
typedef struct mf_pilot_rank {
    int rank, ranks;
    mf_token secret; /* of them */
    bool by_mpi;     /* they reach each other so */
    int peers[64];   /* which of the launcher's processes they are */
} mf_pilot_rank;

/* A running node. */
typedef struct mf_pilot_job {
    struct mf_pilot_job *next;
    mf_pilot *pilot;
    uint64_t number; /* of all that it has had */
    uint32_t channel;
    int refs; /* its thread, and whoever asks through it; under the pilot's lock */
    mf_packet start;
    mf_frozen *frozen;
    mf_limits limits;
    mf_supply supply;
    mf_pilot_rank rank;
    struct mf_rank_mpi *mpi; /* as the links */
    struct mf_rank_links
        *links;              /* to the others; under the pilot's lock for others than its thread */
    bool aborted;            /* another one has failed or ended; under the pilot's lock */
    mf_task *task;           /* under the pilot's lock for others than its thread */
    mf_task_state shown;     /* its progress, as the run knows it */
    pthread_mutex_t calling; /* one question at a time */
    mf_pilot_frame *first, **last; /* under the pilot's lock, as what follows */
    pthread_cond_t arrived;
    bool gone; /* the link: nothing more is heard */
    int owed;  /* answers that were not waited for; its thread's, with `calling` held */
    bool told; /* its end: the run answers nothing more. Set with both locks held */
} mf_pilot_job;

struct mf_pilot {
    const mf_pilot_options *options;
    mf_host *host;
    mf_chunk_cache *chunk_cache;
    mf_hello hello;
    mf_link *link;
    pthread_mutex_t lock;
    pthread_cond_t calm; /* a job has ended */
    mf_pilot_job *jobs;
    uint64_t last_job;
    int running;
    int wake; /* the second thread */
    bool joined, ticking, leaving, over;
    bool full;         /* its folder can't be written */
    const char *why;   /* it leaves */
    double busy;       /* mf_seconds when it last had a node */
    double ends, last; /* last: seconds before it from which on nothing runs */
    pthread_mutex_t device_lock;
    bool device_ready;
};

void mf__pilot_say(const mf_pilot *p, const char *format, ...) MF_PRINTF(2, 3);
/* Into its folder. Where that can't be written no node comes to its end here: they go back. */
MF_MUST_USE mf_status mf__pilot_keep(mf_pilot *p, const uint8_t digest[MF_DIGEST_BYTES],
                                     const mf_chunk *chunk, bool pin);
MF_MUST_USE mf_status mf__pilot_fill_hello(mf_pilot *p);
/* Tries for a while where nobody answers; a refusal is final. */
MF_MUST_USE mf_status mf__pilot_join(mf_pilot *p);

/* From the message that starts it on, which it takes. */
MF_MUST_USE mf_status mf__pilot_start(mf_pilot *p, mf_frame *f);
void mf__pilot_unref(mf_pilot_job *j);

/* Asking: all with `calling` held. */
mf_status mf__pilot_gone(void), mf__pilot_damaged(void);
MF_MUST_USE mf_status mf__pilot_send(mf_pilot_job *j, mf_link_kind kind, mf_packet *body,
                                     const void *bytes, size_t size);
MF_MUST_USE mf_status mf__pilot_next(mf_pilot_job *j, mf_frame *f);
/* Answers that nobody waited for: that all is well is not known before. */
MF_MUST_USE mf_status mf__pilot_take_owed(mf_pilot_job *j);
/* Asks, and waits for the answer, which the caller clears. */
MF_MUST_USE mf_status mf__pilot_call(mf_pilot_job *j, mf_link_kind kind, mf_packet *question,
                                     mf_packet *answer);

/* The calls of mf_supply (task/task.h) and what comes after the stage; `self` is the mf_pilot_job.
 */
MF_MUST_USE mf_status mf__pilot_get_artifact(void *self, const char *id, mf_artifact **artifact);
MF_MUST_USE mf_status mf__pilot_load_state(void *self, int64_t most, int64_t *step,
                                           mf_artifact **state);
MF_MUST_USE mf_status mf__pilot_save_state(void *self, int64_t step, const mf_artifact *state,
                                           bool keep);
MF_MUST_USE mf_status mf__pilot_send_output(mf_pilot_job *j, size_t port);

/* A node of several workers: what it was started with; before its stage runs, and after that; one
 * of the others has ended; what is due from time to time. */
void mf__pilot_get_rank(mf_packet *p, mf_pilot_rank *rank);
MF_MUST_USE mf_status mf__pilot_meet(mf_pilot_job *j);
void mf__pilot_part(mf_pilot_job *j, bool well);
void mf__pilot_abort(mf_pilot *p, uint32_t channel);
void mf__pilot_beat_ranks(mf_pilot *p);

#endif
