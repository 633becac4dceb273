/* hello.h - what a worker says of itself when it has joined a run. */
#ifndef MASSFLOW_RUN_REMOTE_HELLO_H
#define MASSFLOW_RUN_REMOTE_HELLO_H

#include "run/worker/wire.h"
#include "stages/stages.h"
#include "store/store.h"
#include <massflow/compute.h>

typedef struct mf_hello_device {
    mf_device_info info;
    int64_t memory_of; /* the first device that has its memory together with this one */
} mf_hello_device;

typedef struct mf_hello_stage {
    char *name;
    char code[80];
} mf_hello_stage;

typedef struct mf_hello {
    char version[64]; /* of massflow */
    char host[64];
    int64_t pid, start; /* start: of the process, as store/process.h has it */
    int64_t random[2];  /* drawn when it was started: tells it from all others */
    char pool[64];
    int64_t slots, bytes;
    /* Workers of one group reach each other by MPI: which it is, 0 of none, and its number there.
     */
    int64_t group, group_rank;
    double ends; /* seconds from now; INFINITY */
    mf_hello_device *devices;
    size_t device_count;
    mf_hello_stage *stages; /* in order of name */
    size_t stage_count;
    uint8_t (*made)[MF_DIGEST_BYTES]; /* keys of results that it has, or is computing */
    size_t made_count;
} mf_hello;

#define MF_HELLO_MADE 4096 /* keys at most */

/* Stages of the registry; *hello is otherwise the caller's to fill. */
MF_MUST_USE mf_status mf_hello_fill(const mf_registry *registry, mf_hello *hello);
void mf_hello_put(mf_packet *p, const mf_hello *hello);
/* MF_UNSUPPORTED where the byte order or `version` is another one. */
MF_MUST_USE mf_status mf_hello_get(mf_packet *p, const char *version, mf_hello *hello);
void mf_hello_clear(mf_hello *hello);
/* Why that worker can't run the stage: for free(); NULL: it can. */
const mf_hello_stage *mf_hello_find(const mf_hello *hello, const char *name);

#endif
