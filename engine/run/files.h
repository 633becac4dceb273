/* files.h - the digests of all input files of a plan, made in several threads. */
#ifndef MASSFLOW_RUN_FILES_H
#define MASSFLOW_RUN_FILES_H

#include "store/store.h"

typedef struct mf_files mf_files;

/* `paths` may hold repeats; the texts are borrowed. A file that can't be read is no failure of the
 * call: it has an error instead of a digest. */
mf_status mf_files_new(mf_store *store, const char **paths, size_t count, int threads,
                       mf_files **files);
void mf_files_free(mf_files *files); /* NULL is fine */
/* Both are NULL for a path that was not given. */
const char *mf_files_digest(const mf_files *files, const char *path);
const mf_error *mf_files_error(const mf_files *files, const char *path);

#endif
