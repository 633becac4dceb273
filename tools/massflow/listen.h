/* listen.h - a run that workers on other machines may join. */
#ifndef MF_LISTEN_H
#define MF_LISTEN_H

#include "command.h"
#include "notices.h"
#include "run/remote/workers.h"

#define OPTIONS_LISTEN                                                                             \
    {0, "listen", "HOST:PORT",                                                                     \
     "have workers on other machines join there; port 0: any that is free, which is printed"},     \
        {0, "token", "FILE", "what workers prove that they know; made where there is none"},       \
    {                                                                                              \
        0, "heartbeat", "SECONDS",                                                                 \
            "between signs of life of workers; given up after six of them; default: 10"            \
    }

/* Where a run listens whose workers come from pools; else all NULL. */
typedef struct listen_at {
    const char *address, *token;
    const char *otherwise; /* the address where that one is taken; or NULL */
    const char *spool;     /* a folder for chunks, or NULL */
    int64_t spool_bytes;
} listen_at;

/* Listens where the pools say so, and prints nothing. `beat`: seconds between signs of life of
 * workers. */
MF_MUST_USE mf_status listen_begin(const listen_at *at, double beat, notices *said,
                                   mf_workers **workers);
/* Listens where the pools or --listen say so, and prints where; *workers NULL where neither does.
 * What happens to workers is put into `said`. 0, or an exit code after printing why not. */
int listen_open(const args *a, const listen_at *pools, notices *said, mf_workers **workers);

#endif
