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
    bool conflict; /* no damage: an imported action with other outputs than the one that counts */
} mf_damage;
typedef void (*mf_damage_call)(void *self, const mf_damage *damage);

typedef struct mf_verified {
    int64_t chunks, chunk_bytes; /* checked; as stored */
    int64_t artifacts, actions, files;
    int64_t unnamed, unnamed_bytes; /* chunks that no artifact needs: no damage, gc collects them */
    int64_t damages;
    int64_t conflicts; /* imported actions whose outputs are not those that count; no damage */
} mf_verified;

/* Reads all of the store and tells each damage; changes nothing. May go on beside runs. Fails only
 * where the store can't be looked at: there is none, it is of another schema, memory is short. */
MF_MUST_USE mf_status mf_store_verify(const char *dir, mf_damage_call tell, void *self,
                                      mf_verified *result);

typedef struct mf_repaired {
    mf_verified found;         /* before the repair */
    int64_t chunks_dropped;    /* did not match their digest */
    int64_t artifacts_missing; /* known by id, to be made again where needed */
    int64_t artifacts_dropped; /* their record was damaged */
    int64_t actions_dropped;   /* to be run again where needed */
    int64_t others_dropped;    /* digests of input files, states of long stages */
    char *aside[2];            /* where damaged files were moved to; NULL: were not */
} mf_repaired;

/* Verifies, and mends: what is damaged is dropped, what depended on it counts as missing, so that
 * the next run makes it again. An SQLite file that is itself damaged gets its indexes rebuilt, or
 * is moved aside and replaced by a new one with all rows that could be read and are sound. No
 * result is ever changed. Fails where another process has the store open while a file must be
 * replaced. */
MF_MUST_USE mf_status mf_store_repair(const char *dir, mf_damage_call tell, void *self,
                                      mf_repaired *result);
void mf_repaired_clear(mf_repaired *result);

/* ---- gc -------------------------------------------------------------------------------------- */

typedef struct mf_gc_options {
    int64_t size; /* bytes of data to keep at most, as stored; -1: any */
    int64_t age;  /* seconds since an artifact was last used; -1: any */
    bool dry;     /* only say what would go */
    /* Where set: what these actions made, and no other action did, whatever its age. `size` and
     * `age` count for nothing then. */
    const char (*keys)[MF_HEX_SIZE];
    size_t key_count;
} mf_gc_options;

typedef struct mf_gc_item {
    const char *id, *type;
    const char *stage; /* that made it; "" where no action names it */
    int64_t bytes;     /* as stored */
    int64_t used;      /* when it was last made or found by a run */
    double seconds;    /* that it takes to make again, without what it is made from */
    const char *why;   /* "not used for 30 days", "the cache is over its size", ... */
    bool stays;        /* it was asked for by its key, and is kept; why */
} mf_gc_item;
typedef void (*mf_gc_call)(void *self, const mf_gc_item *item);

typedef struct mf_gc_result {
    int64_t artifacts, bytes;       /* that go; bytes: of chunks that no other artifact needs */
    int64_t unnamed, unnamed_bytes; /* chunks that no artifact needs any more, beside those */
    int64_t kept, kept_bytes;       /* artifacts that stay, and their chunks */
    int64_t in_use;                 /* of those, kept for runs that are going on */
    int64_t runs;                   /* that are going on */
    int64_t file_bytes, file_bytes_before; /* of both files on disk */
} mf_gc_result;

/* Drops the data of artifacts: those not used within the age, and, while more than `size` is kept,
 * those that are cheapest to make again for the room they take, long unused ones first. Records of
 * actions and ids of artifacts stay, so what lies below is still found. What runs that are going on
 * have made or found is kept. Gives the room back to the file system. Runs may start, look up and
 * store meanwhile: they wait for moments. */
MF_MUST_USE mf_status mf_store_gc(const char *dir, const mf_gc_options *options, mf_gc_call tell,
                                  void *self, mf_gc_result *result);

/* ---- export, import -------------------------------------------------------------------------- */

typedef struct mf_moved {
    int64_t actions, new_actions, artifacts, chunks;
    int64_t conflicts; /* of the actions: their outputs are not those that their key has here */
    int64_t refused;   /* actions of which nothing was taken, beside those */
    int64_t bytes;     /* of chunks as stored: written, or new where they were imported */
} mf_moved;

/* An imported action whose key has other outputs here. */
typedef struct mf_conflict {
    const char *key, *stage;
    const char *node;         /* that made it here; NULL where that is not known */
    const char *port;         /* the first output that differs; NULL where one is missing */
    const char *here, *there; /* ids of that output; "" where it is not there */
    const char *here_device, *there_device; /* that made it; "" for the host */
    bool imported;                          /* what is here was imported as well */
} mf_conflict;
typedef void (*mf_conflict_call)(void *self, const mf_conflict *conflict);

/* An action that was not taken. */
typedef struct mf_refused {
    const char *key, *stage;
    const char *port; /* the output that is not what it says it is; NULL: the action itself */
    const char *why;
} mf_refused;

/* What an import asks and tells; any may be NULL. Errors of the first two that are about what they
 * are given refuse it; that memory is short, say, ends the import. */
typedef struct mf_import_calls {
    void *self;
    /* Whether an artifact is what its type says; `whole`: its arrays can be read. */
    mf_status (*artifact)(void *self, const mf_artifact *artifact, bool whole);
    /* Whether an action has the outputs of its stage, which have these types. */
    mf_status (*action)(void *self, const mf_action *action, const char *const *types);
    mf_conflict_call conflict;
    void (*refused)(void *self, const mf_refused *refused);
} mf_import_calls;

/* Writes actions with their artifacts and chunks to one new file: those of `keys`, or all (NULL).
 * Errors do not name the file; after one it is not there. Format: move.c. */
MF_MUST_USE mf_status mf_store_export(mf_store *store, const char *path,
                                      const char (*keys)[MF_HEX_SIZE], size_t count,
                                      mf_moved *moved);
/* Takes such a file in. All of it is checked first: nothing of a damaged file is taken, and nothing
 * of an action that is refused (`calls` may be NULL). What a key stands for here stays as it is,
 * see mf_store_find; an action with other outputs is recorded, told of, and not used. */
MF_MUST_USE mf_status mf_store_import(mf_store *store, const char *path,
                                      const mf_import_calls *calls, mf_moved *moved);

#endif
