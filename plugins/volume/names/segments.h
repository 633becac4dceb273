/* segments.h - the segments of a Slicer segmentation, as key/value pairs of a NRRD header
 * ("Segment0_Name:=liver"): names and colours of label values. */
#ifndef VOLUME_SEGMENTS_H
#define VOLUME_SEGMENTS_H

#include <massflow/names.h>

#define SEGMENTS_MOST 4096

typedef struct segment {
    char *name;     /* NULL where the header has none */
    int64_t value;  /* -1 where the header has none */
    int64_t layer;  /* of a segmentation whose segments overlap; 0 where the header has none */
    int32_t colour; /* 0xrrggbb, or MF_NO_COLOUR */
} segment;

typedef struct segments {
    segment *v; /* by their number in the header */
    size_t count;
} segments; /* begins as {0} */

/* Takes a line of the header, "key:=value", if it is of a segment; others are passed over. */
MF_MUST_USE mf_status segments_take(segments *s, const char *line);
/* The names of one layer; a segment without a name or a value has none, nor have those that share a
 * value. */
MF_MUST_USE mf_status segments_names(const segments *s, int64_t layer, mf_names *names);
void segments_free(segments *s);

#endif
