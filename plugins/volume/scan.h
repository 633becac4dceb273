/* scan.h - a scan as it lies in its file: what every reader delivers and the stages work on. */
#ifndef VOLUME_SCAN_H
#define VOLUME_SCAN_H

#include <massflow/artifact.h>

#define SCAN_NOTES 8

typedef struct scan_options {
    int64_t time;       /* which time point, from 0; -1: the scan must have one only */
    const char *series; /* DICOM: series number or unique id; NULL: the folder must hold one only */
    mf_status (*stop)(void *of); /* its error, asked from time to time, ends a long reading; NULL:
                                    never */
    void *stop_of;
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
MF_MUST_USE mf_status scan_read(const char *path, const scan_options *options, scan *s);
void scan_free(scan *s);

/* Calls `call` for each further file that scan_read would open for `path`, by the names that it
 * would open: the data files of a detached header, the other file of a pair. None for a file that
 * holds all of its scan, nor for a folder. A header that scan_read would refuse, or that names a
 * file outside of its folder, fails here with the same error; an error of `call` ends the listing
 * and comes back. */
typedef mf_status (*scan_part_call)(void *self, const char *part_path);
MF_MUST_USE mf_status scan_parts(const char *path, scan_part_call call, void *self);
/* For readers, before they ask for memory: refuses a scan of more voxels than stages can number,
 * and one of several volumes (`what`: "time points") unless the options take one that is there. */
MF_MUST_USE mf_status scan_check_size(const char *path, const int64_t size[3]);
MF_MUST_USE mf_status scan_check_time(const char *path, int64_t count, const char *what,
                                      const scan_options *options);
void scan_note(scan *s, const char *format, ...) MF_PRINTF(2, 3);

#endif
