/* scan.h - a scan as it lies in its file: what every reader fills and the stages work on. */
#ifndef VOLUME_SCAN_H
#define VOLUME_SCAN_H

#include <massflow/names.h>

#define SCAN_NOTES 8

typedef struct scan_options {
    int64_t time;       /* which time point, from 0; -1: the scan must have one only */
    const char *series; /* DICOM: series number or unique id; NULL: the folder must hold one only */
    mf_status (*stop)(void *of); /* its error, asked from time to time, ends a long reading; NULL:
                                    never */
    void *stop_of;
    int64_t *times; /* gets how many volumes the file has; NULL: not asked */
} scan_options;

typedef struct scan {
    mf_grid grid;               /* as in the file, RAS+ */
    mf_array *voxels;           /* [z, y, x] */
    char modality[8];           /* "CT", "MR", "PET", or "" where the file does not say */
    char unit[16];              /* "HU", "SUV", "Bq/ml", or "" */
    double suv_factor;          /* SUV = voxel * suv_factor; 0 where it is not known */
    mf_names names;             /* of the values of a label map, where the file says them */
    char note[SCAN_NOTES][256]; /* what the user should know: for the log */
    int notes;
    bool sides_assumed; /* the file does not say which side is the patient's right */
} scan;

void scan_free(scan *s);

/* For readers, before they ask for memory: refuses a scan of more voxels than stages can number,
 * and one of several volumes (`what`: "time points") unless the options take one that is there. */
MF_MUST_USE mf_status scan_check_size(const char *path, const int64_t size[3]);
MF_MUST_USE mf_status scan_check_time(const char *path, int64_t count, const char *what,
                                      const scan_options *options);
void scan_note(scan *s, const char *format, ...) MF_PRINTF(2, 3);

#endif
