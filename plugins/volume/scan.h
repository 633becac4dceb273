/* scan.h - a scan as it lies in its file: what every reader delivers and the stages work on. */
#ifndef VOLUME_SCAN_H
#define VOLUME_SCAN_H

#include <massflow/artifact.h>

#define SCAN_NOTES 8

typedef struct scan_options {
    int64_t time;       /* which time point, from 0; -1: the scan must have one only */
    const char *series; /* DICOM: series number or unique id; NULL: the folder must hold one only */
} scan_options;

typedef struct scan {
    mf_grid grid;               /* as in the file, RAS+ */
    mf_array *voxels;           /* [z, y, x] */
    char modality[8];           /* "CT", "MR", "PET", or "" where the file does not say */
    char unit[16];              /* "HU", "SUV", "Bq/ml", or "" */
    double suv_factor;          /* SUV = voxel * suv_factor; 0 where it is not known */
    char note[SCAN_NOTES][256]; /* what the user should know: for the log */
    int notes;
} scan;

/* Reads a file or a folder of DICOM files. The format is known by content, then by suffix. Errors
 * name the file and what is wrong with it. */
mf_status scan_read(const char *path, const scan_options *options, scan *s);
void scan_free(scan *s);
void scan_note(scan *s, const char *format, ...) MF_PRINTF(2, 3);

#endif
