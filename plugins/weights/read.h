/* read.h - files of weights: safetensors and PyTorch checkpoints, told apart by their first bytes.
 */
#ifndef MF_WEIGHTS_READ_H
#define MF_WEIGHTS_READ_H

#include "torch.h"

/* Reads a whole file into an empty list, in order of name. Errors name the file. */
MF_MUST_USE mf_status mf_tensors_read(const char *path, mf_tensors *t);
/* The same of a part of a checkpoint of PyTorch; a safetensors file is read whole. */
MF_MUST_USE mf_status mf_tensors_read_part(const char *path, mf_torch_part part, mf_tensors *t);

#endif
