/* transport.h - how a rank of a computation on several devices reaches the others: by threads of
 * one process, or from process to process. */
#ifndef MASSFLOW_TRANSPORT_H
#define MASSFLOW_TRANSPORT_H

#include <massflow/error.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All calls of one transport come from one thread. */
typedef struct mf_transport {
    void *self;      /* passed to all calls */
    int rank, ranks; /* which one this is, from 0; of how many */
    /* What is sent is copied, or gone, on return. Two ranks that exchange something take turns: the
     * lower one sends first. */
    mf_status (*send)(void *self, int to, const void *data, size_t bytes);
    /* Waits for the next bytes of rank `from`, which are as many. */
    mf_status (*receive)(void *self, int from, void *data, size_t bytes);
    /* Waits until all are there. */
    mf_status (*barrier)(void *self);
    /* This rank has failed. What the others wait for, now or later, fails as MF_CANCELLED. */
    void (*abort)(void *self);
    uint64_t sent; /* bytes, of all calls of mf_weights_exchange and mf_transport_gather */
} mf_transport;

#ifdef __cplusplus
}
#endif
#endif
