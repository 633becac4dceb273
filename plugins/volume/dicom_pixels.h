/* dicom_pixels.h - the pixels of a DICOM file, frame by frame. */
#ifndef VOLUME_DICOM_PIXELS_H
#define VOLUME_DICOM_PIXELS_H

#include "dicom_file.h"
#include <massflow/array.h>
#include <stdio.h>

/* The file that the last frame came from, kept for the next one. Zeroed at first. */
typedef struct dicom_reader {
    char *path;
    FILE *file;
} dicom_reader;

/* Frame `frame` (from 0) of a file, rescaled to what its values measure: [1, rows, columns]. */
mf_status dicom_frame_read(dicom_reader *r, const char *path, const dicom_header *header,
                           int64_t frame, mf_array **pixels);
void dicom_reader_close(dicom_reader *r);

#endif
