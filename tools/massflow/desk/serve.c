/* serve.c - the command desk: a local page to run graphs and to look at what came of them. */
#include "../sites.h"
#include "../workspace.h"
#include "parts.h"
#include "run/process/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK 1000 /* milliseconds between looks at the cache's files */
#define BEAT 10   /* looks between signs of life to the pages */

/* The end of a pipe that the handler of SIGINT writes to; one a process, as signals are. */
static volatile int stop_pipe = -1;

static bool stop(int number)
{
    int fd = stop_pipe;
    char byte = (char)number;

    /* The second request ends the process at once. */
    stop_pipe = -1;
    return fd >= 0 && write(fd, &byte, 1) == 1;
}

/* What changes when anybody writes to the cache. */
typedef struct stamp {
    struct timespec file, log;
    off_t size;
} stamp;

static stamp stamp_of(const char *cache)
{
    stamp s = {0};
    struct stat at;
    char path[4096];

    if ((size_t)snprintf(path, sizeof path, "%s/cache.db", cache) < sizeof path && !stat(path, &at))
        s.file = at.st_mtim;
    if ((size_t)snprintf(path, sizeof path, "%s/cache.db-wal", cache) < sizeof path &&
        !stat(path, &at)) {
        s.log = at.st_mtim;
        s.size = at.st_size;
    }
    return s;
}

static void look(desk *d, stamp *last)
{
    char *cache = desk_cache(d);
    stamp now = {0};

    if (cache)
        now = stamp_of(cache);
    free(cache);
    if (!memcmp(&now, last, sizeof now))
        return;
    *last = now;
    desk_tell(d, "cache", json_object_new_object());
}

/* Until somebody asks it to end. Runs of other processes show by what they write. */
static void wait_for_end(desk *d, int fd)
{
    struct pollfd asked = {.fd = fd, .events = POLLIN};
    stamp last;
    char byte;

    memset(&last, 0, sizeof last);
    for (int count = 1; poll(&asked, 1, LOOK) <= 0; count++) {
        look(d, &last);
        if (count % BEAT == 0)
            hub_beat(d->hub);
    }
    if (read(fd, &byte, 1) < 0)
        return;
}

static int serve(desk *d)
{
    int ends[2];
    mf_status status;

    if (pipe2(ends, O_CLOEXEC))
        return command_fail(mf_fail(MF_IO, "no pipe: %m"), EXIT_FAILED);
    status = desk_server_open(d);
    if (!status) {
        stop_pipe = ends[1];
        mf_signals_listen(stop);
        bool v6 = strchr(d->host, ':') != NULL;
        printf("massflow desk: http://%s%s%s:%u/?token=%s\n", v6 ? "[" : "", d->host, v6 ? "]" : "",
               d->port, d->token);
        fflush(stdout);
        wait_for_end(d, ends[0]);
        desk_launch_close(d);
        desk_jobs_stop(d->jobs);
        desk_launch_join(d);
        mf_signals_listen(NULL);
        desk_server_close(d);
    }
    close(ends[0]);
    close(ends[1]);
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

static int read_port(const char *text, unsigned *port)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end || *text == '-' || value > 65535)
        return command_refuse("a port is a number from 0 to 65535, not '%s'", text);
    *port = (unsigned)value;
    return EXIT_DONE;
}

/* "HOST:PORT", "[::1]:8080"; without either: this machine alone, any port that is free. */
static int read_address(const args *a, char **host, unsigned *port)
{
    const char *listen = args_value(a, "listen"), *colon = listen ? strrchr(listen, ':') : NULL;

    *host = NULL;
    *port = 0;
    if (args_value(a, "port") && listen)
        return command_refuse("--port is of this machine alone; --listen has its own port");
    if (args_value(a, "port")) {
        int code = read_port(args_value(a, "port"), port);
        if (code)
            return code;
    }
    if (listen && (!colon || colon == listen))
        return command_refuse("--listen is HOST:PORT, not '%s'", listen);
    if (listen) {
        bool v6 = *listen == '[' && colon[-1] == ']';
        int code = read_port(colon + 1, port);
        if (code)
            return code;
        *host = strndup(listen + v6, (size_t)(colon - listen) - 2 * v6);
    } else {
        *host = strdup("127.0.0.1");
    }
    return *host ? EXIT_DONE : command_fail(mf_no_memory(0, "an address"), EXIT_FAILED);
}

static int read_settings(const args *a, mf_setting **settings, size_t *count)
{
    *count = args_value_count(a, "set");
    *settings = calloc(*count + 1, sizeof **settings);
    if (!*settings)
        return command_fail(mf_no_memory(0, "the command line"), EXIT_FAILED);
    for (size_t i = 0; i < *count; i++) {
        const char *text = args_value_at(a, "set", i), *equals = strchr(text, '=');
        if (!equals || equals == text)
            return command_refuse("--set is NAME=VALUE, not '%s'", text);
        (*settings)[i] = (mf_setting){strndup(text, (size_t)(equals - text)), equals + 1};
    }
    return EXIT_DONE;
}

static int open_and_serve(const args *a, const mf_setting *settings, size_t count)
{
    const char *graph = args_count(a) ? args_at(a, 0) : NULL, *code = args_value(a, "code");
    desk_options o = {.graph = graph,
                      .cache = args_value(a, "cache"),
                      .plugins = args_value(a, "plugins"),
                      .devices = args_value(a, "device"),
                      .pools = args_value(a, "pools"),
                      .by_version = code && !strcmp(code, "version"),
                      .settings = settings,
                      .setting_count = count};
    desk *d;

    if (code && strcmp(code, "digest") && strcmp(code, "version"))
        return command_refuse("--code is 'digest' or 'version', not '%s'", code);
    if (graph && access(graph, R_OK))
        return command_refuse("%s: %s", graph, strerror(errno));
    mf_status status = desk_new(&o, &d);
    if (status)
        return command_fail(status, EXIT_FAILED);
    int exit_code = read_address(a, &d->host, &d->port);
    if (!exit_code)
        exit_code = serve(d);
    desk_free(d);
    return exit_code;
}

static int run_desk(const args *a)
{
    mf_setting *settings = NULL;
    size_t count;
    int code = read_settings(a, &settings, &count);

    if (!code)
        code = open_and_serve(a, settings, count);
    for (size_t i = 0; settings && i < count; i++)
        free((char *)settings[i].name);
    free(settings);
    return code;
}

static const option desk_options_list[] = {
    OPTION_SET,
    OPTION_CACHE,
    OPTION_DEVICE,
    OPTION_CODE,
    OPTION_PLUGINS,
    OPTION_POOLS,
    {0, "port", "N", "port of the page on this machine; default: any that is free"},
    {0, "listen", "HOST:PORT",
     "let other machines open the page, too; whoever has its address can"},
    OPTION_END};

const command command_desk = {
    "desk",
    "[GRAPH]",
    "open a local page to run a graph and look at its results",
    "Prints an address to open in a browser of this machine; the token at its end keeps others "
    "out.\nWithout GRAPH the page offers the graphs of the current folder. Ctrl-C ends the desk, "
    "and a run that it\nstarted as it ends 'massflow run': what is finished is kept.",
    desk_options_list,
    0,
    1,
    run_desk};
