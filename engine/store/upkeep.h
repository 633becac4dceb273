/* upkeep.h - care of a store: checking every byte of it and mending what can be mended.
 *
 * What is checked does not depend on who wrote it: digests of chunks, of records and of keys, and
 * that what names something finds it. All calls here take the folder, for a store that is damaged
 * may not open. */
#ifndef MASSFLOW_STORE_UPKEEP_H
#define MASSFLOW_STORE_UPKEEP_H

#include "store/store.h"

/* ---- verify, repair -------------------------------------------------------------------------- */

typedef struct mf_damage {
    const char *what;  /* "chunk 0123456789ab in 'DIR/chunks.db' does not match its digest" */
    const char *means; /* for results, and what the next run does */
} mf_damage;
typedef void (*mf_damage_call)(void *self, const mf_damage *damage);

typedef struct mf_verified {
    int64_t chunks, chunk_bytes; /* checked; as stored */
    int64_t artifacts, actions, files, binaries;
    int64_t unnamed, unnamed_bytes; /* chunks that no artifact needs: no damage, gc collects them */
    int64_t damages;
} mf_verified;

/* Reads all of the store and tells each damage; changes nothing. May go on beside runs. Fails only
 * where the store can't be looked at: there is none, it is of another schema, memory is short. */
MF_API MF_MUST_USE mf_status mf_store_verify(const char *dir, mf_damage_call tell, void *self,
                                             mf_verified *result);

typedef struct mf_repaired {
    mf_verified found;             /* before the repair */
    int64_t chunks_dropped;        /* did not match their digest */
    int64_t artifacts_missing;     /* known by id, to be made again where needed */
    int64_t artifacts_dropped;     /* their record was damaged */
    int64_t actions_dropped;       /* to be run again where needed */
    int64_t others_dropped;        /* digests of input files, program binaries */
    char *aside[2];                /* where damaged files were moved to; NULL: were not */
} mf_repaired;

/* Verifies, and mends: what is damaged is dropped, what depended on it counts as missing, so that
 * the next run makes it again. An SQLite file that is itself damaged gets its indexes rebuilt, or
 * is moved aside and replaced by a new one with all rows that could be read and are sound. No
 * result is ever changed. Fails where another process has the store open while a file must be
 * replaced. */
MF_API MF_MUST_USE mf_status mf_store_repair(const char *dir, mf_damage_call tell, void *self,
                                             mf_repaired *result);
MF_API void mf_repaired_clear(mf_repaired *result);

#endif
