/* parallel.h - many small pieces of host work on several threads. */
#ifndef MF_COMMON_PARALLEL_H
#define MF_COMMON_PARALLEL_H

#include <massflow/error.h>
#include <stdint.h>

/* Calls piece(user, worker, i) for each i in 0..count - 1, worker in 0..threads - 1: no two calls
 * of one worker at a time. Pieces come in any order. After an error no further ones are begun; that
 * of the lowest worker comes back. Where a thread can't be had the others do its work. */
MF_MUST_USE mf_status mf_parallel(int threads, int64_t count,
                                  mf_status (*piece)(void *user, int worker, int64_t i),
                                  void *user);

#endif
