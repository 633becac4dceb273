/* meta.h - reads MetaImage files, .mha and .mhd with their data files. */
#ifndef VOLUME_META_H
#define VOLUME_META_H

#include "../scan/parts.h"
#include "../scan/scan.h"

/* Whether a file that begins with this text (ended by a zero) is a MetaImage. */
bool meta_is(const char *head);
MF_MUST_USE mf_status meta_read(const char *path, const scan_options *options, scan *s);
/* The data files, which meta_read opens too. */
MF_MUST_USE mf_status meta_parts(const char *path, part_list *parts);

#endif
