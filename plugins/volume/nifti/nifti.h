/* nifti.h - reads NIfTI-1, NIfTI-2 and Analyze 7.5 files. */
#ifndef VOLUME_NIFTI_H
#define VOLUME_NIFTI_H

#include "../scan/parts.h"
#include "../scan/scan.h"

/* Whether these first bytes of a (decompressed) file are NIfTI's or Analyze's. */
bool nifti_is(const unsigned char *head, size_t size);
MF_MUST_USE mf_status nifti_read(const char *path, const scan_options *options, scan *s);
/* The other file of a pair, which nifti_read opens too. */
MF_MUST_USE mf_status nifti_parts(const char *path, part_list *parts);

#endif
