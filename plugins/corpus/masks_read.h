/* masks_read.h - the masks of a scan from a dataset.h5 of the official MASS code: the group named
 * after its image, u8 auto_masks [masks, depth, height, width]. libhdf5 reads it in a process of
 * its own (massflow-hdf5, which lies beside this module): what ends that process is an error here.
 */
#ifndef CORPUS_MASKS_READ_H
#define CORPUS_MASKS_READ_H

#include <massflow/artifact.h>

typedef struct masks_source {
    const char *path, *group;
    int64_t size[3];             /* z y x, of its image */
    const char *program;         /* NULL: massflow-hdf5 beside this module */
    mf_status (*stop)(void *of); /* asked while waiting; its error ends the wait; NULL: never */
    void *of;
} masks_source;

/* Called with each mask, u8 [size], 0 or not. */
typedef mf_status (*masks_take)(void *self, const uint8_t *dense);
/* How many masks there are, and each of them in order. Errors name the file. */
MF_MUST_USE mf_status masks_read(const masks_source *s, masks_take take, void *self,
                                 int64_t *count);

#endif
