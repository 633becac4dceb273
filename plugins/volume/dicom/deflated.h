/* deflated.h - DICOM files whose elements, pixels and all, are deflated behind the file header
 * (transfer syntax 1.2.840.10008.1.2.1.99; PS3.5, annex A.5). */
#ifndef VOLUME_DEFLATED_H
#define VOLUME_DEFLATED_H

#include <massflow/error.h>
#include <stdint.h>
#include <stdio.h>

/* The file as it would be without: a temporary one that begins with the first `from` bytes and goes
 * on with what the others inflate to. The caller closes *whole, which is then gone. */
MF_MUST_USE mf_status deflated_open(const char *path, FILE *file, int64_t from, FILE **whole,
                                    int64_t *size);

#endif
