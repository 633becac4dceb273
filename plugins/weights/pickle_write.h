/* pickle_write.h - the pickle of a PyTorch checkpoint, written: plain containers, numbers, texts
 * and tensors, in protocol 2 as torch.save writes it. What torch.load(weights_only=True) takes.
 *
 * Each function puts one value on the stack of the machine that reads it (pickle.h). A dict is
 * opened, filled with keys and values in turn, and closed; a list likewise. That memory is short
 * shows in the stream (ferror). */
#ifndef MF_WEIGHTS_PICKLE_WRITE_H
#define MF_WEIGHTS_PICKLE_WRITE_H

#include <massflow/array.h>

#include <stdio.h>

void pickle_put_begin(FILE *out);
void pickle_put_end(FILE *out);
void pickle_put_dict(FILE *out);
void pickle_put_dict_end(FILE *out);
void pickle_put_list(FILE *out);
void pickle_put_list_end(FILE *out);
void pickle_put_text(FILE *out, const char *text);
void pickle_put_int(FILE *out, int64_t value);
void pickle_put_real(FILE *out, double value);
void pickle_put_bool(FILE *out, bool value);
void pickle_put_ints(FILE *out, const int64_t *values, size_t count); /* a list */
/* A whole tensor, row-major, whose numbers are the storage `key`: the zip's entry data/KEY. False:
 * PyTorch has no such numbers. */
bool pickle_put_tensor(FILE *out, int64_t key, mf_dtype dtype, int rank, const int64_t *shape);

#endif
