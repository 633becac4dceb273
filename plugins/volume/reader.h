/* reader.h - finds out what a file is, and has the reader for that read it. */
#ifndef VOLUME_READER_H
#define VOLUME_READER_H

#include "scan/scan.h"

/* Reads a file or a folder of DICOM files. The format is known by content, then by suffix. Errors
 * name the file and what is wrong with it. */
MF_MUST_USE mf_status scan_read(const char *path, const scan_options *options, scan *s);

/* Calls `call` for each further file that scan_read would open for `path`, by the names that it
 * would open: the data files of a detached header, the other file of a pair. None for a file that
 * holds all of its scan, nor for a folder. A header that scan_read would refuse, or that names a
 * file outside of its folder, fails here with the same error; an error of `call` ends the listing
 * and comes back. */
typedef mf_status (*scan_part_call)(void *self, const char *part_path);
MF_MUST_USE mf_status scan_parts(const char *path, scan_part_call call, void *self);

#endif
