/* seat.h - what a node would get at a place now: slots, memory, devices. */
#ifndef MASSFLOW_RUN_SEAT_H
#define MASSFLOW_RUN_SEAT_H

#include "run/schedule/runner.h"

typedef enum mf_fit {
    MF_FITS,
    MF_NEVER,     /* no node of its stage */
    MF_FULL,      /* no node of its stage, until something that runs there has ended */
    MF_KEPT,      /* for a node that comes before it */
    MF_TOO_SMALL, /* not this node */
    MF_NO_SLOTS,  /* not until something that runs there has ended */
    MF_NO_DEVICE  /* not until something that runs there on a device has ended */
} mf_fit;

typedef struct mf_seat {
    size_t place, bytes;
    int slots;
    size_t devices[MF_TASK_DEVICES], device_count; /* the first is of its kind */
    bool ahead;                                    /* it would wait there until a slot is free, */
    double pace;                                   /* and is expected to take so many seconds */
} mf_seat;

/* What it would get there now; and it gets that. */
mf_fit mf_seat_at(mf_runner *r, const mf_job *j, size_t place, mf_seat *seat);
void mf_seat_take(mf_job *j, const mf_seat *seat);
/* Something is kept for a job that comes before j. */
bool mf_keeps_from(const mf_runner *r, const mf_job *keeper, const mf_job *j);
/* What it lacks there is a device, or one that is not kept for a job that comes before it. */
bool mf_seat_waits_for_device(mf_runner *r, const mf_job *j, size_t place);
/* Nodes of the stage of node i take so little that one may wait at a place. */
bool mf_is_short(const mf_runner *r, size_t i);

#endif
