/* found.h - files that a pattern stands for. */
#ifndef MF_GRAPH_FOUND_H
#define MF_GRAPH_FOUND_H

#include "base/arena.h"

/* Files that a pattern stands for. `id` is what {id} matched, or the name without its suffix. */
typedef struct found {
    const char *path, *id;
} found;
typedef struct scan_search {
    const char *base, *pattern; /* a file, a folder of DICOM files, or a glob; relative to `base` */
    const char *exclude_base;
    const char *const *exclude; /* patterns of names, or of whole paths where they hold a slash */
    size_t exclude_count;
    found *list; /* what was found, in byte order of path */
    size_t count;
    size_t *excluded; /* how many each pattern left out; the first that fits counts */
    size_t hidden;    /* files that the glob would name if their names did not begin with a dot */
    const char *a_hidden;
} scan_search;
MF_MUST_USE mf_status mf__find_scans(mf_arena *arena, scan_search *search);
const char *mf__stem_of(mf_arena *arena, const char *path);

#endif
