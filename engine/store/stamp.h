/* stamp.h - when a file or folder last changed, as far as its file system tells.
 *
 * A stamp is made from names, sizes and times of all files of a path, without reading them. Two
 * equal stamps mean that nothing was written in between: the time of change (ctime) is set by the
 * system and, unlike the time of modification, can't be set back. It knows nothing of the store. */
#ifndef MASSFLOW_STORE_STAMP_H
#define MASSFLOW_STORE_STAMP_H

#include "store/digest.h"

/* Nanoseconds: a file that was looked at sooner after its last change may change once more within
 * the same tick of the file system's clock, and look the same. FAT keeps times to 2 s. */
#define MF_STAMP_TICK 2000000000LL

typedef struct mf_stamp {
    char data[MF_HEX_SIZE];   /* names, sizes and times of modification */
    char change[MF_HEX_SIZE]; /* times of change */
    char meta[MF_HEX_SIZE];   /* modes, owners and numbers of links */
    bool settled;             /* the last change lies more than a tick back */
} mf_stamp;

/* Of a file, or of all files below a folder (as mf_digest_path takes them). */
MF_MUST_USE mf_status mf_stamp_take(const char *path, mf_stamp *stamp);
/* Whether nothing was written between the two. False where that can't be told: see
 * mf_stamp_touched.
 */
bool mf_stamp_same(const mf_stamp *a, const mf_stamp *b);
/* Whether the files, if their content is the same now as it was at `before`, held it all the time
 * in between: sizes and times of modification are the same, and a change of mode, owner or links
 * explains the new time of change. */
bool mf_stamp_touched(const mf_stamp *before, const mf_stamp *now);
/* The file of a path that changed last, relative to it ("" for a file, and for a folder in which
 * something was removed last); the caller frees. NULL where it can't be told. */
char *mf_stamp_newest(const char *path);

#endif
