/* programs.h - where built OpenCL programs are kept between processes: a folder of the user's own.
 *
 * A built program is machine code that the driver runs. So programs are never part of a cache of
 * results, which people share: they lie in a folder of mode 0700, in files that belong to the user
 * and that nobody else can write; whatever is otherwise there is passed over. A program that can't
 * be kept or read is built again. Unused for 90 days, it is removed.
 *
 * A file: "massflow program 1\n", FNV-1a of 64 bits over the bytes as 16 hex digits, "\n", the
 * bytes. */
#ifndef MASSFLOW_COMPUTE_PROGRAMS_H
#define MASSFLOW_COMPUTE_PROGRAMS_H

#include <massflow/compute.h>

typedef struct mf_programs mf_programs;

/* `folder`: NULL for massflow/programs in XDG_CACHE_HOME, or else in ~/.cache. *programs is NULL
 * where there is no such folder and none can be made, or where it is not the user's own: *why (may
 * be NULL) then says it; the caller frees the error. */
mf_programs *mf_programs_open(const char *folder, mf_status *why);
void mf_programs_free(mf_programs *programs); /* NULL is fine */
const char *mf_programs_folder(const mf_programs *programs);
/* Valid until mf_programs_free; calls from several threads and processes are safe. */
mf_binary_store mf_programs_store(mf_programs *programs);

#endif
