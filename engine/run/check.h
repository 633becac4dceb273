/* check.h - does an artifact hold what its type asks for? */
#ifndef MASSFLOW_RUN_CHECK_H
#define MASSFLOW_RUN_CHECK_H

#include "stages/stages.h"

mf_status mf_check_artifact(const mf_registry *registry, const mf_artifact *artifact);

#endif
