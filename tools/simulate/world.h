/* world.h - a cluster that is simulated, and the real scheduler (engine/run/schedule) in front of
 * it: its runner, its plan, and where it is asked for its cache. Workers, nodes and the network are
 * drawn; the processor time that the scheduler and its cache take is measured, and is part of the
 * simulated time.
 *
 * Three servers of one coordinator are modelled, each with a queue: the scheduler's loop, the
 * cache's writer, and the network link. */
#ifndef WORLD_H
#define WORLD_H

#include <massflow/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct world_options {
    size_t nodes; /* about; of three stages, a case each, and a gather of every 1000 */
    size_t workers;
    int slots;      /* of a worker */
    double seconds; /* median of a node */
    double spread;  /* sigma of its logarithm */
    double bytes;   /* mean of what a node makes */
    double link;    /* of the coordinator, each way, in bytes a second */
    double latency; /* s, one way */
    double losses;  /* of a worker, an hour; another comes a minute later */
    bool store;     /* with a cache: runs are recorded, results published */
    uint64_t seed;
} world_options;

typedef struct world_result {
    size_t nodes, done, failed, returned, lost; /* lost: workers */
    double load;                                /* s, that reading the graph and planning took */
    double span;                                /* s, of the run, simulated */
    double loop, store, link;                   /* s, that the servers were busy */
    double work;                                /* s, of nodes that were done */
    double sent;                                /* bytes, both ways */
    double slots_used;                          /* part, until nothing was left to start */
} world_result;

MF_MUST_USE mf_status world_run(const world_options *options, world_result *result);

#endif
