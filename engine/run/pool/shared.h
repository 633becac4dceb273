/* shared.h - the folder through which a coordinator and the workers of its pools find each other:
 * the token, the address of last time, the scripts, what the workers print. The nodes have to see
 * it, so it lies in the user's home unless the site says otherwise.
 *
 *     FOLDER/1a2b3c4d/             by the cache; 1a2b3c4d-2 of a second run on it at one time
 *         lock                     held by the coordinator
 *         token                    mode 0600
 *         address                  HOST:PORT of this or the last coordinator
 *         gpu.sh                   the script of a pool
 *         log/gpu-4711_1.txt       what a worker printed
 *
 * It is the same after a coordinator was killed and started again: workers that are still there
 * find the new one by the address and the token that they know, and their jobs have names that it
 * counts. */
#ifndef MASSFLOW_RUN_SHARED_H
#define MASSFLOW_RUN_SHARED_H

#include <massflow/error.h>

#include <stdbool.h>

typedef struct mf_shared {
    char *path;  /* absolute */
    char *key;   /* "1a2b3c4d" */
    char *token; /* the file */
    char *log;   /* the folder */
    int lock;
} mf_shared;

/* Makes the folder below `base` (NULL: massflow/workers below XDG_STATE_HOME, ~/.local/state) for a
 * cache, and locks it. With `look` nothing is made or locked. */
MF_MUST_USE mf_status mf_shared_open(const char *base, const char *cache, bool look,
                                     mf_shared **shared);
void mf_shared_free(mf_shared *shared); /* NULL is fine */

/* The address that was noted last; NULL: none. The caller frees. */
char *mf_shared_address(const mf_shared *shared);
MF_MUST_USE mf_status mf_shared_note_address(const mf_shared *shared, const char *address);
/* Writes a file of the folder, whole. *path is for free(). */
MF_MUST_USE mf_status mf_shared_write(const mf_shared *shared, const char *name, const char *text,
                                      char **path);
/* The end of what the pool's workers printed last, at most 5 lines, each behind "\n  | "; NULL:
 * nothing. *file: its name. The caller frees both. */
char *mf_shared_last_words(const mf_shared *shared, const char *pool, char **file);

#endif
