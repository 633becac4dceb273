/* nrrd.h - reads NRRD files, .nrrd and .nhdr with their data files. */
#ifndef VOLUME_NRRD_H
#define VOLUME_NRRD_H

#include "../scan/parts.h"
#include "../scan/scan.h"

MF_MUST_USE mf_status nrrd_read(const char *path, const scan_options *options, scan *s);
/* The data files, which nrrd_read opens too. */
MF_MUST_USE mf_status nrrd_parts(const char *path, part_list *parts);

#endif
