/* pilot_private.h - a worker and its running nodes, for the files of the worker's side alone.
 *
 * pilot.c hears the run and hands what it hears to the nodes; pilot_job.c runs one. A node asks the
 * run (pilot_ask.c) for artifacts (pilot_artifact.c) and input files (pilot_files.c), hands over
 * outputs (pilot_output.c), loads and saves states (pilot_state.c), and meets other workers that
 * run it, too (pilot_ranks.c). pilot_join.c comes before all that.
 *
 * A link may be lost: the run was killed, or the network is away. What runs goes on meanwhile. Once
 * the worker has joined again, a node that the run starts with the key of one that still runs takes
 * that one over, with all its questions asked anew; and what ended meanwhile is handed in
 * (pilot_made.c). A node of several workers ends with the link. */
#ifndef MASSFLOW_RUN_REMOTE_PILOT_PRIVATE_H
#define MASSFLOW_RUN_REMOTE_PILOT_PRIVATE_H

#include "run/remote/frames.h"
#include "run/remote/hello.h"
#include "run/task/host.h"
#include "run/worker/execute.h"
#include "run/worker/frozen.h"
#include "store/file_cache.h"

#include <pthread.h>
#include <stdatomic.h>

#define MF_PILOT_SEEN 512 /* input files whose digests are remembered */

typedef struct mf_pilot mf_pilot;
typedef struct mf_pilot_files mf_pilot_files;

typedef struct mf_pilot_frame {
    mf_frame frame;
    struct mf_pilot_frame *next;
} mf_pilot_frame;

typedef struct mf_pilot_devices {
    size_t index[MF_TASK_DEVICES], count;
} mf_pilot_devices;

/* What a node made: records by output port, NULL where one was left out. Its chunks are in the
 * folder; until a run has them they are pinned. */
typedef struct mf_pilot_result {
    char key[MF_HEX_SIZE];
    char device[sizeof((mf_device_info *)0)->name]; /* that made it; "" */
    mf_parcel **parcels;
    size_t count;
    bool pinned;
    mf_spent spent;
    double seconds;
} mf_pilot_result;

#define MF_PILOT_MADE 64 /* results that are kept after their nodes */

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
    int64_t threads;       /* that it computes with, of the worker's slots: */
    bool holds;            /* these, at present; under the pilot's lock */
    bool handed_back;      /* of one that waits: nobody wants it here any more */
    char key[MF_HEX_SIZE]; /* under the pilot's lock, as the devices; "" until it has its files */
    mf_pilot_devices devices;
    mf_pilot_files *files; /* set once, under the pilot's lock, as what follows */
    mf_frozen *frozen;
    mf_limits limits;
    mf_supply supply;
    mf_pilot_rank rank;      /* under the pilot's lock for others than its thread */
    struct mf_rank_mpi *mpi; /* as the links */
    struct mf_rank_links
        *links;              /* to the others; under the pilot's lock for others than its thread */
    bool aborted;            /* another one has failed or ended; under the pilot's lock */
    mf_task *task;           /* under the pilot's lock for others than its thread */
    mf_task_state shown;     /* its progress, as the run knows it */
    pthread_mutex_t calling; /* one question at a time */
    mf_pilot_frame *first, **last; /* under the pilot's lock, as what follows */
    pthread_cond_t arrived;
    bool gone;     /* the link that it was started over, and no run has taken it over */
    bool dropped;  /* nobody will: it is cancelled */
    uint64_t turn; /* how often it was taken over */
    uint64_t asks; /* the turn in which its question began; with `calling` held */
    int lines;     /* log lines on their way */
    bool crowded;  /* a wait for room for one was in vain */
    size_t unsaid; /* lines that were left out since the last one */
    int owed;      /* answers that were not waited for; its thread's, with `calling` held */
    bool told;     /* its end: the run answers nothing more. Set with both locks held */
    bool made;     /* its outputs are in j->result, whole; its thread's */
    mf_pilot_result result;
} mf_pilot_job;

struct mf_pilot {
    const struct mf_pilot_options *options;
    mf_host *host;
    mf_chunk_cache *chunk_cache;
    mf_file_cache *file_cache;
    mf_file_part seen[MF_PILOT_SEEN]; /* by a hash of the path; under the lock */
    mf_hello hello;
    mf_link *link; /* under the lock for all but the thread that hears it; NULL: none */
    int sending;   /* threads that use it */
    char *spool;   /* a folder in which the run lays chunks, or NULL; under the lock */
    pthread_mutex_t lock;
    pthread_cond_t calm; /* a job has ended */
    mf_pilot_job *jobs;
    mf_pilot_job *waiting; /* for a slot, in order; they have no thread yet */
    int64_t held;          /* slots */
    uint64_t last_job;
    int running;
    int wake; /* the second thread */
    bool ticking, over;
    atomic_bool leaving;
    bool full;                           /* its folder can't be written */
    double since;                        /* mf_seconds when it last joined */
    mf_pilot_result made[MF_PILOT_MADE]; /* a ring; under the lock */
    size_t made_next;
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
/* Nodes that wait for a slot (pilot_queue.c): one more, which has its key; under the lock. */
void mf__pilot_wait(mf_pilot_job *j);
/* The next one has a slot: for its thread; NULL: none is free, or nobody waits. Under the lock. */
mf_pilot_job *mf__pilot_next_waiting(mf_pilot *p);
/* Those of the keys that the packet names, of the channel, or all (0) are wanted no more. The
 * second thread says so. */
mf_status mf__pilot_hand_back(mf_pilot *p, mf_packet *keys);
void mf__pilot_hand_back_channel(mf_pilot *p, uint32_t channel); /* under the lock */
/* To the run, over a link that the caller has borrowed; NULL: it is gone. */
void mf__pilot_tell_handed_back(mf_pilot *p, mf_link *link);
void mf__pilot_wake(mf_pilot *p);                   /* the second thread */
void mf__pilot_free_job(mf_pilot_job *j);           /* that has no thread */
bool mf__pilot_wants_device(const mf_pilot_job *j); /* under the lock */
/* Nobody hears that node any more: it ends at its next cancel point. Under the lock. */
void mf__pilot_drop(mf_pilot_job *j);

/* What the message that starts a node says of its input files: where they are read from here on,
 * copied where they are not here. Also after an error the job has them, for words. */
MF_MUST_USE mf_status mf__pilot_get_files(mf_pilot_job *j, mf_packet *p);
void mf__pilot_free_files(mf_pilot_files *files); /* NULL is fine */
const mf_file_watch *mf__pilot_watch(const mf_pilot_files *files);
/* Where what the user's path names is read; NULL where it is none of the node's. */
const char *mf__pilot_path(void *files, const char *path);
/* The text with the user's paths for those of this machine, for the caller to free; NULL where
 * memory is short. `files` may be NULL. */
char *mf__pilot_words(const mf_pilot_files *files, const char *text);
/* An error with these words; takes it over. */
MF_MUST_USE mf_status mf__pilot_named(const mf_pilot_files *files, mf_status status);
void mf__pilot_forget_files(mf_pilot *p);

/* The link of its run, for one message; NULL: it is gone, or another run has taken the node over
 * since it began to ask. */
mf_link *mf__pilot_borrow(mf_pilot_job *j, uint32_t *channel);
void mf__pilot_give_back(mf_pilot *p);
/* Asking: all with `calling` held. A question begins so; where the link is gone it waits until a
 * run has taken the node over, and fails where none will. */
MF_MUST_USE mf_status mf__pilot_begin(mf_pilot_job *j);
/* Whether it failed for the link is gone, and is to be asked anew; *status is then MF_OK. */
bool mf__pilot_anew(mf_pilot_job *j, mf_status *status);
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
/* Its outputs go to the folder, and what they are to j->result. */
MF_MUST_USE mf_status mf__pilot_pack(mf_pilot_job *j);
/* j->result goes to the run, which is told nothing else after that: `told` is set. It waits for no
 * other run. */
MF_MUST_USE mf_status mf__pilot_deliver(mf_pilot_job *j);

/* ---- log lines (pilot_lines.c) ----------------------------------------------------------------
 */

/* Of the stage or a stream of a node: waits for a moment where too many are on their way, and goes
 * on without it. `self` is the mf_pilot. */
void mf__pilot_line(void *self, const char *node, const char *line);
/* So many of the channel's were taken by the run. */
void mf__pilot_lines_taken(mf_pilot *p, uint32_t channel, int64_t count);
void mf__pilot_tell_unsaid(mf_pilot_job *j); /* that some were left out, at its end */

/* ---- results that no run may have taken (pilot_made.c) ----------------------------------------
 */

/* Takes over j->result, and forgets the oldest one. `delivered`: a run has it, or will soon. */
void mf__pilot_remember(mf_pilot_job *j, bool delivered);
/* To j->result, whole and pinned; false: there is none of its key and device. */
bool mf__pilot_recall(mf_pilot_job *j);
void mf__pilot_clear_result(mf_pilot *p, mf_pilot_result *result);
/* For the hello: keys of them, and of nodes that still run. */
MF_MUST_USE mf_status mf__pilot_list_made(mf_pilot *p);

/* A node of several workers: what it was started with; before its stage runs, and after that; one
 * of the others has ended; what is due from time to time. */
void mf__pilot_get_rank(mf_packet *p, mf_pilot_rank *rank);
MF_MUST_USE mf_status mf__pilot_meet(mf_pilot_job *j);
void mf__pilot_part(mf_pilot_job *j, bool well);
void mf__pilot_abort(mf_pilot *p, uint32_t channel);
void mf__pilot_abort_ranks(mf_pilot_job *j); /* under the lock; also before it has met them */
void mf__pilot_beat_ranks(mf_pilot *p);

#endif
