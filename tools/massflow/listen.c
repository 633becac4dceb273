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

int listen_open(const args *a, const listen_at *pools, notices *said, mf_workers **workers)
{
    mf_workers_options o = {.address = pools->address ? pools->address : args_value(a, "listen"),
                            .version = MF_VERSION,
                            .beat = MF_LINK_BEAT,
                            .spool = pools->spool,
                            .spool_bytes = pools->spool_bytes,
                            .tell = notices_put,
                            .self = said};
    const char *token = args_value(a, "token"), *beat = args_value(a, "heartbeat");
    mf_status status;

    *workers = NULL;
    if (!o.address && (token || beat))
        return command_refuse("--%s is of --listen HOST:PORT, which is not given",
                              token ? "token" : "heartbeat");
    if (!o.address)
        return EXIT_DONE;
    if (!token && !pools->token)
        return command_refuse("--listen needs --token FILE: workers prove that they know it");
    if (beat) {
        char *end;
        o.beat = strtod(beat, &end);
        if (end == beat || *end || !(o.beat >= MF_LINK_LEAST_BEAT) || o.beat > MF_LINK_MOST_BEAT)
            return command_refuse("--heartbeat is a number of seconds from %g to %g, not '%s'",
                                  MF_LINK_LEAST_BEAT, MF_LINK_MOST_BEAT, beat);
    }
    allow_files();
    status = mf_token_read(pools->token ? pools->token : token, true, &o.token);
    if (!status)
        status = mf_workers_open(&o, workers);
    if (status && pools->otherwise && mf_error_code(status) == MF_IO) {
        mf_error_free(status);
        o.address = pools->otherwise;
        status = mf_workers_open(&o, workers);
    }
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
