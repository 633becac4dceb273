/* frozen.h - a node's work as a message: what another process needs to run it.
 *
 * Artifacts go by their ids, stages by name and code identity, so that the other process can't run
 * code that the node's key does not stand for. */
#ifndef MASSFLOW_RUN_FROZEN_H
#define MASSFLOW_RUN_FROZEN_H

#include "run/plan/work.h"
#include "run/worker/wire.h"

/* Appends `work` with the streams that it reads. */
MF_MUST_USE mf_status mf_frozen_put(mf_packet *p, const mf_work *work);

/* Where the file that `path` names is read here; NULL: under that name. */
typedef const char *(*mf_frozen_path)(void *self, const char *path);

/* The work again, with everything that it points to. `p` must outlive it. `place` may be NULL. */
typedef struct mf_frozen mf_frozen;
MF_MUST_USE mf_status mf_frozen_get(mf_packet *p, const mf_registry *registry, mf_frozen_path place,
                                    void *self, mf_frozen **frozen);
const mf_work *mf_frozen_work(const mf_frozen *frozen);
void mf_frozen_free(mf_frozen *frozen); /* NULL is fine */

#endif
