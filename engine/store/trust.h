/* trust.h - whose caches are used. Who can write to a cache decides what results a run takes from
 * it: they are data, never run, but wrong results stay wrong. So a cache that is not the user's own
 * is used once the user has named it. The names are kept in XDG_CONFIG_HOME/massflow/trusted (or
 * ~/.config/massflow/trusted), by the folder's real path and its owner. */
#ifndef MASSFLOW_STORE_TRUST_H
#define MASSFLOW_STORE_TRUST_H

#include <massflow/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct mf_trusted {
    uid_t owner;
    char *path;
} mf_trusted;

/* MF_INVALID, with whose it is and what to do, where the cache in `dir` is somebody else's and not
 * trusted. MF_OK where there is none. */
MF_MUST_USE mf_status mf_trust_check(const char *dir);
/* From now on `dir` is used as long as `owner` has it; *entry says how it is kept
 * (mf_trusted_free). */
MF_MUST_USE mf_status mf_trust_add(const char *dir, mf_trusted *entry);
/* *was false where it was not trusted. */
MF_MUST_USE mf_status mf_trust_forget(const char *dir, bool *was);
/* In the order in which they were named. */
MF_MUST_USE mf_status mf_trust_list(mf_trusted **list, size_t *count);
void mf_trusted_free(mf_trusted *list, size_t count);
/* "ann (uid 1001)"; the caller frees. */
char *mf_owner_text(uid_t owner);

#endif
