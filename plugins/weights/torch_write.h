/* torch_write.h - writes what torch.load reads: a zip of a pickle and of the bytes of tensors. */
#ifndef MF_WEIGHTS_TORCH_WRITE_H
#define MF_WEIGHTS_TORCH_WRITE_H

#include <massflow/artifact.h>

#include <stdio.h>

/* What a file says of its tensors. */
typedef mf_status (*mf_torch_describe)(const mf_artifact *a, FILE *pickle);

/* Writes `a`: `describe` puts the value (pickle_write.h) into the pickle; the storage `i` is its
 * i-th array, which is read only when it is written. All arrays are dense. */
MF_MUST_USE mf_status mf_torch_write(const mf_artifact *a, const char *path,
                                     mf_torch_describe describe);
/* Puts array i of `a` into the pickle, as a tensor. */
MF_MUST_USE mf_status mf_torch_put_array(FILE *pickle, const mf_artifact *a, size_t i);

#endif
