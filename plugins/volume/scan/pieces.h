/* pieces.h - voxels that lie in one file or in several, one piece behind the other: raw, compressed
 * or written as text. What MetaImage and NRRD share. */
#ifndef VOLUME_PIECES_H
#define VOLUME_PIECES_H

#include "inflate.h"
#include <massflow/array.h>

typedef enum pieces_form {
    PIECES_BINARY,
    PIECES_TEXT, /* decimal numbers parted by blanks */
    PIECES_HEX   /* two digits a byte */
} pieces_form;

typedef struct voxel_pieces {
    char *const *file; /* borrowed; each holds a piece */
    size_t files;
    int64_t start;     /* where the voxels begin in each file */
    int64_t line_skip; /* lines behind that are passed over, before anything is unpacked */
    int64_t
        byte_skip; /* then bytes, once unpacked; -1: voxels are the last bytes of a plain file */
    inflate_packing packing;
    pieces_form form;
    mf_dtype dtype;
    bool uint64;
    bool swapped;         /* to turn to this machine's byte order */
    size_t bytes;         /* of the voxels of each piece */
    const char *promised; /* what the header says there is, for errors: "7 x 6 x 5 voxels" */
} voxel_pieces;

/* Whether the files can hold so many voxels: asked before there is memory for them. */
MF_MUST_USE mf_status pieces_check(const voxel_pieces *p);
/* Reads, of every `period` bytes, the `inner` ones that begin with byte `phase`, until `to` has
 * `size` bytes: one volume of a series, wherever its axis stands. A packed file is unpacked to its
 * end, where its checksum stands. */
MF_MUST_USE mf_status pieces_read(const voxel_pieces *p, size_t inner, size_t period, size_t phase,
                                  void *to, size_t size);

#endif
