/* files.h - the input files of a plan: their digests, made in several threads, and whether they are
 * still what they were.
 *
 * A key holds the content of a node's files. What counts is what the stage read, which may be hours
 * after the plan: so each running node watches its files, and where one was written in between
 * nothing is published. */
#ifndef MASSFLOW_RUN_FILES_H
#define MASSFLOW_RUN_FILES_H

#include "run/plan/work.h"
#include "store/stamp.h"
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

/* One file or folder. */
typedef struct mf_file_part {
    char *path;
    char digest[MF_HEX_SIZE];
    mf_stamp stamp; /* taken before it was hashed */
} mf_file_part;

/* What a path parameter names, and what is read with it; all borrowed. */
typedef struct mf_file_input {
    const mf_file_part *parts; /* the path itself first */
    size_t count;
} mf_file_input;

/* Length of the path's folder with the slash at its end; 0: the path has none. */
size_t mf_file_folder(const char *path);
/* The name of a part from the folder of `path` on, "" for the folder itself; a piece of `part`.
 * NULL: it lies elsewhere. */
const char *mf_file_below(const char *path, const char *part);
/* Whether all that a work and its streams read lies below the folders of the paths that name it:
 * then it can be copied and read in another place. */
bool mf_files_together(const mf_files *files, const mf_work *work);

/* ---- while a node runs ----------------------------------------------------------------------- */

typedef struct mf_file_watch mf_file_watch;

/* The files of a node and of the streams that it reads. */
MF_MUST_USE mf_status mf_file_watch_new(const mf_files *files, const mf_work *work,
                                        mf_file_watch **watch);
/* Of files in another place, which are read here for the first time; borrowed. */
MF_MUST_USE mf_status mf_file_watch_copies(const mf_file_input *inputs, size_t count,
                                           mf_file_watch **watch);
void mf_file_watch_free(mf_file_watch *watch); /* NULL is fine */
/* In order of the parameters, streams after the node; borrowed. */
const mf_file_input *mf_file_watch_inputs(const mf_file_watch *watch, size_t *count);
/* The error where a part is no longer what the plan hashed. */
MF_MUST_USE mf_status mf_file_changed(const mf_file_part *part);
/* Before the stage runs: an error where a file is no longer what the plan hashed. In any thread. */
MF_MUST_USE mf_status mf_file_watch_begin(mf_file_watch *watch);
/* After it: an error where a file may have been another one while the stage ran. */
MF_MUST_USE mf_status mf_file_watch_end(const mf_file_watch *watch);

#endif
