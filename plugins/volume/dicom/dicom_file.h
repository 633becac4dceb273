/* dicom_file.h - what one DICOM file says of itself and of each of its frames. Its pixels:
 * dicom_pixels.h. */
#ifndef VOLUME_DICOM_FILE_H
#define VOLUME_DICOM_FILE_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>

/* What may tell one volume of a series from another: the name in messages, and whether it is the
 * same in all slices of a volume (true), or may also change from slice to slice. */
#define DICOM_TEXTS(X)                                                                             \
    X(DICOM_KIND, "image type", true)                                                              \
    X(DICOM_COMPONENT, "image component", true)                                                    \
    X(DICOM_KERNEL, "convolution kernel", true)                                                    \
    X(DICOM_RESCALE_TYPE, "rescale type", true)                                                    \
    X(DICOM_COIL, "receive coil", false)                                                           \
    X(DICOM_DIRECTION, "diffusion gradient direction", false)
#define DICOM_NUMBERS(X)                                                                           \
    X(DICOM_RESCALED, "rescaling", true)                                                           \
    X(DICOM_SEGMENT, "segment number", true)                                                       \
    X(DICOM_ECHO, "echo number", true)                                                             \
    X(DICOM_ECHO_TIME, "echo time", true)                                                          \
    X(DICOM_INVERSION, "inversion time", true)                                                     \
    X(DICOM_FLIP, "flip angle", true)                                                              \
    X(DICOM_B_VALUE, "b-value", true)                                                              \
    X(DICOM_B_PRIVATE, "b-value", false)                                                           \
    X(DICOM_TEMPORAL, "temporal position", false)                                                  \
    X(DICOM_TRIGGER, "trigger time", false)                                                        \
    X(DICOM_REFERENCE, "frame reference time", false)                                              \
    X(DICOM_ACQUISITION, "acquisition number", false)                                              \
    X(DICOM_ACQUIRED, "acquisition time", false)                                                   \
    X(DICOM_CONTENT, "content time", false)

#define X(name, text, whole) name,
typedef enum dicom_text_trait { DICOM_TEXTS(X) DICOM_TEXT_COUNT } dicom_text_trait;
typedef enum dicom_number_trait { DICOM_NUMBERS(X) DICOM_NUMBER_COUNT } dicom_number_trait;
#undef X

/* DICOM_RESCALED: which of the two a frame gives, whatever their values. */
#define DICOM_HAS_INTERCEPT 1
#define DICOM_HAS_SLOPE 2

#define DICOM_DIMENSIONS 8 /* of Dimension Index Values that are looked at */

/* A frame: the one picture of a plain file, or one of a multi-frame file. Text is "" and numbers
 * are NAN where the file does not say. */
typedef struct dicom_frame {
    bool has_position, has_orientation, has_spacing;
    double position[3], orientation[6]; /* LPS mm, as in the file */
    double spacing[2];                  /* mm between rows, between columns */
    double thickness, between;          /* mm: slice thickness, spacing between slices; or 0 */
    double slope, intercept; /* value = stored * slope + intercept; slope 0: none given */
    char text[DICOM_TEXT_COUNT][80];
    double number[DICOM_NUMBER_COUNT]; /* times in s since 1900, durations as in the file */
    int dimensions;
    double dimension[DICOM_DIMENSIONS];
    double acquired_day, content_day; /* s since 1900, of the dates alone */
    double direction[3];
} dicom_frame;

/* Text is "" and numbers are 0 where an element is missing. */
typedef struct dicom_header {
    /* To be compared, never to be printed: the identifier of the patient (the name where there is
     * none), and the unique ids of the study and of the frame of reference. */
    char patient[80], study[80], reference[80];
    char series[80], description[80], modality[20];
    char sop_class[80], sop_instance[80], syntax[80], photometric[20];
    char units[20], decay[20], dose_units[20]; /* PET; dose */
    char series_time[20], dose_start[20];
    double weight_kg, dose_bq, half_life_s;
    int64_t series_number, instance;
    int64_t rows, columns, frames, samples;
    int64_t bits, bits_stored, is_signed;
    int64_t high_bit;        /* -1 where it is missing */
    double slope, intercept; /* of the frame that is to be read: see dicom_frame */
    double dose_scaling;     /* of an RT dose: Gy = stored * it, whatever slope says; else 0 */
    bool has_value_table;    /* a Modality LUT: values are looked up in it */
    bool compressed, big_endian;
    bool real;             /* has pixels in floating point, and no others */
    int64_t deflated_from; /* where deflated elements begin, whose offsets are those of deflated.h;
                              0 in other files */
    int64_t pixel_offset;  /* of the pixels in the file; 0 without any */
    int64_t pixel_bytes;   /* that the file has from there on */
    bool pixels_in_items;  /* of undefined length: fragments in items */
    /* Siemens mosaics: slices tiled in one picture */
    bool mosaic; /* an image type says so */
    int64_t tiles;
    bool has_csa, csa_damaged, has_tile_normal;
    double tile_normal[3]; /* along which tiles follow one another */
    int64_t grid;          /* United Imaging: the same, told otherwise */
    /* The frames; `count` is less than `frames` where the file does not describe each. */
    dicom_frame *frame;
    int64_t count;
} dicom_header;

/* Reads and checks the elements up to the pixels; *is_dicom is false for a file of another kind.
 * The header is to be freed unless this fails. */
MF_MUST_USE mf_status dicom_header_read(const char *path, dicom_header *header, bool *is_dicom);
void dicom_header_free(dicom_header *header);

/* Whether one of the values of a multi-valued text is `word`. */
bool dicom_has_word(const char *values, const char *word);

/* Seconds of a DICOM time, hhmmss.ffffff; negative where it is none. */
double dicom_seconds(const char *text);

#endif
