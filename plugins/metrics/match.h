/* match.h - which elements of two list inputs are of the same case. */
#ifndef METRICS_MATCH_H
#define METRICS_MATCH_H

#include <massflow/stage.h>

/* The element of `port` that is of the case `name`; the number of elements where none is. Fails
 * where two are: which of them is meant is not known. */
MF_MUST_USE mf_status match_case(mf_task *t, const char *port, const char *name, size_t *index);

#endif
