/* quantity.h - texts that stand for amounts: bytes and seconds, as people write them. */
#ifndef MF_GRAPH_QUANTITY_H
#define MF_GRAPH_QUANTITY_H

#include <stdbool.h>
#include <stddef.h>

/* "4 GB", "500 MB", "8 GiB", "512 MiB": above 0. False for anything else. */
bool mf__read_bytes(const char *text, size_t *bytes);
/* A time limit as Slurm takes and shows them: "90" (minutes), "90:00", "12:00:00", "2-12",
 * "2-12:30", "2-12:30:00"; above 0. False for anything else. */
bool mf__read_time_limit(const char *text, double *seconds);

#endif
