/* listen.c - a run that workers on other machines may join. See listen.h. */
#include "listen.h"

#include <stdlib.h>
#include <sys/resource.h>

#define MOST_FILES 16384

/* Each worker is an open file: as many as the system allows. */
static void allow_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= MOST_FILES)
        return;
    files.rlim_cur = files.rlim_max < MOST_FILES ? files.rlim_max : MOST_FILES;
    setrlimit(RLIMIT_NOFILE, &files);
}

mf_status listen_begin(const listen_at *at, double beat, notices *said, mf_workers **workers)
{
    mf_workers_options o = {.address = at->address,
                            .version = MF_VERSION,
                            .beat = beat,
                            .spool = at->spool,
                            .spool_bytes = at->spool_bytes,
                            .tell = notices_put,
                            .self = said};

    *workers = NULL;
    allow_files();
    MF_TRY(mf_token_read(at->token, true, &o.token));
    mf_status status = mf_workers_open(&o, workers);
    if (status && at->otherwise && mf_error_code(status) == MF_IO) {
        mf_error_free(status);
        o.address = at->otherwise;
        status = mf_workers_open(&o, workers);
    }
    return status;
}

int listen_open(const args *a, const listen_at *pools, notices *said, mf_workers **workers)
{
    listen_at at = *pools;
    double every = MF_LINK_BEAT;
    const char *token = args_value(a, "token"), *beat = args_value(a, "heartbeat");

    *workers = NULL;
    if (!at.address)
        at.address = args_value(a, "listen");
    if (!at.token)
        at.token = token;
    if (!at.address && (token || beat))
        return command_refuse("--%s is of --listen HOST:PORT, which is not given",
                              token ? "token" : "heartbeat");
    if (!at.address)
        return EXIT_DONE;
    if (!at.token)
        return command_refuse("--listen needs --token FILE: workers prove that they know it");
    if (beat) {
        char *end;
        every = strtod(beat, &end);
        if (end == beat || *end || !(every >= MF_LINK_LEAST_BEAT) || every > MF_LINK_MOST_BEAT)
            return command_refuse("--heartbeat is a number of seconds from %g to %g, not '%s'",
                                  MF_LINK_LEAST_BEAT, MF_LINK_MOST_BEAT, beat);
    }
    mf_status status = listen_begin(&at, every, said, workers);
    if (status)
        return command_fail(status, EXIT_REQUEST);
    if (pools->address)
        fprintf(stderr, "massflow: listening at %s for workers\n", mf_workers_address(*workers));
    else
        fprintf(stderr,
                "massflow: listening at %s; on other machines: massflow worker --connect %s "
                "--token FILE\n",
                mf_workers_address(*workers), mf_workers_address(*workers));
    fflush(stderr);
    return EXIT_DONE;
}
