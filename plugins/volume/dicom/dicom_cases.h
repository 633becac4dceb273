/* dicom_cases.h - the source of cases `dicom`: every series below a folder is a case. */
#ifndef VOLUME_DICOM_CASES_H
#define VOLUME_DICOM_CASES_H

#include <massflow/cases.h>

extern const mf_case_source dicom_cases;

#endif
