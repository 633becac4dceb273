/* partial.h - files that are being written: each in a folder of its own beside its place, which
 * only this user can look into, so that no half file is ever seen and nobody can put a link in its
 * way. The folder's name says by which process, so that what a killed one left can be told. */
#ifndef MASSFLOW_RUN_PARTIAL_H
#define MASSFLOW_RUN_PARTIAL_H

#include <massflow/error.h>

#include <stdbool.h>

/* Start with {0}. */
typedef struct mf_partial {
    char *path; /* where it is to be */
    char *file; /* where it is to be written; the same name, so that writers can go by its suffix */
    char *folder;
    int opened; /* the folder */
} mf_partial;

MF_MUST_USE mf_status mf_partial_begin(const char *path, mf_partial *p);
/* The file is on disk, then has its name, in the place of what has that name now. Clears `p`, also
 * after an error. */
MF_MUST_USE mf_status mf_partial_end(mf_partial *p);
/* The same, but with `replace` unset only where nothing has the name: else *taken is set, and all
 * is as before. Does not clear `p`. */
MF_MUST_USE mf_status mf_partial_place(const mf_partial *p, bool replace, bool *taken);
/* Removes what was written, and clears `p`; one that was not begun is fine. */
void mf_partial_drop(mf_partial *p);

/* Removes what processes of this system that are gone left in the folder of `path`. */
void mf_partials_sweep(const char *path);

#endif
