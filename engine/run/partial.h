/* partial.h - files that are being written: under a name of their own, so that no half file is ever
 * seen, which says by which process, so that what a killed one left can be told. */
#ifndef MASSFLOW_RUN_PARTIAL_H
#define MASSFLOW_RUN_PARTIAL_H

#include <massflow/error.h>

/* The name beside `path` to write to; for free(). The suffix stays the last part. */
MF_MUST_USE mf_status mf_partial_name(const char *path, char **name);
/* Removes what processes of this system that are gone left in the folder of `path`. */
void mf_partials_sweep(const char *path);

#endif
