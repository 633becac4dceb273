/* simulate.c - how far one coordinator goes: the real scheduler against simulated workers. */
#include "world.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_head(void)
{
    printf(
        "| workers x slots | node | result | cache | nodes | nodes/s | slots used | loop | cache "
        "writer | link | loop a node | cache a node | lost |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
}

static int run_row(const world_options *o)
{
    world_result r;
    mf_status status = world_run(o, &r);

    if (status) {
        fprintf(stderr, "simulate: %s\n", mf_error_message(status));
        mf_error_free(status);
        return 1;
    }
    printf("| %zu x %d | %g s | %g MB | %s | %zu | %.0f | %.0f %% | %.1f %% | %.0f %% | %.0f %% | "
           "%.0f us | %.0f us | %zu |\n",
           o->workers, o->slots, o->seconds, o->bytes / 1e6, o->store ? "yes" : "no", r.done,
           (double)r.done / r.span, 100 * r.slots_used, 100 * r.loop / r.span,
           100 * r.store / r.span, 100 * r.link / 2 / r.span, 1e6 * r.loop / (double)r.done,
           1e6 * r.store / (double)r.done, r.lost);
    fflush(stdout);
    fprintf(stderr, "graph and plan %.1f s, run %.0f s simulated, %zu nodes came back\n", r.load,
            r.span, r.returned);
    if (r.done != r.nodes) {
        fprintf(stderr, "simulate: %zu of %zu nodes were done, %zu failed\n", r.done, r.nodes,
                r.failed);
        return 1;
    }
    return 0;
}

/* The table of docs/clusters.md. */
static int run_table(world_options o)
{
    static const struct {
        size_t workers, nodes;
        int slots;
        double seconds, bytes, losses;
        bool store;
    } rows[] = {
        /* the scheduler alone */
        {1, 20000, 16, 1, 0, 0, false},
        {100, 100000, 16, 1, 0, 0, false},
        {1000, 300000, 16, 1, 0, 0, false},
        {1000, 1000000, 16, 1, 0, 0, false},
        /* with its cache */
        {10, 5000, 16, 1, 0, 0, true},
        {100, 30000, 16, 1, 0, 0, true},
        {1000, 20000, 16, 1, 0, 0, true},
        {1000, 20000, 16, 60, 0, 0, true},
        /* and results that travel, and workers that are lost */
        {10, 1000, 4, 60, 2e7, 0.1, true},
        {100, 5000, 4, 60, 2e7, 0.1, true},
        {1000, 15000, 4, 60, 2e7, 0.1, true},
        {1000, 15000, 4, 600, 2e7, 0.1, true},
    };
    int code = 0;

    print_head();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        o.workers = rows[i].workers;
        o.nodes = rows[i].nodes;
        o.slots = rows[i].slots;
        o.seconds = rows[i].seconds;
        o.bytes = rows[i].bytes;
        o.losses = rows[i].losses;
        o.store = rows[i].store;
        code |= run_row(&o);
    }
    return code;
}

static const struct option options[] = {
    {"nodes", required_argument, NULL, 'n'},  {"workers", required_argument, NULL, 'w'},
    {"slots", required_argument, NULL, 's'},  {"seconds", required_argument, NULL, 't'},
    {"spread", required_argument, NULL, 'd'}, {"bytes", required_argument, NULL, 'b'},
    {"link", required_argument, NULL, 'l'},   {"latency", required_argument, NULL, 'y'},
    {"losses", required_argument, NULL, 'o'}, {"seed", required_argument, NULL, 'e'},
    {"cache", no_argument, NULL, 'c'},        {"table", no_argument, NULL, 'T'},
    {"help", no_argument, NULL, 'h'},         {0}};

static void help(void)
{
    printf("simulate [--table] [options]: massflow's scheduler against simulated workers\n\n"
           "  --nodes N       nodes of the graph; default 30000\n"
           "  --workers N     default 100\n"
           "  --slots N       of each; default 16\n"
           "  --seconds S     median of a node; default 10\n"
           "  --spread SIGMA  of its logarithm; default 0.5\n"
           "  --bytes B       mean of what a node makes; default 0\n"
           "  --link B        bytes a second of the coordinator, each way; default 1.25e9\n"
           "  --latency S     one way; default 0.0002\n"
           "  --losses N      of a worker, an hour; default 0\n"
           "  --cache         with a cache in TMPDIR (/tmp), where runs and results are recorded\n"
           "  --seed N\n"
           "  --table         the rows of docs/clusters.md\n");
}

int main(int argc, char **argv)
{
    world_options o = {.nodes = 30000,
                       .workers = 100,
                       .slots = 16,
                       .seconds = 10,
                       .spread = 0.5,
                       .link = 1.25e9,
                       .latency = 0.0002,
                       .seed = 1};
    bool table = false;
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        double value = optarg ? strtod(optarg, NULL) : 0;
        if (optarg && !(value >= 0)) {
            fprintf(stderr, "simulate: '%s' is not a number of 0 or more\n", optarg);
            return 2;
        }
        switch (c) {
        case 'n':
            o.nodes = (size_t)value;
            break;
        case 'w':
            o.workers = (size_t)value;
            break;
        case 's':
            o.slots = (int)value;
            break;
        case 't':
            o.seconds = value;
            break;
        case 'd':
            o.spread = value;
            break;
        case 'b':
            o.bytes = value;
            break;
        case 'l':
            o.link = value;
            break;
        case 'y':
            o.latency = value;
            break;
        case 'o':
            o.losses = value;
            break;
        case 'e':
            o.seed = (uint64_t)value;
            break;
        case 'c':
            o.store = true;
            break;
        case 'T':
            table = true;
            break;
        case 'h':
            help();
            return 0;
        default:
            return 2;
        }
    }
    if (table)
        return run_table(o);
    print_head();
    return run_row(&o);
}
