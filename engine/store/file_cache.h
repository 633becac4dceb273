/* file_cache.h - copies of input files in the folder of a worker on another machine
 * (chunk_cache.h).
 *
 * A copy is one file or folder with what is read beside it, under a name that stands for its
 * content: what lies here from before is held against that content by whoever uses it first. While
 * one thread makes a copy, others that want it wait. Copies that nobody uses go when room is
 * needed, those that were not used for longest first. Any thread may call anything here. */
#ifndef MASSFLOW_STORE_FILE_CACHE_H
#define MASSFLOW_STORE_FILE_CACHE_H

#include "store/chunk_cache.h"

typedef struct mf_file_cache mf_file_cache;
typedef struct mf_file_copy mf_file_copy;

/* In the folder of the chunks, of whose bytes it takes at most half. Borrows `chunks`. */
MF_MUST_USE mf_status mf_file_cache_open(mf_chunk_cache *chunks, mf_file_cache **cache);
void mf_file_cache_close(mf_file_cache *cache); /* NULL is fine; the folder stays */

typedef enum mf_copy_state {
    MF_COPY_READY,     /* as it should be */
    MF_COPY_UNCHECKED, /* from before: the caller looks at it */
    MF_COPY_MISSING    /* the caller makes it */
} mf_copy_state;

/* Holds the copy `name`, 64 hex digits. Other than MF_COPY_READY: the caller has it alone, until
 * mf_file_copy_done. */
MF_MUST_USE mf_status mf_file_cache_hold(mf_file_cache *cache, const char *name,
                                         mf_copy_state *state, mf_file_copy **copy);
void mf_file_copy_release(mf_file_copy *copy); /* NULL is fine */
/* Where it lies once it is ready, and where it is looked at and made. Borrowed. */
const char *mf_file_copy_folder(const mf_file_copy *copy);
/* Begins with an empty one, for which there is room for so many bytes. */
MF_MUST_USE mf_status mf_file_copy_begin(mf_file_copy *copy, int64_t bytes);
/* A new file of it, for writing: a relative name without "." and "..". `program`: its owner may
 * execute it. The caller closes *file. With "/" at its end it is a folder: *file is -1. */
MF_MUST_USE mf_status mf_file_copy_create(mf_file_copy *copy, const char *name, bool program,
                                          int *file);
/* Whether it is whole; else it goes. It is held further. */
void mf_file_copy_done(mf_file_copy *copy, bool whole);

#endif
