/* internal.h - what the files of the store share: connections, the writer, chunks, layouts. */
#ifndef MASSFLOW_STORE_INTERNAL_H
#define MASSFLOW_STORE_INTERNAL_H

#include "store/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>

#define MF__STATEMENTS 128
#define MF__SHORT_ID 12 /* digits of an id that messages show */

typedef enum mf__target { MF__CHUNKS, MF__INDEX } mf__target; /* which of the two files */

/* ---- connections (connection.c) -------------------------------------------------------------- *
 * One SQLite connection with its prepared statements, used by one thread at a time. */

/* One wait for a lock (wait.c). */
typedef struct mf__delay {
    double begun, next; /* seconds; `next`: when it is said */
} mf__delay;
void mf__delay_begin(mf__delay *wait);
/* Says what is waited for when it is time to; the seconds that it has lasted. */
double mf__delay_look(mf__delay *wait, const char *path);
char *mf__lock_holder(const char *path); /* "process 4711 (python3 x.py)"; the caller frees */

typedef struct mf__connection {
    sqlite3 *db;
    char *path;
    mf__delay wait;
    struct {
        const char *sql; /* compared by address: a literal stands at one place */
        sqlite3_stmt *statement;
    } statements[MF__STATEMENTS];
    int count;
} mf__connection;

typedef enum mf__access {
    MF__CREATE,   /* read and write, made where missing */
    MF__READ,     /* reads beside a writer of this process; may roll back what a crash left */
    MF__LOOK,     /* reads; changes, rolls back and deletes nothing */
    MF__IMMUTABLE /* reads a file that nobody can change */
} mf__access;

MF_MUST_USE mf_status mf__connection_open(const char *path, mf__access access,
                                          mf__connection **connection);
void mf__connection_close(mf__connection *connection); /* NULL is fine */
/* The statement of `sql` with `kinds` bound, one letter an argument: t text (NULL: null), i
 * int64_t, r double, d digest (32 bytes, NULL: null), b blob (pointer, size_t). Arguments are
 * borrowed until the statement has been stepped to its end or reset. */
MF_MUST_USE mf_status mf__prepare(mf__connection *c, const char *sql, sqlite3_stmt **statement,
                                  const char *kinds, ...);
/* *row false at the end, where the statement has been reset. */
MF_MUST_USE mf_status mf__step(mf__connection *c, sqlite3_stmt *statement, bool *row);
/* Prepares and steps to the end. */
MF_MUST_USE mf_status mf__exec(mf__connection *c, const char *sql, const char *kinds, ...);
/* Any number of statements, not kept. */
MF_MUST_USE mf_status mf__script(mf__connection *c, const char *sql);
/* One statement that SQLite does not wait with: a change of the journal, which two processes begin
 * at once, is refused to one of them right away. Waits as all others do. */
MF_MUST_USE mf_status mf__insist(mf__connection *c, const char *sql);
/* What users are told to do where a file is damaged. */
#define MF__REPAIR "`massflow cache repair` recovers what is readable; the rest is computed again"
#define MF__ELSEWHERE "--cache DIR puts the cache into another folder"
MF_MUST_USE mf_status mf__sql_failed(mf__connection *c); /* the connection's last error */
/* A file that a crash left half-written, where nothing may be changed. */
MF_MUST_USE mf_status mf__left(const char *path);
MF_MUST_USE mf_status mf__integer(mf__connection *c, const char *sql,
                                  int64_t *value); /* of the first column */
bool mf__column_digest(sqlite3_stmt *s, int column, uint8_t digest[MF_DIGEST_BYTES]);
bool mf__column_hex(sqlite3_stmt *s, int column, char hex[MF_HEX_SIZE]);

/* ---- files before they are opened (guard.c) -------------------------------------------------- */

/* A file of SQLite's and what lies beside it: regular files, and no journal that names another one.
 * Before SQLite opens it. `writing`: also without a second name. */
MF_MUST_USE mf_status mf__guard(const char *path, bool writing);
/* The file that a journal names as its super-journal, for free(); NULL where it names none. */
MF_MUST_USE mf_status mf__journal_super(const char *path, char **name);
/* Whether a file (path and suffix) is missing or empty. */
bool mf__file_empty(const char *path, const char *suffix);

/* ---- what a file holds (compare.c) ----------------------------------------------------------- */

/* MF_CORRUPT where a file's tables, indexes, views and triggers are not those that `version`
 * scripts make: before any statement that uses them. */
MF_MUST_USE mf_status mf__schema_compare(mf__connection *c, const char *const *scripts,
                                         int64_t version);
/* Whether a table is there, is a table, and was made by that statement. */
bool mf__schema_plain(mf__connection *c, const char *table, const char *sql);
/* The words of a statement, each followed by a blank; for free(), NULL where memory is short. */
char *mf__schema_words(const char *sql);

/* ---- schema (schema.c) ----------------------------------------------------------------------- */

#define MF__SCHEMA 5

/* Brings both files to this schema, or fails where one is newer. Where the chunks are not those of
 * the index (one of the files was deleted), no artifact counts as present any more. */
MF_MUST_USE mf_status mf__schema_write(mf__connection *index, mf__connection *chunks);
/* MF_CORRUPT where the two files do not carry the same mark. */
MF_MUST_USE mf_status mf__schema_paired(mf__connection *index, mf__connection *chunks);
/* Gives both files a new mark: they belong together. */
MF_MUST_USE mf_status mf__schema_pair(mf__connection *index, mf__connection *chunks);
/* One file, which may be new, without the mark that pairs them. */
MF_MUST_USE mf_status mf__schema_make(mf__connection *c, mf__target file);
MF_MUST_USE mf_status mf__schema_check(mf__connection *c, mf__target file); /* for readers:
                                                                  MF_NOT_FOUND where it is empty */

/* ---- sums of rows (seal.c) --------------------------------------------------------------------
 */

typedef struct mf__file {                      /* a row of table file */
    char *path;                                /* real path */
    int64_t size, inode, mtime, ctime, hashed; /* times in nanoseconds */
    uint8_t digest[MF_DIGEST_BYTES];
} mf__file;

/* `key`: the one that was looked for. The order of outputs does not matter. Of an imported action
 * also over where it is from, so that one can't pass for the other. */
MF_MUST_USE mf_status mf__sum_action(const mf_action *a, const uint8_t key[MF_DIGEST_BYTES],
                                     uint8_t sum[MF_DIGEST_BYTES]);
MF_MUST_USE mf_status mf__sum_file(const mf__file *f, uint8_t sum[MF_DIGEST_BYTES]);
MF_MUST_USE mf_status mf__sum_checkpoint(const uint8_t key[MF_DIGEST_BYTES], int64_t step,
                                         int64_t created, const uint8_t artifact[MF_DIGEST_BYTES],
                                         uint8_t sum[MF_DIGEST_BYTES]);
/* Whether the column holds that sum. */
bool mf__sum_is(sqlite3_stmt *s, int column, const uint8_t sum[MF_DIGEST_BYTES]);
/* Writes the sums of rows that have none, of schema version 1. */
MF_MUST_USE mf_status mf__seal_actions(mf__connection *c);
/* Actions that were imported before this was recorded (they name no run) belong to import `num`
 * from now on; those whose sum does not fit stay as they are. */
MF_MUST_USE mf_status mf__seal_imported(mf__connection *c, int64_t num);
MF_MUST_USE mf_status mf__seal_files(mf__connection *c);

/* ---- the store (store.c) --------------------------------------------------------------------- */

typedef struct mf__reader {
    mf__connection *index, *chunks;
    pthread_t holder; /* while holds > 0 */
    int holds;
    struct mf__reader *next;
} mf__reader;

/* What one caller waits for: all jobs submitted with it. */
typedef struct mf__ticket {
    int pending;
    mf_status status; /* of the first job that failed; jobs after it are not run */
} mf__ticket;

typedef struct mf__job {
    mf__target target;
    mf_status (*run)(mf__connection *c, void *arg); /* inside a transaction; may be run again */
    void *arg;
    void (*free)(void *arg); /* NULL: the caller's */
    size_t bytes;            /* that the job keeps in memory */
    mf__ticket *ticket;      /* NULL: nobody waits */
    struct mf__job *next;
} mf__job;

struct mf_store {
    char *dir, *index_path, *chunks_path;
    mf_store_mode mode;
    mf__access access; /* of readers of the index */
    bool no_holds;     /* a reader that stays would keep the writer waiting: there is no WAL */
    uint8_t token[MF_DIGEST_BYTES]; /* random: names this store as the owner of leases */
    int refs;
    struct stat index_file; /* as it was opened */

    pthread_mutex_t reader_lock;
    mf__reader *idle, *held;
    int idle_count;

    pthread_mutex_t pin_lock;
    int lock_file, pins; /* see pin.c; -1: none */
    bool planning;       /* pinned since it was opened */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work, done;
    mf__job *first, **last;
    size_t queued_bytes;
    int waiting; /* threads that need what is queued written now */
    bool stopping, running;
    pthread_t thread;
    mf__connection *index, *chunks; /* the writer thread's own */
};

/* How the two files are written: page size, journal, ... Before anything else is done with it. */
MF_MUST_USE mf_status mf__set_up(mf__connection *c, mf__target file, const char *dir);
/* How a command that only looks opens the index of a folder: MF__LOOK or MF__IMMUTABLE. */
MF_MUST_USE mf_status mf__look_access(const char *dir, const char *index, mf__access *access);
/* Whether it can be seen what lies in a folder; MF_NOT_FOUND where there is none. */
MF_MUST_USE mf_status mf__folder_check(const char *dir);
mf_store *mf__store_ref(mf_store *store);
void mf__store_unref(mf_store *store);
MF_MUST_USE mf_status mf__reader_get(mf_store *store, mf__reader **reader);
void mf__reader_put(mf_store *store, mf__reader *reader);
int64_t mf__now(void);

/* ---- writing (writer.c) ---------------------------------------------------------------------- */

MF_MUST_USE mf_status mf__writer_start(mf_store *store);
void mf__writer_stop(mf_store *store); /* writes what is waiting first */
/* Queues a copy of `job`; blocks while too much is waiting. On failure job->free is called. */
MF_MUST_USE mf_status mf__submit(mf_store *store, const mf__job *job);
/* Returns when all jobs of the ticket are committed or have failed. */
MF_MUST_USE mf_status mf__wait(mf_store *store, mf__ticket *ticket);
bool mf__ticket_failed(mf_store *store, mf__ticket *ticket);
/* One job on the index, and its end. */
MF_MUST_USE mf_status mf__write(mf_store *store, mf_status (*run)(mf__connection *c, void *arg),
                                void *arg);

/* Bytes that grow. */
typedef struct mf__buffer {
    uint8_t *bytes;
    size_t size, room;
    bool failed; /* out of memory */
} mf__buffer;

/* ---- artifacts (artifacts.c) ----------------------------------------------------------------- */

/* What is written with the record of an artifact, in one transaction; may be run again. */
typedef struct mf__row {
    mf_status (*insert)(mf__connection *c, const uint8_t id[MF_DIGEST_BYTES], void *arg);
    void *arg;
} mf__row;

/* mf_store_put of an artifact that no other is like. */
MF_MUST_USE mf_status mf__put_artifact(mf_store *store, const mf_artifact *artifact,
                                       const mf__row *row);

/* Where the chunks of an artifact go that is put into no store; see mf_piece_call in transfer.h. */
typedef struct mf__sink {
    mf_status (*piece)(void *self, const uint8_t digest[MF_DIGEST_BYTES], const uint8_t *bytes,
                       size_t raw, size_t element, bool integer);
    void *self;
} mf__sink;

/* The record of an artifact, and its chunks to `sink`. The caller frees record->bytes, always. */
MF_MUST_USE mf_status mf__record_of(const mf_artifact *artifact, const mf__sink *sink,
                                    mf__buffer *record);
/* The record of an artifact whose data is there; the caller frees. */
MF_MUST_USE mf_status mf__record_get(mf_store *store, const char *id, uint8_t **record,
                                     size_t *size);

/* ---- leases (leases.c) ----------------------------------------------------------------------- */

MF_MUST_USE mf_status mf__lease_end(mf__connection *c, const uint8_t key[MF_DIGEST_BYTES],
                                    const uint8_t token[MF_DIGEST_BYTES]);

/* ---- pins (pin.c) ---------------------------------------------------------------------------- */

MF_MUST_USE mf_status mf__lock_open(const char *dir, int *file);
void mf__pin(mf_store *store);
void mf__unpin(mf_store *store);
void mf__planned(mf_store *store);
/* For gc: waits until nobody has pinned. */
MF_MUST_USE mf_status mf__lock_alone(int file, const char *dir);
void mf__lock_release(int file);

/* ---- layouts (layout.c) ---------------------------------------------------------------------- *
 * How an array is cut in pieces, each stored as one chunk. A function of dtype, shape and row
 * lengths alone, and part of an artifact's identity: a change of it is a new record format. */

#define MF__BRICK 64                 /* voxels; longest edge of a brick */
#define MF__PIECE ((size_t)4 << 20)  /* bytes; longest piece of anything that is no brick */
#define MF__PACK ((size_t)64 << 10)  /* bytes; rows share a piece up to this size */
#define MF__SMALL ((size_t)16 << 10) /* bytes; chunks up to this lie in the index */

typedef struct mf__piece {
    size_t begin, end;    /* bytes of the array, where the piece is contiguous */
    int64_t lo[3], hi[3]; /* box, where it is a brick */
    size_t bytes;
} mf__piece;

typedef struct mf__layout {
    bool bricks;
    size_t element;                        /* bytes */
    size_t bytes;                          /* of the whole array */
    int64_t shape[3], brick[3], counts[3]; /* bricks: z y x */
    size_t count;                          /* pieces */
    size_t *cuts; /* ragged bytes: piece i is cuts[i] .. cuts[i + 1]; else NULL */
} mf__layout;

/* `shape` and `rank` of a dense array. Fails where sizes overflow. */
MF_MUST_USE mf_status mf__layout_dense(mf_dtype dtype, int rank, const int64_t *shape,
                                       mf__layout *layout);
/* The bytes of a ragged array. offsets i64 [rows + 1], checked by the caller. */
MF_MUST_USE mf_status mf__layout_rows(const int64_t *offsets, int64_t rows, mf__layout *layout);
void mf__layout_clear(mf__layout *layout);
void mf__layout_piece(const mf__layout *layout, size_t i, mf__piece *piece);

/* Copies the box [lo, hi) (z y x) between two dense arrays: `from` begins at voxel from_lo of the
 * common space and has from_shape, likewise `to`. */
void mf__copy_box(const uint8_t *from, const int64_t from_lo[3], const int64_t from_shape[3],
                  uint8_t *to, const int64_t to_lo[3], const int64_t to_shape[3],
                  const int64_t lo[3], const int64_t hi[3], size_t element);

/* ---- chunks (chunks.c) ----------------------------------------------------------------------- */

/* Memory that one thread reuses from chunk to chunk. Zero it, then clear it. */
typedef struct mf__scratch {
    uint8_t *bytes[2];
    size_t sizes[2];
    void *compressor, *expander;
} mf__scratch;
uint8_t *mf__scratch_get(mf__scratch *scratch, int which, size_t size); /* NULL: no memory */
void mf__scratch_clear(mf__scratch *scratch);

/* Stored size of the chunk, or -1 where there is none. `raw` is its uncompressed size. */
MF_MUST_USE mf_status mf__chunk_find(mf__reader *r, const uint8_t digest[MF_DIGEST_BYTES],
                                     size_t raw, int64_t *stored);
/* Its uncompressed size, wherever it lies, or -1 where there is none. */
MF_MUST_USE mf_status mf__chunk_raw(mf__reader *r, const uint8_t digest[MF_DIGEST_BYTES],
                                    int64_t *raw);
/* Queues `raw` bytes for writing, compressed where that pays, and adds what they take to *stored.
 * `own` is what `bytes` points to where the chunk shall free it (also on failure); where it is NULL
 * the bytes must stay until the ticket has been waited for. `integer`: always compress. */
MF_MUST_USE mf_status mf__chunk_write(mf_store *store, mf__ticket *ticket, mf__scratch *scratch,
                                      const uint8_t digest[MF_DIGEST_BYTES], const uint8_t *bytes,
                                      uint8_t *own, size_t raw, size_t element, bool integer,
                                      int64_t *stored);
/* Compresses into scratch 1. *codec 0 and *packed 0 where it does not pay. */
MF_MUST_USE mf_status mf__chunk_compress(mf__scratch *scratch, const uint8_t *bytes, size_t raw,
                                         size_t element, bool integer, int *codec, size_t *packed);
/* A chunk as it is stored, unchecked; *bytes is for free(). MF_CORRUPT where there is none. */
MF_MUST_USE mf_status mf__chunk_raw_bytes(mf__reader *r, const uint8_t digest[MF_DIGEST_BYTES],
                                          int *codec, size_t *raw, uint8_t **bytes, size_t *size);
/* Queues a chunk that is known by its digest in the form in which it is to be stored; copies it. */
MF_MUST_USE mf_status mf__chunk_keep(mf_store *store, mf__ticket *ticket,
                                     const uint8_t digest[MF_DIGEST_BYTES], size_t raw, int codec,
                                     const uint8_t *bytes, size_t size);
/* Reads, expands and verifies. MF_CORRUPT and *damaged where the chunk is missing or is not what
 * its digest says. */
MF_MUST_USE mf_status mf__chunk_read(mf__reader *r, mf__scratch *scratch,
                                     const uint8_t digest[MF_DIGEST_BYTES], uint8_t *dst,
                                     size_t raw, bool *damaged);
/* The bytes of a chunk as stored, in scratch 0; NULL where they are no chunk of `raw` bytes. */
MF_MUST_USE mf_status mf__chunk_expand(mf__scratch *scratch, int codec, const uint8_t *bytes,
                                       size_t size, size_t raw, uint8_t **expanded);
mf__target mf__chunk_place(size_t raw); /* the file that holds chunks of that size */
MF_MUST_USE mf_status mf__chunk_delete(mf__connection *c, void *digest); /* a job */

/* ---- actions (actions.c) --------------------------------------------------------------------- */

/* Every action with its outputs, in order of number, unchecked; `sound`: whether its sum fits. */
MF_MUST_USE mf_status mf__each_action(mf__connection *c,
                                      mf_status (*each)(void *self, int64_t num, const mf_action *a,
                                                        bool sound),
                                      void *self);

/* Records an imported action: its outputs may be known by their ids alone, and its date, place and
 * import are taken as they are. */
MF_MUST_USE mf_status mf__record_imported(mf_store *store, const mf_action *action);

/* The action of key `key` that counts, one of device class `device` or of the host alone where that
 * is not NULL; parameters of a statement. What was made here comes before what was imported: of the
 * former the newest, of the latter the one that was imported first. An import never changes what a
 * key stands for. */
#define MF__ACTION(key, device)                                                                    \
    "(SELECT coalesce(max(CASE import WHEN 0 THEN num END), min(num)) FROM action WHERE key "      \
    "= " key " AND (" device " IS NULL OR device IN (" device ", '')))"

/* Whether both have the same outputs; else *differs is the first of `b` that `a` has not, or NULL.
 */
bool mf__same_outputs(const mf_action *a, const mf_action *b, const mf_action_output **differs);
/* All actions of a key, the one that counts first, unchecked. Free with mf_action_list_free. */
MF_MUST_USE mf_status mf__actions_of(mf__connection *c, const uint8_t key[MF_DIGEST_BYTES],
                                     mf_action ***actions, size_t *count);
/* Imports from now on, see mf_import; sets import->num. */
MF_MUST_USE mf_status mf__record_import(mf_store *store, mf_import *import,
                                        const uint8_t sum[MF_DIGEST_BYTES]);

/* ---- export, import (move.c, import.c) --------------------------------------------------------
 */

#define MF__MOVE_MAGIC "massflow export 1\n"
#define MF__MOST_BODY ((int64_t)64 << 20) /* bytes of a section */
/* The name of who runs this; "" where it is not known. */
const char *mf__user_name(void);

/* ---- records (record.c) ---------------------------------------------------------------------- */

void mf__buffer_add(mf__buffer *b, const void *bytes, size_t size);
void mf__buffer_int(mf__buffer *b, int64_t value);
void mf__buffer_text(mf__buffer *b, const char *text);

typedef struct mf__record_array {
    mf_array_info info;
    mf__layout layout;          /* of a ragged array: of its offsets */
    const uint8_t *digests;     /* of the pieces of `layout` */
    const uint8_t *row_digests; /* of a ragged array: of the pieces of its bytes */
    size_t row_digest_count;
} mf__record_array;

/* The parts of a record before its arrays: see record.c for the format. */
void mf__record_begin(mf__buffer *b, const mf_artifact *a);
void mf__record_array_begin(mf__buffer *b, const mf_array_info *info);
void mf__record_digests(mf__buffer *b, const uint8_t *digests, size_t count);

/* Sets the attributes of `a`, declares its arrays, fills arrays in order of declaration
 * (freed by the caller with mf__record_arrays_free). Digests are borrowed from `bytes`. */
MF_MUST_USE mf_status mf__record_read(const uint8_t *bytes, size_t size, mf_artifact *a,
                                      mf__record_array **arrays, size_t *count);
/* The bytes of its arrays, uncompressed. */
MF_MUST_USE mf_status mf__record_bytes(const uint8_t *bytes, size_t size, int64_t *total);
/* The type of a record; the caller frees. */
MF_MUST_USE mf_status mf__record_type(const uint8_t *bytes, size_t size, char **type);
void mf__record_arrays_free(mf__record_array *arrays, size_t count);

/* ---- lazy artifacts (lazy.c) ----------------------------------------------------------------- */

/* Takes over `record` (size bytes), also on failure. */
MF_MUST_USE mf_status mf__lazy_new(mf_store *store, const char *id, uint8_t *record, size_t size,
                                   mf_artifact **artifact);

/* The same with chunks from elsewhere; takes over source->self, also on failure. */
struct mf_chunk_source;
MF_MUST_USE mf_status mf__lazy_from(const struct mf_chunk_source *source, const char *id,
                                    uint8_t *record, size_t size, mf_artifact **artifact);

/* ---- several threads (parallel.c) ------------------------------------------------------------ */

typedef struct mf__counter mf__counter;
/* Draws the next number; false when all are drawn or a worker has failed. */
bool mf__next(mf__counter *counter, size_t *i);
/* Runs `work` in up to as many threads as there are processors, where `bytes` of work make it worth
 * it; each draws numbers below `count`. Returns the first error. */
MF_MUST_USE mf_status mf__parallel(size_t count, size_t bytes,
                                   mf_status (*work)(void *arg, mf__counter *counter), void *arg);

#endif
