/* rematerialize.h - what gradients need of the forward pass: kept, or computed again. */
#ifndef MF_PROGRAM_REMATERIALIZE_H
#define MF_PROGRAM_REMATERIALIZE_H

#include "program/ir/program.h"

/* Before a differentiated program is recorded; `live` as for its ops so far. Ops that compute again
 * are put in before the first op that needs them. */
MF_MUST_USE mf_status mf_rematerialize(mf_program *p, const bool *live);

#endif
