/* safetensors.h - the format that anyone can read.
 *
 * The file: 8 bytes little-endian, the length n of the header; n bytes of JSON
 *     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
 * with offsets into the bytes that follow, row-major, little-endian. Everything is checked before
 * it is used. Of an entry
 * __metadata__, a JSON object of texts, the notes are made. */
#ifndef MF_WEIGHTS_SAFETENSORS_H
#define MF_WEIGHTS_SAFETENSORS_H

#include "tensors.h"

/* Adds what the file of `size` bytes holds, in any order. */
MF_MUST_USE mf_status mf_safetensors_read(const char *path, size_t size, mf_tensors *t);

#endif
