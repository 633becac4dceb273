/* listen.h - a run that workers on other machines may join. */
#ifndef MF_LISTEN_H
#define MF_LISTEN_H

#include "command.h"
#include "run/remote/workers.h"

#define OPTIONS_LISTEN                                                                             \
    {0, "listen", "HOST:PORT",                                                                     \
     "have workers on other machines join there; port 0: any that is free, which is printed"},     \
        {0, "token", "FILE", "what workers prove that they know; made where there is none"},       \
    {                                                                                              \
        0, "heartbeat", "SECONDS",                                                                 \
            "between signs of life of workers; given up after six of them; default: 10"            \
    }

/* Listens where --listen says so, and prints where; *workers NULL where it does not. 0, or an exit
 * code after printing why not. */
int listen_open(const args *a, mf_workers **workers);

#endif
