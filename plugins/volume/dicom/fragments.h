/* fragments.h - where the frames of compressed pixels lie in a DICOM file: encapsulated pixels are
 * items, the first an offset table, the others fragments of frames (PS3.5, annex A.4). */
#ifndef VOLUME_FRAGMENTS_H
#define VOLUME_FRAGMENTS_H

#include "code_stream.h"
#include <stdio.h>

typedef struct fragment {
    int64_t offset; /* in the file */
    int64_t bytes;
    int64_t frame; /* that it is part of, from 0 */
} fragment;

typedef struct fragments {
    fragment *list;
    size_t count;
} fragments;

/* Finds the fragments of `frames` frames; an error unless there are just so many. */
MF_MUST_USE mf_status fragments_find(const char *path, FILE *file, const dicom_header *h,
                                     const packing *p, int64_t frames, fragments *f);

/* The code stream of one frame, put together; the caller frees *bytes. */
MF_MUST_USE mf_status fragments_read(const char *where, FILE *file, const fragments *f,
                                     int64_t frame, unsigned char **bytes, size_t *size);

void fragments_free(fragments *f);

#endif
