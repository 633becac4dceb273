/* ranks.h - one training on several devices of a task: each rank is a thread with a device, its own
 * weights and programs. Every rank learns its part of a batch, and all make the same step.
 *
 * The result has the same bytes for any number of ranks: <massflow/program.h> says why. */
#ifndef MF_MASS_RANKS_H
#define MF_MASS_RANKS_H

#include <massflow/program.h>
#include <massflow/stage.h>

/* The parameter of a stage. */
#define MF_DEVICES_PARAM(s)                                                                        \
    MF_INT_MARKED(                                                                                 \
        s, devices, "1", 1, 64, "", MF_NO_CACHE,                                                   \
        "Devices of one kind that train together, a power of 2: each computes a part of "          \
        "every batch. The result is the same, and an interrupted training may go on with "         \
        "another number.")
/* Its rules. */
MF_MUST_USE mf_status mf_ranks_check(int64_t devices);
/* How many of them have items in a batch of `items`: a power of 2. */
int mf_ranks_of(int64_t devices, int64_t items);
/* For `needs`: so many devices, and what each takes beside the training itself. */
void mf_ranks_need(int64_t devices, int64_t items, mf_needs *n);
/* The most items of a batch that one of them has. */
int64_t mf_ranks_items(int64_t devices, int64_t items);

typedef struct mf_ranks mf_ranks;
/* As many as mf_ranks_of says, on the devices of the task; a line in its log where these are fewer
 * than `devices`. */
MF_MUST_USE mf_status mf_ranks_new(mf_task *t, int64_t devices, int64_t items, mf_ranks **ranks);
void mf_ranks_free(mf_ranks *ranks); /* NULL is fine */
int mf_ranks_count(const mf_ranks *ranks);
mf_device *mf_ranks_device(const mf_ranks *ranks, int rank);       /* borrowed */
mf_transport *mf_ranks_transport(const mf_ranks *ranks, int rank); /* borrowed */
/* Calls work(self, rank) of all ranks at once, see mf_task_ranks. A rank that fails ends the others
 * where they next wait for it. */
MF_MUST_USE mf_status mf_ranks_run(mf_ranks *ranks, mf_status (*work)(void *self, int rank),
                                   void *self, int *failed);

#endif
