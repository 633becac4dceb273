/* dicom_pixels.h - the pixels of a DICOM file, frame by frame, plain or compressed. */
#ifndef VOLUME_DICOM_PIXELS_H
#define VOLUME_DICOM_PIXELS_H

#include "decoder.h"
#include "fragments.h"

/* What is kept between frames: the file that the last one came from with the places of its
 * fragments, and the decoding process. Zeroed, but for decoder.stop and decoder.of where wanted. */
typedef struct dicom_reader {
    decoder decoder;
    char *path;
    FILE *file;
    fragments fragments;
} dicom_reader;

/* Frame `frame` (from 0) of the max(1, header->frames) of a file, rescaled to what its values
 * measure: [1, rows, columns]. One value a pixel; MONOCHROME1 is not turned round. */
MF_MUST_USE mf_status dicom_frame_read(dicom_reader *r, const char *path,
                                       const dicom_header *header, int64_t frame,
                                       mf_array **pixels);
void dicom_reader_close(dicom_reader *r);

#endif
