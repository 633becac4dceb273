/* classes.h - what labelled samples (mass.prepare with labels) hold: their classes, and where. */
#ifndef MF_MASS_CLASSES_H
#define MF_MASS_CLASSES_H

#include <massflow/stage.h>

enum { MF_CLASSES_MOST = 256 };

/* The classes of a segmentation: their label values, ascending. */
typedef struct mf_classes {
    int64_t count;
    int64_t label[MF_CLASSES_MOST];
    int64_t cases[MF_CLASSES_MOST]; /* samples that hold it */
} mf_classes;

/* A sample whose image and labels have been read, z y x. */
typedef struct mf_labelled {
    mf_array *image, *labels; /* f32, u16 */
    int64_t size[3];
} mf_labelled; /* starts as {0} */
MF_MUST_USE mf_status mf_labelled_read(const mf_artifact *sample, mf_labelled *s);
void mf_labelled_clear(mf_labelled *s);

/* The classes of the list port `port`: those asked for, or all that some sample has. All samples
 * must have one spacing, and names of labels that do not contradict: *names, which the caller
 * clears. Fails without a sample, and where no class is found. */
MF_MUST_USE mf_status mf_classes_find(mf_task *t, const char *port, const mf_labels *wanted,
                                      mf_names *names, mf_classes *c);
/* Voxels of the largest item of the list port `port`, by its array `name`. */
MF_MUST_USE mf_status mf_classes_largest(mf_task *t, const char *port, const char *name,
                                         double *voxels);
/* For `needs`: how many classes that will be, by the labels of at most 16 samples. 1 to
 * MF_CLASSES_MOST. */
MF_MUST_USE mf_status mf_classes_estimate(mf_task *t, const char *port, const mf_labels *wanted,
                                          int64_t *count);
/* Which of the classes a label value is, -1: none. */
int mf_classes_index(const mf_classes *c, int64_t label);
/* masks u8 [K, n]: 1 where labels [n] are class k. */
void mf_classes_masks(const mf_classes *c, const uint16_t *labels, int64_t n, uint8_t *masks);

#endif
