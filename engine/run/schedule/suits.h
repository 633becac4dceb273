/* suits.h - what places have at all, against what a node needs. What is free now is the seat's
 * matter (seat.h). */
#ifndef MASSFLOW_RUN_SUITS_H
#define MASSFLOW_RUN_SUITS_H

#include "run/schedule/runner.h"

size_t mf_bytes_plus(size_t a, size_t b);         /* SIZE_MAX at most */
size_t mf_group_of(const mf_runner *r, size_t i); /* the stage of node i, by number */
const mf_device_info *mf_place_device(const mf_runner *r, size_t place, size_t i);

/* Why no node of the stage of node i can run at the place; NULL: it can. */
const char *mf_place_why_not(mf_runner *r, size_t i, size_t place, const mf_run_place *p);
/* Its stage is none for workers: then it runs in this process, though that has no slots. */
bool mf_only_here(mf_runner *r, size_t i);
/* The place takes nodes of the stage of node i; which wants a device or not. */
bool mf_place_takes_stage(mf_runner *r, size_t i, size_t place);
bool mf_place_takes(mf_runner *r, size_t i, size_t place, bool device);

/* Devices of one kind round alike. */
bool mf_same_kind(const mf_device_info *a, const mf_device_info *b);
/* It may get that device: of several workers all have to be of one kind. */
bool mf_place_device_suits(const mf_runner *r, const mf_job *j, size_t place, size_t d);
/* The most devices of one kind that a place has for it; and whether they are enough, busy or not.
 */
size_t mf_place_most_alike(const mf_runner *r, const mf_job *j, size_t place);
bool mf_place_has_devices(const mf_runner *r, const mf_job *j, size_t place);
/* Of the host's memory; that of a CPU device is the host's own. */
size_t mf_place_bytes(const mf_runner *r, const mf_job *j, size_t place, size_t device);
/* Some device at a place for it has as much memory as it needs. */
bool mf_held_by_a_device(mf_runner *r, const mf_job *j);

/* Places of kind k, which may come, take nodes of the stage of node i; they have the time, the
 * devices and, as far as that is known, the memory that j needs. */
bool mf_kind_takes(mf_runner *r, size_t i, size_t k, bool device);
bool mf_kind_suits(mf_runner *r, const mf_job *j, size_t k);
/* Places of some kind do; `known`: their memory has to be known. */
bool mf_kind_may_come(mf_runner *r, const mf_job *j, bool known);

/* It was lost with a worker of that host. */
bool mf_place_shunned(const mf_runner *r, const mf_job *j, size_t place);
/* It could run there once nothing else does. */
bool mf_place_would_fit(mf_runner *r, const mf_job *j, size_t place);
bool mf_any_place_would_fit(mf_runner *r, const mf_job *j);

#endif
