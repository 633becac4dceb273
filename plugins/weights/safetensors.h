/* safetensors.h - the format that anyone can read.
 *
 * The file: 8 bytes little-endian, the length n of the header; n bytes of JSON
 *     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
 * with offsets into the bytes that follow, row-major, little-endian. Of an entry __metadata__, an
 * object of texts, the notes are made.
 *
 * Everything is checked before memory is taken for a number, as the reference implementation does
 * (github.com/safetensors/safetensors, src/tensor.rs): in order of their offsets the tensors lie
 * end to end from the first byte of the data to the last of the file. So they never take more than
 * the file, and no byte of it is without a name. A name twice is an error, as the format has it. */
#ifndef MF_WEIGHTS_SAFETENSORS_H
#define MF_WEIGHTS_SAFETENSORS_H

#include "tensors.h"

#include <stdio.h>

/* Adds what the file of `size` bytes holds, in any order. */
MF_MUST_USE mf_status mf_safetensors_read(FILE *file, size_t size, mf_tensors *t);

#endif
