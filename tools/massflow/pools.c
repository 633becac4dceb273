/* pools.c - the command pools: where a site's workers come from, what would be submitted for one.
 */
#include "listen.h"
#include "run_pools.h"

#include "run/pool/slurm.h"
#include "run/process/signals.h"

#include <massflow/seconds.h>

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_pool(const mf_pool *p)
{
    printf("%-12s ", p->name);
    site_pool_words(stdout, p);
    printf("\n%-12s ", "");
    if (p->submit == MF_SUBMIT_COMMAND)
        printf("%s", p->command);
    for (size_t i = 0; i < p->sbatch_count; i++)
        printf("%s%s", i ? " " : "sbatch ", p->sbatch[i]);
    printf(p->submit == MF_SUBMIT_SLURM && !p->sbatch_count ? "sbatch\n" : "\n");
}

static void list(const mf_site *site)
{
    printf("%s\n\n", mf_site_path(site));
    for (size_t i = 0; i < mf_site_count(site); i++)
        print_pool(mf_site_pool(site, i));
    printf(
        "\n'massflow pools NAME --script' shows what would be submitted, --try gets one worker.\n"
        "'massflow run GRAPH --pool NAME' runs a graph with them.\n");
}

/* Words for people, as they would be typed. */
static void print_words(const char *const *words)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-=,:%@";

    for (size_t i = 0; words[i]; i++) {
        if (i)
            putchar(' ');
        if (words[i][strspn(words[i], plain)])
            args_quote(stdout, words[i]);
        else
            printf("%s", words[i]);
    }
    putchar('\n');
}

static void print_script(mf_arena *arena, const mf_pool_worker *w, const mf_shared *shared)
{
    if (w->pool->submit == MF_SUBMIT_COMMAND) {
        printf("%s\n", mf_pool_line(arena, w, w->pool->command));
        return;
    }
    print_words(mf_slurm_submit(
        arena, w, mf_arena_print(arena, "%s/%s.sh", shared->path, w->pool->name), 1, ""));
    printf("\n%s", mf_slurm_script(arena, w));
}

/* What a run on this cache would submit; the port is known when it listens. */
static int show_script(const args *a, const mf_site *site, const mf_pool *pool)
{
    const char *cache = args_value(a, "cache") ? args_value(a, "cache") : ".massflow";
    mf_arena *arena = mf_arena_new();
    mf_shared *shared;
    char *address = NULL, program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    mf_status status = mf_shared_open(mf_site_folder(site), cache, true, &shared);
    program[length < 0 ? 0 : length] = 0;
    char *last = status ? NULL : mf_shared_address(shared);
    if (!status)
        status = listen_address(args_value(a, "listen"), site, last, &address);
    if (!status) {
        size_t end = strlen(address);
        if (end > 2 && !strcmp(address + end - 2, ":0"))
            strcpy(address + end - 1, ""); /* "PORT" stands for it */
        mf_pool_worker w = {
            .pool = pool,
            .name = mf_arena_print(arena, "massflow-%s-%s", pool->name, shared->key),
            .connect = mf_arena_print(arena, "%s%s", address,
                                      address[strlen(address) - 1] == ':' ? "PORT" : ""),
            .token = shared->token,
            .program = pool->program ? pool->program : program,
            .plugins = "",
            .log = shared->log};
        print_script(arena, &w, shared);
    }
    free(last);
    free(address);
    mf_shared_free(shared);
    mf_arena_free(arena);
    return status ? command_fail(status, EXIT_REQUEST) : EXIT_DONE;
}

/* ---- one worker, to see whether it comes ----------------------------------------------------- */

static volatile sig_atomic_t given_up;

static bool give_up(int number)
{
    (void)number;
    given_up = 1;
    return true;
}

/* What is wrong; that the worker has joined is told at length. */
static void print_notices(notices *said)
{
    char *line;
    bool wrong;

    while ((line = notices_take(said, &wrong))) {
        if (wrong)
            printf("%s\n", line);
        free(line);
    }
    fflush(stdout);
}

/* What it waits for, when that has changed. */
static void print_waiting(mf_pools *pools, char last[64])
{
    mf_pool_state s;

    mf_pools_state(pools, 0, &s);
    if (!s.waiting || !*s.reason || !strcmp(s.reason, last))
        return;
    strcpy(last, s.reason);
    printf("it waits in the queue: %s\n", s.reason);
    fflush(stdout);
}

static void print_worker(mf_workers *workers, double seconds)
{
    mf_worker_state s;
    char took[32], memory[32];

    mf_workers_state(workers, 1, &s);
    words_seconds(seconds, took);
    words_bytes((double)s.bytes, memory);
    printf("worker %s joined after %s\n  %d slot%s, %s of memory\n", s.name, took, s.slots,
           s.slots == 1 ? "" : "s", memory);
    for (size_t i = 0; i < s.device_count; i++)
        printf("  device: %s\n", mf_workers_device(workers, 1, i)->name);
    if (!s.device_count)
        printf("  no device: stages that launch kernels do not run there\n");
    if (!isinf(s.ends)) {
        words_seconds(s.ends - mf_seconds(), took);
        printf("  %s left\n", took);
    }
}

/* Until a worker has joined or the user gives up. */
static int wait_for_one(mf_workers *workers, mf_pools *pools, notices *said)
{
    double begun = mf_seconds();
    char reason[64] = "";

    mf_pools_want(pools, 0, 1);
    while (!mf_workers_count(workers) && !given_up) {
        print_notices(said);
        print_waiting(pools, reason);
        poll(NULL, 0, 50);
    }
    print_notices(said);
    if (!mf_workers_count(workers))
        return EXIT_INTERRUPTED;
    mf_pools_connected(pools, 0, 1);
    print_worker(workers, mf_seconds() - begun);
    return EXIT_DONE;
}

static int try_with(const args *a, run_pools *r, notices *said)
{
    listen_at at = {.address = r->listen, .token = r->shared->token};
    mf_workers *workers;
    int code = listen_open(a, &at, said, &workers);

    if (code)
        return code;
    mf_status status = run_pools_start(r, args_value(a, "plugins"), workers, 0, true, said);
    if (!status) {
        printf("one worker of pool %s is asked for; Ctrl-C gives up\n", r->chosen[0]->name);
        fflush(stdout);
        mf_signals_listen(give_up);
        code = wait_for_one(workers, r->pools, said);
        mf_signals_listen(NULL);
    }
    run_pools_end(r);
    mf_workers_close(workers);
    print_notices(said);
    return status ? command_fail(status, EXIT_FAILED) : code;
}

/* Takes over the site. */
static int try_pool(const args *a, mf_site *site, const mf_pool *pool)
{
    run_pools r = {.site = site, .count = 1, .chosen = calloc(1, sizeof *r.chosen)};
    notices *said = notices_new();
    mf_status status = r.chosen && said ? MF_OK : mf_no_memory(0, "a pool");
    int code = EXIT_DONE;

    if (!status) {
        r.chosen[0] = pool;
        /* Beside runs: no cache has this name. */
        status = mf_shared_open(mf_site_folder(site), "massflow pools --try", false, &r.shared);
    }
    if (!status)
        status = listen_address(args_value(a, "listen"), site, NULL, &r.listen);
    if (status)
        code = command_fail(status, EXIT_REQUEST);
    else
        code = try_with(a, &r, said);
    run_pools_clear(&r);
    notices_free(said);
    return code;
}

static int pools(const args *a)
{
    const mf_pool *pool = NULL;
    mf_site *site;
    bool trial = args_has(a, "try"), script = args_has(a, "script");

    if ((script || trial) && !args_count(a))
        return command_refuse("--%s goes with the name of a pool", trial ? "try" : "script");
    if (script && trial)
        return command_refuse("--script submits nothing, and --try submits");
    int code = open_site(a, &site);
    if (code)
        return code;
    mf_status status = args_count(a) ? mf_site_find(site, args_at(a, 0), &pool) : MF_OK;
    if (!status && trial)
        return try_pool(a, site, pool);
    if (status)
        code = command_fail(status, EXIT_REQUEST);
    else if (script)
        code = show_script(a, site, pool);
    else if (pool)
        print_pool(pool);
    else
        list(site);
    mf_site_free(site);
    return code;
}

static const option options[] = {
    {0, "script", NULL, "print what would be submitted for this pool, and submit nothing"},
    {0, "try", NULL, "get one worker of this pool, print what it has, and end it"},
    {0, "listen", "HOST[:PORT]", "the address that workers connect to"},
    OPTION_POOLS,
    OPTION_CACHE,
    OPTION_PLUGINS,
    OPTION_END};

const command command_pools = {
    "pools",
    "[NAME]",
    "list the pools of workers of this site, or show and try one",
    "A pool says how workers on other machines are got: by Slurm, or by any command.\n"
    "docs/clusters.md shows the file.",
    options,
    0,
    1,
    pools};
