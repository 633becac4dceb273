/* check.h - what verify finds wrong, in a form that repair can act on. */
#ifndef MASSFLOW_STORE_CHECK_H
#define MASSFLOW_STORE_CHECK_H

#include "store/internal.h"
#include "store/upkeep.h"

/* ---- digests with a number each (digest_map.c) ----------------------------------------------- */

typedef struct mf__map_entry {
    uint8_t digest[MF_DIGEST_BYTES];
    int64_t value, count; /* the owner's */
    bool taken;
} mf__map_entry;

typedef struct mf__map {
    mf__map_entry *entries;
    size_t room, count;
} mf__map;

/* The entry of `digest`; NULL where there is none. */
mf__map_entry *mf__map_find(const mf__map *map, const uint8_t digest[MF_DIGEST_BYTES]);
/* The entry, added with zeros where it is missing; valid until the next call. */
MF_MUST_USE mf_status mf__map_add(mf__map *map, const uint8_t digest[MF_DIGEST_BYTES],
                                  mf__map_entry **entry);
void mf__map_clear(mf__map *map);

/* ---- records --------------------------------------------------------------------------------- */

/* Calls `each` with the digest of every chunk that a record names. MF_CORRUPT where it is no
 * record. */
MF_MUST_USE mf_status mf__record_chunks(const uint8_t *record, size_t size,
                                        mf_status (*each)(void *self, const uint8_t *digest),
                                        void *self);
/* The same with the size that each has to have; not of the bytes of rows, which depends on offsets.
 */
MF_MUST_USE mf_status mf__record_pieces(const uint8_t *record, size_t size,
                                        mf_status (*each)(void *self, const uint8_t *digest,
                                                          size_t raw),
                                        void *self);

/* All of them in the order in which transfer.h numbers them; `raw` is 0 of the bytes of rows. */
MF_MUST_USE mf_status mf__record_all_pieces(const uint8_t *record, size_t size,
                                            mf_status (*each)(void *self, const uint8_t *digest,
                                                              size_t raw),
                                            void *self);

/* ---- findings -------------------------------------------------------------------------------- */

typedef enum mf__finding_kind {
    MF__BAD_FILE,       /* SQLite finds the file damaged */
    MF__BAD_PAIR,       /* the two files do not carry the same mark */
    MF__BAD_CHUNK,      /* digest */
    MF__BAD_DATA,       /* an artifact (num) that counts as present, but a chunk is not there */
    MF__BAD_RECORD,     /* an artifact (num) whose record is not what its id says */
    MF__BAD_ACTION,     /* num */
    MF__BAD_INPUT,      /* the digest of an input file (text) */
    MF__BAD_CHECKPOINT, /* of a key (digest) and step (num) */
    MF__BAD_REFERENCE,  /* a row (num) of a table (text) that names what is not there */
    MF__CONFLICT        /* no damage: see mf_damage */
} mf__finding_kind;

typedef struct mf__finding {
    mf__finding_kind kind;
    mf__target file;
    const char *text;
    const uint8_t *digest;
    int64_t num;
    mf_damage damage;
} mf__finding;

/* What one look through a store needs. */
typedef struct mf__check {
    const char *dir;
    bool mends;                     /* what a crash left may be rolled back */
    mf__connection *index, *chunks; /* NULL: can't be read */
    mf_status (*tell)(void *self, const mf__finding *finding);
    void *self;
    mf_verified *result;
    mf__map stored; /* all chunks: value is the stored size, -1 damaged; count: artifacts that name
                       it */
    mf__scratch scratch;
} mf__check;

/* Opens one file and sees whether it is a database of this schema; *c NULL where it is damaged. */
MF_MUST_USE mf_status mf__check_open(mf__check *k, mf__target file, const char *path,
                                     mf__connection **c);
/* Whether SQLite finds the file sound; tells what it says. */
MF_MUST_USE mf_status mf__check_file(mf__check *k, mf__target file, bool *sound);
/* Rows of files that SQLite finds sound (connections that are not NULL). */
MF_MUST_USE mf_status mf__check_rows(mf__check *k);
void mf__check_clear(mf__check *k); /* not the connections */

/* Both files' names; MF_NOT_FOUND where there is neither. The caller frees them in any case. */
MF_MUST_USE mf_status mf__paths(const char *dir, char **index, char **chunks);

/* ---- salvage (salvage.c) --------------------------------------------------------------------- */

/* Makes a new file at `path` of all rows that can still be read, the old one is moved aside. The
 * caller frees *aside. No connection to the file may be open. */
MF_MUST_USE mf_status mf__salvage(const char *dir, const char *path, mf__target file, char **aside);

#endif
