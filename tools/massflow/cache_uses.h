/* cache_uses.h - of the command cache: what belongs to which graph, stage and case; dropping it. */
#ifndef MF_CACHE_USES_H
#define MF_CACHE_USES_H

#include "command.h"

/* `cache ls` with --by, --graph, --stage or --case. */
int cache_list_uses(const args *a);
/* `cache drop`, of the operands GRAPH NODE... */
int cache_drop(const args *a);

#endif
