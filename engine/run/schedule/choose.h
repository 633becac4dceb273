/* choose.h - what choose.c (one place for a node) and gang.c (several) share: whether a node can
 * run at a place, and what it would get there. */
#ifndef MASSFLOW_RUN_CHOOSE_H
#define MASSFLOW_RUN_CHOOSE_H

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
/* It could run there once nothing else does. */
bool mf_seat_would_fit(mf_runner *r, const mf_job *j, size_t place);
/* The place takes nodes of the stage of node i, which wants a device or not. */
bool mf_place_takes(mf_runner *r, size_t i, size_t place, bool device);
/* Places of kind k, which may come, take such nodes; of j: with the time, devices and, as far as
 * that is known, memory that it needs. */
bool mf_kind_takes(mf_runner *r, size_t i, size_t k, bool device);
bool mf_kind_suits(mf_runner *r, const mf_job *j, size_t k);
/* It was lost with a worker of that host. */
bool mf_place_shunned(const mf_runner *r, const mf_job *j, size_t place);
/* Devices of one kind round alike. */
bool mf_same_kind(const mf_device_info *a, const mf_device_info *b);
/* Whether something is kept for a job that comes before j. */
bool mf_keeps_from(const mf_runner *r, const mf_job *keeper, const mf_job *j);

#endif
