/* dicom.h - makes a volume of one DICOM file or of a series in a folder. */
#ifndef VOLUME_DICOM_H
#define VOLUME_DICOM_H

#include "../scan/scan.h"

MF_MUST_USE mf_status dicom_read(const char *path, bool folder, const scan_options *options,
                                 scan *s);

#endif
