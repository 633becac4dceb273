/* dicom_series.h - a DICOM series on its way to a volume: files, then pictures (a file, a frame of
 * a file or a tile of a mosaic), then the pictures of one volume in order. */
#ifndef VOLUME_DICOM_SERIES_H
#define VOLUME_DICOM_SERIES_H

#include "../scan/scan.h"
#include "dicom_file.h"

typedef struct dicom_entry {
    char *path;
    dicom_header h;
} dicom_entry;

typedef struct dicom_picture {
    const dicom_entry *file;
    const dicom_frame *frame;
    int64_t number; /* of the frame, from 0 */
    int64_t tile;   /* of a mosaic, from 0 */
    int64_t across; /* tiles in a row of the mosaic; 1: no mosaic */
    double position[3];
    double along; /* mm along the normal */
    size_t place; /* which of the series' positions, from 0 */
    size_t rank;  /* while pictures are parted */
} dicom_picture;

typedef struct dicom_series {
    dicom_entry *file;
    size_t files;
    int other;  /* files that are no DICOM pictures */
    int hidden; /* DICOM pictures whose names begin with a dot */
    dicom_picture *picture;
    size_t count;
    int64_t rows, columns; /* of a picture */
    double spacing[2];     /* mm between rows, between columns */
    double axis[9]; /* LPS, unit length, at right angles: along a row, along a column, normal */
} dicom_series;

/* Makes pictures of all files, and refuses in words what has no place in the patient or is unlike
 * the first. */
MF_MUST_USE mf_status dicom_pictures(dicom_series *s);

/* Parts the pictures into volumes and keeps those of volume number `time` (-1: there must be one),
 * sorted by place: afterwards one picture a place. */
MF_MUST_USE mf_status dicom_choose_volume(const char *path, dicom_series *s, int64_t time,
                                          scan *notes);

/* The grid of the pictures of one volume; refuses missing, shifted and tilted slices. */
MF_MUST_USE mf_status dicom_stack(const char *path, const dicom_series *s, mf_grid *grid,
                                  scan *notes);

/* "NAME" or "NAME, frame N", without the folder: for messages that begin with it. */
void dicom_picture_name(const dicom_picture *p, char name[300]);

/* Unit vectors at right angles next to the cosines of a file; false where they are too far from it
 * (1% in length or angle). */
bool dicom_axes(const double cosines[6], double axis[9]);

static inline double dicom_dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

#endif
