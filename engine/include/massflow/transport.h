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
    /* Rank `other` swaps with this one: `out` goes to it, and what it sends, in_bytes of it, comes
     * into `in`; both ways at once where the way allows that. Either may be 0 bytes. On return
     * `out` is copied, or gone. Ranks swap whose numbers differ in one bit. */
    mf_status (*swap)(void *self, int other, const void *out, size_t out_bytes, void *in,
                      size_t in_bytes);
    /* This rank has failed. What the others wait for, now or later, fails as MF_CANCELLED. */
    void (*abort)(void *self);
    uint64_t sent; /* bytes of all swaps of program.h and of those below */
} mf_transport;

/* Of an array over the items of a batch (program.h), `bytes` each, each rank has filled the places
 * of its own part; then all have all of it. */
MF_API MF_MUST_USE mf_status mf_transport_gather(mf_transport *t, void *values, int64_t count,
                                                 size_t bytes);
/* Waits until all ranks are there. */
MF_API MF_MUST_USE mf_status mf_transport_barrier(mf_transport *t);

#ifdef __cplusplus
}
#endif
#endif
