/* ranks.h - one training on several devices of a task, and at several workers: each rank is a
 * thread with a device, its own weights and programs. Every rank learns its part of a batch, and
 * all make the same step.
 *
 * The result has the same bytes for any number of ranks: <massflow/program.h> says why. Below, a
 * rank is one of this process; where the task runs at several workers, the others have as many. */
#ifndef MF_MASS_RANKS_H
#define MF_MASS_RANKS_H

#include <massflow/program.h>
#include <massflow/stage.h>

/* The parameters of a stage. */
#define MF_RANKS_PARAMS(s)                                                                         \
    MF_INT_MARKED(                                                                                 \
        s, devices, "1", 1, 64, "", MF_NO_CACHE,                                                   \
        "Devices of one kind that train together, a power of 2: each computes a part of "          \
        "every batch. The result is the same, and an interrupted training may go on with "         \
        "another number."),                                                                        \
        MF_INT_MARKED(s, ranks, "1", 1, 64, "", MF_NO_CACHE | MF_RANKS,                            \
                      "Workers that train together, a power of 2, each with as many devices as "   \
                      "`devices` says. They need devices of one kind. The result is the same, "    \
                      "and an interrupted training may go on with another number.")
/* Their rules, for batches of so many items: no worker is without one. */
MF_MUST_USE mf_status mf_ranks_check(int64_t ranks, int64_t devices, int64_t items);
/* How many devices of each worker have items in a batch of `items`: a power of 2. */
int mf_ranks_of(int64_t ranks, int64_t devices, int64_t items);
/* For `needs`: so many devices, and what each takes beside the training itself. */
void mf_ranks_need(int64_t ranks, int64_t devices, int64_t items, mf_needs *n);
/* The most items of a batch that one device has. */
int64_t mf_ranks_items(int64_t ranks, int64_t devices, int64_t items);
/* The most items of a batch that are read before its ranks begin; 0 where one device reads them one
 * by one. */
int64_t mf_ranks_read(int64_t ranks, int64_t devices, int64_t items);

typedef struct mf_ranks mf_ranks;
/* As many as mf_ranks_of says, on the devices of the task; a line in its log where these are fewer
 * than `devices`. */
MF_MUST_USE mf_status mf_ranks_new(mf_task *t, int64_t ranks, int64_t devices, int64_t items,
                                   mf_ranks **made);
void mf_ranks_free(mf_ranks *ranks); /* NULL is fine */
int mf_ranks_count(const mf_ranks *ranks);
bool mf_ranks_alone(const mf_ranks *ranks);                        /* one, at one worker */
mf_device *mf_ranks_device(const mf_ranks *ranks, int rank);       /* borrowed */
mf_transport *mf_ranks_transport(const mf_ranks *ranks, int rank); /* borrowed */
/* The part of a batch of `count` items that all ranks of this process have together. */
void mf_ranks_part(const mf_ranks *ranks, int64_t count, int64_t *first, int64_t *items);
/* The stream hands out that part of each batch alone; before its first item. */
MF_MUST_USE mf_status mf_ranks_stream(const mf_ranks *ranks, mf_stream *stream, int64_t batch);
/* Calls work(self, rank) of all ranks at once, see mf_task_ranks. A rank that fails ends the others
 * where they next wait for it. */
MF_MUST_USE mf_status mf_ranks_run(mf_ranks *ranks, mf_status (*work)(void *self, int rank),
                                   void *self, int *failed);
/* Of an array over the items of a batch, `bytes` each, this process has filled the places of its
 * part; then all processes have all of it. Not within mf_ranks_run. */
MF_MUST_USE mf_status mf_ranks_gather(mf_ranks *ranks, void *values, int64_t count, size_t bytes);
/* All processes have to be at the same step when they begin. */
MF_MUST_USE mf_status mf_ranks_agree(mf_ranks *ranks, int64_t step);

#endif
