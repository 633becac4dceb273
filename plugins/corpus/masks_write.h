/* masks_write.h - a dataset.h5 as the official MASS code reads it: for each scan a group with its
 * name and in it auto_masks, u8 [masks, depth, height, width] of 0 and 1, with the filters shuffle
 * and deflate, in chunks of at most 16 MiB as its prepare_training_data.py cuts them. */
#ifndef CORPUS_MASKS_WRITE_H
#define CORPUS_MASKS_WRITE_H

#include <massflow/artifact.h>

typedef struct masks_writer masks_writer; /* opaque: a file that is being made, in memory */
MF_MUST_USE mf_status masks_writer_open(masks_writer **w);
/* The masks of a `sample` under the name of its scan, new in this file and without a slash. Equal
 * masks give equal bytes. */
MF_MUST_USE mf_status masks_writer_add(masks_writer *w, const char *name,
                                       const mf_artifact *sample);
/* The finished file, u8 [bytes]; *w is freed. */
MF_MUST_USE mf_status masks_writer_close(masks_writer *w, mf_array **file);
void masks_writer_abandon(masks_writer *w); /* NULL is fine */

#endif
