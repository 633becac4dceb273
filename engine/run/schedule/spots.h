/* spots.h - the places of a run as its scheduler keeps them: what each has, what of it is used, and
 * which of them have slots free.
 *
 * Those that take nodes lie in lists by their free slots, so that a place for a node is found
 * without looking at all of them. Belongs to the scheduler's thread. */
#ifndef MASSFLOW_RUN_SPOTS_H
#define MASSFLOW_RUN_SPOTS_H

#include "run/schedule/executor.h"

typedef struct mf_job mf_job;

#define MF_SPOT_NONE SIZE_MAX
#define MF_SPOT_LEVELS 64 /* more free slots than that are in the last list */
#define MF_SPOT_AHEAD 64  /* the same of nodes that may wait at a place */

typedef struct mf_spot {
    mf_run_place is; /* as it was when last looked at */
    int slots_used;
    size_t bytes_used; /* of the host's memory */
    bool *device_busy;
    mf_job *jobs; /* that run there */
    size_t job_count;
    /* Short nodes that wait there for a slot, in the order in which they will run; what they need
     * of the memory is in bytes_used. Where there are any, no slot is free. */
    mf_job *ahead, *ahead_last;
    size_t ahead_count;
    double ahead_seconds; /* that they are expected to take */
    /* A node that waits for slots or memory of this place, or for a device: what comes after it
     * does not start here meanwhile, so that nothing large starves. */
    mf_job *keeper, *device_keeper;
    uint8_t *can; /* by graph stage: whether its nodes can run there; see choose.c */
    bool freed;   /* it is listed so */
    /* Of the list that it is in: its free slots; where it has none but room for nodes that wait
     * there, MF_SPOT_LEVELS and that room; -1: it is kept; 0: none. */
    int level;
    size_t next, previous; /* there */
} mf_spot;

typedef struct mf_spots {
    mf_spot *items;
    size_t count;
    size_t first[MF_SPOT_LEVELS + MF_SPOT_AHEAD + 1]; /* of each list */
    uint64_t levels, ahead_levels; /* which lists have any: bit `level - 1`, of each kind */
    size_t ahead;                  /* nodes that wait at all places */
    size_t *kept;                  /* those with a keeper and slots free, in no order */
    size_t kept_count;
    size_t *freed; /* those on which waiting nodes may find more than before */
    size_t freed_count;
    uint64_t frees; /* how often that happened */
} mf_spots;         /* starts as {0} */

void mf_spots_clear(mf_spots *spots);
/* Looks at all places of the executor. Place 0 has these slots and bytes. *changed: some are
 * otherwise than before. A place that closed has no keepers; `unkeep` is called with them. */
MF_MUST_USE mf_status mf_spots_look(mf_spots *spots, const mf_executor *executor, int slots,
                                    size_t bytes, size_t stages, void (*unkeep)(mf_job *keeper),
                                    bool *changed);
/* Place 0 has so many devices from now on. */
MF_MUST_USE mf_status mf_spots_open_devices(mf_spots *spots, size_t count);
/* After its slots, keeper or openness changed. */
void mf_spots_list(mf_spots *spots, size_t place);
/* Waiting nodes may find more there than before. */
void mf_spots_free(mf_spots *spots, size_t place);
void mf_spots_forget_freed(mf_spots *spots); /* waiting nodes have looked at them */
/* The list with the most free slots, of `level` at most; 0: there is none. */
int mf_spots_level(const mf_spots *spots, int level);
/* The list with the most room for nodes that wait, below `level`; 0: there is none. */
int mf_spots_ahead_level(const mf_spots *spots, int level);

#endif
