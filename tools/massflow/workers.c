/* workers.c - the command workers: what a run that is under way has of workers, and what its pools
 * wait for. */
#include "crew.h"
#include "past.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SILENT 15.0 /* s after which a run that writes nothing is said to be silent */

static const char *text_of(json_object *o, const char *name)
{
    json_object *v;
    const char *text = json_object_object_get_ex(o, name, &v) ? json_object_get_string(v) : NULL;

    return text ? text : "";
}

static int64_t int_of(json_object *o, const char *name)
{
    json_object *v;

    return json_object_object_get_ex(o, name, &v) ? json_object_get_int64(v) : 0;
}

static double real_of(json_object *o, const char *name, double otherwise)
{
    json_object *v;

    return json_object_object_get_ex(o, name, &v) ? json_object_get_double(v) : otherwise;
}

static void print_worker(json_object *w)
{
    char memory[32], sent[32], received[32], waited[32], left[32] = "-";
    double seconds = real_of(w, "left", -1);

    words_bytes((double)int_of(w, "memory"), memory);
    words_bytes((double)int_of(w, "sent"), sent);
    words_bytes((double)int_of(w, "received"), received);
    words_seconds(real_of(w, "waited", 0), waited);
    if (seconds >= 0)
        words_seconds(seconds, left);
    printf("  %-24s %-10s %-7s %5lld %7lld %8s %8lld %9s %9s %12s %12s\n", text_of(w, "name"),
           text_of(w, "pool"), text_of(w, "state"), (long long)int_of(w, "slots"),
           (long long)int_of(w, "devices"), memory, (long long)int_of(w, "running"), sent, received,
           waited, left);
}

static void print_pool(json_object *p)
{
    const char *reason = text_of(p, "reason"), *excluded = text_of(p, "excluded"),
               *trouble = text_of(p, "trouble");

    printf("pool %s: %lld could be used, %lld connected, %lld started, %lld waiting%s%s%s\n",
           text_of(p, "name"), (long long)int_of(p, "wanted"), (long long)int_of(p, "connected"),
           (long long)int_of(p, "running"), (long long)int_of(p, "waiting"), *reason ? " (" : "",
           reason, *reason ? ")" : "");
    if (*excluded)
        printf("  hosts left out: %s\n", excluded);
    if (*trouble)
        printf("  not asked for: %s\n", trouble);
}

static void print_run(json_object *run)
{
    json_object *counts = NULL, *workers = NULL, *pools = NULL;
    double silent = (double)time(NULL) - real_of(run, "written", 0);
    char words[32];

    json_object_object_get_ex(run, "counts", &counts);
    json_object_object_get_ex(run, "workers", &workers);
    json_object_object_get_ex(run, "pools", &pools);
    printf("%s: process %lld on host %s, listening at %s\n", text_of(run, "graph"),
           (long long)int_of(run, "process"), text_of(run, "host"), text_of(run, "address"));
    if (silent > SILENT) {
        words_seconds(silent, words);
        printf("  it has written nothing for %s: it was killed, is stopped or hangs\n", words);
    }
    printf("%lld of %lld nodes are done, %lld were cached, %lld failed\n",
           (long long)int_of(counts, "done"), (long long)int_of(counts, "wanted"),
           (long long)int_of(counts, "cached"), (long long)int_of(counts, "failed"));
    for (size_t i = 0; pools && i < json_object_array_length(pools); i++)
        print_pool(json_object_array_get_idx(pools, i));
    if (!workers || !json_object_array_length(workers)) {
        printf("no worker has joined yet\n");
        return;
    }
    printf("\n  %-24s %-10s %-7s %5s %7s %8s %8s %9s %9s %12s %12s\n", "worker", "pool", "state",
           "slots", "devices", "memory", "running", "sent", "received", "waited", "time left");
    for (size_t i = 0; i < json_object_array_length(workers); i++)
        print_worker(json_object_array_get_idx(workers, i));
}

static int workers(const args *a)
{
    json_object *runs = NULL;
    past p;
    int code = past_open(a, &p);

    if (code)
        return code;
    if (p.node || p.run) {
        past_close(&p);
        return command_refuse("'%s' is no graph file", args_at(a, 0));
    }
    mf_status status = crew_read(mf_store_dir(p.store), &runs);
    past_close(&p);
    if (status)
        return command_fail(status, EXIT_FAILED);
    size_t count = json_object_array_length(runs);
    if (args_has(a, "json"))
        printf("%s\n", json_object_to_json_string_ext(runs, JSON_C_TO_STRING_PRETTY));
    else if (!count)
        printf("no run with workers is under way on this cache\n");
    for (size_t i = 0; i < count && !args_has(a, "json"); i++) {
        if (i)
            printf("\n");
        print_run(json_object_array_get_idx(runs, i));
    }
    json_object_put(runs);
    return EXIT_DONE;
}

static const option options[] = {{0, "json", NULL, "print it as JSON"}, OPTION_CACHE, OPTION_END};

const command command_workers = {
    "workers",
    "[GRAPH]",
    "show the workers of a run that is under way",
    "Of each worker: its pool, what it has, the nodes that run there, the bytes that were sent "
    "and\n"
    "received, how long it waited for nodes, and the time that its allocation has left. Of each "
    "pool:\n"
    "the workers that could be used, that are there and that wait in the queue, and why.",
    options,
    0,
    1,
    workers};
