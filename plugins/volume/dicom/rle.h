/* rle.h - DICOM's own run-length coding of pixels (PS3.5, annex G). */
#ifndef VOLUME_RLE_H
#define VOLUME_RLE_H

#include "dicom_file.h"

/* Decodes one frame of h->rows x h->columns pixels of h->bits bits into `pixels`, in the order of
 * bytes of this machine. A frame that holds more or less is an error. */
MF_MUST_USE mf_status rle_decode(const char *where, const dicom_header *h,
                                 const unsigned char *bytes, size_t size, unsigned char *pixels);

/* False where so few bytes cannot hold the frame. */
bool rle_can_hold(const dicom_header *h, size_t size);

#endif
