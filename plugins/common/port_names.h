/* port_names.h - the names of labels that the inputs of a task have. */
#ifndef MF_COMMON_PORT_NAMES_H
#define MF_COMMON_PORT_NAMES_H

#include <massflow/stage.h>

/* Adds the names of all artifacts of the ports (names; NULL at the end), single or lists. Two that
 * contradict each other are an error that names both artifacts. After an error nothing is left to
 * free. */
MF_MUST_USE mf_status mf_port_names(mf_task *t, const char *const *ports, mf_names *names);

#endif
