/* dicom_file.h - what one DICOM file says of itself. Its pixels: dicom_pixels.h. */
#ifndef VOLUME_DICOM_FILE_H
#define VOLUME_DICOM_FILE_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>

/* Text is "" and numbers are 0 where an element is missing. */
typedef struct dicom_header {
    char series[80], description[80], modality[20], kind[80]; /* kind: Image Type */
    char sop_class[80], syntax[80], photometric[20];
    char units[20], decay[20]; /* PET */
    char series_time[20], dose_start[20];
    double weight_kg, dose_bq, half_life_s;
    int64_t series_number, instance;
    int64_t rows, columns, frames, samples;
    int64_t bits, bits_stored, is_signed;
    int64_t high_bit;        /* -1 where it is missing */
    double slope, intercept; /* value = stored * slope + intercept; slope 0: none given */
    double dose_scaling;     /* of an RT dose: Gy = stored * it, whatever slope says; else 0 */
    bool has_position, has_orientation, has_spacing;
    double position[3], orientation[6]; /* LPS mm, as in the file */
    double spacing[2];                  /* mm between rows, between columns */
    double thickness, between;          /* mm: slice thickness, spacing between slices */
    bool compressed, big_endian;
    int64_t deflated_from; /* where deflated elements begin, whose offsets are those of deflated.h;
                              0 in other files */
    int64_t pixel_offset;  /* of the pixels in the file; 0 without any */
    int64_t pixel_bytes;   /* that the file has from there on */
    bool pixels_in_items;  /* of undefined length: fragments in items */
} dicom_header;

/* Reads and checks the elements up to the pixels; *is_dicom is false for a file of another kind. */
mf_status dicom_header_read(const char *path, dicom_header *header, bool *is_dicom);

#endif
