/* parts.h - the further files that belong to a scan: those that its header names, and the other one
 * of a pair.
 *
 * Every reader finds them here and nowhere else, and scan_parts lists them from here: what is
 * listed is what is read. A part lies in the folder of its header or below it. */
#ifndef VOLUME_PARTS_H
#define VOLUME_PARTS_H

#include <massflow/error.h>
#include <stddef.h>

typedef struct part_list {
    char **path; /* in the order of the voxels */
    size_t count;
    char *folder[2]; /* private: where parts may lie */
} part_list;

/* Adds the file `name` that stands in line `line` of `header` (0: in no line). Refused: one that is
 * no file, or lies (by a path, `..` or a link) outside of the header's folder. */
MF_MUST_USE mf_status parts_add(part_list *l, const char *header, int line, const char *name);
/* Adds the files of a pattern such as "slice%03d.raw", from `first` to `last` by `step`. */
MF_MUST_USE mf_status parts_add_numbered(part_list *l, const char *header, int line,
                                         const char *pattern, long long first, long long last,
                                         long long step);
void parts_free(part_list *l);

#endif
