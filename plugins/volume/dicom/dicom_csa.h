/* dicom_csa.h - Siemens' private header "CSA" (0029,xx10), as far as a volume needs it. */
#ifndef VOLUME_DICOM_CSA_H
#define VOLUME_DICOM_CSA_H

#include <stddef.h>

/* Up to `most` numbers of the element `name`; how many there are, 0 for an element that is missing
 * or has no value, -1 for a header that is damaged before it. */
int csa_numbers(const unsigned char *bytes, size_t size, const char *name, double *to, int most);

#endif
