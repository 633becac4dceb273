/* meta_header.h - the text header of a MetaImage: lines "Key = value" up to ElementDataFile.
 *
 * As MetaIO reads it: keys are told apart by case, a value may go on in the next line, and blank
 * lines and keys that are not known (such as the DICOM tags that SimpleITK writes) are passed over.
 * https://itk.org/Wiki/MetaIO/Documentation */
#ifndef VOLUME_META_HEADER_H
#define VOLUME_META_HEADER_H

#include "../scan/parts.h"
#include <massflow/array.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct meta_header {
    int rank;
    int64_t size[4];
    mf_dtype dtype;
    bool uint64; /* unsigned, which has no dtype of its own */
    bool compressed, text, big;
    bool has_spacing, has_offset, has_matrix;
    double spacing[4], offset[4], matrix[16];
    double slope, intercept; /* of intensities, which no reader applies */
    int64_t header_bytes;    /* 0: not given; -1: the voxels end the file */
    bool local;              /* the voxels follow the header, at byte `end` */
    int64_t end;
    part_list parts; /* else: where they lie */
} meta_header;

/* On success the caller frees with meta_header_free. */
MF_MUST_USE mf_status meta_header_read(const char *path, meta_header *m);
void meta_header_free(meta_header *m);

#endif
