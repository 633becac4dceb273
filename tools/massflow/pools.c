/* pools.c - the command pools: where a site's workers come from, what would be submitted for one.
 */
#include "sites.h"
#include "workspace.h"

#include "run/pool/pools.h"
#include "run/pool/slurm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "8 slots, 32 GB, 2 devices": what a worker has. */
static void print_sizes(const mf_pool *p)
{
    int slots, devices;
    size_t memory;
    char bytes[32];
    mf_slurm_sizes(p, &slots, &memory, &devices);
    if (p->submit == MF_SUBMIT_COMMAND && !p->slots)
        printf("all slots of its host");
    else
        printf("%d slot%s", slots, slots == 1 ? "" : "s");
    words_bytes((double)memory, bytes);
    if (memory)
        printf(", %s", bytes);
    if (devices)
        printf(", %d device%s", devices, devices == 1 ? "" : "s");
}

static void print_pool(const mf_pool *p)
{
    char took[32];

    printf("%-12s %s, at most %d worker%s, each with ", p->name,
           p->submit == MF_SUBMIT_SLURM ? "Slurm" : "command", p->max, p->max == 1 ? "" : "s");
    print_sizes(p);
    if (p->time_text) {
        words_seconds(p->time, took);
        printf(", for %s", took);
    }
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
        status = listen_address(a, site, last, &address);
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

static int pools(const args *a)
{
    const mf_pool *pool = NULL;
    mf_site *site;
    if (args_has(a, "script") && !args_count(a))
        return command_refuse("--script goes with the name of a pool");
    int code = open_site(a, &site);
    if (code)
        return code;
    mf_status status = args_count(a) ? mf_site_find(site, args_at(a, 0), &pool) : MF_OK;
    if (status)
        code = command_fail(status, EXIT_REQUEST);
    else if (args_has(a, "script"))
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
    {0, "listen", "HOST[:PORT]", "the address that workers connect to"},
    OPTION_POOLS,
    OPTION_CACHE,
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
