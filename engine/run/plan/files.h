/* files.h - the input files of a plan: their digests, made in several threads, and whether they are
 * still what they were.
 *
 * A key holds the content of a node's files. What counts is what the stage read, which may be hours
 * after the plan: so each running node watches its files, and where one was written in between
 * nothing is published. */
#ifndef MASSFLOW_RUN_FILES_H
#define MASSFLOW_RUN_FILES_H

#include "run/plan/work.h"
#include "store/store.h"

typedef struct mf_files mf_files;

/* A path that is the value of a parameter; all borrowed. */
typedef struct mf_file_use {
    const mf_stage *stage;
    const char *param, *path;
} mf_file_use;

/* `uses` may hold repeats. A file that can't be read is no failure of the call: it has an error
 * instead of a digest. */
MF_MUST_USE mf_status mf_files_new(mf_store *store, const mf_file_use *uses, size_t count,
                                   int threads, mf_files **files);
void mf_files_free(mf_files *files); /* NULL is fine */
/* Of the path and of all that the stage reads with it (mf_stage.parts). Both are NULL for a use
 * that was not given. */
const char *mf_files_digest(const mf_files *files, const mf_file_use *use);
const mf_error *mf_files_error(const mf_files *files, const mf_file_use *use);

/* ---- while a node runs ----------------------------------------------------------------------- */

typedef struct mf_file_watch mf_file_watch;

/* The files of a node and of the streams that it reads. */
MF_MUST_USE mf_status mf_file_watch_new(const mf_files *files, const mf_work *work,
                                        mf_file_watch **watch);
void mf_file_watch_free(mf_file_watch *watch); /* NULL is fine */
/* Before the stage runs: an error where a file is no longer what the plan hashed. In any thread. */
MF_MUST_USE mf_status mf_file_watch_begin(mf_file_watch *watch);
/* After it: an error where a file may have been another one while the stage ran. */
MF_MUST_USE mf_status mf_file_watch_end(const mf_file_watch *watch);

#endif
