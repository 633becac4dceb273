/* nrrd_header.h - the text header of a NRRD file, attached (.nrrd) or detached (.nhdr).
 *
 * Parses and checks what the header says; what follows from it for voxels and place is in nrrd.c.
 * The format: http://teem.sourceforge.net/nrrd/format.html. Names of fields and their values are
 * told apart without regard to case, as in Teem. */
#ifndef VOLUME_NRRD_HEADER_H
#define VOLUME_NRRD_HEADER_H

#include "../names/segments.h"
#include "../scan/parts.h"
#include <massflow/array.h>
#include <stdbool.h>
#include <stdint.h>

#define NRRD_AXES 16 /* as many as Teem allows */

typedef enum nrrd_encoding { NRRD_RAW, NRRD_GZIP, NRRD_BZIP2, NRRD_TEXT, NRRD_HEX } nrrd_encoding;

/* What lies along an axis. */
typedef enum nrrd_kind {
    NRRD_UNKNOWN, /* the header does not say */
    NRRD_SPACE,   /* positions in space: kinds "space" and "domain" */
    NRRD_TIME,
    NRRD_LIST,   /* volumes that belong together: kinds "list" and "stub" */
    NRRD_COLOUR, /* parts of one value, colours */
    NRRD_VALUE   /* parts of one value, others: vectors, matrices, complex numbers */
} nrrd_kind;

typedef enum nrrd_space {
    NRRD_NOWHERE, /* the header names no space */
    NRRD_RAS,
    NRRD_LAS,
    NRRD_LPS,
    NRRD_SCANNER,
    NRRD_RIGHT_HANDED,
    NRRD_LEFT_HANDED
} nrrd_space;

typedef struct nrrd_axis {
    int64_t size;
    nrrd_kind kind;
    bool has_direction;
    double direction[4];      /* in space, length is the spacing */
    double spacing, min, max; /* NaN where the header does not say */
    bool node;                /* samples lie on the ends of the axis, not in the middle of cells */
    char unit[16];            /* "" where the header does not say */
} nrrd_axis;

typedef struct nrrd_header {
    int rank;
    nrrd_axis axis[NRRD_AXES];
    mf_dtype dtype;
    bool uint64; /* unsigned, which has no dtype of its own */
    nrrd_encoding encoding;
    bool little, big; /* what the header says of the byte order */
    nrrd_space space;
    char space_name[64];
    int space_rank; /* coordinates of a place: 0 where there is no space */
    bool has_origin, has_directions;
    double origin[4];
    char space_unit[4][16];
    int64_t line_skip, byte_skip; /* byte_skip -1: the voxels end the file */
    bool quantized;               /* "old min" or "old max" are given */
    bool detached;
    part_list parts;   /* with detached: where the voxels lie */
    int64_t end;       /* without: the byte behind the header */
    segments segments; /* of a Slicer segmentation */
} nrrd_header;

/* On success the caller frees with nrrd_header_free. */
MF_MUST_USE mf_status nrrd_header_read(const char *path, nrrd_header *h);
void nrrd_header_free(nrrd_header *h);

#endif
