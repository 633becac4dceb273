/* worker.c - the command `worker`: runs nodes for a `massflow run` on another machine; and, without
 * --connect, the process that massflow itself starts for an isolated node. */
#include "by_mpi.h"
#include "command.h"
#include "crash.h"
#include "embed/first_use.h"
#include "graph/text/quantity.h"
#include "run/process/signals.h"
#include "run/remote/pilot.h"
#include "run/worker/execute.h"

#include <massflow/seconds.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define CACHE_BYTES (20e9)
#define RETRY_SECONDS 600.0
#define TOKEN_VARIABLE "MASSFLOW_TOKEN"

static int isolated(void)
{
    int type;
    socklen_t size = sizeof type;

    if (getsockopt(MF_WORKER_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
        return command_refuse("'massflow worker' needs --connect HOST:PORT and --token FILE");
    mf_worker_serve(MF_WORKER_SOCKET);
}

/* ---- options --------------------------------------------------------------------------------- */

static int read_number(const args *a, const char *name, double least, double most, double *value)
{
    const char *text = args_value(a, name);
    char *end;

    if (!text)
        return EXIT_DONE;
    *value = strtod(text, &end);
    if (end == text || *end || !(*value >= least) || *value > most)
        return command_refuse("--%s is a number from %g to %g, not '%s'", name, least, most, text);
    return EXIT_DONE;
}

/* "20e9", "20GB", "500MB" */
static int read_size(const args *a, double *bytes)
{
    const char *text = args_value(a, "cache-size");
    char *end;

    if (!text)
        return EXIT_DONE;
    *bytes = strtod(text, &end);
    if (!strcmp(end, "GB"))
        *bytes *= 1e9;
    else if (!strcmp(end, "MB"))
        *bytes *= 1e6;
    else if (*end)
        end = (char *)text;
    if (end == text || !(*bytes >= 1e6) || *bytes > 1e18)
        return command_refuse("--cache-size is a size of at least 1MB, such as 20GB, not '%s'",
                              text);
    return EXIT_DONE;
}

static int read_options(const args *a, mf_pilot_options *o)
{
    double slots = (double)sysconf(_SC_NPROCESSORS_ONLN), cache = CACHE_BYTES;
    uint64_t memory = uv_get_free_memory(), limit = uv_get_constrained_memory();
    int code = read_number(a, "slots", 1, 4096, &slots);

    o->retry = RETRY_SECONDS;
    o->ends = INFINITY;
    if (!code)
        code = read_number(a, "idle", 0, 1e9, &o->idle);
    if (!code)
        code = read_number(a, "ends", 1, 1e9, &o->ends);
    if (!code)
        code = read_number(a, "retry", 0, 1e9, &o->retry);
    if (!code)
        code = read_size(a, &cache);
    if (limit && limit < memory)
        memory = limit;
    o->bytes = (size_t)((double)memory * 0.8);
    if (!code && args_value(a, "memory") && !mf__read_bytes(args_value(a, "memory"), &o->bytes))
        code = command_refuse("--memory is a size such as '30 GB' or '500 MB', not '%s'",
                              args_value(a, "memory"));
    o->slots = (int)slots;
    o->cache_bytes = (int64_t)cache;
    o->pool = args_value(a, "pool") ? args_value(a, "pool") : "";
    if (!code && strlen(o->pool) > 63)
        code = command_refuse("--pool is a name of at most 63 bytes");
    return code;
}

static char *cache_folder(const args *a)
{
    const char *given = args_value(a, "cache"), *temporary = getenv("TMPDIR");
    char *path;

    if (given)
        return strdup(given);
    if (!temporary || !*temporary)
        temporary = "/tmp";
    return asprintf(&path, "%s/massflow-worker-%u", temporary, (unsigned)geteuid()) < 0 ? NULL
                                                                                        : path;
}

/* ---- serving --------------------------------------------------------------------------------- */

static void say(void *self, const char *line)
{
    (void)self;
    printf("massflow worker: %s\n", line);
    fflush(stdout);
}

static mf_status check_device(void *self)
{
    return mf_first_use(self, say, NULL);
}

/* A machine without a device still runs what needs none. */
static void look_for_devices(mf_host *host, mf_pilot_options *o)
{
    mf_device *const *devices;
    size_t count;
    mf_status status = mf_host_devices(host, &devices, &count);

    o->devices = !status;
    if (status) {
        char line[256];
        snprintf(line, sizeof line, "no device is used: %.200s", mf_error_message(status));
        say(NULL, line);
    }
    mf_error_free(status);
}

/* One connection, with devices and sessions of its own. */
static mf_status serve_once(const args *a, const mf_registry *registry, mf_pilot_options *o,
                            bool *lost)
{
    mf_host *host;
    mf_status status;

    *lost = false;
    MF_TRY(mf_host_new(NULL, registry, args_value(a, "device"), &host));
    status = mf_host_set_program(host, "/proc/self/exe");
    if (!status && args_value(a, "device"))
        o->devices = true; /* an error of the words is said */
    else if (!status)
        look_for_devices(host, o);
    mf_worker_mind_signals(host);
    o->before_device = check_device;
    o->tell = say;
    o->self = host;
    if (!status)
        status = mf_pilot_serve(host, o, lost);
    mf_signals_listen(NULL);
    mf_host_free(host);
    return status;
}

/* A run that was lost may come back, and it may be started again: what was made for it lies in the
 * cache, and states lie with it. */
static int serve(const args *a, const mf_registry *registry, mf_pilot_options *o)
{
    const double over = mf_seconds() + o->ends;
    mf_status status;
    bool lost, again = false;

    do {
        o->ends = over - mf_seconds();
        status = serve_once(a, registry, o, &lost);
        if (lost) {
            char line[256];
            snprintf(line, sizeof line, "%.160s: joining again", mf_error_message(status));
            say(NULL, line);
            mf_error_free(status);
            again = true;
        }
    } while (lost);
    if (status && again && mf_error_code(status) == MF_IO) {
        mf_error_free(status); /* nobody is there any more: the run has ended without a word */
        status = mf_fail(MF_IO, "%s was lost and did not come back in %.0f s", o->where, o->retry);
    }
    return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
}

/* From the environment where no file is named: a batch system passes it on without showing it. What
 * stages start need not know it. */
static mf_status read_token(const args *a, mf_token *token)
{
    const char *file = args_value(a, "token"), *text = getenv(TOKEN_VARIABLE);
    mf_status status = file
                           ? mf_token_read(file, false, token)
                           : mf_token_of("the variable " TOKEN_VARIABLE, text, strlen(text), token);

    unsetenv(TOKEN_VARIABLE);
    return status;
}

static int connect_to(const args *a)
{
    mf_pilot_options o = {.where = args_value(a, "connect"), .version = MF_VERSION};
    char *cache = cache_folder(a);
    mf_registry *registry = NULL;
    mf_status status = MF_OK;
    int code = read_options(a, &o);
    mf_mpi mpi;

    crash_watch();
    if (!code && !args_value(a, "token") && !getenv(TOKEN_VARIABLE))
        code = command_refuse("--connect needs --token FILE, the file that 'massflow run' names");
    if (!code && !cache)
        status = mf_no_memory(0, "a worker");
    if (!code && !status)
        status = read_token(a, &o.token);
    if (status)
        code = command_fail(status, EXIT_REQUEST);
    if (!code)
        code = open_registry(a, &registry);
    o.cache = cache;
    if (!code && args_has(a, "mpi")) {
        status = by_mpi_open(&mpi);
        code = status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
        o.mpi = status ? NULL : &mpi;
    }
    if (!code)
        code = serve(a, registry, &o);
    if (o.mpi)
        by_mpi_close();
    mf_registry_free(registry);
    free(cache);
    return code;
}

static int work(const args *a)
{
    return args_value(a, "connect") ? connect_to(a) : isolated();
}

static const option worker_options[] = {
    {0, "connect", "HOST:PORT", "the run: what 'massflow run --listen' prints"},
    {0, "token", "FILE", "the run's token file (mode 0600); default: the text in MASSFLOW_TOKEN"},
    {0, "slots", "N", "worker slots; default: one per core"},
    {0, "memory", "SIZE",
     "what its nodes may need together, such as '30 GB'; default: 80% of what is free"},
    {0, "device", "DEVICES", "devices to offer; default: as 'massflow run' chooses them"},
    {0, "cache", "DIR", "folder for what is kept; default: massflow-worker-UID in TMPDIR"},
    {0, "cache-size", "SIZE", "bytes that it may hold, such as 50GB; default: 20GB"},
    {0, "pool", "NAME", "the pool that it belongs to"},
    {0, "idle", "SECONDS", "end after so long without a node; default: never"},
    {0, "ends", "SECONDS", "its time is over then; two minutes before, states are saved"},
    {0, "mpi", NULL, "reach other workers by MPI: of those that mpirun or srun started together"},
    {0, "retry", "SECONDS", "how long to try to reach the run; default: 600"},
    OPTION_PLUGINS,
    OPTION_END};

const command command_worker = {"worker",
                                "",
                                "run nodes of a 'massflow run --listen' on another machine",
                                "Joins the run and computes what it is given, until the run is "
                                "over. Needs neither the graph nor\n"
                                "the cache; what it reads and makes is kept in a folder of its "
                                "own, limited in size. SIGTERM has\n"
                                "running stages save their states and hands their nodes back.",
                                worker_options,
                                0,
                                1,
                                work};
