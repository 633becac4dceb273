/* dicom_about.h - as much of a DICOM file as tells series apart. */
#ifndef VOLUME_DICOM_ABOUT_H
#define VOLUME_DICOM_ABOUT_H

#include <massflow/error.h>
#include <stdbool.h>

/* Texts are "" where the file has none. */
typedef struct dicom_about {
    char series[80];      /* Series Instance UID */
    char number[20];      /* Series Number */
    char modality[20];    /* "CT" */
    char description[80]; /* Series Description */
    char patient[80];     /* Patient ID */
    bool image;           /* has rows */
} dicom_about;

/* *is_dicom is false for a file of another kind. */
MF_MUST_USE mf_status dicom_about_read(const char *path, dicom_about *about, bool *is_dicom);

#endif
